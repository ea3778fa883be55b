//! Runs cases: sends, receives, compares.

use std::collections::BTreeMap;
use std::time::Duration;

use ringcached::protocol::binary::response::{self, Parsed, Response};
use ringcached::protocol::binary::{HEADER_LEN, REQUEST_MAGIC};

use crate::differences;
use crate::driver::{Connection, Driver, Kind, Received, Tolerance};
use crate::packets;
use crate::transcript::{Body, Case, Form, Piece, Step, pieces, steps};

/// The connection that forgets what the case before has left.
const FLUSHING: u8 = 0;
/// Times a case is repeated because the machine was too slow for its times.
const REPEATS: usize = 20;

/// Why a case did not hold.
pub(crate) enum Failure {
    /// The machine was too slow to tell; try again.
    TooSlow,
    /// Something else was received than expected.
    Wrong(String),
}

/// Runs all cases of a behaviour and panics with a list of those that do not hold.
pub(crate) fn run(kind: Kind, behaviour: &str, cases: Vec<Case>) {
    differences::assert_known(behaviour, &cases);
    let mut failures = Vec::new();
    let mut drivers: BTreeMap<Vec<&'static str>, Box<dyn Driver>> = BTreeMap::new();
    for case in cases {
        if (case.sockets && !kind.has_sockets()) || !kind.can_start(&case.options) {
            continue;
        }
        let path = format!("{behaviour}/{}", case.name);
        let body = match (kind, case.body) {
            (Kind::Memcached, body) => match differences::adapt(&path, body) {
                Some(body) => body,
                None => continue,
            },
            (_, body) => body,
        };
        let options = case.options;
        let driver = drivers.entry(options.clone()).or_insert_with_key(|options| kind.start(options));
        let mut outcome = Err(Failure::TooSlow);
        for _ in 0..REPEATS {
            outcome = run_case(kind, driver.as_mut(), &body, &options);
            if !matches!(outcome, Err(Failure::TooSlow)) {
                break;
            }
        }
        match outcome {
            Ok(()) => {}
            Err(Failure::TooSlow) => failures.push(format!("{path}: too slow to tell, {REPEATS} times")),
            Err(Failure::Wrong(what)) => failures.push(format!("{path}: {what}")),
        }
    }
    let count = failures.len();
    assert!(failures.is_empty(), "{kind:?}, {behaviour}: {count} cases do not hold\n\n{}\n", failures.join("\n\n"));
}

fn run_case(kind: Kind, driver: &mut dyn Driver, body: &Body, options: &[&str]) -> Result<(), Failure> {
    let mut talk = Talk::new(kind, driver);
    let is_open = !["-F", "-S", "-Y", "-B"].iter().any(|option| options.contains(option));
    if is_open && body.speaks_packets() {
        // On a connection that no case has: those of the case decide about their dialects themselves.
        talk.step(&Step::Send(FLUSHING, "flush_all\\r\\n".into()))?;
        talk.step(&Step::Expect(FLUSHING, "OK\\r\\n".into()))?;
        talk.peers.remove(&FLUSHING);
    } else if is_open {
        talk.ask("flush_all\r\n", "OK\r\n")?;
    }
    talk.began = talk.driver.elapsed();
    match body {
        Body::Lines(lines) => talk.play(lines)?,
        Body::Code(code) => code(&mut talk)?,
    }
    talk.fence()
}

struct Peer {
    connection: Box<dyn Connection>,
    /// Whether packets are spoken: what was sent first began like one.
    is_binary: Option<bool>,
    received: Vec<u8>,
    over: bool,
}

/// A case in progress.
pub(crate) struct Talk<'a> {
    pub(crate) kind: Kind,
    pub(crate) driver: &'a mut dyn Driver,
    peers: BTreeMap<u8, Peer>,
    numbers: BTreeMap<String, u64>,
    began: Duration,
}

impl<'a> Talk<'a> {
    fn new(kind: Kind, driver: &'a mut dyn Driver) -> Self {
        Self { kind, driver, peers: BTreeMap::new(), numbers: BTreeMap::new(), began: Duration::ZERO }
    }

