//! What one client can cost: memory stays within limits, and the others are served.
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails the test that called it")]
#![allow(clippy::disallowed_methods, reason = "tests measure real time")]
#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "texts of tests are built to be read, not to be fast"
)]

mod common;

use std::time::{Duration, Instant};

use common::{Client, Event, PATIENCE, Server};

const MIB: u64 = 1 << 20;
/// An answer that takes longer is not prompt. Generous: the machine may be busy with other tests.
const PROMPT: Duration = Duration::from_secs(5);

/// A server that has done a little of everything, so that what it allocates once is there.
fn warm_server(options: &[&str]) -> Server {
    let server = Server::ringcached(options);
    for number in 0..8 {
        let mut client = server.connect();
        client.ask(&format!("set warm{number} 0 0 1\r\nx\r\n"), "STORED\r\n");
        client.ask(&format!("get warm{number} nothing\r\n"), &format!("VALUE warm{number} 0 1\r\nx\r\nEND\r\n"));
    }
    server
}

fn store(client: &mut Client, key: &str, len: usize) {
    client.ask(&format!("set {key} 0 0 {len}\r\n{}\r\n", "v".repeat(len)), "STORED\r\n");
}

fn assert_prompt(server: &Server) {
    let started = Instant::now();
    let mut client = server.connect();
    client.ask("get nothing\r\n", "END\r\n");
    client.ask("set prompt 0 0 1\r\nx\r\n", "STORED\r\n");
    assert!(started.elapsed() < PROMPT, "another connection waited {:?}", started.elapsed());
}

/// The largest growth of the server's memory while it is watched.
fn largest_growth(server: &Server, before: u64, duration: Duration) -> u64 {
    let started = Instant::now();
    let mut largest = 0;
    while started.elapsed() < duration {
        largest = largest.max(server.resident().saturating_sub(before));
        std::thread::sleep(Duration::from_millis(20));
    }
    largest
}

fn assert_growth(growth: u64, limit: u64) {
    assert!(growth < limit, "grew by {:.1} MiB, allowed are {} MiB", as_mib(growth), limit / MIB);
}

fn as_mib(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes >> 10).unwrap()) / 1024.0
}

#[test]
fn a_slow_reader_holds_little_and_hinders_nobody() {
    let server = warm_server(&["-t", "2"]);
    let mut slow = server.connect();
    store(&mut slow, "big", 500_000);
    let before = server.resident();
    // 5 GB of replies; what is taken of the requests ends somewhere.
    let _ = slow.send_without_reading("get big\r\n".repeat(10_000).as_bytes(), Duration::from_secs(1));
    let growth = largest_growth(&server, before, Duration::from_secs(1));
    assert_growth(growth, 16 * MIB);
    assert_prompt(&server);
    // It reads on: the first replies are whole.
    let whole = format!("VALUE big 0 500000\r\n{}\r\nEND\r\n", "v".repeat(500_000));
    for _ in 0..50 {
        assert!(slow.read_through(b"END\r\n") == whole.as_bytes(), "a reply to a slow reader is torn");
    }
}

#[test]
fn many_small_requests_of_a_slow_reader_hold_little() {
    let server = warm_server(&["-t", "2"]);
    let mut slow = server.connect();
    store(&mut slow, "small", 1000);
    let before = server.resident();
    let sent = slow.send_without_reading("get small\r\n".repeat(3_000_000).as_bytes(), Duration::from_secs(2));
    assert!(sent < 33_000_000, "3 GB of replies were taken in although nobody reads them");
    assert_growth(largest_growth(&server, before, Duration::from_millis(500)), 16 * MIB);
    assert_prompt(&server);
}

#[test]
fn missing_keys_cost_nothing_lasting() {
    let server = warm_server(&["-t", "4"]);
    let before = server.resident();
    let mut client = server.connect();
    let mut request = String::from("get");
    for number in 0..200_000 {
        request.push_str(&format!(" missing-{number:08}"));
    }
    request.push_str("\r\n");
    client.send(request.as_bytes());
    let mut growth = 0;
    loop {
        growth = growth.max(server.resident().saturating_sub(before));
        match client.look(Duration::from_millis(20)) {
            Event::Silence => {}
            Event::Bytes => break,
            other => panic!("{other:?} instead of END"),
        }
    }
    client.ask("", "END\r\n");
    assert_growth(growth.max(server.resident().saturating_sub(before)), 32 * MIB);
}

#[test]
fn a_giant_get_that_nobody_reads_holds_little() {
    let server = warm_server(&["-t", "4"]);
    let mut slow = server.connect();
    for number in 0..10 {
        store(&mut slow, &format!("k{number}"), 100_000);
    }
    let before = server.resident();
    let keys: String = (0..20_000).map(|number| format!(" k{}", number % 10)).collect();
    let _ = slow.send_without_reading(format!("get{keys}\r\n").as_bytes(), Duration::from_secs(2));
    assert_growth(largest_growth(&server, before, Duration::from_secs(1)), 16 * MIB);
    assert_prompt(&server);
    let value = "v".repeat(100_000);
    for number in 0..200 {
        let expected = format!("VALUE k{} 0 100000\r\n{value}\r\n", number % 10);
        while slow.buffer().len() < expected.len() {
            assert_eq!(slow.look(PATIENCE), Event::Bytes, "value {number} of a giant get");
        }
        assert!(slow.buffer().starts_with(expected.as_bytes()), "value {number} of a giant get is wrong");
        slow.buffer().drain(..expected.len());
    }
}

