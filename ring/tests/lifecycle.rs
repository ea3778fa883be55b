//! Coming and going: slots, closing, doorbells, and the end of the ring itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use common::{listen, pair, pattern, ring, turn_until};
use nix::sys::eventfd::{EfdFlags, EventFd};
use ringcached_ring::{Chunk, Event, Options, Ring, Wait};

#[test]
fn a_slot_is_reused_and_its_former_name_is_stale() {
    let mut ring = ring();
    let (first, _peer) = pair(&mut ring);
    ring.read(first);
    ring.turn(Wait::Poll).unwrap();
    ring.close(first);
    // The slot is not free before the kernel has let go of it.
    let (other, _other_peer) = pair(&mut ring);
    assert_ne!(other.index(), first.index());
    turn_until(&mut ring, |_, event| matches!(event, Event::Closed { id } if id == first));

    let (second, mut peer) = pair(&mut ring);
    assert_eq!(second.index(), first.index());
    assert_ne!(second.generation(), first.generation());
    ring.read(first);
    ring.send(first, b"stale".to_vec());
    ring.shutdown_write(first);
    ring.close(first);
    assert!(ring.socket(first).is_none() && ring.socket(second).is_some());
    ring.send(second, b"fresh".to_vec());
    turn_until(&mut ring, |_, event| match event {
        Event::Sent { id } => id == second,
        other => panic!("unexpected {other:?}"),
    });
    let mut five = [0; 5];
    peer.read_exact(&mut five).unwrap();
    assert_eq!(&five, b"fresh");
}

#[test]
fn closing_with_a_send_in_flight_frees_the_slot_and_the_buffers() {
    let options = Options { buffers: 4, buffer_len: 64, ..Options::default() };
    let mut ring = Ring::new(&options).unwrap();
    for round in 0..20 {
        let (id, mut peer) = pair(&mut ring);
        ring.read(id);
        ring.send(id, pattern(round, 4 << 20));
        if round % 2 == 0 {
            ring.turn(Wait::Poll).unwrap();
        }
        // Bytes on their way to a closed connection must not cost a buffer.
        peer.write_all(&[7; 200]).unwrap();
        ring.close(id);
        turn_until(&mut ring, |ring, event| match event {
            Event::Received(received) => {
                ring.release(received);
                false
            }
            Event::Closed { id: closed } => closed == id,
            other => panic!("unexpected {other:?}"),
        });
        let mut rest = Vec::new();
        let _ = peer.read_to_end(&mut rest);
    }
    let (id, mut peer) = pair(&mut ring);
    peer.write_all(&[8; 2000]).unwrap();
    ring.read(id);
    let mut got = 0;
    turn_until(&mut ring, |ring, event| {
        let Event::Received(received) = event else { panic!("unexpected {event:?}") };
        got += received.len();
        ring.release(received);
        got == 2000
    });
}

#[test]
fn accepting_stops_and_keeps_the_backlog() {
    let mut ring = ring();
    let address = listen(&mut ring);
    let _one = TcpStream::connect(address).unwrap();
    turn_until(&mut ring, |_, event| matches!(event, Event::Accepted { .. }));
    ring.stop_accepting();
    while ring.is_accepting() {
        ring.turn(common::TURN).unwrap();
    }
    let _two = TcpStream::connect(address).unwrap();
    assert_eq!(ring.turn(Wait::UpTo(Duration::from_millis(10))).unwrap(), 0);
    ring.close_listeners();
    assert!(TcpStream::connect(address).is_err());
    let address = listen(&mut ring);
    let _three = TcpStream::connect(address).unwrap();
    turn_until(&mut ring, |_, event| matches!(event, Event::Accepted { .. }));
}

#[test]
fn a_doorbell_rings_from_another_thread_and_back() {
    let bell = || -> OwnedFd { EventFd::from_flags(EfdFlags::EFD_CLOEXEC).unwrap().into() };
    let (here, there) = (bell(), bell());
    let (to_here, to_there) = (here.try_clone().unwrap(), there.try_clone().unwrap());
    let other = thread::spawn(move || {
        let mut ring = ring();
        ring.watch_doorbell(there).unwrap();
        let back = ring.add_doorbell(to_here).unwrap();
        for _ in 0..100 {
            turn_until(&mut ring, |_, event| matches!(event, Event::Doorbell));
            ring.ring_doorbell(back);
        }
        ring.turn(Wait::Poll).unwrap();
    });
    let mut ring = ring();
    ring.watch_doorbell(here.try_clone().unwrap()).unwrap();
    assert!(ring.watch_doorbell(here).is_err());
    let forth = ring.add_doorbell(to_there).unwrap();
    for _ in 0..100 {
        ring.ring_doorbell(forth);
        turn_until(&mut ring, |_, event| matches!(event, Event::Doorbell));
    }
    other.join().unwrap();
}

#[test]
fn dropping_with_everything_in_flight_ends_in_good_order() {
    for turns in 0..3 {
        let mut ring = ring();
        let address = listen(&mut ring);
        let _client = TcpStream::connect(address).unwrap();
        ring.watch_doorbell(EventFd::new().unwrap().into()).unwrap();
        let mut peers = Vec::new();
        for seed in 0..20 {
            let (id, mut peer) = pair(&mut ring);
            ring.read(id);
            ring.send_chunks(id, vec![Chunk::Owned(pattern(seed, 1 << 20)), Chunk::Shared("shared".into())]);
            peer.write_all(b"unread").unwrap();
            peers.push(peer);
        }
        for _ in 0..turns {
            ring.turn(Wait::UpTo(Duration::from_millis(5))).unwrap();
        }
        let start = Instant::now();
        drop(ring);
        assert!(start.elapsed() < Duration::from_millis(500), "waited in vain: {:?}", start.elapsed());
        for mut peer in peers {
            let mut rest = Vec::new();
            // An orderly end or a reset, but an end.
            let _ = peer.read_to_end(&mut rest);
        }
    }
}

#[test]
fn impossible_sizes_are_refused() {
    let refused = [
        Options { buffers: 3, ..Options::default() },
        Options { buffers: 0, ..Options::default() },
        Options { buffer_len: 0, ..Options::default() },
        Options { entries: 0, ..Options::default() },
    ];
    for options in refused {
        assert!(Ring::new(&options).is_err(), "{options:?}");
    }
}
