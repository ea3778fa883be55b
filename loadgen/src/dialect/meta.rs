//! The meta dialect (PROTOCOL §4). Every command carries an opaque number, by which its reply is known.

use super::{Head, Reading, Word, Writing, line, number, push_number, text};
use crate::workload::Operation;
use crate::workload::keyspace::{APPENDED, Family, Keyspace};
use crate::workload::source::Request;

pub(super) fn write(request: &Request, writing: Writing<'_>, keyspace: &Keyspace, out: &mut Vec<u8>) -> u32 {
    if request.operation == Operation::MultiGet {
        let mut opaque = writing.opaque;
        for key in writing.keys {
            out.extend_from_slice(b"mg ");
            keyspace.push_key(request.family, *key, out);
            out.extend_from_slice(b" v q O");
            push_number(opaque.into(), out);
            out.extend_from_slice(b"\r\n");
            opaque = opaque.wrapping_add(1);
        }
        out.extend_from_slice(b"mn\r\n");
        return opaque.wrapping_sub(writing.opaque).wrapping_add(1);
    }
    let verb: &[u8] = match request.operation {
        Operation::Get | Operation::MultiGet | Operation::Gets | Operation::Gat | Operation::Touch => b"mg ",
        Operation::Set | Operation::Fill | Operation::Add | Operation::Cas | Operation::Append => b"ms ",
        Operation::Incr => b"ma ",
        Operation::Delete => b"md ",
    };
    out.extend_from_slice(verb);
    keyspace.push_key(request.family, request.key, out);
    let block: Option<&[u8]> = match (request.operation, request.family) {
        (Operation::Append, _) | (Operation::Fill, Family::Log) => Some(APPENDED),
        (Operation::Fill, Family::Counter) => Some(b"0"),
        _ => None,
    };
    let is_stored = verb == b"ms ";
    if is_stored {
        out.push(b' ');
        push_number(block.map_or(request.size, <[u8]>::len) as u64, out);
    }
    let flags: &[u8] = match request.operation {
        Operation::Get | Operation::MultiGet | Operation::Gat | Operation::Incr => b" v",
        Operation::Gets => b" v c",
        Operation::Add => b" ME",
        Operation::Fill if request.family == Family::Counter => b" ME",
        Operation::Append => b" MA",
        _ => b"",
    };
    out.extend_from_slice(flags);
    if request.operation == Operation::Cas {
        out.extend_from_slice(b" C");
        push_number(request.unique, out);
    }
    let touches = matches!(request.operation, Operation::Gat | Operation::Touch);
    if touches || (is_stored && request.ttl > 0 && request.operation != Operation::Append) {
        out.extend_from_slice(b" T");
        push_number(request.ttl.into(), out);
    }
    out.extend_from_slice(if writing.quiet { b" q O" } else { b" O" });
    push_number(writing.opaque.into(), out);
    out.extend_from_slice(b"\r\n");
    if is_stored {
        match block {
            Some(block) => out.extend_from_slice(block),
            None => keyspace.push_value(request.key, request.version, request.size, out),
        }
        out.extend_from_slice(b"\r\n");
    }
    1
}

pub(super) fn read(bytes: &[u8]) -> Reading<'_> {
    let Some((text, len)) = line(bytes) else { return Reading::Incomplete };
    read_line(text, len).map_or(Reading::Nonsense(len), Reading::Head)
}

fn read_line(text: &[u8], len: usize) -> Option<Head<'_>> {
    let text = text.strip_suffix(b"\r")?;
    let mut words = text.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let mut head = match words.next()? {
        b"VA" => {
            let body_len = usize::try_from(number(words.next()?)?).ok()?;
            Head { body_len, has_line_end: true, ..Head::word(Word::Value, len) }
        }
        b"HD" => Head::word(Word::Done, len),
        b"EN" => Head::word(Word::Miss, len),
        b"NF" => Head::word(Word::NotFound, len),
        b"NS" => Head::word(Word::NotStored, len),
        b"EX" => Head::word(Word::Exists, len),
        b"MN" => return Some(Head::word(Word::End, len)),
        _ if text::is_refusal(text) => return Some(Head::word(Word::Refused, len)),
        _ => return None,
    };
    for word in words {
        let (letter, argument) = word.split_first()?;
        match letter {
            b'O' => head.opaque = Some(u32::try_from(number(argument)?).ok()?),
            b'c' => head.unique = number(argument)?,
            // What was not asked for is no harm: other flags may be added by the server (W, X, Z).
            _ => {}
        }
    }
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_as_the_protocol_says() {
        let head = |bytes| match read(bytes) {
            Reading::Head(head) => head,
            other => panic!("{other:?}"),
        };
        let value = head(b"VA 12 c99 O7 W\r\nabc");
        assert_eq!((value.word, value.body_len, value.unique, value.opaque), (Word::Value, 12, 99, Some(7)));
        assert!(value.has_line_end && value.len == 16);
        for (bytes, word, opaque) in [
            (&b"HD O1\r\n"[..], Word::Done, Some(1)),
            (b"EN O2\r\n", Word::Miss, Some(2)),
            (b"EN\r\n", Word::Miss, None),
            (b"NF O3\r\n", Word::NotFound, Some(3)),
            (b"NS O4\r\n", Word::NotStored, Some(4)),
            (b"EX O5\r\n", Word::Exists, Some(5)),
            (b"MN\r\n", Word::End, None),
            (b"SERVER_ERROR out of memory storing object\r\n", Word::Refused, None),
        ] {
            assert_eq!((head(bytes).word, head(bytes).opaque), (word, opaque));
        }
        for wrong in
            [&b"VA\r\n"[..], b"VA x\r\n", b"HD O\r\n", b"HD Ox\r\n", b"END\r\n", b"HD\n", b"CLIENT_ERROR x\r\n"]
        {
            assert_eq!(read(wrong), Reading::Nonsense(wrong.len()), "{wrong:?}");
        }
        assert_eq!(read(b"VA 1"), Reading::Incomplete);
    }
}