    /// Sends on connection 1 and expects there; both in the notation of `>|` and `<|` lines.
    pub(crate) fn ask(&mut self, send: &str, expect: &str) -> Result<(), Failure> {
        self.step(&Step::Send(1, send.into()))?;
        self.step(&Step::Expect(1, expect.into()))
    }

    /// As [`Talk::ask`], on another connection.
    pub(crate) fn ask_on(&mut self, connection: u8, send: &str, expect: &str) -> Result<(), Failure> {
        self.step(&Step::Send(connection, send.into()))?;
        self.step(&Step::Expect(connection, expect.into()))
    }

    /// Plays the lines of a transcript.
    pub(crate) fn play(&mut self, lines: &str) -> Result<(), Failure> {
        let steps = steps(lines);
        for (index, step) in steps.iter().enumerate() {
            if let Err(failure) = self.step(step) {
                let later =
                    steps[index..].iter().find_map(|step| if let Step::WithinMs(ms) = step { Some(*ms) } else { None });
                return Err(match later {
                    Some(ms) if self.since_begin() >= Duration::from_millis(ms) => Failure::TooSlow,
                    _ => failure,
                });
            }
        }
        Ok(())
    }

    /// A connection goes away.
    pub(crate) fn leave(&mut self, connection: u8) {
        self.peers.remove(&connection);
    }

    /// Sends bytes as they are.
    pub(crate) fn send_bytes(&mut self, connection: u8, bytes: &[u8]) {
        let peer = self.peer(connection);
        peer.is_binary = peer.is_binary.or(Some(bytes.len() >= HEADER_LEN && bytes[0] == REQUEST_MAGIC));
        peer.connection.send(bytes);
    }

    /// Sends bytes in two pieces.
    pub(crate) fn send_cut(&mut self, connection: u8, bytes: &[u8], cut: usize) {
        let peer = self.peer(connection);
        peer.connection.send(&bytes[..cut]);
        peer.connection.pause();
        peer.connection.send(&bytes[cut..]);
    }

    /// Expects exactly these bytes.
    pub(crate) fn expect_bytes(&mut self, connection: u8, expected: &[u8]) -> Result<(), Failure> {
        self.expect(connection, &[Piece::Bytes(expected.to_vec())])
    }

    /// Receives more, and shows all that was received and not taken.
    pub(crate) fn received(&mut self, connection: u8) -> Result<Vec<u8>, Failure> {
        let peer = self.peer(connection);
        if peer.receive() {
            return Ok(peer.received.clone());
        }
        Err(Failure::Wrong(format!("waiting, received {}", show(&peer.received))))
    }

    /// Takes all that was received.
    pub(crate) fn forget(&mut self, connection: u8) {
        self.peer(connection).received.clear();
    }

    /// Receives through the next `mark`.
    pub(crate) fn read_through(&mut self, connection: u8, mark: &str) -> Result<String, Failure> {
        let peer = self.peer(connection);
        loop {
            if let Some(at) = find(&peer.received, mark.as_bytes()) {
                let taken: Vec<u8> = peer.received.drain(..at + mark.len()).collect();
                return Ok(String::from_utf8_lossy(&taken).into_owned());
            }
            if !peer.receive() {
                return Err(Failure::Wrong(format!("waiting for {mark:?}, received {}", show(&peer.received))));
            }
        }
    }

    /// A map of the reply to `stats` with this argument.
    pub(crate) fn statistics(&mut self, argument: &str) -> Result<BTreeMap<String, String>, Failure> {
        self.send_bytes(1, format!("stats{argument}\r\n").as_bytes());
        let text = self.read_through(1, "END\r\n")?;
        let mut map = BTreeMap::new();
        for line in text.lines().filter(|line| *line != "END") {
            let Some((name, value)) = line.strip_prefix("STAT ").and_then(|line| line.split_once(' ')) else {
                return Err(Failure::Wrong(format!("not a line of statistics: {line:?}")));
            };
            map.insert(name.to_owned(), value.to_owned());
        }
        Ok(map)
    }

    /// How far an item's end may be from its exptime here.
    pub(crate) fn tolerance(&self) -> Tolerance {
        self.kind.tolerance()
    }

