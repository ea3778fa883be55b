//! Outcomes to packets and packets to outcomes.

use super::{HEADER_LEN, Header, RESPONSE_MAGIC, Status, Tag};
use crate::terms::{CasUnique, Flags};

/// A response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Response<'a> {
    /// Of which request.
    pub tag: Tag,
    /// How it ended: a number, since other servers know others ([`Status::of`]).
    pub status: u16,
    /// The item's version; 0 if there is nothing to say about it.
    pub cas: CasUnique,
    /// Of a hit the client's flags.
    pub extras: &'a [u8],
    /// The key, where it was asked for; of a statistic its name.
    pub key: &'a [u8],
    /// The value; of an error its text.
    pub value: &'a [u8],
}

/// What the input begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed<'a> {
    /// A response, and its bytes.
    Response(Response<'a>, usize),
    /// The beginning of one that takes so many bytes, as far as can be told.
    Incomplete(usize),
    /// No response.
    Foreign,
}

/// Understands the response that `input` begins with, as a client does.
pub fn parse(input: &[u8]) -> Parsed<'_> {
    let Some(header) = input.first_chunk::<HEADER_LEN>() else {
        return match input.first() {
            Some(&magic) if magic != RESPONSE_MAGIC => Parsed::Foreign,
            _ => Parsed::Incomplete(HEADER_LEN),
        };
    };
    let header = Header::read(header);
    let len = HEADER_LEN + header.body_len as usize;
    let (key_len, extras_len) = (usize::from(header.key_len), usize::from(header.extras_len));
    if header.magic != RESPONSE_MAGIC || HEADER_LEN + extras_len + key_len > len {
        return Parsed::Foreign;
    }
    let Some(packet) = input.get(..len) else {
        return Parsed::Incomplete(len);
    };
    let (extras, rest) = packet[HEADER_LEN..].split_at(extras_len);
    let (key, value) = rest.split_at(key_len);
    let response = Response { tag: header.tag, status: header.status, cas: CasUnique(header.cas), extras, key, value };
    Parsed::Response(response, len)
}

/// Writes a response but for its value, of which `value_len` bytes are to follow.
#[inline]
pub fn write_head(out: &mut Vec<u8>, response: &Response<'_>, value_len: usize) {
    let Response { tag, status, cas, extras, key, .. } = *response;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a key has at most 250 bytes, extras 4, a value 1 GiB (limits.rs)"
    )]
    let header = Header {
        magic: RESPONSE_MAGIC,
        tag,
        key_len: key.len() as u16,
        extras_len: extras.len() as u8,
        data_type: 0,
        status,
        body_len: (extras.len() + key.len() + value_len) as u32,
        cas: cas.0,
    };
    header.write(out);
    out.extend_from_slice(extras);
    out.extend_from_slice(key);
}

/// Writes a response.
pub fn write(out: &mut Vec<u8>, response: &Response<'_>) {
    write_head(out, response, response.value.len());
    out.extend_from_slice(response.value);
}

/// Writes that something was done, with the item's version (0 if it has none) and what there is to say about it.
pub fn write_done(out: &mut Vec<u8>, tag: Tag, cas: CasUnique, value: &[u8]) {
    write(out, &Response { tag, status: Status::Ok.code(), cas, extras: b"", key: b"", value });
}

/// Writes that something was not done, with the text of its status.
pub fn write_error(out: &mut Vec<u8>, tag: Tag, status: Status) {
    let (code, text) = (status.code(), status.text().as_bytes());
    write(out, &Response { tag, status: code, cas: CasUnique(0), extras: b"", key: b"", value: text });
}

/// Writes that there is no such item; `key` is empty, or the key where that was asked for, which then stands in place
/// of the text (PROTOCOL §7).
#[inline]
pub fn write_miss(out: &mut Vec<u8>, tag: Tag, key: &[u8]) {
    if key.is_empty() {
        write_error(out, tag, Status::NotFound);
    } else {
        write(out, &Response { tag, status: Status::NotFound.code(), cas: CasUnique(0), extras: b"", key, value: b"" });
    }
}

/// Writes what comes before the value of a hit. `key` is empty if it was not asked for.
#[inline]
pub fn write_hit(out: &mut Vec<u8>, tag: Tag, flags: Flags, cas: CasUnique, key: &[u8], value_len: usize) {
    let extras = flags.0.to_be_bytes();
    write_head(out, &Response { tag, status: Status::Ok.code(), cas, extras: &extras, key, value: b"" }, value_len);
}

/// Writes statistics, given as the lines of the text dialect: a packet for each `STAT <name> <value>`, and one without
/// key and value at the end.
pub fn write_statistics(out: &mut Vec<u8>, tag: Tag, lines: &[u8]) {
    for line in lines.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(statistic) = line.strip_prefix(b"STAT ") else { continue };
        let end = statistic.iter().position(|&byte| byte == b' ').unwrap_or(statistic.len());
        let (key, value) = statistic.split_at(end);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        write(out, &Response { tag, status: Status::Ok.code(), cas: CasUnique(0), extras: b"", key, value });
    }
    write_done(out, tag, CasUnique(0), b"");
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: Tag = Tag { opcode: 0x0c, opaque: [9, 8, 7, 6] };

    fn only(bytes: &[u8]) -> Response<'_> {
        match parse(bytes) {
            Parsed::Response(response, len) if len == bytes.len() => response,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        write_hit(&mut out, TAG, Flags(0x0102_0304), CasUnique(5), b"key", 3);
        out.extend_from_slice(b"val");
        let hit =
            Response { tag: TAG, status: 0, cas: CasUnique(5), extras: &[1, 2, 3, 4], key: b"key", value: b"val" };
        assert_eq!(only(&out), hit);
        for cut in 0..out.len() {
            assert!(matches!(parse(&out[..cut]), Parsed::Incomplete(needed) if needed > cut && needed <= out.len()));
        }
        out[0] = 0x80;
        assert_eq!(parse(&out), Parsed::Foreign);
    }

    #[test]
    fn misses_and_errors_have_a_body() {
        let mut out = Vec::new();
        write_miss(&mut out, TAG, b"");
        assert_eq!((only(&out).status, only(&out).key, only(&out).value), (1, &b""[..], &b"Not found"[..]));
        out.clear();
        write_miss(&mut out, TAG, b"key");
        assert_eq!((only(&out).status, only(&out).key, only(&out).value), (1, &b"key"[..], &b""[..]));
        out.clear();
        write_error(&mut out, TAG, Status::Unknown);
        assert_eq!((only(&out).status, only(&out).value), (0x81, &b"Unknown command"[..]));
    }

    #[test]
    fn statistics_are_a_packet_each_and_an_end() {
        let mut out = Vec::new();
        write_statistics(&mut out, TAG, b"STAT pid 7\r\nSTAT version 1.6 x\r\nSTAT empty \r\nEND\r\n");
        let mut seen = Vec::new();
        let mut rest = &out[..];
        while let Parsed::Response(response, len) = parse(rest) {
            seen.push((response.key, response.value));
            rest = &rest[len..];
        }
        let expected: [(&[u8], &[u8]); 4] = [(b"pid", b"7"), (b"version", b"1.6 x"), (b"empty", b""), (b"", b"")];
        assert_eq!(seen, expected);
    }
}
