//! Datagram sockets, and listeners that several rings share.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::UdpSocket;
use std::os::unix::net::{UnixListener, UnixStream};

use common::{PATIENCE, TURN, pattern, turn_until};
use ringcached_ring::{DatagramSocketId, Event, Options, Ring};

fn bound(ring: &mut Ring, address: &str) -> (DatagramSocketId, UdpSocket) {
    let socket = UdpSocket::bind(address).unwrap();
    let peer =
        UdpSocket::bind(socket.local_addr().unwrap().ip().to_string() + ":0").or_else(|_| UdpSocket::bind("[::1]:0"));
    let peer = peer.unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.connect(socket.local_addr().unwrap()).unwrap();
    (ring.bind_datagrams(socket.into()).unwrap(), peer)
}

#[test]
fn datagrams_of_every_size_come_and_go_whole() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let mut ring = Ring::new(&Options { datagram_buffers: 4, ..Options::default() }).unwrap();
        let (id, peer) = bound(&mut ring, address);
        let mut back = vec![0; 65536];
        for (seed, len) in [(1, 0), (2, 1), (3, 1400), (4, 9000), (5, 65507)] {
            let sent = pattern(seed, len);
            peer.send(&sent).unwrap();
            turn_until(&mut ring, |ring, event| {
                let Event::Datagram(datagram) = event else { panic!("unexpected {event:?}") };
                assert_eq!(datagram.socket(), id);
                let (from, bytes) = ring.datagram(&datagram).unwrap();
                assert_eq!((from, bytes), (peer.local_addr().unwrap(), &sent[..]));
                let mut answer = Vec::from(bytes);
                answer.reverse();
                ring.release_datagram(datagram);
                ring.send_datagram(id, from, answer);
                true
            });
            ring.turn(ringcached_ring::Wait::Poll).unwrap();
            let count = peer.recv(&mut back).unwrap();
            back[..count].reverse();
            assert_eq!(back[..count], sent[..]);
        }
    }
}

#[test]
fn datagrams_wait_in_the_kernel_while_no_buffer_is_free() {
    let mut ring = Ring::new(&Options { datagram_buffers: 2, ..Options::default() }).unwrap();
    let (_, peer) = bound(&mut ring, "127.0.0.1:0");
    for number in 0..10_u8 {
        peer.send(&[number]).unwrap();
    }
    let mut held = Vec::new();
    turn_until(&mut ring, |_, event| {
        let Event::Datagram(datagram) = event else { panic!("unexpected {event:?}") };
        held.push(datagram);
        held.len() == 2
    });
    assert_eq!(ring.turn(TURN).unwrap(), 0, "a third one has no buffer");
    let mut seen = Vec::new();
    let mut look = |ring: &mut Ring, datagram| {
        seen.push(ring.datagram(&datagram).unwrap().1[0]);
        ring.release_datagram(datagram);
        seen.len() == 10
    };
    for datagram in held {
        look(&mut ring, datagram);
    }
    turn_until(&mut ring, |ring, event| {
        let Event::Datagram(datagram) = event else { panic!("unexpected {event:?}") };
        look(ring, datagram)
    });
    assert_eq!(seen, (0..10).collect::<Vec<u8>>());
    ring.stop_datagrams();
    ring.turn(TURN).unwrap();
    peer.send(b"late").unwrap();
    assert_eq!(ring.turn(TURN).unwrap(), 0, "nothing comes in after the end");
}

#[test]
fn a_datagram_that_cannot_be_sent_is_told() {
    let mut ring = Ring::new(&Options::default()).unwrap();
    let (id, _peer) = bound(&mut ring, "127.0.0.1:0");
    ring.send_datagram(id, "127.0.0.1:0".parse().unwrap(), b"to nobody".to_vec());
    turn_until(&mut ring, |_, event| matches!(event, Event::DatagramLost));
}

#[test]
fn rings_that_share_a_listener_take_turns() {
    let path = std::env::temp_dir().join(format!("ringcached-ring-shared-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let mut rings: Vec<Ring> = (0..3).map(|_| Ring::new(&Options::default()).unwrap()).collect();
    for ring in &mut rings {
        ring.listen_shared(listener.try_clone().unwrap().into()).unwrap();
        ring.turn(ringcached_ring::Wait::Poll).unwrap();
    }
    let mut accepted = [0; 3];
    let mut clients = Vec::new();
    for _ in 0..30 {
        clients.push(UnixStream::connect(&path).unwrap());
        for (ring, count) in rings.iter_mut().zip(&mut accepted) {
            ring.turn(ringcached_ring::Wait::Poll).unwrap();
            while let Some(event) = ring.next_event() {
                let Event::Accepted { .. } = event else { panic!("unexpected {event:?}") };
                *count += 1;
                // Waits for the next one now, as who waits for something else would.
                ring.turn(ringcached_ring::Wait::Poll).unwrap();
            }
        }
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(accepted.iter().sum::<i32>(), 30);
    assert!(accepted.iter().all(|&count| count >= 5), "{accepted:?}");
}