    fn since_begin(&self) -> Duration {
        self.driver.elapsed().saturating_sub(self.began)
    }

    fn peer(&mut self, connection: u8) -> &mut Peer {
        let driver = &mut *self.driver;
        self.peers.entry(connection).or_insert_with(|| Peer {
            connection: driver.connect(),
            is_binary: None,
            received: Vec::new(),
            over: false,
        })
    }

    fn step(&mut self, step: &Step) -> Result<(), Failure> {
        match step {
            Step::Send(connection, text) => {
                let bytes = self.render(text);
                self.send_bytes(*connection, &bytes);
                Ok(())
            }
            Step::Expect(connection, text) => self.expect(*connection, &pieces(text)),
            Step::Closed(connection) => {
                let peer = self.peer(*connection);
                while peer.receive() {}
                match (peer.over, peer.received.as_slice()) {
                    (true, []) => Ok(()),
                    (true, rest) => Err(Failure::Wrong(format!("closed, but after {}", show(rest)))),
                    (false, rest) => Err(Failure::Wrong(format!("not closed; received {}", show(rest)))),
                }
            }
            Step::HalfClose(connection) => {
                self.peer(*connection).connection.half_close();
                Ok(())
            }
            Step::WaitMs(ms) => {
                let tolerance = self.tolerance();
                self.driver.wait(Duration::from_millis(*ms) + tolerance.late + Duration::from_millis(10));
                Ok(())
            }
            Step::WithinMs(ms) if self.since_begin() >= Duration::from_millis(*ms) => Err(Failure::TooSlow),
            Step::WithinMs(_) => Ok(()),
        }
    }

    fn render(&self, text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for piece in pieces(text) {
            match piece {
                Piece::Bytes(more) => bytes.extend(more),
                Piece::Number(name, _, Form::Decimal) => bytes.extend(self.numbers[&name].to_string().bytes()),
                Piece::Number(name, _, Form::Eight) => bytes.extend(self.numbers[&name].to_be_bytes()),
                Piece::UnixTime(seconds) => {
                    let unix_s = i64::try_from(self.driver.unix_ms() / 1000).expect("a time of this age");
                    bytes.extend((unix_s + seconds).to_string().bytes());
                }
                Piece::Anything | Piece::AnyEight => panic!("{{*}} can only be expected"),
            }
        }
        bytes
    }

    fn expect(&mut self, connection: u8, pattern: &[Piece]) -> Result<(), Failure> {
        loop {
            let received = std::mem::take(&mut self.peer(connection).received);
            let matched = self.compare(pattern, &received);
            self.peer(connection).received = received;
            match matched {
                Match::Whole(len) => {
                    self.peer(connection).received.drain(..len);
                    return Ok(());
                }
                Match::SoFar if self.peer(connection).receive() => {}
                Match::SoFar | Match::Not => {
                    let peer = self.peer(connection);
                    let what = format!(
                        "on connection {connection}\n  expected {}\n  received {}{}",
                        show_pattern(pattern),
                        show(&peer.received),
                        if peer.over { " and the end" } else { "" }
                    );
                    return Err(Failure::Wrong(what));
                }
            }
        }
    }

    fn compare(&mut self, pattern: &[Piece], received: &[u8]) -> Match {
        let mut numbers = self.numbers.clone();
        let mut rest = received;
        for piece in pattern {
            match piece {
                Piece::Bytes(bytes) if rest.starts_with(bytes) => rest = &rest[bytes.len()..],
                Piece::Bytes(bytes) => return if bytes.starts_with(rest) { Match::SoFar } else { Match::Not },
                Piece::Anything => match find(rest, b"\r\n") {
                    Some(at) => rest = &rest[at..],
                    None => return Match::SoFar,
                },
                Piece::AnyEight => match rest.get(8..) {
                    Some(behind) => rest = behind,
                    None => return Match::SoFar,
                },
                Piece::Number(name, than, form) => {
                    let (number, len) = match number(rest, *form) {
                        Ok(found) => found,
                        Err(no_match) => return no_match,
                    };
                    let holds = numbers.get(name).is_none_or(|bound| *bound == number)
                        && than.as_ref().is_none_or(|than| number > numbers[than]);
                    if !holds {
                        return Match::Not;
                    }
                    numbers.insert(name.clone(), number);
                    rest = &rest[len..];
                }
                Piece::UnixTime(_) => panic!("{{now}} can only be sent"),
            }
        }
        self.numbers = numbers;
        Match::Whole(received.len() - rest.len())
    }

