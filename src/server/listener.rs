//! Opening the addresses: one socket per address and core, all on the main thread while it may still bind low ports.
//!
//! The first socket of an address binds and listens without `SO_REUSEPORT`, so a second server fails instead of taking
//! half of the connections. Only then the option is set and the siblings join: the kernel spreads connections evenly,
//! and datagrams by their sender.
//!
//! The sockets stay blocking. A multishot accept on a non-blocking socket ends with `EAGAIN` when the backlog is empty,
//! while on a blocking one the ring waits by itself; nothing else ever calls accept.

use std::fmt::{self, Display, Write as _};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::libc;
use ringcached_ring::set_busy_poll;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::startup::StartError;
use super::unix::{self, SocketFile};
use crate::config::{Config, Listen, Manner, Security};
use crate::engine::Address;

/// A socket by which clients reach a core.
#[derive(Debug)]
pub struct Door {
    /// Listening, or for datagrams bound.
    pub socket: OwnedFd,
    /// Where.
    pub address: Address,
    /// How connections are spoken to.
    pub manner: Manner,
}

/// All sockets, open.
#[derive(Debug, Default)]
pub struct Listeners {
    /// For each core one door per address, in the order of `bound`, then those of this core alone.
    pub per_core: Vec<Vec<Door>>,
    /// The addresses, with the ports that were found for `-p -1`.
    pub bound: Vec<Bound>,
    /// Why sockets are not polled, if they should be.
    pub busy_poll_refused: Option<io::Error>,
    /// Removed when dropped.
    pub socket_file: Option<SocketFile>,
}

/// An address that is open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bound {
    /// The address.
    pub address: Address,
    /// Whether connections speak TLS.
    pub security: Security,
}

impl Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp(address) => address.fmt(formatter)?,
            Address::Udp(address) => write!(formatter, "{address} (UDP)")?,
            Address::Unix(path) => path.fmt(formatter)?,
        }
        if self.security == Security::Plain { Ok(()) } else { formatter.write_str(" (TLS)") }
    }
}

/// Opens every address of the configuration for every core.
pub fn open(config: &Config) -> Result<Listeners, StartError> {
    let mut listeners = Listeners { per_core: config.cores.iter().map(|_| Vec::new()).collect(), ..Default::default() };
    let network = &config.network;
    for listen in &network.listen {
        open_one(listen, Kind::Tcp { backlog: config.backlog }, &mut listeners)?;
    }
    for listen in &network.udp {
        open_one(listen, Kind::Udp, &mut listeners)?;
    }
    if let Some(unix) = &network.unix {
        let (socket, file) = unix::open(unix, config.backlog)?;
        let address = Address::Unix(file.path().into());
        listeners.socket_file = Some(file);
        listeners.add_shared(&socket, &address, Manner { security: Security::Plain, dialect: network.dialect })?;
    }
    if let Some(base) = network.shard_ports {
        open_shard_ports(config, base, &mut listeners)?;
    }
    listeners.tune(config);
    if let Some(path) = &config.port_file {
        write_ports(path, &listeners.bound).map_err(|error| {
            StartError::new(format!("cannot write MEMCACHED_PORT_FILENAME {}: {error}", path.display()))
        })?;
    }
    Ok(listeners)
}

/// Gives every core doors that lead to it alone: on every address of `-l`, with its own port.
fn open_shard_ports(config: &Config, base: u16, listeners: &mut Listeners) -> Result<(), StartError> {
    let mut opened: Vec<SocketAddr> = Vec::new();
    for listen in &config.network.listen {
        for (core, port) in config.cores.iter().zip(base..=u16::MAX) {
            for &address in &listen.addresses {
                let address = SocketAddr::new(address.ip(), port);
                if opened.contains(&address) {
                    continue;
                }
                match open_address(address, Kind::Tcp { backlog: config.backlog }, 1) {
                    Ok((bound, sockets)) => {
                        let doors = &mut listeners.per_core[core.id.index()];
                        let address = Address::Tcp(bound);
                        let manner = listen.manner;
                        doors.extend(sockets.into_iter().map(|socket| Door {
                            socket: socket.into(),
                            address: address.clone(),
                            manner,
                        }));
                        opened.push(bound);
                    }
                    // The machine lacks it, which `-p` has been told already.
                    Err(error) if is_absent(&error) => {}
                    Err(error) => return Err(explain(address, &error)),
                }
            }
        }
    }
    Ok(())
}

impl Listeners {
    /// Sets what accepted sockets inherit from listening ones, and which core accepts whom.
    fn tune(&mut self, config: &Config) {
        for (core, doors) in config.cores.iter().zip(&self.per_core) {
            for door in doors.iter().filter(|door| !matches!(door.address, Address::Unix(_))) {
                if let (true, Some(cpu)) = (config.tuning.incoming_cpu, core.cpu) {
                    // A preference; without it connections are spread evenly, as they are anyway.
                    let _ = SockRef::from(&door.socket).set_cpu_affinity(cpu);
                }
                if let Some(us) = config.tuning.busy_poll_us
                    && let Err(error) = set_busy_poll(door.socket.as_fd(), us.cast_signed())
                {
                    self.busy_poll_refused = Some(error);
                }
            }
        }
    }

