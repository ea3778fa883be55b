//! Opening the addresses: one socket per address and core, all on the main thread while it may still bind low ports.
//!
//! The first socket of an address binds and listens without `SO_REUSEPORT`, so a second server fails instead of taking
//! half of the connections. Only then the option is set and the siblings join: the kernel spreads connections evenly.
//!
//! The sockets stay blocking. A multishot accept on a non-blocking socket ends with `EAGAIN` when the backlog is empty,
//! while on a blocking one the ring waits by itself; nothing else ever calls accept.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::libc;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::startup::StartError;
use crate::config::{Config, Listen};

/// All sockets, listening.
#[derive(Debug)]
pub struct Listeners {
    /// For each core one listener per address, in the order of `bound`.
    pub per_core: Vec<Vec<OwnedFd>>,
    /// The addresses, with the ports that were found for `-p -1`.
    pub bound: Vec<SocketAddr>,
}

/// Opens every address of the configuration for every core.
pub fn open(config: &Config) -> Result<Listeners, StartError> {
    let mut listeners = Listeners { per_core: config.cores.iter().map(|_| Vec::new()).collect(), bound: Vec::new() };
    for listen in &config.listen {
        open_one(listen, config.backlog, &mut listeners)?;
    }
    if let Some(path) = &config.port_file {
        write_ports(path, &listeners.bound).map_err(|error| {
            StartError::new(format!("cannot write MEMCACHED_PORT_FILENAME {}: {error}", path.display()))
        })?;
    }
    Ok(listeners)
}

/// Opens what a name stands for. Of several addresses those count that this machine has, such as `localhost` where
/// there is no IPv6.
fn open_one(listen: &Listen, backlog: i32, listeners: &mut Listeners) -> Result<(), StartError> {
    let mut absent = None;
    let mut count = 0;
    for &address in &listen.addresses {
        match open_address(address, backlog, listeners.per_core.len()) {
            Ok((bound, sockets)) => {
                listeners.bound.push(bound);
                for (core, socket) in listeners.per_core.iter_mut().zip(sockets) {
                    core.push(socket.into());
                }
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
fn open_address(address: SocketAddr, backlog: i32, cores: usize) -> io::Result<(SocketAddr, Vec<Socket>)> {
    let first = prepare(address)?;
    first.bind(&address.into())?;
    first.listen(backlog)?;
    let bound = first.local_addr()?.as_socket().unwrap_or(address);
    first.set_reuse_port(true)?;
    let mut sockets = vec![first];
    for _ in 1..cores {
        let sibling = prepare(bound)?;
        sibling.set_reuse_port(true)?;
        sibling.bind(&SockAddr::from(bound))?;
        sibling.listen(backlog)?;
        sockets.push(sibling);
    }
    Ok((bound, sockets))
}

/// A socket with all that accepted ones inherit from it.
fn prepare(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_keepalive(true)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

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
fn write_ports(path: &Path, bound: &[SocketAddr]) -> io::Result<()> {
    let mut text = String::new();
    for address in bound {
        let family = if address.is_ipv6() { "INET6" } else { "INET" };
        let _ = writeln!(text, "TCP {family}: {}", address.port());
    }
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lck");
    fs::write(&lock, text)?;
    fs::rename(&lock, path)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    fn free(addresses: &[&str]) -> Listen {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Listen { name: "test".to_owned(), addresses }
    }

    fn opened(listen: &Listen, cores: usize) -> Result<Listeners, StartError> {
        let mut listeners = Listeners { per_core: (0..cores).map(|_| Vec::new()).collect(), bound: Vec::new() };
        open_one(listen, 64, &mut listeners).map(|()| listeners)
    }

    #[test]
    fn a_second_server_on_the_same_address_fails() {
        let first = opened(&free(&["127.0.0.1:0"]), 3).unwrap();
        let second = Listen { name: "again".to_owned(), addresses: first.bound.clone() };
        let error = opened(&second, 3).unwrap_err().to_string();
        assert!(error.contains(&format!("another process listens on {}", first.bound[0])), "{error}");
    }

    #[test]
    fn an_address_is_free_again_once_its_sockets_are_closed() {
        let first = opened(&free(&["127.0.0.1:0"]), 2).unwrap();
        let client = TcpStream::connect(first.bound[0]).unwrap();
        let again = Listen { name: "again".to_owned(), addresses: first.bound.clone() };
        drop(first);
        assert!(opened(&again, 2).is_ok());
        drop(client);
    }

    #[test]
    fn every_core_gets_connections() {
        let listeners = opened(&free(&["127.0.0.1:0"]), 4).unwrap();
        let clients: Vec<_> = (0..200).map(|_| TcpStream::connect(listeners.bound[0]).unwrap()).collect();
        let mut total = 0;
        for core in listeners.per_core {
            let listener = TcpListener::from(core.into_iter().next().unwrap());
            listener.set_nonblocking(true).unwrap();
            let accepted: Vec<_> = listener.incoming().map_while(Result::ok).collect();
            assert!(accepted.len() >= 10, "a core got {} of 200", accepted.len());
            assert!(accepted.iter().all(|stream| stream.nodelay().unwrap()), "inherited from the listener");
            total += accepted.len();
        }
        assert_eq!(total, clients.len());
    }

    #[test]
    fn listeners_are_blocking_and_keep_alive() {
        let listeners = opened(&free(&["127.0.0.1:0"]), 2).unwrap();
        for socket in listeners.per_core.iter().flatten() {
            let socket = socket2::SockRef::from(socket);
            assert!(!socket.nonblocking().unwrap() && socket.keepalive().unwrap());
            assert!(nix::fcntl::fcntl(socket.as_fd(), nix::fcntl::F_GETFD).unwrap() & libc::FD_CLOEXEC != 0);
        }
    }

    #[test]
    fn an_address_the_machine_lacks_fails_only_alone() {
        let both = opened(&free(&["127.0.0.1:0", "192.0.2.1:0"]), 1).unwrap();
        assert_eq!((both.bound.len(), both.per_core[0].len()), (1, 1));
        let error = opened(&free(&["192.0.2.1:0"]), 1).unwrap_err().to_string();
        assert!(error.contains("no interface of this machine"), "{error}");
    }

    #[test]
    fn ports_are_written_in_one_step() {
        let path = std::env::temp_dir().join(format!("ringcached-ports-{}", std::process::id()));
        write_ports(&path, &["127.0.0.1:5".parse().unwrap(), "[::1]:6".parse().unwrap()]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "TCP INET: 5\nTCP INET6: 6\n");
        fs::remove_file(path).unwrap();
    }
}
