//! The drivers that talk to a process: ringcached with one or four cores, over loopback, over a socket in the file
//! system or by TLS, and memcached.
#![allow(clippy::disallowed_methods, reason = "real servers run in real time")]

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::common::{Client, Event, Server};
use crate::driver::{Connection, Driver, Received};

/// A reply that takes longer is taken for none. Nothing that is asserted about time depends on it.
const REPLY_MAX: Duration = Duration::from_secs(20);

pub(crate) struct Tcp {
    server: Server,
    started: Instant,
}

impl Tcp {
    pub(crate) fn ringcached(cores: u16, options: &[&str]) -> Self {
        let cores = cores.to_string();
        Self::new(Server::ringcached(&[&["-t", cores.as_str()], options].concat()))
    }

    pub(crate) fn unix(cores: u16, options: &[&str]) -> Self {
        let cores = cores.to_string();
        Self::new(Server::ringcached_unix(&[&["-t", cores.as_str()], options].concat()))
    }

    pub(crate) fn tls(cores: u16, options: &[&str]) -> Self {
        let cores = cores.to_string();
        Self::new(Server::ringcached_tls(&[&["-t", cores.as_str()], options].concat()))
    }

    pub(crate) fn memcached(options: &[&str]) -> Self {
        Self::new(Server::memcached(options))
    }

    fn new(server: Server) -> Self {
        Self { server, started: Instant::now() }
    }
}

impl Driver for Tcp {
    fn connect(&mut self) -> Box<dyn Connection> {
        Box::new(self.server.connect())
    }

    fn udp_address(&self) -> SocketAddr {
        self.server.udp_address()
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        u64::try_from(since.as_millis()).expect("a clock before the year 500,000,000")
    }

    fn wait(&mut self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

impl Connection for Client {
    fn send(&mut self, bytes: &[u8]) {
        Self::send(self, bytes);
    }

    fn receive(&mut self) -> Received {
        if self.buffer().is_empty() {
            match self.look(REPLY_MAX) {
                Event::Bytes => {}
                // A server that closes with input unread resets; lifecycle.rs asserts where that must not happen.
                Event::Closed | Event::Reset => return Received::Closed,
                Event::Silence => return Received::Nothing,
            }
        }
        Received::Bytes(std::mem::take(self.buffer()))
    }

    fn half_close(&mut self) {
        Self::half_close(self);
    }

    fn pause(&mut self) {
        std::thread::sleep(Duration::from_millis(1));
    }
}
