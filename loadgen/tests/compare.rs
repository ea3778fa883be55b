//! `loadgen compare` from outside: its tables and files, a server that does not start, and that no server survives it.
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails the test that called it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const LOADGEN: &str = env!("CARGO_BIN_EXE_loadgen");
/// Nothing here takes this long unless it hangs.
const LONG: Duration = Duration::from_secs(60);

fn compare(options: &[&str], load: &[&str]) -> Command {
    let cpu = core_affinity::get_core_ids().unwrap()[0].id.to_string();
    let mut command = Command::new(LOADGEN);
    command.arg("compare").args(["--server-cpus", &cpu, "--client-cpus", &cpu]).args(options);
    command.args(["--", "--verify", "off", "--no-load", "--get-ratio", "1", "--warmup", "100ms"]).args(load);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn echo() -> String {
    format!("'{LOADGEN}' echo --listen 127.0.0.1:{{port}}")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("loadgen-compare-{}-{name}", std::process::id()))
}

fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// A process that has ended but is not reaped counts as gone: whoever inherited it reaps it when it likes.
fn is_gone(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z') || rest.starts_with('X'))
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
}

/// A comparison that would take an hour, with the load running on its first server.
fn long_comparison() -> (Child, Vec<u32>) {
    let command = echo();
    let child = compare(&["--a", &command, "--b", &command], &["--duration", "1h"]).spawn().unwrap();
    let mut found = Vec::new();
    wait_until("a server and a load are started", || {
        found = children(child.id());
        found.len() == 2
    });
    (child, found)
}

#[test]
fn two_servers_are_compared_in_turns_and_the_outcome_is_written() {
    let (page, json) = (scratch("page.html"), scratch("rounds.json"));
    let names = ["--names", "first,second"];
    let run = || -> Output {
        let command = echo();
        let mut options = vec!["--a", &command, "--b", &command, "--rounds", "2"];
        options.extend(names);
        options.extend(["--html", page.to_str().unwrap(), "--add-to", json.to_str().unwrap()]);
        compare(&options, &["--duration", "200ms", "--connections", "5"]).output().unwrap()
    };
    let output = run();
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{errors}");
    assert!(out.contains("| row | first | second | ratio | spread | rounds |"), "{out}");
    assert!(out.contains("Server CPU per request, µs"), "{out}");
    let turns: Vec<_> = errors.lines().filter_map(|line| line.split(", ").nth(1)?.split(": ").next()).collect();
    assert!(errors.contains("round 2/2, second"), "{turns:?} in {errors}");
    let read = |path: &Path| -> serde_json::Value { serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap() };
    assert_eq!(read(&json)["rows"][0]["rounds"].as_array().unwrap().len(), 2);
    assert!(fs::read_to_string(&page).unwrap().contains("Latency by percentile"));
    // Once more: the rounds add up.
    assert!(run().status.success());
    assert_eq!(read(&json)["rows"][0]["rounds"].as_array().unwrap().len(), 4);
    fs::remove_file(page).unwrap();
    fs::remove_file(json).unwrap();
}

#[test]
fn a_server_that_does_not_start_is_told_with_what_it_said() {
    let failing = "sh -c 'echo no such luck >&2; exit 3' {port}";
    let output = compare(&["--a", failing, "--b", &echo()], &["--duration", "100ms"]).output().unwrap();
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    for part in ["sh did not start", "exit status 3", "| no such luck"] {
        assert!(errors.contains(part), "{part} in {errors}");
    }
    let output = compare(&["--a", "/nowhere/server", "--b", &echo()], &["--duration", "100ms"]).output().unwrap();
    assert!(text(&output.stderr).contains("cannot run /nowhere/server"), "{}", text(&output.stderr));
}

#[test]
fn an_option_that_no_run_knows_is_told_before_anything_starts() {
    let output = compare(&["--a", &echo(), "--b", &echo()], &["--pipelines", "3"]).output().unwrap();
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("--pipelines") && !errors.contains("round 1"), "{errors}");
}

#[test]
fn an_interrupt_leaves_nobody_behind() {
    let (child, others) = long_comparison();
    send(child.id(), Signal::SIGINT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(others.iter().all(|pid| is_gone(*pid)), "{others:?}");
}

#[test]
fn a_server_does_not_outlive_a_comparison_that_is_killed() {
    let (mut child, others) = long_comparison();
    send(child.id(), Signal::SIGKILL);
    child.wait().unwrap();
    wait_until("server and load end", || others.iter().all(|pid| is_gone(*pid)));
}