    fn add(&mut self, address: &Address, manner: Manner, sockets: impl IntoIterator<Item = Socket>) {
        self.bound.push(Bound { address: address.clone(), security: manner.security });
        for (core, socket) in self.per_core.iter_mut().zip(sockets) {
            core.push(Door { socket: socket.into(), address: address.clone(), manner });
        }
    }

    /// Gives every core a descriptor of the same socket.
    fn add_shared(&mut self, socket: &Socket, address: &Address, manner: Manner) -> Result<(), StartError> {
        let shares: io::Result<Vec<Socket>> = self.per_core.iter().map(|_| socket.try_clone()).collect();
        let shares = shares.map_err(|error| StartError::new(format!("cannot share {address}: {error}")))?;
        self.add(address, manner, shares);
        Ok(())
    }
}

/// What is opened on an internet address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Tcp { backlog: i32 },
    Udp,
}

/// Opens what a name stands for. Of several addresses those count that this machine has, such as `localhost` where
/// there is no IPv6.
fn open_one(listen: &Listen, kind: Kind, listeners: &mut Listeners) -> Result<(), StartError> {
    let mut absent = None;
    let mut count = 0;
    for &address in &listen.addresses {
        match open_address(address, kind, listeners.per_core.len()) {
            Ok((bound, sockets)) => {
                let address = if kind == Kind::Udp { Address::Udp(bound) } else { Address::Tcp(bound) };
                listeners.add(&address, listen.manner, sockets);
                count += 1;
            }
            Err(error) if is_absent(&error) => absent = Some(explain(address, &error)),
            Err(error) => return Err(explain(address, &error)),
        }
    }
    if count == 0 {
        Err(absent.unwrap_or_else(|| StartError::new(format!("nothing to open for -l {}", listen.name))))
    } else {
        Ok(())
    }
}

/// One socket per core, and the address with its port.
fn open_address(address: SocketAddr, kind: Kind, cores: usize) -> io::Result<(SocketAddr, Vec<Socket>)> {
    let listen = |socket: &Socket| match kind {
        Kind::Tcp { backlog } => socket.listen(backlog),
        Kind::Udp => Ok(()),
    };
    let first = prepare(address, kind)?;
    first.bind(&address.into())?;
    listen(&first)?;
    let bound = first.local_addr()?.as_socket().unwrap_or(address);
    first.set_reuse_port(true)?;
    let mut sockets = vec![first];
    for _ in 1..cores {
        let sibling = prepare(bound, kind)?;
        sibling.set_reuse_port(true)?;
        sibling.bind(&SockAddr::from(bound))?;
        listen(&sibling)?;
        sockets.push(sibling);
    }
    Ok((bound, sockets))
}

