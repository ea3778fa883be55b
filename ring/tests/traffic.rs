//! Every byte arrives, once and in order, whatever the peer does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use bytes::Bytes;
use common::{echo, expect_echo, listen, pair, pattern, ring, turn_until};
use ringcached_ring::{Chunk, Event, Options, Ring, Wait};

#[test]
fn many_connections_get_their_own_bytes_back() {
    let mut ring = ring();
    let address = listen(&mut ring);
    let peers: Vec<_> =
        (0..40).map(|seed| thread::spawn(move || expect_echo(address, &pattern(seed, 20_000)))).collect();
    echo(&mut ring, 40);
    for peer in peers {
        peer.join().unwrap();
    }
}

#[test]
fn many_senders_lose_nothing_to_four_small_buffers_and_a_tiny_queue() {
    let options = Options { entries: 2, completion_entries: 4, buffers: 4, buffer_len: 64, ..Options::default() };
    let mut ring = Ring::new(&options).unwrap();
    let address = listen(&mut ring);
    let peers: Vec<_> =
        (0..30).map(|seed| thread::spawn(move || expect_echo(address, &pattern(seed, 10_000)))).collect();
    echo(&mut ring, 30);
    for peer in peers {
        peer.join().unwrap();
    }
}

#[test]
fn more_operations_than_queue_entries_in_one_turn() {
    let options = Options { entries: 4, completion_entries: 8, ..Options::default() };
    let mut ring = Ring::new(&options).unwrap();
    let pairs: Vec<_> = (0..300).map(|_| pair(&mut ring)).collect();
    for (id, peer) in &pairs {
        ring.read(*id);
        ring.send(*id, b"hello".to_vec());
        (&*peer).write_all(b"world").unwrap();
    }
    let (mut sent, mut received) = (0, 0);
    turn_until(&mut ring, |ring, event| {
        match event {
            Event::Sent { .. } => sent += 1,
            Event::Received(bytes) => {
                assert_eq!(ring.bytes(&bytes), b"world");
                ring.release(bytes);
                received += 1;
            }
            other => panic!("unexpected {other:?}"),
        }
        sent == 300 && received == 300
    });
    for (_, peer) in &pairs {
        let mut five = [0; 5];
        (&*peer).read_exact(&mut five).unwrap();
        assert_eq!(&five, b"hello");
    }
}

#[test]
fn a_peer_that_does_not_read_holds_the_send_and_then_gets_all_of_it() {
    let mut ring = ring();
    let (id, mut peer) = pair(&mut ring);
    let bytes = pattern(1, 5 << 20);
    ring.send(id, bytes.clone());
    for _ in 0..5 {
        assert_eq!(ring.turn(Wait::UpTo(std::time::Duration::from_millis(10))).unwrap(), 0);
    }
    assert!(ring.is_sending(id));
    let reader = thread::spawn(move || {
        let mut got = vec![0; 5 << 20];
        peer.read_exact(&mut got).unwrap();
        got
    });
    turn_until(&mut ring, |_, event| matches!(event, Event::Sent { .. }));
    assert!(!ring.is_sending(id));
    assert!(reader.join().unwrap() == bytes);
}

#[test]
fn chunks_arrive_in_order_owned_and_shared_small_and_large() {
    let mut ring = ring();
    let (id, mut peer) = pair(&mut ring);
    let mut expected = Vec::new();
    let mut chunks = ring.take_chunks();
    for seed in 0..200 {
        let len = [0, 1, 30, 5000, 70_000][seed % 5];
        let bytes = pattern(seed as u64, len);
        expected.extend_from_slice(&bytes);
        chunks.push(if seed % 2 == 0 { Chunk::Owned(bytes) } else { Chunk::Shared(Bytes::from(bytes)) });
    }
    let len = expected.len();
    ring.send_chunks(id, chunks);
    let reader = thread::spawn(move || {
        let mut got = vec![0; len];
        peer.read_exact(&mut got).unwrap();
        got
    });
    turn_until(&mut ring, |_, event| matches!(event, Event::Sent { .. }));
    assert!(reader.join().unwrap() == expected);
    ring.send(id, Vec::new());
    turn_until(&mut ring, |_, event| matches!(event, Event::Sent { .. }));
}

#[test]
fn the_peer_may_finish_its_side_and_still_be_answered() {
    let mut ring = ring();
    let (id, mut peer) = pair(&mut ring);
    ring.read(id);
    peer.write_all(b"question").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let mut question = Vec::new();
    turn_until(&mut ring, |ring, event| match event {
        Event::Received(received) => {
            question.extend_from_slice(ring.bytes(&received));
            ring.release(received);
            false
        }
        Event::Ended { error, .. } => {
            assert!(error.is_none());
            true
        }
        other => panic!("unexpected {other:?}"),
    });
    assert_eq!(question, b"question");
    // A request to read on does nothing, and a shutdown waits for the send before it.
    ring.read(id);
    ring.send(id, b"answer".to_vec());
    ring.shutdown_write(id);
    turn_until(&mut ring, |_, event| matches!(event, Event::Sent { .. }));
    let mut answer = Vec::new();
    peer.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"answer");
}

