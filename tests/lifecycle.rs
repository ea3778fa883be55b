//! Start and stop of the process.
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails the test that called it")]
#![allow(clippy::disallowed_methods, reason = "tests measure real time and talk from several threads")]

mod common;

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::{Client, Event, PATIENCE, Server, ringcached};
use nix::sys::signal::Signal;

/// The stop is meant to take less than 1 s; machines are slow.
const STOP_MAX: Duration = Duration::from_secs(5);

fn assert_stops(mut server: Server, signal: Signal) {
    let asked = Instant::now();
    server.signal(signal);
    let status = server.wait();
    assert_eq!(status.code(), Some(0), "{signal}: {status}, {}", server.stderr());
    assert!(asked.elapsed() < STOP_MAX, "{signal}: took {:?}", asked.elapsed());
    assert!(!server.stderr().contains("panic"), "{signal}: {}", server.stderr());
}

#[test]
fn every_signal_stops_an_idle_server() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR1] {
        let server = Server::ringcached(&["-t", "2"]);
        let mut client = server.connect();
        client.ask("get a\r\n", "END\r\n");
        assert_stops(server, signal);
        assert_eq!(client.look(PATIENCE), Event::Closed, "{signal}: an idle connection");
    }
}

#[test]
fn sigterm_under_load() {
    stops_under_load(Signal::SIGTERM);
}

#[test]
fn sigint_under_load() {
    stops_under_load(Signal::SIGINT);
}

#[test]
fn sigusr1_under_load() {
    stops_under_load(Signal::SIGUSR1);
}

/// What a client may send: its own key and one shared key, each time with its number, so that a reply that is torn,
/// lost or swapped shows.
fn request(client: usize, number: u64) -> String {
    let text = format!("{client}-{number}");
    format!("set own{client} 0 0 {}\r\n{text}\r\nget own{client} shared\r\n", text.len())
}

fn reply(client: usize, number: u64, shared: &str) -> String {
    let text = format!("{client}-{number}");
    let len = text.len();
    format!("STORED\r\nVALUE own{client} 0 {len}\r\n{text}\r\nVALUE shared 0 {}\r\n{shared}\r\nEND\r\n", shared.len())
}

fn stops_under_load(signal: Signal) {
    const CLIENTS: usize = 16;
    let server = Server::ringcached(&["-t", "4"]);
    let shared: Arc<str> = "s".repeat(20_000).into();
    server.connect().ask(&format!("set shared 0 0 {}\r\n{shared}\r\n", shared.len()), "STORED\r\n");
    let answered = Arc::new(AtomicU64::new(0));
    let address = server.address();
    let clients: Vec<JoinHandle<()>> = (0..CLIENTS)
        .map(|client| {
            let (shared, answered) = (Arc::clone(&shared), Arc::clone(&answered));
            std::thread::spawn(move || talk_until_the_end(address, client, &shared, &answered))
        })
        .collect();
    let started = Instant::now();
    while answered.load(Ordering::Relaxed) < 2000 && started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_stops(server, signal);
    for client in clients {
        client.join().unwrap();
    }
}

/// Keeps four requests under way, until the server ends. Every reply must be whole, in order and the right one; then
/// comes an orderly end.
fn talk_until_the_end(address: SocketAddr, client: usize, shared: &str, answered: &AtomicU64) {
    const UNDER_WAY: u64 = 4;
    let mut connection = Client::connect(address);
    let mut asked = 0;
    let mut next = 0;
    loop {
        while asked < next + UNDER_WAY {
            connection.send(request(client, asked).as_bytes());
            asked += 1;
        }
        let expected = reply(client, next, shared);
        while connection.buffer().len() < expected.len() {
            match connection.look(PATIENCE) {
                Event::Bytes => {}
                Event::Closed => return assert_whole(connection.buffer(), &expected, client),
                other => panic!("client {client} after {next} replies: {other:?}"),
            }
        }
        assert!(connection.buffer().starts_with(expected.as_bytes()), "client {client}, reply {next} is not its own");
        connection.buffer().drain(..expected.len());
        answered.fetch_add(1, Ordering::Relaxed);
        next += 1;
    }
}

/// What came last must end where a reply ends: the pair of requests may have been cut between its two.
fn assert_whole(rest: &[u8], expected: &str, client: usize) {
    let whole = rest.is_empty() || rest == b"STORED\r\n" || rest == expected.as_bytes();
    let shown = String::from_utf8_lossy(&rest[..rest.len().min(100)]).into_owned();
    assert!(whole, "client {client} was left with a torn reply of {} bytes: {shown:?}", rest.len());
}