/// A socket with all that accepted ones inherit from it.
fn prepare(address: SocketAddr, kind: Kind) -> io::Result<Socket> {
    let (type_, protocol) =
        if kind == Kind::Udp { (Type::DGRAM, Protocol::UDP) } else { (Type::STREAM, Protocol::TCP) };
    let socket = Socket::new(Domain::for_address(address), type_, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Kind::Udp {
        // Not SO_REUSEADDR, with which a second server could take the port over. Room for bursts, where allowed.
        let _ = socket.set_recv_buffer_size(UDP_SOCKET_BUFFER);
        let _ = socket.set_send_buffer_size(UDP_SOCKET_BUFFER);
        return Ok(socket);
    }
    socket.set_reuse_address(true)?;
    socket.set_keepalive(true)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

/// Bytes of datagrams that may wait in the kernel, each way; it may allow less.
const UDP_SOCKET_BUFFER: usize = 4 << 20;

/// Whether the machine lacks the address, or its whole family.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT))
}

fn explain(address: SocketAddr, error: &io::Error) -> StartError {
    StartError::new(match error.raw_os_error() {
        Some(libc::EADDRINUSE) => format!("another process listens on {address}: stop it, or choose another -p or -l"),
        Some(libc::EACCES | libc::EPERM) => {
            format!("not allowed to listen on {address}: ports below 1024 need root or CAP_NET_BIND_SERVICE")
        }
        Some(libc::EADDRNOTAVAIL) => format!("no interface of this machine has the address of {address}: see -l"),
        Some(libc::EAFNOSUPPORT) => format!("this machine has no network for {address}: see -l"),
        Some(libc::EMFILE | libc::ENFILE) => format!("no file descriptor left for {address}: raise ulimit -n"),
        _ => format!("cannot listen on {address}: {error}"),
    })
}

/// A reader that waits for `path` never sees half of it.
fn write_ports(path: &Path, bound: &[Bound]) -> io::Result<()> {
    let mut text = String::new();
    for bound in bound {
        let (protocol, address) = match &bound.address {
            Address::Tcp(address) => ("TCP", address),
            Address::Udp(address) => ("UDP", address),
            Address::Unix(_) => continue,
        };
        let family = if address.is_ipv6() { "INET6" } else { "INET" };
        let _ = writeln!(text, "{protocol} {family}: {}", address.port());
    }
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lck");
    fs::write(&lock, text)?;
    fs::rename(&lock, path)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd;

    use super::*;

    // With room for all clients, should they meet on one core.
    const TCP: Kind = Kind::Tcp { backlog: 256 };

    fn free(addresses: &[&str]) -> Listen {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Listen { name: "test".to_owned(), addresses, manner: Manner { security: Security::Plain, dialect: None } }
    }

    /// The same addresses again, ports found.
    fn again(listeners: &Listeners) -> Listen {
        Listen { addresses: ports(listeners), ..free(&[]) }
    }

    fn ports(listeners: &Listeners) -> Vec<SocketAddr> {
        let address = |bound: &Bound| match bound.address {
            Address::Tcp(address) | Address::Udp(address) => address,
            Address::Unix(_) => panic!("a path"),
        };
        listeners.bound.iter().map(address).collect()
    }

    fn opened(listen: &Listen, kind: Kind, cores: usize) -> Result<Listeners, StartError> {
        let per_core = (0..cores).map(|_| Vec::new()).collect();
        let mut listeners = Listeners { per_core, ..Default::default() };
        open_one(listen, kind, &mut listeners).map(|()| listeners)
    }

    #[test]
    fn a_second_server_on_the_same_address_fails() {
        for kind in [TCP, Kind::Udp] {
            let first = opened(&free(&["127.0.0.1:0"]), kind, 3).unwrap();
            let error = opened(&again(&first), kind, 3).unwrap_err().to_string();
            assert!(error.contains(&format!("another process listens on {}", ports(&first)[0])), "{error}");
        }
    }

    #[test]
    fn an_address_is_free_again_once_its_sockets_are_closed() {
        let first = opened(&free(&["127.0.0.1:0"]), TCP, 2).unwrap();
        let client = TcpStream::connect(ports(&first)[0]).unwrap();
        let again = again(&first);
        drop(first);
        assert!(opened(&again, TCP, 2).is_ok());
        drop(client);
    }

    #[test]
    fn every_core_gets_connections() {
        let listeners = opened(&free(&["127.0.0.1:0"]), TCP, 4).unwrap();
        let address = ports(&listeners)[0];
        let clients: Vec<_> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut total = 0;
        for core in listeners.per_core {
            let listener = TcpListener::from(core.into_iter().next().unwrap().socket);
            listener.set_nonblocking(true).unwrap();
            let accepted: Vec<_> = listener.incoming().map_while(Result::ok).collect();
            assert!(accepted.len() >= 10, "a core got {} of 200", accepted.len());
            assert!(accepted.iter().all(|stream| stream.nodelay().unwrap()), "inherited from the listener");
            total += accepted.len();
        }
        assert_eq!(total, clients.len());
    }

    #[test]
    fn every_core_gets_datagrams() {
        let listeners = opened(&free(&["127.0.0.1:0"]), Kind::Udp, 4).unwrap();
        let address = ports(&listeners)[0];
        for _ in 0..200 {
            UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", address).unwrap();
        }
        for core in listeners.per_core {
            let socket = UdpSocket::from(core.into_iter().next().unwrap().socket);
            socket.set_nonblocking(true).unwrap();
            let count = std::iter::from_fn(|| socket.recv(&mut [0; 8]).ok()).count();
            assert!(count >= 10, "a core got {count} of 200");
        }
    }

    #[test]
    fn listeners_are_blocking_and_keep_alive() {
        let listeners = opened(&free(&["127.0.0.1:0"]), TCP, 2).unwrap();
        for door in listeners.per_core.iter().flatten() {
            let socket = SockRef::from(&door.socket);
            assert!(!socket.nonblocking().unwrap() && socket.keepalive().unwrap());
            assert!(nix::fcntl::fcntl(socket.as_fd(), nix::fcntl::F_GETFD).unwrap() & libc::FD_CLOEXEC != 0);
        }
    }

    #[test]
    fn an_address_the_machine_lacks_fails_only_alone() {
        let both = opened(&free(&["127.0.0.1:0", "192.0.2.1:0"]), TCP, 1).unwrap();
        assert_eq!((both.bound.len(), both.per_core[0].len()), (1, 1));
        let error = opened(&free(&["192.0.2.1:0"]), TCP, 1).unwrap_err().to_string();
        assert!(error.contains("no interface of this machine"), "{error}");
    }

    #[test]
    fn ports_are_written_in_one_step() {
        let path = std::env::temp_dir().join(format!("ringcached-ports-{}", std::process::id()));
        let bound = [
            Address::Tcp("127.0.0.1:5".parse().unwrap()),
            Address::Tcp("[::1]:6".parse().unwrap()),
            Address::Udp("127.0.0.1:7".parse().unwrap()),
            Address::Unix("/tmp/socket".into()),
        ]
        .map(|address| Bound { address, security: Security::Plain });
        write_ports(&path, &bound).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "TCP INET: 5\nTCP INET6: 6\nUDP INET: 7\n");
        fs::remove_file(path).unwrap();
    }
}
