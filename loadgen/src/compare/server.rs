//! A server under comparison, from its start to its end.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Stop;
use super::process::{Child, describe};
use super::scenario::ServerSpec;
use super::{command, launch};

/// How long a server may take until it answers.
const START_MAX: Duration = Duration::from_secs(20);
/// How long it may take to answer one question.
const ANSWER_MAX: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);
/// No server has this many statistics.
const LINES_MAX: usize = 1000;

/// A running server on a port of its own; dropping it kills it and waits for its end.
pub(super) struct Server {
    child: Child,
    port: u16,
}

/// What a server says of itself; nothing if it does not know the question.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Statistics {
    pub(super) items: Option<u64>,
    pub(super) version: Option<String>,
}

impl Server {
    /// Starts it and waits until it answers.
    pub(super) fn start(spec: &ServerSpec, cpus: &[usize], interrupted: &AtomicBool) -> Result<Server, Stop> {
        let failed = |why: String| Stop::Failed(format!("{} did not start: {why}", spec.name));
        let port = free_port().map_err(|error| failed(format!("no free port: {error}")))?;
        let words = command::with_port(&spec.words, port);
        let launched = launch::words(cpus, process::id(), &words);
        let child = Child::start(&launched).map_err(|error| failed(error.to_string()))?;
        let mut server = Server { child, port };
        let deadline = Instant::now() + START_MAX;
        while !server.answers() {
            if let Some(how) = server.ended() {
                return Err(failed(format!("{how}\n  command: {}\n{}", words.join(" "), server.said())));
            }
            if interrupted.load(Ordering::Relaxed) {
                return Err(Stop::Interrupted);
            }
            if Instant::now() > deadline {
                server.stop();
                let why = format!("nothing answers on 127.0.0.1:{port} after {} s", START_MAX.as_secs());
                return Err(failed(format!("{why}\n  command: {}\n{}", words.join(" "), server.said())));
            }
            thread::sleep(LOOK);
        }
        Ok(server)
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<String> {
        self.child.status().map(describe)
    }

    /// What it wrote to its standard error, each line indented; to be asked once, after its end.
    pub(super) fn said(&mut self) -> String {
        let said = self.child.errors();
        let said = said.trim_end();
        if said.is_empty() {
            return "  it wrote nothing to its standard error".to_string();
        }
        let lines = said.lines().map(|line| format!("  | {line}"));
        lines.collect::<Vec<_>>().join("\n")
    }

    pub(super) fn statistics(&self) -> Statistics {
        self.ask("stats\r\n", "END").map_or_else(|_| Statistics::default(), |lines| Statistics::read(&lines))
    }

    pub(super) fn stop(&mut self) {
        self.child.stop();
    }

    /// Whether it takes a connection and says anything; a server of another dialect is given the time to say nothing.
    fn answers(&self) -> bool {
        self.ask("version\r\n", "").is_ok()
    }

    /// The lines of an answer up to the one that is `last`, or to the first if that is empty, or to an error.
    fn ask(&self, question: &str, last: &str) -> std::io::Result<Vec<String>> {
        let mut stream = TcpStream::connect_timeout(&loopback(self.port), ANSWER_MAX)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.write_all(question.as_bytes())?;
        let mut lines = Vec::new();
        for line in BufReader::new(stream).lines().take(LINES_MAX) {
            let Ok(line) = line else { break };
            if line == last || last.is_empty() || line.contains("ERROR") {
                break;
            }
            lines.push(line);
        }
        Ok(lines)
    }
}

impl Statistics {
    fn read(lines: &[String]) -> Statistics {
        let value = |name: &str| lines.iter().find_map(|line| line.strip_prefix("STAT ")?.strip_prefix(name));
        Statistics {
            items: value("curr_items ").and_then(|items| items.trim().parse().ok()),
            version: value("version ").map(|version| version.trim().to_string()),
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(loopback(0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_read_where_they_are() {
        let lines = ["STAT pid 7", "STAT version 1.6.18", "STAT curr_items 10000"].map(String::from);
        let expected = Statistics { items: Some(10_000), version: Some("1.6.18".into()) };
        assert_eq!(Statistics::read(&lines), expected);
        assert_eq!(Statistics::read(&[]), Statistics::default());
    }
}
