//! Runs against real servers that need nothing but loopback: ringcached and the echo server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::Value;

/// Ends with its owner.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn loadgen(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadgen")).args(arguments).output().unwrap()
}

fn report_of(arguments: &[&str]) -> Value {
    let output = loadgen(&[arguments, &["--json", "--progress", "0"]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {text} {errors}");
    serde_json::from_str(&text).unwrap()
}

/// The server, built beside the load generator.
fn ringcached_program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_loadgen")).with_file_name("ringcached");
    if !program.exists() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("Cargo.toml");
        let build = ["build", "--quiet", "--package", "ringcached", "--bin", "ringcached", "--manifest-path"];
        let status = Command::new(env!("CARGO")).args(build).arg(&manifest).status().unwrap();
        assert!(status.success() && program.exists(), "ringcached cannot be built");
    }
    program
}

fn ringcached(name: &str) -> (Server, String) {
    let port_file = std::env::temp_dir().join(format!("loadgen-{name}-{}", std::process::id()));
    let mut command = Command::new(ringcached_program());
    command.args(["-p", "-1", "-l", "127.0.0.1", "-t", "1", "-m", "64"]).stdout(Stdio::null()).stderr(Stdio::null());
    let server = Server(command.env("MEMCACHED_PORT_FILENAME", &port_file).spawn().unwrap());
    let begin = Instant::now();
    let port = loop {
        let text = fs::read_to_string(&port_file).unwrap_or_default();
        if let Some(port) = text.lines().find_map(|line| line.strip_prefix("TCP INET: ")) {
            break port.to_string();
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "the server does not start");
        thread::sleep(Duration::from_millis(20));
    };
    fs::remove_file(&port_file).unwrap();
    (server, format!("127.0.0.1:{port}"))
}

#[test]
fn ringcached_answers_every_operation_of_the_text_dialect() {
    let (server, address) = ringcached("operations");
    let mix = "get:5,gets:1,multiget:1,gat:1,set:3,add:1,cas:1,append:1,incr:1,touch:1,delete:1";
    let pid = server.0.id().to_string();
    let report = report_of(&[
        "--server",
        &address,
        "--server-pid",
        &pid,
        "--keys",
        "500",
        "--pipeline",
        "4",
        "--connections",
        "5",
        "--requests",
        "20000",
        "--warmup",
        "0",
        "--ttl",
        "0-1000",
        "--value-size",
        "0-20000",
        "--mix",
        mix,
    ]);
    let operations = report["operations"].as_object().unwrap();
    let expected = ["add", "append", "cas", "delete", "fill", "gat", "get", "gets", "incr", "multiget", "set", "touch"];
    assert_eq!(operations.keys().map(String::as_str).collect::<Vec<_>>(), expected);
    for (name, operation) in operations {
        assert!(operation["hits"].as_u64().unwrap() > 0, "{name}: {operation}");
        assert!(operation["latency"]["p50_us"].as_f64().unwrap() > 0.0, "{name}: {operation}");
    }
    // A cas that is drawn becomes a gets and a cas; what misses is followed by a fill.
    let count = |name: &str| operations[name]["requests"].as_u64().unwrap();
    let drawn: u64 = operations.keys().map(|name| count(name)).sum();
    assert_eq!(drawn - count("cas") - count("fill"), 20_000);
    assert!(report["server"]["rss_bytes_end"].as_u64().unwrap() > 0);
    assert_eq!(report["errors"]["refused"], 0);
}

#[test]
fn a_ramp_reports_its_steps() {
    let (_server, address) = ringcached("ramp");
    let ramp = ["--rate", "500..1500", "--step", "500", "--duration", "300ms", "--arrivals", "poisson"];
    let patience = ["--knee-p99", "10s", "--warmup", "100ms", "--keys", "100"];
    let report = report_of(&[&["--server", &address], &ramp[..], &patience[..]].concat());
    let steps = report["steps"].as_array().unwrap();
    let rates: Vec<f64> = steps.iter().map(|step| step["rate"].as_f64().unwrap()).collect();
    assert!([500.0, 1000.0, 1500.0].starts_with(&rates) && rates.len() >= 2, "{rates:?}");
    let series = report["series"].as_array().unwrap();
    assert_eq!(series.len(), steps.len());
    let in_series: u64 = series.iter().map(|second| second["requests"].as_u64().unwrap()).sum();
    assert!(in_series > 0 && report["requests"].as_u64().unwrap() >= in_series);
}

#[test]
fn the_echo_server_answers_whole_pipelines() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(["echo", "--listen", "127.0.0.1:0", "--value-size", "50"]).stdout(Stdio::piped());
    let mut server = Server(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap();
    let gets = ["--verify", "off", "--no-load", "--get-ratio", "1", "--requests", "50000", "--warmup", "0"];
    for depth in ["1", "100"] {
        let more = ["--server", address, "--pipeline", depth, "--value-size", "50"];
        let report = report_of(&[&gets[..], &more[..]].concat());
        assert_eq!((&report["hits"], &report["misses"]), (&50_000.into(), &0.into()));
    }
    // It is no cache: whoever looks closer is told so.
    let output =
        loadgen(&["--server", address, "--no-load", "--get-ratio", "1", "--requests", "100", "--progress", "0"]);
    assert_eq!(output.status.code(), Some(1));
}
