//! TLS as a client meets it: versions, certificates on both sides, resumption, new files, and handshakes that fail or
//! never end. That the protocol is the same behind it, the behaviour suite shows (driver `tls4`).
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails the test that called it")]
#![allow(clippy::disallowed_methods, reason = "tests measure real time and talk from several threads")]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::authority::{Authority, Identity};
use common::stream::Stream;
use common::{Client, Event, PATIENCE, Server, ringcached, scratch_directory};
use nix::sys::signal::Signal;
use rustls::{ALL_VERSIONS, ClientConfig, HandshakeKind, SupportedCipherSuite};

/// A server's files.
struct Files {
    directory: PathBuf,
    authority: Authority,
}

impl Files {
    /// An authority, and a server's certificate signed by it.
    fn new() -> Self {
        let files = Self { directory: scratch_directory(), authority: Authority::new("of servers") };
        files.write(&files.authority.sign("localhost"));
        files
    }

    /// Puts a certificate where the server looks for it.
    fn write(&self, identity: &Identity) {
        identity.write(&self.directory, "server");
    }

    fn options(&self, more: &str) -> String {
        let file = |name: &str| self.directory.join(name).display().to_string();
        format!("ssl_chain_cert={},ssl_key={}{more}", file("server.pem"), file("server.key"))
    }

    fn start(&self, options: &[&str], more: &str) -> Server {
        Server::ringcached(&[options, &["-t", "2", "-Z", "-o", &self.options(more)]].concat())
    }

    fn client(&self) -> Arc<ClientConfig> {
        self.authority.client(None, ALL_VERSIONS)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.directory));
    }
}

fn connect(server: &Server, config: &Arc<ClientConfig>) -> Client {
    Client::connect_tls(server.address(), config)
}

/// Asks for nothing and expects to be refused instead of answered.
fn assert_refused(mut client: Client, why: &str) {
    client.send(b"get a\r\n");
    loop {
        match client.look(PATIENCE) {
            Event::Closed | Event::Reset => return,
            other => assert_eq!(other, Event::Reset, "{why}"),
        }
    }
}

fn statistic(server: &Server, config: &Arc<ClientConfig>, name: &str) -> u64 {
    let mut client = connect(server, config);
    client.send(b"stats\r\n");
    let text = String::from_utf8(client.read_through(b"END\r\n")).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
    value.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

fn suite(client: &mut Client) -> SupportedCipherSuite {
    let Stream::Tls(tls) = client.stream() else { panic!("not over TLS") };
    tls.machine.negotiated_cipher_suite().unwrap()
}

fn kind(client: &mut Client) -> HandshakeKind {
    let Stream::Tls(tls) = client.stream() else { panic!("not over TLS") };
    tls.machine.handshake_kind().unwrap()
}

#[test]
fn both_versions_are_spoken_and_sessions_are_resumed() {
    let files = Files::new();
    for more in ["", ",ssl_session_cache"] {
        let server = files.start(&[], more);
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let config = files.authority.client(None, &[version]);
            let mut first = connect(&server, &config);
            first.ask("set a 0 0 1\r\n1\r\n", "STORED\r\n");
            assert_eq!(kind(&mut first), HandshakeKind::Full);
            // More than once: with two cores it is another one sooner or later.
            for _ in 0..4 {
                let mut next = connect(&server, &config);
                next.ask("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
                assert_eq!(kind(&mut next), HandshakeKind::Resumed, "{version:?}{more}");
            }
        }
        assert_eq!(statistic(&server, &files.client(), "ssl_resumed"), 8);
        assert_eq!(statistic(&server, &files.client(), "ssl_handshake_errors"), 0);
    }
}

#[test]
fn the_oldest_version_and_the_ciphers_can_be_chosen() {
    let files = Files::new();
    let server = files.start(&[], ",ssl_min_version=tlsv1.3");
    let old = files.authority.client(None, &[&rustls::version::TLS12]);
    assert_refused(connect(&server, &old), "TLS 1.2");
    connect(&server, &files.client()).ask("get a\r\n", "END\r\n");
    assert_eq!(statistic(&server, &files.client(), "ssl_handshake_errors"), 1);

    let server = files.start(&[], ",ssl_ciphers=AES128-SHA:ECDHE-ECDSA-CHACHA20-POLY1305");
    let mut client = connect(&server, &old);
    client.ask("get a\r\n", "END\r\n");
    let expected = rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
    assert_eq!(suite(&mut client).suite(), expected);
}

#[test]
fn clients_show_certificates_where_they_must() {
    let files = Files::new();
    let clients = Authority::new("of clients");
    let roots = clients.write(&files.directory, "clients.pem");
    let known = clients.sign("known");
    let stranger = Authority::new("of strangers").sign("stranger");
    let with = |identity: Option<&Identity>| files.authority.client(identity, ALL_VERSIONS);
    for (mode, nobody, stranger_may) in [(0, true, true), (1, true, false), (2, false, false), (3, true, false)] {
        let server = files.start(&[], &format!(",ssl_verify_mode={mode},ssl_ca_cert={}", roots.display()));
        connect(&server, &with(Some(&known))).ask("get a\r\n", "END\r\n");
        for (may, identity) in [(nobody, None), (stranger_may, Some(&stranger))] {
            let mut client = connect(&server, &with(identity));
            if may {
                client.ask("get a\r\n", "END\r\n");
            } else {
                assert_refused(client, &format!("mode {mode}"));
            }
        }
    }
}

#[test]
fn each_address_has_its_own_way() {
    let files = Files::new();
    let clients = Authority::new("of clients");
    let roots = clients.write(&files.directory, "clients.pem");
    let known = clients.sign("known");
    let ports: Vec<u16> =
        (0..3).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()).collect();
    let listen = format!("notls:127.0.0.1:{},btls:127.0.0.1:{},mtls:127.0.0.1:{}", ports[0], ports[1], ports[2]);
    let more = format!(",ssl_verify_mode=2,ssl_ca_cert={}", roots.display());
    let server = files.start(&["-l", &listen], &more);
    let address = |at: usize| std::net::SocketAddr::from(([127, 0, 0, 1], ports[at]));
    let with = |identity: Option<&Identity>| files.authority.client(identity, ALL_VERSIONS);
    Client::connect(address(0)).ask("get a\r\n", "END\r\n");
    Client::connect_tls(address(1), &with(None)).ask("get a\r\n", "END\r\n");
    Client::connect_tls(address(2), &with(Some(&known))).ask("get a\r\n", "END\r\n");
    assert_refused(Client::connect_tls(address(2), &with(None)), "mtls without a certificate");
    let mut plain = Client::connect(address(1));
    plain.send(b"get a\r\n");
    while plain.look(PATIENCE) == Event::Bytes {}
    assert!(!plain.buffer().starts_with(b"END"), "spoken to in clear");
    drop(server);
}

