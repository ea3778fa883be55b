//! Outcomes to reply lines.

use crate::protocol::Unstorable;
use crate::terms::{CasUnique, Flags, Key};

/// `STORED`.
pub const STORED: &[u8] = b"STORED\r\n";
/// `NOT_STORED`.
pub const NOT_STORED: &[u8] = b"NOT_STORED\r\n";
/// `EXISTS`.
pub const EXISTS: &[u8] = b"EXISTS\r\n";
/// `NOT_FOUND`.
pub const NOT_FOUND: &[u8] = b"NOT_FOUND\r\n";
/// `DELETED`.
pub const DELETED: &[u8] = b"DELETED\r\n";
/// `TOUCHED`.
pub const TOUCHED: &[u8] = b"TOUCHED\r\n";
/// `OK`.
pub const OK: &[u8] = b"OK\r\n";
/// The end of a retrieval and of statistics.
pub const END: &[u8] = b"END\r\n";
/// The answer to `stats reset`.
pub const RESET: &[u8] = b"RESET\r\n";
/// The end of a line and of a value.
pub const CRLF: &[u8] = b"\r\n";
/// A value larger than any item may be.
pub const TOO_LARGE: &[u8] = b"SERVER_ERROR object too large for cache\r\n";
/// No memory, and nothing may be evicted for it.
pub const OUT_OF_MEMORY: &[u8] = b"SERVER_ERROR out of memory storing object\r\n";
/// `incr` or `decr` of something that is no number.
pub const NON_NUMERIC: &[u8] = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
/// A connection beyond `-c`.
pub const TOO_MANY_CONNECTIONS: &[u8] = b"ERROR Too many open connections\r\n";

/// What a storage request is answered whose value was not kept.
pub const fn unstorable(why: Unstorable) -> &'static [u8] {
    match why {
        Unstorable::TooLarge => TOO_LARGE,
        Unstorable::OutOfMemory => OUT_OF_MEMORY,
    }
}

/// What follows a value in its reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum After {
    /// Something else.
    More,
    /// The end of the retrieval.
    End,
}

/// Writes a value with its line and what follows it: `VALUE <key> <flags> <bytes>[ <cas>]`.
#[inline]
pub fn write_value(out: &mut Vec<u8>, key: Key<'_>, flags: Flags, value: &[u8], cas: Option<CasUnique>, after: After) {
    write_value_line(out, key, flags, value.len(), cas);
    out.extend_from_slice(value);
    match after {
        After::More => out.extend_from_slice(CRLF),
        After::End => out.extend_from_slice(b"\r\nEND\r\n"),
    }
}

/// Writes the line before a value.
#[inline]
pub fn write_value_line(out: &mut Vec<u8>, key: Key<'_>, flags: Flags, len: usize, cas: Option<CasUnique>) {
    let mut number = itoa::Buffer::new();
    out.extend_from_slice(b"VALUE ");
    out.extend_from_slice(key.as_bytes());
    if flags.0 == 0 {
        out.extend_from_slice(b" 0 ");
    } else {
        out.push(b' ');
        out.extend_from_slice(number.format(flags.0).as_bytes());
        out.push(b' ');
    }
    out.extend_from_slice(number.format(len).as_bytes());
    if let Some(CasUnique(unique)) = cas {
        out.push(b' ');
        out.extend_from_slice(number.format(unique).as_bytes());
    }
    out.extend_from_slice(CRLF);
}

/// Writes a number on a line of its own.
pub fn write_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.extend_from_slice(CRLF);
}

/// Writes `STAT <name> <value>`.
pub fn write_stat(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in ["STAT ", name, " ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Writes `VERSION <version>`.
pub fn write_version(out: &mut Vec<u8>, version: &str) {
    for part in ["VERSION ", version, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_as_the_protocol_says() {
        let mut out = Vec::new();
        let key = Key::new(b"k").unwrap();
        write_value_line(&mut out, key, Flags(4_294_967_295), 0, None);
        write_value_line(&mut out, key, Flags(0), 1234, Some(CasUnique(u64::MAX)));
        write_number(&mut out, 42);
        write_stat(&mut out, "pid", "7");
        write_version(&mut out, "1.6.45");
        let expected =
            "VALUE k 4294967295 0\r\nVALUE k 0 1234 18446744073709551615\r\n42\r\nSTAT pid 7\r\nVERSION 1.6.45\r\n";
        assert_eq!(out, expected.as_bytes());
    }
}
