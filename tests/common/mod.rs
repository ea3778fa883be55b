//! A server process on loopback and raw connections to it, for every test that needs the real thing.
#![allow(dead_code, reason = "each test binary uses its own part of the shared helpers")]
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails the test that called it")]
#![allow(clippy::disallowed_methods, reason = "tests measure real time and talk from several threads")]

pub(crate) mod authority;
mod client;
pub(crate) mod stream;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[allow(unused_imports, reason = "each test binary uses its own part of the shared helpers")]
pub(crate) use client::{Client, Event};

/// How long anything may take that is not itself measured, before a test gives up. Generous: machines are slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; dropping it stops it by SIGTERM and asserts a clean exit.
pub(crate) struct Server {
    child: Child,
    directory: PathBuf,
    port: u16,
    over: bool,
    transport: Transport,
}

/// What connections to a server run over.
enum Transport {
    Tcp,
    Unix(PathBuf),
    Tls(Arc<rustls::ClientConfig>),
}

impl Server {
    /// Starts ringcached on an ephemeral loopback port with these further options.
    pub(crate) fn ringcached(options: &[&str]) -> Self {
        Self::start(ringcached(options))
    }

    /// The same, with connections over a socket in the file system.
    pub(crate) fn ringcached_unix(options: &[&str]) -> Self {
        let directory = scratch_directory();
        let path = directory.join("socket");
        let mut command = ringcached(options);
        command.arg("-s").arg(&path);
        Self::start_in(command, directory, Transport::Unix(path))
    }

    /// The same, with connections that speak TLS.
    pub(crate) fn ringcached_tls(options: &[&str]) -> Self {
        let directory = scratch_directory();
        let authority = authority::Authority::new("tests");
        let (certificate, key) = authority.sign("localhost").write(&directory, "server");
        let mut command = ringcached(options);
        let files = format!("ssl_chain_cert={},ssl_key={}", certificate.display(), key.display());
        command.args(["-Z", "-o", &files]);
        Self::start_in(command, directory, Transport::Tls(authority.client(None, rustls::ALL_VERSIONS)))
    }

    /// Starts the memcached of the system, for comparison.
    pub(crate) fn memcached(options: &[&str]) -> Self {
        let mut command = Command::new("memcached");
        command.args(["-u", "root", "-p", "-1", "-U", "0", "-l", "127.0.0.1", "-m", "64"]).args(options);
        Self::start(command)
    }

    fn start(command: Command) -> Self {
        Self::start_in(command, scratch_directory(), Transport::Tcp)
    }

    fn start_in(mut command: Command, directory: PathBuf, transport: Transport) -> Self {
        let port_file = directory.join("port");
        command.env("MEMCACHED_PORT_FILENAME", &port_file);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(fs::File::create(directory.join("stdout")).unwrap())
            .stderr(fs::File::create(directory.join("stderr")).unwrap())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("cannot start {}: {error}; is it installed?", command.get_program().display())
            });
        let started = Instant::now();
        let port = loop {
            if let Some(port) = fs::read_to_string(&port_file).ok().and_then(|text| tcp_port(&text)) {
                break port;
            }
            let stderr = || fs::read_to_string(directory.join("stderr")).unwrap();
            if let Some(status) = child.try_wait().unwrap() {
                panic!("{} ended at start with {status}: {}", command.get_program().display(), stderr());
            }
            if started.elapsed() > PATIENCE {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{} named no port within {PATIENCE:?}: {}", command.get_program().display(), stderr());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let server = Self { child, directory, port, over: false, transport };
        drop(server.connect());
        server
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A new connection.
    pub(crate) fn connect(&self) -> Client {
        match &self.transport {
            Transport::Tcp => Client::connect(self.address()),
            Transport::Unix(path) => Client::connect_unix(path),
            Transport::Tls(config) => Client::connect_tls(self.address(), config),
        }
    }

    /// Where the server takes datagrams, if it does.
    pub(crate) fn udp_address(&self) -> SocketAddr {
        let text = fs::read_to_string(self.directory.join("port")).unwrap();
        let port = text.lines().find_map(|line| line.strip_prefix("UDP INET: ")).expect("a server with -U");
        (Ipv4Addr::LOCALHOST, port.parse().unwrap()).into()
    }

    /// The number of the server's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory of the server in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a running process has VmRSS");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// One figure of the general statistics.
    pub(crate) fn statistic(&self, name: &str) -> u64 {
        let mut client = self.connect();
        client.send(b"stats\r\n");
        let text = String::from_utf8(client.read_through(b"END\r\n")).unwrap();
        let wanted = format!("STAT {name} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&wanted)).expect("a statistic of that name");
        value.parse().unwrap()
    }

    /// What the server has written to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.directory.join("stderr")).unwrap()
    }

    /// What the server has written to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.directory.join("stdout")).unwrap()
    }

    /// Sends a signal to the server.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for the end of the server, which somebody has asked for.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.over = true;
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "the server does not end: {}", self.stderr());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.over && std::thread::panicking() {
            eprintln!("the server's standard error:\n{}", self.stderr());
            drop(self.child.kill());
            drop(self.child.wait());
        } else if !self.over {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.over = true;
                panic!("the server ended by itself with {status}: {}", self.stderr());
            }
            self.signal(Signal::SIGTERM);
            let status = self.wait();
            assert_eq!(status.code(), Some(0), "exit after SIGTERM: {status}, {}", self.stderr());
        }
        drop(fs::remove_dir_all(&self.directory));
    }
}

/// The command that starts ringcached on an ephemeral loopback port.
pub(crate) fn ringcached(options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringcached"));
    command.args(["-p", "-1", "-l", "127.0.0.1", "-m", "64"]).args(options);
    command
}

/// A new, empty directory for one test's files.
pub(crate) fn scratch_directory() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("server-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// The TCP port in the text of a `MEMCACHED_PORT_FILENAME`.
pub(crate) fn tcp_port(text: &str) -> Option<u16> {
    text.lines().find_map(|line| line.strip_prefix("TCP INET: "))?.trim().parse().ok()
}
