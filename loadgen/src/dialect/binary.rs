//! The binary dialect (PROTOCOL §7). Every packet carries an opaque number.

use super::{Head, Reading, Word, Writing};
use crate::workload::Operation;
use crate::workload::keyspace::{APPENDED, Family, Keyspace};
use crate::workload::source::Request;

const HEADER_LEN: usize = 24;
const REQUEST: u8 = 0x80;
const RESPONSE: u8 = 0x81;
/// An expiration that means "do not create": an `incr` of what is not there is a miss, as in the other dialects.
const DO_NOT_CREATE: u32 = u32::MAX;

mod opcode {
    pub(super) const GET: u8 = 0x00;
    pub(super) const SET: u8 = 0x01;
    pub(super) const ADD: u8 = 0x02;
    pub(super) const DELETE: u8 = 0x04;
    pub(super) const INCREMENT: u8 = 0x05;
    pub(super) const GET_QUIET: u8 = 0x09;
    pub(super) const NO_OP: u8 = 0x0a;
    pub(super) const APPEND: u8 = 0x0e;
    pub(super) const SET_QUIET: u8 = 0x11;
    pub(super) const ADD_QUIET: u8 = 0x12;
    pub(super) const DELETE_QUIET: u8 = 0x14;
    pub(super) const INCREMENT_QUIET: u8 = 0x15;
    pub(super) const APPEND_QUIET: u8 = 0x19;
    pub(super) const TOUCH: u8 = 0x1c;
    pub(super) const GAT: u8 = 0x1d;
    pub(super) const GAT_QUIET: u8 = 0x1e;
}

/// A touch has no quiet form.
pub(super) fn write(request: &Request, writing: Writing<'_>, keyspace: &Keyspace, out: &mut Vec<u8>) -> u32 {
    if request.operation == Operation::MultiGet {
        let mut opaque = writing.opaque;
        for key in writing.keys {
            let single = Request { operation: Operation::Get, key: *key, ..*request };
            let writing = Writing { opaque, quiet: true, keys: &[] };
            opaque = opaque.wrapping_add(write(&single, writing, keyspace, out));
        }
        write_no_op(opaque, out);
        return opaque.wrapping_sub(writing.opaque).wrapping_add(1);
    }
    let code = match (request.operation, writing.quiet) {
        (Operation::Get | Operation::Gets | Operation::MultiGet, false) => opcode::GET,
        (Operation::Get | Operation::Gets | Operation::MultiGet, true) => opcode::GET_QUIET,
        (Operation::Gat, false) => opcode::GAT,
        (Operation::Gat, true) => opcode::GAT_QUIET,
        (Operation::Add, false) => opcode::ADD,
        (Operation::Add, true) => opcode::ADD_QUIET,
        (Operation::Fill, false) if request.family == Family::Counter => opcode::ADD,
        (Operation::Fill, true) if request.family == Family::Counter => opcode::ADD_QUIET,
        (Operation::Set | Operation::Cas | Operation::Fill, false) => opcode::SET,
        (Operation::Set | Operation::Cas | Operation::Fill, true) => opcode::SET_QUIET,
        (Operation::Append, false) => opcode::APPEND,
        (Operation::Append, true) => opcode::APPEND_QUIET,
        (Operation::Incr, false) => opcode::INCREMENT,
        (Operation::Incr, true) => opcode::INCREMENT_QUIET,
        (Operation::Touch, _) => opcode::TOUCH,
        (Operation::Delete, false) => opcode::DELETE,
        (Operation::Delete, true) => opcode::DELETE_QUIET,
    };
    let start = out.len();
    begin(code, writing.opaque, request.unique, out);
    match request.operation {
        Operation::Set | Operation::Add | Operation::Cas | Operation::Fill => {
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(&request.ttl.to_be_bytes());
        }
        Operation::Gat | Operation::Touch => out.extend_from_slice(&request.ttl.to_be_bytes()),
        Operation::Incr => {
            out.extend_from_slice(&1_u64.to_be_bytes());
            out.extend_from_slice(&0_u64.to_be_bytes());
            out.extend_from_slice(&DO_NOT_CREATE.to_be_bytes());
        }
        _ => {}
    }
    let extras_end = out.len();
    keyspace.push_key(request.family, request.key, out);
    let key_end = out.len();
    match (request.operation, request.family) {
        (Operation::Fill, Family::Counter) => out.push(b'0'),
        (Operation::Append, _) | (Operation::Fill, Family::Log) => out.extend_from_slice(APPENDED),
        (Operation::Set | Operation::Add | Operation::Cas | Operation::Fill, _) => {
            keyspace.push_value(request.key, request.version, request.size, out);
        }
        _ => {}
    }
    finish(start, extras_end, key_end, out);
    1
}

pub(super) fn write_no_op(opaque: u32, out: &mut Vec<u8>) {
    begin(opcode::NO_OP, opaque, 0, out);
}

/// A header without lengths.
fn begin(code: u8, opaque: u32, unique: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&[REQUEST, code, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&opaque.to_be_bytes());
    out.extend_from_slice(&unique.to_be_bytes());
}

