//! The load generator against small servers, honest and lying.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod liar;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use liar::{Lie, PAUSE, serve};

fn loadgen(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadgen")).args(arguments).output().unwrap()
}

fn run_against(lie: Lie, more: &[&str]) -> (i32, String) {
    let address = serve(lie);
    let mut arguments = vec!["--server", &address, "--connections", "1", "--pipeline", "8", "--keys", "300"];
    arguments.extend(["--warmup", "0s", "--duration", "700ms", "--progress", "0"]);
    if !more.contains(&"--get-ratio") {
        arguments.extend(["--get-ratio", "0.8"]);
    }
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
    assert!(report["errors"]["refused"].as_u64().unwrap() > 0, "{text}");
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
    let (code, text) = run_against(Lie::NeverAnswers, &["--timeout", "1s"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("did not come in time") || text.contains("said nothing for 1s"), "{text}");
}

#[test]
fn a_reply_too_few_is_caught() {
    // The next one is taken for it, and is another key's; or nothing comes any more.
    expect_caught(Lie::LosesOne, "first error");
}

#[test]
fn the_value_of_another_key_is_caught() {
    expect_caught(Lie::OtherValue, "differs at byte");
}

#[test]
fn a_value_too_short_is_caught() {
    expect_caught(Lie::Truncates, "10 bytes long, not 100");
}

#[test]
fn nonsense_is_caught() {
    expect_caught(Lie::Nonsense, "HTTP/1.1 400 Bad Request");
}

#[test]
fn an_error_to_a_right_request_is_caught() {
    expect_caught(Lie::ClientError, "CLIENT_ERROR bad command line format");
}

#[test]
fn an_open_loop_hides_no_pause() {
    let more = ["--rate", "2000", "--get-ratio", "1", "--duration", "1s", "--json"];
    let (code, text) = run_against(Lie::Pauses, &more);
    assert_eq!(code, 0, "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let count = |name: &str| report[name].as_u64().unwrap();
    // Whatever the server did, exactly so many requests were due.
    assert_eq!(count("requests") + count("unsent"), 2000, "{text}");
    // All that were due in the first half of the pause waited for the rest of it: 400 of the 2000.
    let half_us = PAUSE.as_secs_f64() * 1e6 / 2.0;
    let curve = report["latency"]["curve"].as_array().unwrap();
    let late = curve.iter().find(|point| point[0].as_f64().unwrap() >= 82.0).unwrap()[1].as_f64().unwrap();
    assert!(late >= half_us, "{late} us at 82 %");
    assert!(report["latency"]["max_us"].as_f64().unwrap() >= half_us * 1.9, "{text}");
}

#[test]
fn so_many_requests_are_so_many() {
    let (code, text) = run_against(Lie::None, &["--requests", "3000", "--duration", "1h", "--json"]);
    assert_eq!(code, 0, "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["requests"], 3000);
}

#[test]
fn cache_aside_stores_what_it_misses() {
    let more = ["--fill-on-miss", "--get-ratio", "1", "--requests", "5000", "--duration", "1h", "--json"];
    let (code, text) = run_against(Lie::None, &more);
    assert_eq!(code, 0, "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (hits, misses) = (report["hits"].as_u64().unwrap(), report["misses"].as_u64().unwrap());
    assert_eq!(hits + misses, 5000);
    // Of 300 keys each is missed at least once; a few more often while its value is on the way.
    assert!((250..3000).contains(&misses), "{misses}");
    assert_eq!(report["operations"]["fill"]["requests"], misses);
    assert!(report["hit_ratio"].as_f64().unwrap() > 0.4);
}

#[test]
fn loading_and_checking_tell_what_is_there() {
    let more = ["--load", "5k", "--check", "1000", "--json"];
    let (code, text) = run_against(Lie::None, &more);
    assert_eq!(code, 0, "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&report["load"]["items"], &report["check"]["found"]), (&5000.into(), &1000.into()));
    let (code, text) = run_against(Lie::ForgetsHalf, &more);
    assert_eq!(code, 1, "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["check"]["missing"], 500);
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
    // Such a line of progress comes when it measures; before, the keys are stored.
    let mut lines = BufReader::new(run.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("requests/s")));
    let id = i32::try_from(run.id()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGINT).unwrap();
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("throughput"));
}

#[test]
fn what_cannot_run_says_why_in_one_line() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let cases: [&[&str]; 7] = [
        &["--server", &closed],
        &["--server", "/nowhere/there.sock"],
        &["--server", "no port"],
        &["--keys", "1000", "--key-size", "2"],
        &["--preset", "nobody"],
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
