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
const PROMPT: Duration = Duration::from_secs(20);

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

/// Fills the memory of a server with small values.
fn fill(server: &Server, mebibytes: usize) {
    let mut client = server.connect();
    let value = "v".repeat(1000);
    for batch in 0..mebibytes {
        let lines: String =
            (0..1000).map(|number| format!("set fill{batch}-{number} 0 0 1000 noreply\r\n{value}\r\n")).collect();
        client.send(lines.as_bytes());
        client.ask("get nothing\r\n", "END\r\n");
    }
}

#[test]
fn a_value_of_nearly_half_the_memory_fits_whatever_the_number_of_cores() {
    for threads in ["1", "4"] {
        let server = Server::ringcached(&["-m", "64", "-t", threads, "-I", "32m"]);
        fill(&server, 80);
        let resident = server.resident();
        for round in 0..3 {
            let mut client = server.connect();
            let value = vec![b'a' + round; 31 << 20];
            let head = format!("set large{round} 0 0 {}\r\n", value.len());
            client.send(&[head.as_bytes(), &value, b"\r\n"].concat());
            client.ask("", "STORED\r\n");
            let expected =
                [format!("VALUE large{round} 0 {}\r\n", value.len()).as_bytes(), &value, b"\r\nEND\r\n"].concat();
            client.send(format!("get large{round}\r\n").as_bytes());
            let reply = client.read_through(b"END\r\n");
            assert!(reply == expected, "-t {threads}, round {round}: {} bytes came back", reply.len());
            assert_prompt(&server);
        }
        assert!(server.statistic("bytes") <= 64 * MIB);
        // Old and new value do not fit together: for a moment there may be both in the kernel's hands.
        assert_growth(server.resident().saturating_sub(resident), 12 * MIB);
    }
}

#[test]
fn values_that_arrive_are_counted_and_who_gets_no_memory_is_told() {
    let server = Server::ringcached(&["-m", "32", "-t", "2", "-I", "16m"]);
    fill(&server, 40);
    let before = server.resident();
    // Ten times seven MiB in memory that has room for four times as much, and nobody goes on.
    let request = [b"set arriving 0 0 8388608\r\n".as_slice(), &vec![b'v'; 8 << 20], b"\r\n"].concat();
    let mut clients: Vec<_> = (0..10).map(|_| (server.connect(), 0)).collect();
    for (client, sent) in &mut clients {
        *sent = client.send_without_reading(&request[..7 << 20], Duration::from_millis(500));
    }
    assert_growth(largest_growth(&server, before, Duration::from_secs(1)), 12 * MIB);
    assert_prompt(&server);
    // Those that wait are given up, then all have room one after the other.
    let mut refused = 0;
    for (client, sent) in clients.iter_mut().rev() {
        client.send(&request[*sent..]);
        let reply = client.read_through(b"\r\n");
        refused += usize::from(reply == b"SERVER_ERROR out of memory storing object\r\n");
        assert!(reply == b"STORED\r\n" || reply.starts_with(b"SERVER_ERROR out of"), "{reply:?}");
        client.ask("get nothing\r\n", "END\r\n");
    }
    assert!((1..10).contains(&refused), "{refused} of ten were refused");
    assert_eq!(server.statistic("store_no_memory"), refused as u64);
    store(&mut clients[0].0, "large", 15 << 20);
}

#[test]
fn without_eviction_a_value_without_memory_is_refused_and_the_connection_goes_on() {
    let server = Server::ringcached(&["-m", "32", "-t", "2", "-I", "16m", "-M"]);
    let mut client = server.connect();
    let value = "v".repeat(8 << 20);
    let mut replies = Vec::new();
    for number in 0..6 {
        client.send(format!("set large{number} 0 0 {}\r\n{value}\r\n", value.len()).as_bytes());
        replies.push(String::from_utf8(client.read_through(b"\r\n")).unwrap());
    }
    assert_eq!(replies[..2], ["STORED\r\n", "STORED\r\n"], "{replies:?}");
    assert_eq!(replies[4..], ["SERVER_ERROR out of memory storing object\r\n"; 2], "{replies:?}");
    client.ask("set small 0 0 1\r\nx\r\nget small\r\n", "STORED\r\nVALUE small 0 1\r\nx\r\nEND\r\n");
    // The packet of the binary dialect fares alike.
    let mut packet = vec![0x80, 0x01, 0, 1, 8, 0, 0, 0];
    packet.extend_from_slice(&(u32::try_from(value.len()).unwrap() + 9).to_be_bytes());
    packet.extend_from_slice(&[0; 20]);
    packet.push(b'k');
    let mut binary = server.connect();
    binary.send(&[&packet, value.as_bytes()].concat());
    let reply = binary.read_through(b"Out of memory");
    assert_eq!(reply[6..8], [0, 0x82]);
}
