//! SCRAM-SHA-256 (PROTOCOL §9) by packets, with a client of another make.
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails the test that called it")]
#![allow(clippy::disallowed_methods, reason = "real servers run in real time")]

mod common;

use std::fs;
use std::io::{Cursor, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ringcached::limits::AUTH_DELAY_MIN_MS;
use ringcached::protocol::binary::request::write_raw;
use ringcached::protocol::binary::response::{Parsed, parse};
use ringcached::protocol::binary::{Status, Tag};
use rsasl::config::SASLConfig;
use rsasl::mechname::Mechname;
use rsasl::prelude::{SASLClient, Session, State};

use common::{PATIENCE, Server, scratch_directory};

const NOOP: u8 = 0x0a;
const STAT: u8 = 0x10;
const SASL_LIST: u8 = 0x20;
const SASL_AUTH: u8 = 0x21;
const SASL_STEP: u8 = 0x22;
const SCRAM: &str = "SCRAM-SHA-256";

struct Guarded {
    server: Server,
    directory: PathBuf,
}

impl Guarded {
    fn new() -> Self {
        let directory = scratch_directory();
        let file = directory.join("users");
        fs::write(&file, "ann:secret\nbob:a longer password\n").unwrap();
        Self { server: Server::ringcached(&["-t", "2", "-S", "-Y", file.to_str().unwrap()]), directory }
    }

    fn connect(&self) -> Packets {
        let stream = TcpStream::connect(self.server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Packets { stream, received: Vec::new() }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.directory));
    }
}

struct Packets {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Packets {
    /// Sends a packet; the status and value of the answer.
    fn ask(&mut self, opcode: u8, key: &str, value: &[u8]) -> (Status, Vec<u8>) {
        let mut packet = Vec::new();
        write_raw(Tag { opcode, opaque: *b"abcd" }, 0, [b"", key.as_bytes(), value], &mut packet);
        self.stream.write_all(&packet).unwrap();
        let (status, _, value) = self.receive();
        (status, value)
    }

    fn receive(&mut self) -> (Status, Vec<u8>, Vec<u8>) {
        loop {
            if let Parsed::Response(response, len) = parse(&self.received) {
                assert_eq!(response.tag.opaque, *b"abcd");
                let answer = (Status::of(response.status).unwrap(), response.key.to_vec(), response.value.to_vec());
                self.received.drain(..len);
                return answer;
            }
            let mut buffer = [0; 4096];
            let count = self.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the connection is closed");
            self.received.extend_from_slice(&buffer[..count]);
        }
    }

    /// Asks for the statistics; one of them.
    fn statistic(&mut self, name: &str) -> u64 {
        let mut packet = Vec::new();
        write_raw(Tag { opcode: STAT, opaque: *b"abcd" }, 0, [b"", b"", b""], &mut packet);
        self.stream.write_all(&packet).unwrap();
        let mut found = None;
        loop {
            let (_, key, value) = self.receive();
            if key.is_empty() {
                return found.unwrap();
            }
            if key == name.as_bytes() {
                found = Some(String::from_utf8(value).unwrap().parse().unwrap());
            }
        }
    }

