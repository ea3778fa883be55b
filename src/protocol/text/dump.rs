//! Lines of dumps and of watched events.

use crate::protocol::admin::DumpFormat;
use crate::protocol::meta::response::{ItemFacts, write_common_facts};
use crate::protocol::meta::write_encoded;
use crate::terms::{Deadline, Key, Now};

/// Writes the line of one item with a value of `value_len` bytes.
pub fn write_item(out: &mut Vec<u8>, format: DumpFormat, key: Key<'_>, facts: &ItemFacts, value_len: usize, now: Now) {
    match format {
        DumpFormat::Facts => write_facts(out, key, facts, now),
        DumpFormat::Requests if facts.key_is_binary => {
            out.extend_from_slice(b"mg ");
            write_encoded(out, key);
            out.extend_from_slice(b" b\r\n");
        }
        DumpFormat::Requests => {
            out.extend_from_slice(b"mg ");
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        DumpFormat::Cache => {
            out.extend_from_slice(b"ITEM ");
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(b" [");
            write_number(out, value_len as u64);
            out.extend_from_slice(b" b; ");
            write_number(out, dies_unix_s(facts.deadline, now).unwrap_or(0));
            out.extend_from_slice(b" s]\r\n");
        }
    }
}

/// What a dump begins with.
pub const fn begin(format: DumpFormat) -> &'static [u8] {
    match format {
        DumpFormat::Facts | DumpFormat::Requests => b"OK\r\n",
        DumpFormat::Cache => b"",
    }
}

/// What a dump ends with.
pub const fn end(format: DumpFormat) -> &'static [u8] {
    match format {
        DumpFormat::Facts | DumpFormat::Cache => b"END\r\n",
        DumpFormat::Requests => b"EN\r\n",
    }
}

fn write_facts(out: &mut Vec<u8>, key: Key<'_>, facts: &ItemFacts, now: Now) {
    out.extend_from_slice(b"key=");
    write_uri(out, key.as_bytes());
    out.extend_from_slice(b" exp=");
    match dies_unix_s(facts.deadline, now) {
        Some(seconds) => write_number(out, seconds),
        None => out.extend_from_slice(b"-1"),
    }
    out.extend_from_slice(b" la=");
    write_number(out, (now.unix_ms / 1000).saturating_sub(u64::from(facts.idle_s)));
    out.extend_from_slice(b" cas=");
    write_number(out, facts.cas.0);
    write_common_facts(out, facts);
    out.extend_from_slice(b" flags=");
    write_number(out, u64::from(facts.flags.0));
    out.extend_from_slice(b" \n");
}

/// Writes bytes as in a URI: letters, digits and `-._~` as they are, all else as `%XX`.
pub fn write_uri(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

/// When an item dies, in Unix time; `None` for never.
fn dies_unix_s(deadline: Deadline, now: Now) -> Option<u64> {
    deadline.seconds_left(now).map(|left| now.unix_ms / 1000 + left)
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms::{CasUnique, Exptime, Flags};

    #[test]
    fn lines_read_as_memcacheds() {
        let now = Now { monotonic_ms: 50_000, unix_ms: 1_800_000_000_500 };
        let facts = ItemFacts {
            deadline: Deadline::from_exptime(Exptime(100), now),
            idle_s: 7,
            cas: CasUnique(9),
            fetched: true,
            class: 3,
            size: 120,
            flags: Flags(5),
            key_is_binary: false,
        };
        let binary = ItemFacts { deadline: Deadline::NEVER, fetched: false, key_is_binary: true, ..facts };
        let line = |format, facts: &ItemFacts| {
            let mut out = Vec::new();
            write_item(&mut out, format, Key::new(b"a:b c").unwrap(), facts, 33, now);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            line(DumpFormat::Facts, &facts),
            "key=a%3Ab%20c exp=1800000100 la=1799999993 cas=9 fetch=yes cls=3 size=120 flags=5 \n"
        );
        assert!(line(DumpFormat::Facts, &binary).contains(" exp=-1 la=1799999993 cas=9 fetch=no "));
        assert_eq!(line(DumpFormat::Requests, &facts), "mg a:b c\r\n");
        assert_eq!(line(DumpFormat::Requests, &binary), "mg YTpiIGM= b\r\n");
        assert_eq!(line(DumpFormat::Cache, &facts), "ITEM a:b c [33 b; 1800000100 s]\r\n");
        assert_eq!(line(DumpFormat::Cache, &binary), "ITEM a:b c [33 b; 0 s]\r\n");
    }
}
