//! A server that echoes, and peers to try it with.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use ringcached_ring::{ConnId, Event, Options, Ring, Wait};

pub const PATIENCE: Duration = Duration::from_secs(20);
pub const TURN: Wait = Wait::UpTo(Duration::from_millis(100));

pub fn ring() -> Ring {
    Ring::new(&Options::default()).unwrap()
}

pub fn listen(ring: &mut Ring) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    ring.listen(listener.into()).unwrap();
    address
}

/// A connection of the ring and its peer.
pub fn pair(ring: &mut Ring) -> (ConnId, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    theirs.set_write_timeout(Some(PATIENCE)).unwrap();
    (ring.add(ours.into()).unwrap(), theirs)
}

/// Turns until `done` says so; fails when that takes too long.
pub fn turn_until(ring: &mut Ring, mut done: impl FnMut(&mut Ring, Event) -> bool) {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE, "nothing more happened");
        ring.turn(TURN).unwrap();
        while let Some(event) = ring.next_event() {
            if done(ring, event) {
                return;
            }
        }
    }
}

/// `len` bytes that differ from place to place and from seed to seed.
pub fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.push(state.to_le_bytes()[3]);
    }
    bytes
}

#[derive(Default)]
struct Echoed {
    waiting: Vec<u8>,
    ended: bool,
}

/// Echoes every byte until `peers` connections have come and gone.
pub fn echo(ring: &mut Ring, peers: usize) {
    let mut connections: HashMap<ConnId, Echoed> = HashMap::new();
    let mut gone = 0;
    turn_until(ring, |ring, event| {
        let id = match event {
            Event::Accepted { socket, .. } => {
                let id = ring.add(socket).unwrap();
                connections.insert(id, Echoed::default());
                ring.read(id);
                return false;
            }
            Event::Received(received) => {
                let id = received.id();
                connections.get_mut(&id).unwrap().waiting.extend_from_slice(ring.bytes(&received));
                ring.release(received);
                id
            }
            Event::Ended { id, error } => {
                assert!(error.is_none(), "{error:?}");
                connections.get_mut(&id).unwrap().ended = true;
                id
            }
            Event::Sent { id } => id,
            Event::Closed { .. } => {
                gone += 1;
                return gone == peers;
            }
            other => panic!("unexpected {other:?}"),
        };
        let connection = connections.get_mut(&id).unwrap();
        if ring.is_sending(id) {
            return false;
        }
        if !connection.waiting.is_empty() {
            let mut out = ring.take_buffer();
            out.append(&mut connection.waiting);
            ring.send(id, out);
        } else if connection.ended {
            connections.remove(&id);
            ring.close(id);
        }
        false
    });
}

/// Sends `bytes` while reading, ends its side, and expects all of it to come back.
pub fn expect_echo(address: SocketAddr, bytes: &[u8]) {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for piece in bytes.chunks(3000) {
                (&stream).write_all(piece).unwrap();
            }
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        (&stream).read_to_end(&mut back).unwrap();
        assert!(back == bytes, "{} bytes came back of {}", back.len(), bytes.len());
    });
}