    /// Begins as a client does; the answer to its proof.
    fn prove(&mut self, client: &mut Session) -> (Status, Vec<u8>) {
        let (_, first) = say(client, None);
        let (status, challenge) = self.ask(SASL_AUTH, SCRAM, &first);
        assert_eq!(status, Status::AuthContinue);
        let (_, proof) = say(client, Some(&challenge));
        self.ask(SASL_STEP, SCRAM, &proof)
    }
}

fn client(user: &str, password: &str) -> Session {
    let config = SASLConfig::with_credentials(None, user.to_owned(), password.to_owned()).unwrap();
    SASLClient::new(config).start_suggested(&[Mechname::parse(SCRAM.as_bytes()).unwrap()]).unwrap()
}

/// What a client answers, and whether it is content.
fn say(client: &mut Session, message: Option<&[u8]>) -> (bool, Vec<u8>) {
    let mut answer = Cursor::new(Vec::new());
    let state = client.step(message, &mut answer).unwrap();
    (matches!(state, State::Finished(_)), answer.into_inner())
}

#[test]
fn who_knows_the_password_gets_in() {
    let guarded = Guarded::new();
    for (user, password) in [("ann", "secret"), ("bob", "a longer password")] {
        let mut packets = guarded.connect();
        let (_, mechanisms) = packets.ask(SASL_LIST, "", b"");
        assert!(String::from_utf8(mechanisms).unwrap().split(' ').any(|name| name == SCRAM));
        let mut client = client(user, password);
        let (status, signature) = packets.prove(&mut client);
        assert_eq!(status, Status::AuthContinue);
        // The client sees that the server knows the password, and has nothing to add.
        assert_eq!(say(&mut client, Some(&signature)), (true, Vec::new()));
        assert_eq!(packets.ask(SASL_STEP, SCRAM, b""), (Status::Ok, b"Authenticated".to_vec()));
        assert_eq!(packets.ask(NOOP, "", b"").0, Status::Ok);
    }
    let mut packets = guarded.connect();
    assert_eq!(packets.ask(SASL_AUTH, "PLAIN", b"\0ann\0secret").0, Status::Ok);
    assert_eq!([packets.statistic("auth_cmds"), packets.statistic("auth_errors")], [3, 0]);
}

#[test]
fn who_does_not_is_answered_late_and_counted() {
    let guarded = Guarded::new();
    let mut packets = guarded.connect();
    for (attempt, (user, password)) in [("ann", "wrong"), ("nobody", "secret")].into_iter().enumerate() {
        let asked = Instant::now();
        assert_eq!(packets.prove(&mut client(user, password)).0, Status::AuthFailure, "{user}");
        assert!(asked.elapsed() >= Duration::from_millis(AUTH_DELAY_MIN_MS << attempt), "{user}");
        // The exchange is over.
        assert_eq!(packets.ask(SASL_STEP, SCRAM, b"").0, Status::AuthFailure);
    }
    // It may try again. Two exchanges have failed, and two steps that belonged to none.
    assert_eq!(packets.ask(SASL_AUTH, "PLAIN", b"\0ann\0secret").0, Status::Ok);
    assert_eq!([packets.statistic("auth_cmds"), packets.statistic("auth_errors")], [5, 4]);
}

#[test]
fn half_an_exchange_opens_nothing() {
    let guarded = Guarded::new();
    // Proven, but the last message is another one.
    let mut packets = guarded.connect();
    assert_eq!(packets.prove(&mut client("ann", "secret")).0, Status::AuthContinue);
    assert_eq!(packets.ask(SASL_STEP, SCRAM, b"x").0, Status::AuthFailure);
    assert_eq!(packets.ask(SASL_STEP, SCRAM, b"").0, Status::AuthFailure);
    // Proven, but another exchange has begun.
    let mut packets = guarded.connect();
    assert_eq!(packets.prove(&mut client("ann", "secret")).0, Status::AuthContinue);
    let (_, first) = say(&mut client("bob", "?"), None);
    assert_eq!(packets.ask(SASL_AUTH, SCRAM, &first).0, Status::AuthContinue);
    assert_eq!(packets.ask(SASL_STEP, SCRAM, b"").0, Status::AuthFailure);
    // Proven, but not said to be content: nobody yet.
    let mut packets = guarded.connect();
    assert_eq!(packets.prove(&mut client("ann", "secret")).0, Status::AuthContinue);
    assert_eq!(packets.ask(NOOP, "", b"").0, Status::AuthFailure);
    // Inside already, and then trying to be somebody else: nobody again.
    let mut packets = guarded.connect();
    assert_eq!(packets.ask(SASL_AUTH, "PLAIN", b"\0ann\0secret").0, Status::Ok);
    assert_eq!(packets.ask(SASL_AUTH, SCRAM, &first).0, Status::AuthContinue);
    assert_eq!(packets.ask(NOOP, "", b"").0, Status::AuthFailure);
}