/// Writes the lengths of what stands behind the header that begins at `start`.
fn finish(start: usize, extras_end: usize, key_end: usize, out: &mut [u8]) {
    let body_len = u32::try_from(out.len() - start - HEADER_LEN).unwrap_or(u32::MAX);
    let header = &mut out[start..start + HEADER_LEN];
    header[2..4].copy_from_slice(&u16::try_from(key_end - extras_end).unwrap_or(u16::MAX).to_be_bytes());
    header[4] = u8::try_from(extras_end - start - HEADER_LEN).unwrap_or(u8::MAX);
    header[8..12].copy_from_slice(&body_len.to_be_bytes());
}

pub(super) fn read(bytes: &[u8]) -> Reading<'_> {
    let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
        return match bytes.first() {
            None | Some(&RESPONSE) => Reading::Incomplete,
            Some(_) => Reading::Nonsense(bytes.len()),
        };
    };
    let [magic, code, key_0, key_1, extras_len, data_type, status_0, status_1, rest @ ..] = header;
    let [body_0, body_1, body_2, body_3, opaque_0, opaque_1, opaque_2, opaque_3, unique @ ..] = rest;
    let key_len = usize::from(u16::from_be_bytes([*key_0, *key_1]));
    let body_len = u32::from_be_bytes([*body_0, *body_1, *body_2, *body_3]) as usize;
    let len = HEADER_LEN + usize::from(*extras_len) + key_len;
    let status = u16::from_be_bytes([*status_0, *status_1]);
    let (Some(word), RESPONSE, 0) = (word(*code, status), *magic, *data_type) else {
        return Reading::Nonsense(HEADER_LEN);
    };
    let Some(value_len) = (HEADER_LEN + body_len).checked_sub(len) else { return Reading::Nonsense(HEADER_LEN) };
    let Some(head) = bytes.get(..len) else { return Reading::Incomplete };
    let opaque = u32::from_be_bytes([*opaque_0, *opaque_1, *opaque_2, *opaque_3]);
    Reading::Head(Head {
        body_len: value_len,
        key: (key_len > 0).then(|| &head[len - key_len..]),
        unique: u64::from_be_bytes(*unique),
        opaque: Some(opaque),
        ..Head::word(word, len)
    })
}

fn word(code: u8, status: u16) -> Option<Word> {
    let is_retrieval = matches!(code, opcode::GET | opcode::GET_QUIET | opcode::GAT | opcode::GAT_QUIET);
    Some(match status {
        0 if is_retrieval => Word::Value,
        0 => match code {
            opcode::NO_OP => Word::End,
            opcode::SET
            | opcode::ADD
            | opcode::APPEND
            | opcode::SET_QUIET
            | opcode::ADD_QUIET
            | opcode::APPEND_QUIET => Word::Stored,
            opcode::DELETE | opcode::DELETE_QUIET => Word::Deleted,
            opcode::TOUCH => Word::Touched,
            opcode::INCREMENT | opcode::INCREMENT_QUIET => Word::Number,
            _ => return None,
        },
        1 if is_retrieval => Word::Miss,
        1 => Word::NotFound,
        2 => Word::Exists,
        5 => Word::NotStored,
        3 | 0x82 | 0x83 | 0x84 | 0x85 | 0x86 => Word::Refused,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::source::Then;

    fn request(operation: Operation) -> Request {
        Request {
            operation,
            family: Family::Item,
            key: 7,
            version: 3,
            size: 9,
            ttl: 60,
            unique: 0,
            then: Then::Nothing,
        }
    }

    #[test]
    fn packets_are_written_as_the_protocol_says() {
        let keyspace = Keyspace::numbered(100, 4, "9".parse().unwrap()).unwrap();
        let mut out = Vec::new();
        let writing = Writing { opaque: 0x0102_0304, quiet: false, keys: &[] };
        assert_eq!(write(&request(Operation::Set), writing, &keyspace, &mut out), 1);
        assert_eq!(out[..24], [0x80, 1, 0, 4, 8, 0, 0, 0, 0, 0, 0, 21, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(out[24..36], *b"\0\0\0\0\0\0\0\x3ckk07");
        assert_eq!(out.len(), 24 + 21);

        out.clear();
        let keys = [1, 2];
        let writing = Writing { opaque: u32::MAX, quiet: false, keys: &keys };
        assert_eq!(write(&request(Operation::MultiGet), writing, &keyspace, &mut out), 3);
        assert_eq!((out[1], out[29], out[57], out.len()), (0x09, 0x09, 0x0a, 80));
        assert_eq!(out[28 + 12..28 + 16], [0; 4]);
    }

    #[test]
    fn packets_are_read_in_any_length() {
        let mut reply = vec![0x81, 0, 0, 2, 4, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 8];
        reply.extend_from_slice(b"\0\0\0\0kkabc");
        let expected =
            Head { body_len: 3, key: Some(b"kk"), unique: 8, opaque: Some(5), ..Head::word(Word::Value, 30) };
        assert_eq!(read(&reply), Reading::Head(expected));
        for cut in 0..30 {
            assert_eq!(read(&reply[..cut]), Reading::Incomplete);
        }
        reply[7] = 1;
        assert!(matches!(read(&reply), Reading::Head(Head { word: Word::Miss, .. })));
        reply[11] = 5;
        assert_eq!(read(&reply), Reading::Nonsense(24), "a body shorter than what stands in it");
        assert_eq!(read(b"ERROR\r\n"), Reading::Nonsense(7));
    }
}
