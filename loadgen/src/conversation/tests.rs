//! Replies right and wrong, in any pieces.

use super::*;
use crate::workload::source::Then;

const KEYS: u64 = 1000;

fn keyspace() -> Keyspace {
    Keyspace::numbered(KEYS, 8, "9".parse().unwrap()).unwrap()
}

fn request(operation: Operation, key: u64) -> Request {
    Request { operation, family: Family::Item, key, version: 5, size: 9, ttl: 0, unique: 77, then: Then::Nothing }
}

fn manner(dialect: Dialect) -> Manner {
    Manner { dialect, verify: true, quiet: false, wants_misses: true }
}

/// A conversation that has asked these; a multi-get asks for its key and the next two.
fn asked(manner: Manner, keyspace: &Keyspace, requests: &[(Operation, u64)]) -> (Conversation, Vec<u8>) {
    let mut conversation = Conversation::new(manner);
    let mut out = Vec::new();
    for (operation, key) in requests {
        conversation.ask(&request(*operation, *key), &[*key, key + 1, key + 2], 0, keyspace, &mut out);
    }
    conversation.end_batch(&mut out);
    (conversation, out)
}

fn value(keyspace: &Keyspace, key: u64, version: u32) -> Vec<u8> {
    let mut value = Vec::new();
    keyspace.push_value(key, version, 9, &mut value);
    value
}

fn text_value(keyspace: &Keyspace, key: u64) -> Vec<u8> {
    let mut reply = format!("VALUE kkkkk{key:03} 0 9\r\n").into_bytes();
    reply.extend_from_slice(&value(keyspace, key, 5));
    reply.extend_from_slice(b"\r\n");
    reply
}

fn receive(
    conversation: &mut Conversation,
    bytes: &[u8],
    piece: usize,
    keyspace: &Keyspace,
) -> Result<Vec<Reply>, Violation> {
    let mut replies = Vec::new();
    for piece in bytes.chunks(piece) {
        conversation.receive(piece, keyspace, &mut |reply| replies.push(reply))?;
    }
    Ok(replies)
}

/// Operation, hits, misses, whether it was refused.
fn told(replies: &[Reply]) -> Vec<(Operation, u32, u32, bool)> {
    replies.iter().map(|reply| (reply.request.operation, reply.hits, reply.misses, reply.is_refused)).collect()
}