#[test]
fn new_files_are_for_new_connections() {
    let files = Files::new();
    let server = files.start(&[], "");
    let old = files.client();
    let mut open = connect(&server, &old);
    open.ask("set a 0 0 1\r\n1\r\n", "STORED\r\n");

    let next = Authority::new("next");
    files.write(&next.sign("localhost"));
    open.ask("refresh_certs\r\nget a\r\n", "OK\r\nVALUE a 0 1\r\n1\r\nEND\r\n");
    let new = next.client(None, ALL_VERSIONS);
    connect(&server, &new).ask("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
    // Also who could resume a session of before sees the new certificate.
    assert_refused(connect(&server, &old), "the former authority");
    open.ask("get b\r\n", "END\r\n");

    fs::write(files.directory.join("server.key"), "rubbish").unwrap();
    open.send(b"refresh_certs\r\nget b\r\n");
    let reply = String::from_utf8(open.read_through(b"END\r\n")).unwrap();
    assert!(reply.starts_with("SERVER_ERROR -o ssl_key: "), "{reply}");
    connect(&server, &new).ask("get b\r\n", "END\r\n");
    assert!(server.stderr().contains("the former certificate stays"), "{}", server.stderr());

    let third = Authority::new("third");
    files.write(&third.sign("localhost"));
    server.signal(Signal::SIGHUP);
    let newest = third.client(None, ALL_VERSIONS);
    let started = Instant::now();
    loop {
        let mut client = connect(&server, &newest);
        client.send(b"get b\r\n");
        if client.look(PATIENCE) == Event::Bytes {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "SIGHUP changes nothing");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn once_answered_no_core_shows_the_former_certificate() {
    let files = Files::new();
    let server = Server::ringcached(&["-t", "4", "-Z", "-o", &files.options("")]);
    let mut asking = connect(&server, &files.client());
    for round in 0..20 {
        let authority = Authority::new(&format!("number {round}"));
        files.write(&authority.sign("localhost"));
        asking.ask("refresh_certs\r\n", "OK\r\n");
        let client = authority.client(None, ALL_VERSIONS);
        for _ in 0..8 {
            connect(&server, &client).ask("get a\r\n", "END\r\n");
        }
    }
}

#[test]
fn refresh_without_tls_is_refused() {
    let server = Server::ringcached(&["-t", "1"]);
    server.connect().ask("refresh_certs\r\nget a\r\n", "Error TLS not enabled\r\nEND\r\n");
    server.signal(Signal::SIGHUP);
    server.connect().ask("get a\r\n", "END\r\n");
}

#[test]
fn a_failed_handshake_ends_that_connection_only() {
    let files = Files::new();
    let server = files.start(&[], "");
    let mut good = connect(&server, &files.client());
    good.ask("get a\r\n", "END\r\n");
    let mut bad: Vec<Vec<u8>> = vec![b"get a\r\n".to_vec(), vec![0x16; 40_000], vec![0x16, 3, 1, 0xff, 0xff]];
    // A record of the right shape with nothing in it that is known, and one that never ends.
    bad.push([&[0x16, 3, 1, 0, 100][..], &[0xaa; 100]].concat());
    let expected = bad.len() as u64;
    for bytes in bad {
        let mut client = Client::connect(server.address());
        client.send(&bytes);
        while client.look(PATIENCE) == Event::Bytes {}
        good.ask("get a\r\n", "END\r\n");
    }
    let strangers = Authority::new("strange").client(None, ALL_VERSIONS);
    assert_refused(connect(&server, &strangers), "a client that does not trust the server");
    good.ask("get a\r\n", "END\r\n");
    assert!(statistic(&server, &files.client(), "ssl_handshake_errors") > expected);
    assert_eq!(statistic(&server, &files.client(), "ssl_proto_errors"), 0);
}

#[test]
fn a_handshake_that_takes_too_long_ends() {
    let files = Files::new();
    let server = files.start(&[], "");
    let mut silent = Client::connect(server.address());
    let mut half = Client::connect(server.address());
    half.send(&[0x16, 3, 1, 1, 0]);
    let mut good = connect(&server, &files.client());
    good.ask("get a\r\n", "END\r\n");
    for slow in [&mut silent, &mut half] {
        assert!(matches!(slow.look(PATIENCE), Event::Closed | Event::Reset), "a handshake without end");
    }
    good.ask("get a\r\n", "END\r\n");
    assert_eq!(statistic(&server, &files.client(), "ssl_handshake_errors"), 2);
}

#[test]
fn large_values_and_slow_readers() {
    let files = Files::new();
    let server = files.start(&[], "");
    let mut client = connect(&server, &files.client());
    let value: String = ('a'..='z').cycle().take(1_000_000).collect();
    client.ask(&format!("set a 0 0 1000000\r\n{value}\r\n"), "STORED\r\n");
    // 40 MB of replies, of which the client takes nothing at first.
    client.send(&b"get a\r\n".repeat(40));
    std::thread::sleep(Duration::from_millis(200));
    let mut other = connect(&server, &files.client());
    other.ask("get b\r\n", "END\r\n");
    let expected = format!("VALUE a 0 1000000\r\n{value}\r\nEND\r\n");
    for _ in 0..40 {
        assert!(client.read_through(b"END\r\n") == expected.as_bytes(), "a value is torn");
    }
}

#[test]
fn what_tls_lacks_is_said_before_anything_listens() {
    let files = Files::new();
    let server = files.options("");
    let mismatch = format!("{},ssl_key={}", server, files.directory.join("other.key").display());
    Authority::new("other").sign("localhost").write(&files.directory, "other");
    for (options, says) in [
        (vec!["-Z"], "ssl_chain_cert"),
        (vec!["-Z", "-o", "ssl_chain_cert=/nowhere/x.pem"], "/nowhere/x.pem"),
        (vec!["-Z", "-o", &mismatch], "cannot be used"),
        (vec!["-Z", "-o", &server, "-o", "ssl_verify_mode=2"], "ssl_ca_cert"),
        (vec!["-Z", "-o", &server, "-l", "mtls:127.0.0.1"], "ssl_ca_cert"),
        (vec!["-Z", "-o", &server, "-o", "ssl_ciphers=RC4-SHA"], "RC4-SHA"),
        (vec!["-Z", "-o", &server, "-U", "-1"], "UDP has no TLS"),
        (vec!["-l", "btls:127.0.0.1"], "-Z"),
    ] {
        let output = ringcached(&options).stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{options:?}: {stderr}");
        assert!(stderr.contains(says) && stderr.lines().count() == 1, "{options:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{options:?}");
    }
}