#[test]
fn a_reset_in_the_middle_of_a_send_is_reported() {
    let mut ring = ring();
    let listener = TcpListener::bind("[::1]:0").or_else(|_| TcpListener::bind("127.0.0.1:0")).unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let id = ring.add(listener.accept().unwrap().0.into()).unwrap();
    ring.read(id);
    ring.send(id, pattern(3, 20 << 20));
    for _ in 0..3 {
        ring.turn(Wait::UpTo(std::time::Duration::from_millis(5))).unwrap();
    }
    assert!(ring.next_event().is_none());
    // Closing with bytes unread makes the peer's kernel answer with a reset.
    drop(peer);
    let (mut failed, mut ended) = (false, false);
    turn_until(&mut ring, |_, event| {
        match event {
            Event::SendFailed { .. } => failed = true,
            // With an error or without: the kernel tells of a reset once, and the send may have been first.
            Event::Ended { .. } => ended = true,
            other => panic!("unexpected {other:?}"),
        }
        failed && ended
    });
    ring.close(id);
    turn_until(&mut ring, |_, event| matches!(event, Event::Closed { .. }));
}

#[test]
fn stopping_and_resuming_at_any_moment_loses_no_byte() {
    let mut ring = ring();
    let (id, mut peer) = pair(&mut ring);
    let bytes = pattern(4, 3 << 20);
    let sent = bytes.clone();
    let writer = thread::spawn(move || {
        for piece in sent.chunks(1777) {
            peer.write_all(piece).unwrap();
        }
        peer.shutdown(Shutdown::Write).unwrap();
        peer
    });
    let mut got = Vec::new();
    let mut round = 0_u32;
    ring.read(id);
    'all: loop {
        round += 1;
        match round % 7 {
            0 | 3 => ring.stop_reading(id),
            1 | 4 | 5 => ring.read(id),
            2 => {
                ring.stop_reading(id);
                ring.read(id);
            }
            _ => {
                ring.stop_reading(id);
                ring.read(id);
                ring.stop_reading(id);
                ring.read(id);
            }
        }
        ring.turn(Wait::UpTo(std::time::Duration::from_millis(1))).unwrap();
        while let Some(event) = ring.next_event() {
            match event {
                Event::Received(received) => {
                    got.extend_from_slice(ring.bytes(&received));
                    ring.release(received);
                }
                Event::Ended { error, .. } => {
                    assert!(error.is_none());
                    break 'all;
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    }
    assert!(got == bytes);
    drop(writer.join().unwrap());
}

#[test]
fn a_flood_gets_all_buffers_there_are() {
    let options = Options { buffers: 256, buffer_len: 64, ..Options::default() };
    let mut ring = Ring::new(&options).unwrap();
    let (flood, mut flooder) = pair(&mut ring);
    let bytes = pattern(1, 256 * 64);
    flooder.write_all(&bytes).unwrap();
    ring.read(flood);
    // The kernel has a few of them at first; all can be out at once.
    let mut held = Vec::new();
    turn_until(&mut ring, |_, event| match event {
        Event::Received(received) => {
            held.push(received);
            held.len() == 256
        }
        other => panic!("unexpected {other:?}"),
    });
    let got: Vec<u8> = held.iter().flat_map(|received| ring.bytes(received).to_vec()).collect();
    assert!(got == bytes);
    for received in held {
        ring.release(received);
    }
}

#[test]
fn a_stopped_connection_leaves_the_buffers_to_the_others() {
    let options = Options { buffers: 4, buffer_len: 64, ..Options::default() };
    let mut ring = Ring::new(&options).unwrap();
    let (flood, mut flooder) = pair(&mut ring);
    let (quiet, mut whisperer) = pair(&mut ring);
    flooder.write_all(&[b'x'; 4096]).unwrap();
    ring.read(flood);
    // All four buffers are held by what the flooder sent.
    let mut held = Vec::new();
    turn_until(&mut ring, |_, event| match event {
        Event::Received(received) => {
            held.push(received);
            held.len() == 4
        }
        other => panic!("unexpected {other:?}"),
    });
    ring.stop_reading(flood);
    ring.read(quiet);
    whisperer.write_all(b"psst").unwrap();
    assert_eq!(ring.turn(Wait::UpTo(std::time::Duration::from_millis(10))).unwrap(), 0);
    for received in held {
        ring.release(received);
    }
    turn_until(&mut ring, |ring, event| match event {
        Event::Received(received) => {
            assert_eq!(received.id(), quiet);
            assert_eq!(ring.bytes(&received), b"psst");
            ring.release(received);
            true
        }
        other => panic!("unexpected {other:?}"),
    });
}
