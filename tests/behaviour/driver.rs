//! What a driver is: the same conversation over a process, or over nothing at all.

use std::net::SocketAddr;
use std::time::Duration;

use crate::driver_session::Session;
use crate::driver_tcp::Tcp;

/// One of the ways to run the suite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// One engine in this process, with a clock that the tests move.
    Session,
    /// Four engines in this process, connected by letters.
    Session4,
    /// A ringcached process with one core.
    Tcp1,
    /// A ringcached process with four cores.
    Tcp4,
    /// The same over a socket in the file system.
    Unix4,
    /// The same over TLS.
    Tls4,
    /// The memcached of the system.
    Memcached,
}

impl Kind {
    /// A server with these options.
    pub(crate) fn start(self, options: &[&str]) -> Box<dyn Driver> {
        match self {
            Self::Session => Box::new(Session::new(1, options)),
            Self::Session4 => Box::new(Session::new(4, options)),
            Self::Tcp1 => Box::new(Tcp::ringcached(1, options)),
            Self::Tcp4 => Box::new(Tcp::ringcached(4, options)),
            Self::Unix4 => Box::new(Tcp::unix(4, options)),
            Self::Tls4 => Box::new(Tcp::tls(4, options)),
            Self::Memcached => Box::new(Tcp::memcached(options)),
        }
    }

    /// Whether connections are sockets of a process, with addresses, settings and resources.
    pub(crate) fn has_sockets(self) -> bool {
        !matches!(self, Self::Session | Self::Session4)
    }

    /// Whether a server with these options can be had.
    pub(crate) fn can_start(self, options: &[&str]) -> bool {
        !(self == Self::Tls4 && options.contains(&"-U"))
    }

    /// How far an item's end may be from its exptime. Ours: never early, at most 0.2 s late (0.1 s of which is the
    /// resolution of a deadline). memcached counts whole seconds with a clock that ticks once per second.
    pub(crate) fn tolerance(self) -> Tolerance {
        let (early_ms, late_ms) = if self == Self::Memcached { (1100, 1500) } else { (0, 200) };
        Tolerance { early: Duration::from_millis(early_ms), late: Duration::from_millis(late_ms) }
    }
}

/// How far an item's end may be from its exptime.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tolerance {
    /// How much sooner it may vanish.
    pub(crate) early: Duration,
    /// How much longer it may be seen.
    pub(crate) late: Duration,
}

/// A running server and its clock.
pub(crate) trait Driver {
    /// A new connection.
    fn connect(&mut self) -> Box<dyn Connection>;
    /// Where datagrams are taken.
    fn udp_address(&self) -> SocketAddr {
        panic!("this driver has no datagrams")
    }
    /// The time that passes here, since some start.
    fn elapsed(&self) -> Duration;
    /// Milliseconds since the Unix epoch by the server's clock.
    fn unix_ms(&self) -> u64;
    /// Lets time pass.
    fn wait(&mut self, duration: Duration);
}

/// What a look at a connection brought.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Received {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The end of the connection.
    Closed,
    /// Nothing, and waiting longer is pointless.
    Nothing,
}

/// One connection to the server.
pub(crate) trait Connection {
    /// Sends all of `bytes`, as one piece where the medium allows it.
    fn send(&mut self, bytes: &[u8]);
    /// What came; waits for it where waiting makes sense.
    fn receive(&mut self) -> Received;
    /// No more requests will come.
    fn half_close(&mut self);
    /// Makes it likely that what was sent and what will be sent arrive as two pieces.
    fn pause(&mut self);
}
