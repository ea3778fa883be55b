//! Options of the rings and ports of a running server.
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails the test that called it")]
#![allow(clippy::disallowed_methods, reason = "tests measure real time and talk from several threads")]

mod common;

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use common::{Client, Server};
use ringcached::routing::Routing;
use ringcached::terms::{Key, ShardId};

const CORES: u16 = 4;

/// The first of `CORES` ports in a row that nobody has.
fn free_ports() -> u16 {
    let is_free = |base: &u16| (*base..base + CORES).all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    (first..60_000).step_by(usize::from(CORES)).find(is_free).unwrap()
}

fn statistic(client: &mut Client, name: &str) -> u64 {
    client.send(b"stats\r\n");
    let text = client.read_through(b"END\r\n");
    let text = String::from_utf8(text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} "))).unwrap();
    line.trim().parse().unwrap()
}

/// Letters that cores have sent each other, those of `stats` itself included.
fn letters_sent(client: &mut Client) -> u64 {
    statistic(client, "mesh_letters_sent")
}

#[test]
fn letters_for_cores_that_sleep_are_served_by_who_has_them() {
    const ENOUGH: u64 = 100;
    let server = Server::ringcached(&["-t", "4"]);
    let mut client = server.connect();
    // Nobody else asks, so the other cores sleep; but when is theirs to say.
    for round in 0..10_000 {
        let value = "v".repeat(if round % 10 == 0 { 20_000 } else { 20 });
        for key in ["a", "b", "c", "d", "e"] {
            let len = value.len();
            client.ask(
                &format!(
                    "set {key} 0 0 {len}\r\n{value}\r\nset n{key} 0 0 1\r\n1\r\nincr n{key} {round}\r\nget {key}\r\n"
                ),
                &format!("STORED\r\nSTORED\r\n{}\r\nVALUE {key} 0 {len}\r\n{value}\r\nEND\r\n", 1 + round),
            );
            client.ask(
                &format!("delete n{key}\r\nget n{key} {key} n{key}\r\n"),
                &format!("DELETED\r\nVALUE {key} 0 {len}\r\n{value}\r\nEND\r\n"),
            );
        }
        if statistic(&mut client, "mesh_letters_lent") >= ENOUGH {
            return;
        }
    }
    panic!("no core has lent its shard {ENOUGH} times");
}

#[test]
fn keys_asked_at_their_own_port_do_not_travel() {
    let base = free_ports();
    let server = Server::ringcached(&["-t", "4", "--shard-ports", &base.to_string()]);
    let mut anywhere = server.connect();
    let mut at: Vec<Client> =
        (base..base + CORES).map(|port| Client::connect((Ipv4Addr::LOCALHOST, port).into())).collect();
    let routing = Routing::new(CORES);
    let ask = |at: &mut Vec<Client>, offset: u16| {
        for number in 0..200 {
            let key = format!("key:{number}");
            let ShardId(owner) = routing.owner(Key::new(key.as_bytes()).unwrap());
            let client = &mut at[usize::from((owner + offset) % CORES)];
            client.ask(
                &format!("set {key} 0 0 1\r\nv\r\nget {key}\r\n"),
                &format!("STORED\r\nVALUE {key} 0 1\r\nv\r\nEND\r\n"),
            );
        }
    };
    let first = letters_sent(&mut anywhere);
    let of_stats = letters_sent(&mut anywhere) - first;
    let before = letters_sent(&mut anywhere);
    ask(&mut at, 0);
    assert_eq!(letters_sent(&mut anywhere) - before, of_stats, "at the owner's port nothing travels");
    let before = letters_sent(&mut anywhere);
    ask(&mut at, 1);
    assert_eq!(letters_sent(&mut anywhere) - before, of_stats + 400, "at another's every request does");
}

#[test]
fn a_server_with_other_rings_serves_as_well() {
    for options in [
        &["-t", "2", "--ring-entries", "64", "--recv-buffers", "16"][..],
        &["-t", "2", "--spin-us", "200"],
        &["-t", "2", "--busy-poll", "10", "--incoming-cpu"],
    ] {
        let server = Server::ringcached(options);
        let mut clients: Vec<Client> = (0..40).map(|_| server.connect()).collect();
        let value = "v".repeat(3000);
        for round in 0..3 {
            for (number, client) in clients.iter_mut().enumerate() {
                client.send(format!("set k{number} 0 0 3000\r\n{value}\r\nget k{number} k{round}\r\n").as_bytes());
            }
            for (number, client) in clients.iter_mut().enumerate() {
                let reply = client.read_through(b"END\r\n");
                let expected = format!("STORED\r\nVALUE k{number} 0 3000\r\n{value}\r\n");
                assert!(reply.starts_with(expected.as_bytes()), "{options:?}: client {number}");
            }
            // Long enough that cores which spin have gone to sleep.
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