#[test]
fn a_second_server_on_the_same_port_refuses_to_start() {
    let server = Server::ringcached(&["-t", "2"]);
    let mut client = server.connect();
    let port = server.address().port().to_string();
    let second = Command::new(env!("CARGO_BIN_EXE_ringcached"))
        .args(["-p", &port, "-l", "127.0.0.1", "-t", "1"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(2), "a second server on port {port}: {}, {stderr}", second.status);
    assert_eq!(stderr.lines().count(), 1, "one line says why: {stderr:?}");
    assert!(stderr.contains(&port), "the line names the port: {stderr:?}");
    assert!(second.stdout.is_empty(), "nothing is announced: {:?}", String::from_utf8_lossy(&second.stdout));
    client.ask("get a\r\n", "END\r\n");
}

#[test]
fn the_start_is_announced() {
    for (option, cores) in [("1", "1 core"), ("4", "4 cores")] {
        let server = Server::ringcached(&["-t", option]);
        let address = server.address().to_string();
        let started = Instant::now();
        let line = loop {
            if let Some(line) = server.stdout().lines().next() {
                break line.to_owned();
            }
            assert!(started.elapsed() < PATIENCE, "nothing is announced");
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(line.contains(&address), "the listener {address} in {line:?}");
        assert!(line.contains(cores), "{cores} in {line:?}");
        assert!(server.stderr().is_empty(), "a good start has no complaints: {}", server.stderr());
    }
}

#[test]
fn bad_options_are_refused_before_anything_listens() {
    for options in [
        &["-t", "0"][..],
        &["-c", "0"],
        &["-c", "-1"],
        &["-l", "fooble"],
        &["-B", "http"],
        &["-I", "1000"],
        &["-I", "60m"],
        &["-o", "nonsense"],
        &["--nonsense"],
    ] {
        let output = ringcached(options).stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{options:?}: {}, {stderr}", output.status);
        assert!(!stderr.trim().is_empty(), "{options:?}: nothing says why");
        assert!(output.stdout.is_empty(), "{options:?}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn help_and_version_exit_0() {
    for option in ["-h", "-V", "--help", "--version"] {
        let output = Command::new(env!("CARGO_BIN_EXE_ringcached")).arg(option).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{option}");
        assert!(!output.stdout.is_empty(), "{option} prints nothing");
    }
}

#[test]
fn the_port_file_names_the_port_and_leaves_no_draft() {
    let directory = common::scratch_directory();
    let file = directory.join("named");
    let mut child =
        ringcached(&["-t", "2"]).env("MEMCACHED_PORT_FILENAME", &file).stdout(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    let text = loop {
        if let Ok(text) = std::fs::read_to_string(&file) {
            break text;
        }
        assert!(started.elapsed() < PATIENCE, "no port file");
        std::thread::sleep(Duration::from_millis(2));
    };
    let draft = std::fs::exists(directory.join("named.lck")).unwrap();
    let port = common::tcp_port(&text);
    if let Some(port) = port {
        Client::connect((std::net::Ipv4Addr::LOCALHOST, port).into()).ask("get a\r\n", "END\r\n");
    }
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    let status = child.wait().unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    assert!(port.is_some(), "no line `TCP INET: N` in {text:?}");
    assert!(!draft, "the draft of the port file is still there");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn sighup_reads_the_password_file_again() {
    let directory = common::scratch_directory();
    let file = directory.join("users");
    std::fs::write(&file, "ann:old\n").unwrap();
    let server = Server::ringcached(&["-t", "2", "-Y", file.to_str().unwrap()]);
    let attempt = |password: &str| {
        let mut client = server.connect();
        let token = format!("ann {password}");
        client.send(format!("set x 0 0 {}\r\n{token}\r\n", token.len()).as_bytes());
        String::from_utf8(client.read_through(b"\r\n")).unwrap()
    };
    assert_eq!(attempt("old"), "STORED\r\n");
    let mut inside = server.connect();
    inside.ask("set x 0 0 7\r\nann old\r\n", "STORED\r\n");
    let reload = |text: &str, until: &dyn Fn() -> bool| {
        std::fs::write(&file, text).unwrap();
        server.signal(Signal::SIGHUP);
        let asked = Instant::now();
        while !until() {
            assert!(asked.elapsed() < PATIENCE, "{}", server.stderr());
        }
    };
    reload("ann:new\n", &|| attempt("new") == "STORED\r\n");
    assert_eq!(attempt("old"), "CLIENT_ERROR authentication failure\r\n");
    // A bad file changes nothing, and says so.
    reload("ann\n", &|| server.stderr().contains("line 1 is no user:password"));
    assert_eq!(attempt("new"), "STORED\r\n");
    // Who is in stays in.
    inside.ask("get a\r\n", "END\r\n");
    drop(server);
    drop(std::fs::remove_dir_all(directory));
}

#[test]
fn a_bad_password_file_forbids_the_start() {
    let directory = common::scratch_directory();
    let file = directory.join("users");
    for (text, complaint) in [(None, "No such file"), (Some("ann"), "line 1"), (Some(""), "no user")] {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let output = ringcached(&["-Y", file.to_str().unwrap()]).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.starts_with("ringcached: ") && errors.contains(complaint), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
    drop(std::fs::remove_dir_all(directory));
}
