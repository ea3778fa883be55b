//! The classic text dialect (PROTOCOL §3).

use super::{Head, Reading, Word, line, number, push_number};
use crate::workload::Operation;
use crate::workload::keyspace::{APPENDED, Family, Keyspace};
use crate::workload::source::Request;

pub(super) fn write(request: &Request, keys: &[u64], keyspace: &Keyspace, out: &mut Vec<u8>) -> u32 {
    if request.operation == Operation::Get
        && let Some(line) = keyspace.encoded_get(request.family, request.key)
    {
        out.extend_from_slice(line);
        return 1;
    }
    let verb: &[u8] = match request.operation {
        Operation::Get | Operation::MultiGet => b"get",
        Operation::Gets => b"gets",
        Operation::Gat => b"gat",
        Operation::Add => b"add",
        // A counter that is there by now must not be set back.
        Operation::Fill if request.family == Family::Counter => b"add",
        Operation::Set | Operation::Fill => b"set",
        Operation::Cas => b"cas",
        Operation::Append => b"append",
        Operation::Incr => b"incr",
        Operation::Touch => b"touch",
        Operation::Delete => b"delete",
    };
    out.extend_from_slice(verb);
    if request.operation == Operation::Gat {
        push_word(u64::from(request.ttl), out);
    }
    if request.operation == Operation::MultiGet {
        for key in keys {
            out.push(b' ');
            keyspace.push_key(request.family, *key, out);
        }
    } else {
        out.push(b' ');
        keyspace.push_key(request.family, request.key, out);
    }
    match request.operation {
        Operation::Incr => out.extend_from_slice(b" 1"),
        Operation::Touch => push_word(u64::from(request.ttl), out),
        Operation::Append => push_block(0, APPENDED, out),
        Operation::Fill if request.family == Family::Counter => push_block(request.ttl, b"0", out),
        Operation::Fill if request.family == Family::Log => push_block(request.ttl, APPENDED, out),
        Operation::Add | Operation::Set | Operation::Fill | Operation::Cas => {
            out.extend_from_slice(b" 0");
            push_word(u64::from(request.ttl), out);
            push_word(request.size as u64, out);
            if request.operation == Operation::Cas {
                push_word(request.unique, out);
            }
            out.extend_from_slice(b"\r\n");
            keyspace.push_value(request.key, request.version, request.size, out);
        }
        _ => {}
    }
    out.extend_from_slice(b"\r\n");
    1
}

fn push_word(number: u64, out: &mut Vec<u8>) {
    out.push(b' ');
    push_number(number, out);
}

fn push_block(ttl: u32, block: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b" 0");
    push_word(ttl.into(), out);
    push_word(block.len() as u64, out);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(block);
}

pub(super) fn read(bytes: &[u8]) -> Reading<'_> {
    let Some((text, len)) = line(bytes) else { return Reading::Incomplete };
    let Some(text) = text.strip_suffix(b"\r") else { return Reading::Nonsense(len) };
    let word = match text {
        [b'V', ..] => return read_value(text, len).map_or(Reading::Nonsense(len), Reading::Head),
        b"END" => Word::End,
        b"STORED" => Word::Stored,
        b"NOT_STORED" => Word::NotStored,
        b"EXISTS" => Word::Exists,
        b"NOT_FOUND" => Word::NotFound,
        b"DELETED" => Word::Deleted,
        b"TOUCHED" => Word::Touched,
        _ if is_refusal(text) => Word::Refused,
        // A counter that has become shorter is padded with blanks.
        _ if number(text.trim_ascii_end()).is_some() => Word::Number,
        _ => return Reading::Nonsense(len),
    };
    Reading::Head(Head::word(word, len))
}

/// `VALUE key flags length`, and a CAS unique if one was asked for.
fn read_value(text: &[u8], len: usize) -> Option<Head<'_>> {
    let rest = text.strip_prefix(b"VALUE ")?;
    let key_end = memchr::memchr(b' ', rest)?;
    let (key, rest) = rest.split_at(key_end);
    let mut words = rest[1..].split(|byte| *byte == b' ');
    number(words.next()?)?;
    let body_len = usize::try_from(number(words.next()?)?).ok()?;
    let unique = words.next().map_or(Some(0), number)?;
    if words.next().is_some() {
        return None;
    }
    Some(Head { body_len, has_line_end: true, key: Some(key), unique, ..Head::word(Word::Value, len) })
}

/// An error that a server may honestly answer to a right request.
pub(super) fn is_refusal(text: &[u8]) -> bool {
    text.starts_with(b"SERVER_ERROR")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_as_the_protocol_says() {
        let cases: [(&[u8], Word); 10] = [
            (b"END\r\n", Word::End),
            (b"STORED\r\n", Word::Stored),
            (b"NOT_STORED\r\nEND\r\n", Word::NotStored),
            (b"EXISTS\r\n", Word::Exists),
            (b"NOT_FOUND\r\n", Word::NotFound),
            (b"DELETED\r\n", Word::Deleted),
            (b"TOUCHED\r\n", Word::Touched),
            (b"99 \r\n", Word::Number),
            (b"SERVER_ERROR out of memory\r\n", Word::Refused),
            (b"VALUE a 0 3\r\nabc\r\n", Word::Value),
        ];
        for (bytes, word) in cases {
            assert!(matches!(read(bytes), Reading::Head(head) if head.word == word), "{bytes:?}");
            assert_eq!(read(&bytes[..bytes.iter().position(|byte| *byte == b'\n').unwrap()]), Reading::Incomplete);
        }
        let Reading::Head(head) = read(b"VALUE some:key 5 12 77\r\n") else { panic!("no head") };
        assert_eq!((head.key, head.body_len, head.unique, head.len), (Some(&b"some:key"[..]), 12, 77, 24));
        for wrong in [
            &b"END\n"[..],
            b"VALUE a 0\r\n",
            b"VALUE a 0 x\r\n",
            b"VALUE a 0 1 2 3\r\n",
            b"ERROR\r\n",
            b"HTTP/1.1 400\r\n",
        ] {
            assert_eq!(read(wrong), Reading::Nonsense(wrong.len()), "{wrong:?}");
        }
    }
}