#[test]
fn text_requests_are_what_the_protocol_says() {
    let keyspace = keyspace();
    let cases: [(Operation, &str); 10] = [
        (Operation::Get, "get kkkkk007\r\n"),
        (Operation::Gets, "gets kkkkk007\r\n"),
        (Operation::MultiGet, "get kkkkk007 kkkkk008 kkkkk009\r\n"),
        (Operation::Gat, "gat 0 kkkkk007\r\n"),
        (Operation::Set, "set kkkkk007 0 0 9\r\n"),
        (Operation::Cas, "cas kkkkk007 0 0 9 77\r\n"),
        (Operation::Append, "append kkkkk007 0 0 16\r\n+appended bytes+\r\n"),
        (Operation::Incr, "incr kkkkk007 1\r\n"),
        (Operation::Touch, "touch kkkkk007 0\r\n"),
        (Operation::Delete, "delete kkkkk007\r\n"),
    ];
    for (operation, expected) in cases {
        let (conversation, out) = asked(manner(Dialect::Text), &keyspace, &[(operation, 7)]);
        assert_eq!(conversation.outstanding(), 1);
        if matches!(operation, Operation::Set | Operation::Cas) {
            assert_eq!(out, [expected.as_bytes(), &value(&keyspace, 7, 5), b"\r\n"].concat());
        } else {
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}

#[test]
fn meta_requests_carry_opaque_numbers() {
    let keyspace = keyspace();
    let requests = [(Operation::Get, 7), (Operation::MultiGet, 1), (Operation::Touch, 2), (Operation::Cas, 3)];
    let (conversation, out) = asked(manner(Dialect::Meta), &keyspace, &requests);
    let expected = "mg kkkkk007 v O0\r\nmg kkkkk001 v q O1\r\nmg kkkkk002 v q O2\r\nmg kkkkk003 v q O3\r\nmn\r\n\
                    mg kkkkk002 T0 O5\r\nms kkkkk003 9 C77 O6\r\n";
    assert_eq!(out, [expected.as_bytes(), &value(&keyspace, 3, 5), b"\r\n"].concat());
    assert_eq!(conversation.outstanding(), 4);
}

#[test]
fn right_text_replies_are_right_in_any_pieces() {
    let keyspace = keyspace();
    let requests = [
        (Operation::Get, 7),
        (Operation::Set, 1),
        (Operation::MultiGet, 10),
        (Operation::Get, 2),
        (Operation::MultiGet, 20),
        (Operation::Add, 3),
        (Operation::Incr, 4),
        (Operation::Gets, 5),
    ];
    let mut bytes = text_value(&keyspace, 7);
    bytes.extend_from_slice(b"END\r\nSTORED\r\n");
    // Of three keys the middle one is there.
    bytes.extend_from_slice(&text_value(&keyspace, 11));
    bytes.extend_from_slice(b"END\r\nEND\r\nSERVER_ERROR busy\r\nNOT_STORED\r\n42\r\nVALUE kkkkk005 0 9 123\r\n");
    bytes.extend_from_slice(&value(&keyspace, 5, 1 << 30));
    bytes.extend_from_slice(b"\r\nEND\r\n");
    for piece in 1..bytes.len() {
        let (mut conversation, _) = asked(manner(Dialect::Text), &keyspace, &requests);
        let replies = receive(&mut conversation, &bytes, piece, &keyspace).unwrap();
        let expected = [
            (Operation::Get, 1, 0, false),
            (Operation::Set, 1, 0, false),
            (Operation::MultiGet, 1, 2, false),
            (Operation::Get, 0, 1, false),
            (Operation::MultiGet, 0, 0, true),
            (Operation::Add, 0, 1, false),
            (Operation::Incr, 1, 0, false),
            (Operation::Gets, 1, 0, false),
        ];
        assert_eq!(told(&replies), expected, "in pieces of {piece}");
        assert_eq!(replies[7].unique, 123);
        assert_eq!((conversation.outstanding(), conversation.keys.len()), (0, 0));
        let missed: Vec<_> = conversation.missed.iter().map(|missed| missed.key).collect();
        assert_eq!(missed, [10, 12, 2, 3]);
    }
}

#[test]
fn right_meta_replies_are_right_in_any_pieces() {
    let keyspace = keyspace();
    let requests = [(Operation::Get, 7), (Operation::MultiGet, 10), (Operation::Delete, 2), (Operation::Incr, 3)];
    let mut bytes = b"VA 9 O0\r\n".to_vec();
    bytes.extend_from_slice(&value(&keyspace, 7, 5));
    bytes.extend_from_slice(b"\r\nVA 9 O2\r\n");
    bytes.extend_from_slice(&value(&keyspace, 11, 5));
    bytes.extend_from_slice(b"\r\nMN\r\nNF O5\r\nVA 2 O6\r\n17\r\n");
    for piece in 1..bytes.len() {
        let (mut conversation, _) = asked(manner(Dialect::Meta), &keyspace, &requests);
        let replies = receive(&mut conversation, &bytes, piece, &keyspace).unwrap();
        let expected = [
            (Operation::Get, 1, 0, false),
            (Operation::MultiGet, 1, 2, false),
            (Operation::Delete, 0, 1, false),
            (Operation::Incr, 1, 0, false),
        ];
        assert_eq!(told(&replies), expected, "in pieces of {piece}");
    }
}

#[test]
fn silence_is_a_reply_to_a_quiet_request() {
    let keyspace = keyspace();
    let quiet = Manner { quiet: true, ..manner(Dialect::Meta) };
    let requests = [(Operation::Get, 1), (Operation::Set, 2), (Operation::Get, 3), (Operation::Delete, 4)];
    let (mut conversation, out) = asked(quiet, &keyspace, &requests);
    assert!(out.ends_with(b"md kkkkk004 q O3\r\nmn\r\n"));
    assert_eq!((conversation.outstanding(), conversation.expected()), (4, 5));
    // The first get misses and the set succeeds without a word; the second get hits; the delete is refused.
    let bytes = [b"VA 9 O2\r\n", value(&keyspace, 3, 9).as_slice(), b"\r\nNF O3\r\nMN\r\n"].concat();
    let replies = receive(&mut conversation, &bytes, 4, &keyspace).unwrap();
    let expected = [
        (Operation::Get, 0, 1, false),
        (Operation::Set, 1, 0, false),
        (Operation::Get, 1, 0, false),
        (Operation::Delete, 0, 1, false),
    ];
    assert_eq!(told(&replies), expected);
    assert_eq!((conversation.outstanding(), conversation.expected()), (0, 0));
    // Nothing at all but the end of the batch.
    let (mut conversation, _) = asked(quiet, &keyspace, &requests);
    assert_eq!(receive(&mut conversation, b"MN\r\n", 9, &keyspace).unwrap().len(), 4);
    // An end too many.
    assert!(matches!(receive(&mut conversation, b"MN\r\n", 9, &keyspace), Err(Violation::Extra(_))));
}

#[test]
fn every_lie_is_noticed() {
    let keyspace = keyspace();
    let requests = [(Operation::MultiGet, 1), (Operation::Set, 9)];
    let values: Vec<_> = (1..4).map(|key| text_value(&keyspace, key)).collect();
    let good = [values.concat().as_slice(), b"END\r\nSTORED\r\n"].concat();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    let wrong = [
        with(&|bytes| bytes[26] ^= 1),
        // The version itself: the rest does not follow from it then.
        with(&|bytes| bytes[20] ^= 1),
        with(&|bytes| bytes[values[0].len() - 2] = b'x'),
        with(&|bytes| bytes[18] = b'8'),
        with(&|bytes| bytes[13] = b'9'),
        [&values[1], &values[0], &b"END\r\n"[..].to_vec()].map(Vec::as_slice).concat(),
        [&values[0], &values[0]].map(Vec::as_slice).concat(),
        with(&|bytes| drop(bytes.splice(bytes.len() - 8.., *b"END\r\n"))),
        with(&|bytes| drop(bytes.splice(bytes.len() - 8.., *b"NOT_STORED\r\n"))),
        b"ERROR\r\n".to_vec(),
        b"CLIENT_ERROR bad\r\n".to_vec(),
        vec![b'x'; 5000],
    ];
    for (case, bytes) in wrong.iter().enumerate() {
        for piece in [1, 3, bytes.len()] {
            let (mut conversation, _) = asked(manner(Dialect::Text), &keyspace, &requests);
            let verdict = receive(&mut conversation, bytes, piece, &keyspace);
            assert!(matches!(verdict, Err(Violation::Wrong(_))), "case {case} in pieces of {piece}: {verdict:?}");
        }
    }
    let (mut conversation, _) = asked(manner(Dialect::Text), &keyspace, &requests);
    assert_eq!(receive(&mut conversation, &good, 7, &keyspace).unwrap().len(), 2);
    let verdict = receive(&mut conversation, b"STORED\r\n", 100, &keyspace);
    assert!(matches!(verdict, Err(Violation::Extra(_))), "{verdict:?}");
}

#[test]
fn replies_out_of_order_are_noticed_by_their_opaque_numbers() {
    let keyspace = keyspace();
    for bytes in [&b"HD O1\r\nHD O0\r\n"[..], b"HD O2\r\n", b"HD O0\r\nHD O0\r\n", b"MN\r\n"] {
        let requests = [(Operation::Touch, 1), (Operation::Touch, 2)];
        let (mut conversation, _) = asked(manner(Dialect::Meta), &keyspace, &requests);
        let verdict = receive(&mut conversation, bytes, 100, &keyspace);
        assert!(matches!(verdict, Err(Violation::Wrong(_))), "{bytes:?}: {verdict:?}");
    }
}

#[test]
fn without_verification_the_form_alone_counts() {
    let keyspace = keyspace();
    let lenient = Manner { verify: false, ..manner(Dialect::Text) };
    let (mut conversation, _) = asked(lenient, &keyspace, &[(Operation::Get, 1)]);
    let replies = receive(&mut conversation, b"VALUE other 5 3\r\nabc\r\nEND\r\n", 2, &keyspace).unwrap();
    assert_eq!(told(&replies), [(Operation::Get, 1, 0, false)]);
    let (mut conversation, _) = asked(lenient, &keyspace, &[(Operation::Get, 1)]);
    assert!(receive(&mut conversation, b"VALUE other 5 3\r\nabcd\r\n", 100, &keyspace).is_err());
}