#[test]
fn announced_values_cost_what_has_come() {
    let server = warm_server(&["-t", "2"]);
    let before = server.resident();
    let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("set announced{number} 0 0 1000000\r\n0123456789").as_bytes());
    }
    assert_growth(largest_growth(&server, before, Duration::from_millis(500)), 8 * MIB);
    assert_prompt(&server);
}

#[test]
fn a_value_cut_off_midway_stores_nothing() {
    let server = Server::ringcached(&["-t", "2"]);
    let mut client = server.connect();
    for (key, announced) in [("small", 100), ("large", 1_000_000)] {
        let mut cut = server.connect();
        cut.send(format!("set {key} 0 0 {announced}\r\n{}", "v".repeat(announced / 2)).as_bytes());
        drop(cut);
        let mut half = server.connect();
        half.send(format!("set half-{key} 0 0 {announced}\r\n{}", "v".repeat(announced / 2)).as_bytes());
        half.half_close();
        assert!(half.read_to_end().is_empty(), "half a value was answered");
        client.ask(&format!("get {key} half-{key}\r\n"), "END\r\n");
    }
}

#[test]
fn the_connection_limit_is_said() {
    const LIMIT: usize = 10;
    let server = Server::ringcached(&["-t", "2", "-c", &LIMIT.to_string()]);
    // The connection that found the server up may still be closing.
    let mut clients = Vec::new();
    let started = Instant::now();
    while clients.len() < LIMIT {
        let mut client = server.connect();
        client.send(b"get a\r\n");
        if client.look(PATIENCE) == Event::Bytes && client.buffer() == b"END\r\n" {
            client.buffer().clear();
            clients.push(client);
        }
        assert!(started.elapsed() < PATIENCE, "only {} connections of {LIMIT} were let in", clients.len());
    }
    for _ in 0..3 {
        let surplus = server.connect().read_to_end();
        assert_eq!(String::from_utf8_lossy(&surplus), "ERROR Too many open connections\r\n");
    }
    for client in &mut clients {
        client.ask("get a\r\n", "END\r\n");
    }
    // A place that gets free is given to the next.
    drop(clients.pop());
    let started = Instant::now();
    loop {
        let mut client = server.connect();
        client.send(b"get a\r\n");
        if client.look(PATIENCE) == Event::Bytes && client.buffer() == b"END\r\n" {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "the free place is not given to anybody");
    }
    drop(clients.pop());
    std::thread::sleep(Duration::from_millis(200));
    assert!(server.statistic("rejected_connections") >= 3);
}

#[test]
fn half_close_after_a_request_still_gets_its_reply() {
    let server = Server::ringcached(&["-t", "4"]);
    store(&mut server.connect(), "large", 900_000);
    let value = format!("VALUE large 0 900000\r\n{}\r\nEND\r\n", "v".repeat(900_000));
    for round in 0..20 {
        let mut client = server.connect();
        client.send(format!("set key{round} 0 0 1\r\nx\r\nget key{round}\r\nget large\r\n").as_bytes());
        client.half_close();
        let reply = client.read_to_end();
        let expected = format!("STORED\r\nVALUE key{round} 0 1\r\nx\r\nEND\r\n{value}");
        assert!(reply == expected.as_bytes(), "round {round}: {} bytes of {}", reply.len(), expected.len());
    }
}

#[test]
fn an_endless_line_is_closed() {
    let server = Server::ringcached(&["-t", "1"]);
    let mut client = server.connect();
    client.send(&[b'x'; 100]);
    assert_eq!(client.look(Duration::from_millis(200)), Event::Silence);
    for _ in 0..40 {
        client.send(&[b'x'; 100]);
    }
    let end = client.look(PATIENCE);
    assert!(matches!(end, Event::Closed | Event::Reset), "{end:?} instead of a close");
    assert!(client.buffer().is_empty(), "an endless line is answered");
    assert_prompt(&server);
}

#[test]
fn idle_connections_are_closed_and_counted() {
    let server = Server::ringcached(&["-t", "2", "-o", "idle_timeout=2"]);
    let mut idle: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    let mut busy = server.connect();
    let started = Instant::now();
    for client in &mut idle {
        client.ask("get a\r\n", "END\r\n");
    }
    let last_asked = Instant::now();
    while started.elapsed() < Duration::from_secs(5) {
        let asked = Instant::now();
        busy.send(b"get a\r\n");
        // Only a machine that stalled for as long may lose the busy connection.
        let event = busy.look(PATIENCE);
        assert!(event == Event::Bytes || asked.elapsed() > Duration::from_secs(1), "a busy connection: {event:?}");
        busy.buffer().clear();
        std::thread::sleep(Duration::from_millis(100));
        if last_asked.elapsed() < Duration::from_millis(1500) && started.elapsed() < Duration::from_millis(1500) {
            let events: Vec<_> = idle.iter_mut().map(|client| client.look(Duration::from_millis(1))).collect();
            let conclusive = started.elapsed() < Duration::from_secs(2);
            assert!(!conclusive || events.iter().all(|event| *event == Event::Silence), "closed too early: {events:?}");
        }
    }
    for client in &mut idle {
        assert_eq!(client.look(PATIENCE), Event::Closed);
        assert!(client.buffer().is_empty(), "an idle connection is told something");
    }
    assert!(server.statistic("idle_kicks") >= 4);
}
