//! The load generator against small servers, honest and lying.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// What a server does wrong, from its 500th get on.
#[derive(Clone, Copy, PartialEq)]
enum Lie {
    None,
    WrongByte,
    WrongKey,
    SwappedReplies,
    ExtraReply,
    ClosesMidway,
    NeverAnswers,
    ServerError,
    ForgetsHalf,
}

const HONEST_GETS: u64 = 500;

fn serve(lie: Lie) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let gets = Arc::new(AtomicU64::new(0));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let gets = Arc::clone(&gets);
            thread::spawn(move || drop(converse(&stream.unwrap(), lie, &gets)));
        }
    });
    address
}

/// One connection; ends with any error. Every connection has items of its own: a key not stored here gets its value
/// from nowhere, so the tests use one connection.
fn converse(stream: &TcpStream, lie: Lie, gets: &AtomicU64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(stream);
    let mut output = stream;
    let mut items: HashMap<String, Vec<u8>> = HashMap::new();
    let mut held_back = None;
    let mut line = String::new();
    loop {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let words: Vec<_> = line.split_whitespace().collect();
        if words[0] == "set" {
            let mut value = vec![0; words[4].parse::<usize>().unwrap() + 2];
            input.read_exact(&mut value)?;
            items.insert(words[1].to_string(), value);
            output.write_all(b"STORED\r\n")?;
            continue;
        }
        let number = gets.fetch_add(1, Ordering::Relaxed);
        let lies = number >= HONEST_GETS;
        let mut reply = Vec::new();
        for key in &words[1..] {
            let Some(value) = items.get(*key) else { continue };
            if lie == Lie::ForgetsHalf && number.is_multiple_of(2) {
                continue;
            }
            let shown = if lies && lie == Lie::WrongKey { "wrong" } else { key };
            reply.extend_from_slice(format!("VALUE {shown} 0 {}\r\n", value.len() - 2).as_bytes());
            reply.extend_from_slice(value);
        }
        reply.extend_from_slice(b"END\r\n");
        match lie {
            Lie::WrongByte if lies => reply[40] ^= 0x20,
            Lie::ExtraReply if number == HONEST_GETS => reply.extend_from_slice(b"END\r\n"),
            Lie::ServerError if lies => reply = b"SERVER_ERROR out of memory\r\n".to_vec(),
            Lie::ClosesMidway if lies => {
                output.write_all(&reply[..reply.len() / 2])?;
                return Ok(());
            }
            Lie::NeverAnswers if lies => return input.read_to_end(&mut reply).map(drop),
            Lie::SwappedReplies if number == HONEST_GETS => {
                held_back = Some(reply);
                continue;
            }
            _ => {}
        }
        output.write_all(&reply)?;
        if let Some(reply) = held_back.take() {
            output.write_all(&reply)?;
        }
    }
}

fn loadgen(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadgen")).args(arguments).output().unwrap()
}

fn run_against(lie: Lie, more: &[&str]) -> (i32, String) {
    let address = serve(lie);
    let mut arguments = vec!["--server", &address, "--connections", "1", "--pipeline", "8", "--keys", "300"];
    arguments.extend(["--warmup", "0s", "--duration", "700ms", "--get-ratio", "0.8"]);
    arguments.extend(more);
    let output = loadgen(&arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), text)
}

#[track_caller]
fn expect_caught(lie: Lie, expected: &str) {
    let (code, text) = run_against(lie, &[]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(expected), "no {expected:?} in:\n{text}");
}

#[test]
fn an_honest_server_passes() {
    for more in
        [&[][..], &["--multiget", "20"], &["--value-size", "30000", "--get-ratio", "0.5"], &["--value-size", "0"]]
    {
        let (code, text) = run_against(Lie::None, more);
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("0 wrong, 0 extra, 0 lost") && text.contains(" 0 misses"), "{text}");
    }
}

#[test]
fn misses_are_counted_not_blamed() {
    let (code, text) = run_against(Lie::ForgetsHalf, &["--json"]);
    assert_eq!(code, 0, "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (hits, misses) = (report["hits"].as_u64().unwrap(), report["misses"].as_u64().unwrap());
    assert!(hits > 0 && misses > 0 && hits.abs_diff(misses) <= 2, "{hits} hits, {misses} misses");
}

#[test]
fn a_server_error_is_counted_not_blamed() {
    let (code, text) = run_against(Lie::ServerError, &["--json"]);
    assert_eq!(code, 0, "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(report["server_errors"].as_u64().unwrap() > 0, "{text}");
}

#[test]
fn a_wrong_byte_is_caught() {
    expect_caught(Lie::WrongByte, "differs at byte");
}

#[test]
fn a_wrong_key_is_caught() {
    expect_caught(Lie::WrongKey, "VALUE wrong");
}

#[test]
fn replies_out_of_order_are_caught() {
    expect_caught(Lie::SwappedReplies, "first error");
}

#[test]
fn a_reply_too_many_is_caught() {
    // It is taken for the reply to the next request, if one is under way, and for what it is otherwise.
    expect_caught(Lie::ExtraReply, "first error");
}

#[test]
fn a_connection_closed_midway_is_caught() {
    expect_caught(Lie::ClosesMidway, "1 failed connections");
}

#[test]
fn replies_that_never_come_are_caught() {
    expect_caught(Lie::NeverAnswers, "replies did not come in time");
}

#[test]
fn an_interrupt_ends_the_run_with_its_report() {
    let address = serve(Lie::None);
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args([
        "--server",
        &address,
        "--connections",
        "1",
        "--warmup",
        "0s",
        "--duration",
        "1h",
        "--progress",
        "200ms",
    ]);
    let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A line of progress: by now it measures.
    let mut line = String::new();
    BufReader::new(run.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("requests/s"), "{line}");
    let id = i32::try_from(run.id()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGINT).unwrap();
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("throughput"));
}

#[test]
fn what_cannot_run_says_why_in_one_line() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let cases: [&[&str]; 6] = [
        &["--server", &closed],
        &["--server", "/nowhere/there.sock"],
        &["--server", "no port"],
        &["--keys", "1000", "--key-size", "2"],
        &["--cpus", "99999"],
        &["--server-pid", "4294967295"],
    ];
    for case in cases {
        let output = loadgen(case);
        assert_eq!(output.status.code(), Some(2), "{case:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.lines().count(), 1, "{case:?}: {text}");
    }
    assert_eq!(loadgen(&["--get-ratio", "2"]).status.code(), Some(2));
}
