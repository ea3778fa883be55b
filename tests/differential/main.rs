//! The same random requests to ringcached, with one core and with four, and to the memcached of the system: what comes
//! back must be the same, but for what `mask.rs` hides and `known.rs` explains.
//!
//! Each seed is a stream of requests of one dialect on one connection, valid and half-valid. `RINGCACHED_SEED=n` plays
//! one seed alone, `RINGCACHED_COMMANDS=n` so many requests in all. Of a stream that differs, as few requests as still
//! differ are shown. `scripts/differential` runs it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../common/cluster.rs"]
mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod known;
mod mask;
mod stream;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use cluster::Random;
use common::{Client, Event, PATIENCE, Server};
use stream::{Dialect, Part, Request};

/// Requests in all, unless the environment says otherwise: about half a minute.
const COMMANDS: usize = 150_000;
/// How long the end of a stream may take that no reply shows, since it was taken for data.
const END_MAX: Duration = Duration::from_millis(300);
/// Times that memcached is asked again.
const REPEATS: usize = 4;
/// Streams that differ, before the test ends.
const REPORTS_MAX: usize = 10;
/// Requests of a stream, at most.
const STREAM_LEN: usize = 400;

/// A server, and a connection that sets the stage before each stream.
struct Side {
    name: &'static str,
    server: Server,
    stage: Client,
}

impl Side {
    fn new(name: &'static str, server: Server) -> Self {
        let stage = server.connect();
        Self { name, server, stage }
    }

    /// What comes back for a stream, masked. Before it there is nothing but the items of the stage, whose CAS uniques
    /// stand in for those that requests name.
    fn play(&mut self, dialect: Dialect, requests: &[Request]) -> Vec<String> {
        self.stage.ask("flush_all\r\n", "OK\r\n");
        let mut uniques = BTreeMap::new();
        for (key, value) in stream::STAGE {
            let set = format!("set {key} 5 0 {}\r\n{value}\r\n", value.len());
            self.stage.ask(&set, "STORED\r\n");
            self.stage.send(format!("gets {key}\r\n").as_bytes());
            let reply = String::from_utf8(self.stage.read_through(b"END\r\n")).unwrap();
            let unique = reply.lines().next().and_then(|line| line.rsplit(' ').next()).unwrap();
            uniques.insert(key, unique.parse::<u64>().unwrap());
        }
        let mut bytes = Vec::new();
        for part in requests.iter().flat_map(|request| &request.parts) {
            match part {
                Part::Bytes(more) => bytes.extend_from_slice(more),
                Part::UniqueDecimal(key) => bytes.extend_from_slice(uniques[key].to_string().as_bytes()),
                Part::UniqueBytes(key) => bytes.extend_from_slice(&uniques[key].to_be_bytes()),
            }
        }
        // Twice, as the first may be taken for the rest of data that an announced length has too few of.
        bytes.extend_from_slice(&stream::the_end(dialect).repeat(2));
        let mut client = self.server.connect();
        client.send(&bytes);
        // memcached may drop the last replies of a client that has ended its side.
        let mark = stream::end_mark(dialect);
        while !client.buffer().ends_with(&mark) && client.look(END_MAX) == Event::Bytes {}
        client.half_close_or_gone();
        while client.look(PATIENCE) == Event::Bytes {}
        let received = std::mem::take(client.buffer());
        match dialect {
            Dialect::Text | Dialect::Meta => mask::lines(&received),
            Dialect::Binary => mask::packets(&received),
        }
    }
}

/// The servers, the reference first.
struct Sides {
    sides: [Side; 3],
    /// Streams that memcached has answered in more than one way.
    unstable: usize,
}

/// Which server answered otherwise, what memcached answered, and what it did.
type Difference = (usize, Vec<String>, Vec<String>);