    /// Nothing more must have been sent on any connection.
    fn fence(mut self) -> Result<(), Failure> {
        let open: Vec<u8> = self.peers.iter().filter(|(_, peer)| !peer.over).map(|(number, _)| *number).collect();
        for connection in open {
            if self.peer(connection).is_binary == Some(true) {
                self.step(&Step::Send(connection, packets::request("version opaque=4294967295")))?;
                self.expect_version_packet(connection)?;
            } else {
                self.step(&Step::Send(connection, "version\\r\\n".into()))?;
                let line = self.read_through(connection, "\r\n")?;
                // Before authentication that is the answer to everything.
                if !line.starts_with("VERSION ") && line != "CLIENT_ERROR unauthenticated\r\n" {
                    return Err(Failure::Wrong(format!("left over at the end: {}", show(line.as_bytes()))));
                }
            }
            let rest = &self.peer(connection).received;
            if !rest.is_empty() {
                return Err(Failure::Wrong(format!("left over at the end: {}", show(rest))));
            }
        }
        Ok(())
    }

    /// Expects the response to the packet of [`Talk::fence`], whatever the version.
    fn expect_version_packet(&mut self, connection: u8) -> Result<(), Failure> {
        let peer = self.peer(connection);
        loop {
            let is_there = match response::parse(&peer.received) {
                Parsed::Response(Response { tag, status: 0, .. }, len) if tag.opaque == [0xff; 4] => Some(len),
                Parsed::Incomplete(_) => None,
                _ => Some(0),
            };
            match is_there {
                None if peer.receive() => {}
                None | Some(0) => {
                    return Err(Failure::Wrong(format!("left over at the end: {}", show(&peer.received))));
                }
                Some(len) => {
                    peer.received.drain(..len);
                    return Ok(());
                }
            }
        }
    }
}

impl Peer {
    fn receive(&mut self) -> bool {
        if self.over {
            return false;
        }
        match self.connection.receive() {
            Received::Bytes(bytes) => {
                self.received.extend(bytes);
                true
            }
            Received::Closed => {
                self.over = true;
                false
            }
            Received::Nothing => false,
        }
    }
}

enum Match {
    Whole(usize),
    SoFar,
    Not,
}

/// The number that `rest` begins with, and its length.
fn number(rest: &[u8], form: Form) -> Result<(u64, usize), Match> {
    if form == Form::Eight {
        return rest.first_chunk::<8>().map(|bytes| (u64::from_be_bytes(*bytes), 8)).ok_or(Match::SoFar);
    }
    let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if len == rest.len() {
        return Err(Match::SoFar);
    }
    let number = std::str::from_utf8(&rest[..len]).ok().and_then(|text| text.parse().ok());
    number.map(|number| (number, len)).ok_or(Match::Not)
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

fn show(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 400;
    let shown = bytes[..bytes.len().min(SHOWN_MAX)].escape_ascii();
    let more =
        if bytes.len() > SHOWN_MAX { format!(" and {} more bytes", bytes.len() - SHOWN_MAX) } else { String::new() };
    format!("\"{shown}\"{more}")
}

fn show_pattern(pattern: &[Piece]) -> String {
    let mut text = String::new();
    for piece in pattern {
        match piece {
            Piece::Bytes(bytes) if bytes.is_empty() => {}
            Piece::Bytes(bytes) => text.push_str(&show(bytes)),
            Piece::Number(name, None, _) => text.push_str(&format!("{{{name}}}")),
            Piece::Number(name, Some(than), _) => text.push_str(&format!("{{{name}>{than}}}")),
            Piece::UnixTime(_) | Piece::Anything | Piece::AnyEight => text.push_str("{*}"),
        }
    }
    text
}
