//! Replies right and wrong, in any pieces.

use super::*;
use crate::workload::Mix;

const KEYS: u32 = 1000;

fn keyspace() -> Keyspace {
    Keyspace::new(KEYS, 8, 5).unwrap()
}

/// A conversation that has asked for these, each a get of so many keys or a set; and all the keys, in order.
fn asked(keyspace: &Keyspace, requests: &[(Request, u16)]) -> (Conversation, Vec<u32>) {
    let mut conversation = Conversation::new(keyspace);
    let mut out = Vec::new();
    for (seed, (request, keys)) in (0..).zip(requests) {
        let ratio = if *request == Request::Get { 1.0 } else { 0.0 };
        assert!(conversation.ask(&mut Workload::Mixed(Mix::new(seed, ratio)), keyspace, *keys, &mut out));
    }
    let keys = conversation.keys.iter().copied().collect();
    (conversation, keys)
}

fn value(keyspace: &Keyspace, key: u32) -> Vec<u8> {
    let mut reply = format!("VALUE {} 0 5\r\n", name_of(key, keyspace)).into_bytes();
    reply.extend_from_slice(keyspace.value(key));
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
        conversation.receive(piece, keyspace, |reply| replies.push(reply))?;
    }
    Ok(replies)
}

#[test]
fn requests_are_what_the_protocol_says() {
    let keyspace = keyspace();
    let mut conversation = Conversation::new(&keyspace);
    let mut out = Vec::new();
    let mut workload = Workload::Load { next: 7, end: 8 };
    assert!(conversation.ask(&mut workload, &keyspace, 1, &mut out));
    assert!(!conversation.ask(&mut workload, &keyspace, 1, &mut out));
    let expected = [b"set kkkkk007 0 0 5\r\n", keyspace.value(7), b"\r\n"].concat();
    assert_eq!(out, expected);

    out.clear();
    let mut gets = Workload::Mixed(Mix::new(1, 1.0));
    assert!(conversation.ask(&mut gets, &keyspace, 2, &mut out));
    let names: Vec<_> = conversation.keys.iter().skip(1).map(|key| name_of(*key, &keyspace)).collect();
    assert_eq!(String::from_utf8(out).unwrap(), format!("get {} {}\r\n", names[0], names[1]));
    assert_eq!(conversation.outstanding(), 2);
}

#[test]
fn right_replies_are_right_in_any_pieces() {
    let keyspace = keyspace();
    let requests = [(Request::Get, 1), (Request::Set, 1), (Request::Get, 3), (Request::Get, 1), (Request::Get, 2)];
    for piece in 1..100 {
        let (mut conversation, keys) = asked(&keyspace, &requests);
        let mut bytes = value(&keyspace, keys[0]);
        bytes.extend_from_slice(b"END\r\nSTORED\r\n");
        // Of three keys the middle one is there.
        bytes.extend_from_slice(&value(&keyspace, keys[3]));
        bytes.extend_from_slice(b"END\r\nEND\r\nSERVER_ERROR busy\r\n");
        let replies = receive(&mut conversation, &bytes, piece, &keyspace).unwrap();
        let told: Vec<_> =
            replies.iter().map(|reply| (reply.request, reply.hits, reply.misses, reply.is_server_error)).collect();
        let expected = [
            (Request::Get, 1, 0, false),
            (Request::Set, 0, 0, false),
            (Request::Get, 1, 2, false),
            (Request::Get, 0, 1, false),
            (Request::Get, 0, 2, true),
        ];
        assert_eq!(told, expected, "in pieces of {piece}");
        assert_eq!(conversation.outstanding(), 0);
        assert!(conversation.keys.is_empty() && conversation.keys_left == 0);
    }
}

#[test]
fn every_lie_is_noticed() {
    let keyspace = keyspace();
    let (_, keys) = asked(&keyspace, &[(Request::Get, 2), (Request::Set, 1)]);
    let good = [value(&keyspace, keys[0]), value(&keyspace, keys[1]), b"END\r\n".to_vec()].concat();
    let mut flipped = good.clone();
    flipped[20] ^= 1;
    let mut no_line_end = good.clone();
    let after_value = value(&keyspace, keys[0]).len() - 2;
    no_line_end[after_value] = b'x';
    let swapped = [value(&keyspace, keys[1]), value(&keyspace, keys[0]), b"END\r\n".to_vec()].concat();
    let doubled = [value(&keyspace, keys[0]), value(&keyspace, keys[0]), b"END\r\n".to_vec()].concat();
    let too_many = [&good[..good.len() - 5], &value(&keyspace, keys[1])].concat();
    let other_key = value(&keyspace, (keys[0] + 1) % KEYS);
    let other_length = format!("VALUE {} 0 4\r\nabcd\r\n", name_of(keys[0], &keyspace)).into_bytes();
    let other_flags = format!("VALUE {} 1 5\r\nabcde\r\n", name_of(keys[0], &keyspace)).into_bytes();
    let out_of_turn = [b"STORED\r\n".as_slice(), &good].concat();
    let set_refused = [good.as_slice(), b"NOT_STORED\r\n"].concat();
    let lies: [&[u8]; 13] = [
        &flipped,
        &no_line_end,
        &swapped,
        &doubled,
        &too_many,
        &other_key,
        &other_length,
        &other_flags,
        &out_of_turn,
        &set_refused,
        b"ERROR\r\n",
        b"END\n",
        &[b'V'; 600],
    ];
    for lie in lies {
        for piece in [1, 7, 1000] {
            let (mut conversation, _) = asked(&keyspace, &[(Request::Get, 2), (Request::Set, 1)]);
            let verdict = receive(&mut conversation, lie, piece, &keyspace);
            assert!(matches!(verdict, Err(Violation::Wrong(_))), "{}: {verdict:?}", quote(lie));
        }
    }
    let (mut conversation, _) = asked(&keyspace, &[(Request::Get, 2), (Request::Set, 1)]);
    let extra = [good.as_slice(), b"STORED\r\nSTORED\r\n"].concat();
    assert!(matches!(receive(&mut conversation, &extra, 1000, &keyspace), Err(Violation::Extra(_))));
}