impl Sides {
    /// The first server that answers otherwise than memcached, if there is one. What memcached answers differently when
    /// asked again is nobody else's fault: then one of its answers must be ours.
    fn differ(&mut self, dialect: Dialect, requests: &[Request]) -> Option<Difference> {
        let [reference, ours @ ..] = &mut self.sides;
        let expected = reference.play(dialect, requests);
        for (index, side) in ours.iter_mut().enumerate() {
            let found = side.play(dialect, requests);
            if found == expected {
                continue;
            }
            if (0..REPEATS).any(|_| reference.play(dialect, requests) == found) {
                self.unstable += 1;
                continue;
            }
            return Some((index + 1, expected, found));
        }
        None
    }

    /// As few of the requests as still differ.
    fn minimise(&mut self, dialect: Dialect, mut requests: Vec<Request>) -> Vec<Request> {
        let mut piece = requests.len().div_ceil(2);
        while piece > 0 {
            let mut at = 0;
            while at < requests.len() {
                let mut fewer = requests.clone();
                fewer.drain(at..requests.len().min(at + piece));
                if self.differ(dialect, &fewer).is_some() {
                    requests = fewer;
                } else {
                    at += piece;
                }
            }
            piece = if piece == 1 { 0 } else { piece.div_ceil(2) };
        }
        requests
    }
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn every_server_answers_alike() {
    let sides = [
        Side::new("memcached", Server::memcached(&["-t", "1"])),
        Side::new("ringcached -t 1", Server::ringcached(&["-t", "1"])),
        Side::new("ringcached -t 4", Server::ringcached(&["-t", "4"])),
    ];
    let mut sides = Sides { sides, unstable: 0 };
    let only = from_environment("RINGCACHED_SEED");
    let wanted = from_environment("RINGCACHED_COMMANDS").map_or(COMMANDS, |count| usize::try_from(count).unwrap());
    let mut reports = Vec::new();
    let (mut count, mut left_out) = (0, BTreeMap::<&str, usize>::new());
    for seed in only.unwrap_or(1).. {
        let mut random = Random(seed);
        let dialect = [Dialect::Text, Dialect::Meta, Dialect::Binary][random.below(3)];
        let len = 1 + random.below(STREAM_LEN);
        let mut requests = stream::generate(&mut random, dialect, len);
        requests.retain(|request| match known::difference(request) {
            Some(reason) => {
                *left_out.entry(reason).or_default() += 1;
                false
            }
            None => true,
        });
        count += requests.len();
        if let Some(difference) = sides.differ(dialect, &requests) {
            reports.push(report(&mut sides, seed, dialect, requests, &difference));
        }
        if reports.len() == REPORTS_MAX {
            break;
        }
        if only.is_some() || count >= wanted {
            break;
        }
    }
    assert!(reports.is_empty(), "{} streams differ\n\n{}", reports.len(), reports.join("\n"));
    println!("{} streams that memcached answers in more than one way, one of them ours", sides.unstable);
    println!("{count} requests answered alike; left out, since the answers are known to differ:");
    for (reason, count) in left_out {
        println!("{count:8} {reason}");
    }
}

fn report(
    sides: &mut Sides,
    seed: u64,
    dialect: Dialect,
    requests: Vec<Request>,
    (index, expected, found): &Difference,
) -> String {
    let requests = sides.minimise(dialect, requests);
    let mut text = format!("seed {seed}, {dialect:?}: RINGCACHED_SEED={seed} plays it again\n");
    let (index, expected, found) = if let Some((index, expected, found)) = sides.differ(dialect, &requests) {
        for request in &requests {
            writeln!(text, "  > {request}").unwrap();
        }
        (index, expected, found)
    } else {
        writeln!(text, "it did not differ a second time; the first time").unwrap();
        let same = expected.iter().zip(found).take_while(|(a, b)| a == b).count();
        let around = |lines: &[String]| lines.iter().skip(same.saturating_sub(3)).take(7).cloned().collect();
        (*index, around(expected), around(found))
    };
    for (name, lines) in [("memcached", expected), (sides.sides[index].name, found)] {
        writeln!(text, "{name}:").unwrap();
        for line in lines {
            writeln!(text, "  < {line}").unwrap();
        }
    }
    text
}
