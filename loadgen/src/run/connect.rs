//! Opens the connections of a run.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Descriptors that a process needs beside its connections.
const FILES_BESIDE: u64 = 100;

/// Opens `count` connections to HOST:PORT or to the path of a Unix socket, shared out evenly among `workers`.
pub(super) fn connect(server: &str, is_udp: bool, count: usize, workers: usize) -> Result<Vec<Vec<OwnedFd>>, String> {
    let fail = |error: io::Error| format!("cannot connect to {server}: {error}");
    raise_file_limit(count as u64)?;
    let address = if server.contains('/') { None } else { Some(resolve(server).map_err(fail)?) };
    let mut shares: Vec<Vec<OwnedFd>> = (0..workers).map(|_| Vec::new()).collect();
    for number in 0..count {
        let socket = match &address {
            Some(address) if is_udp => connect_udp(address),
            Some(address) => connect_tcp(address),
            None if is_udp => Err(io::Error::other("datagrams go to HOST:PORT")),
            None => UnixStream::connect(server).map(OwnedFd::from),
        };
        shares[number % workers].push(socket.map_err(fail)?);
    }
    Ok(shares)
}

fn resolve(server: &str) -> io::Result<SocketAddr> {
    let mut addresses = server.to_socket_addrs()?;
    addresses.next().ok_or_else(|| io::Error::other("the name has no address"))
}

fn connect_tcp(address: &SocketAddr) -> io::Result<OwnedFd> {
    let stream = TcpStream::connect_timeout(address, CONNECT_TIMEOUT)?;
    stream.set_nodelay(true)?;
    Ok(stream.into())
}

fn connect_udp(address: &SocketAddr) -> io::Result<OwnedFd> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    Ok(socket.into())
}

fn raise_file_limit(connections: u64) -> Result<(), String> {
    let wanted = connections + FILES_BESIDE;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| error.to_string())?;
    if soft >= wanted {
        return Ok(());
    }
    if hard < wanted {
        return Err(format!("{connections} connections need {wanted} open files, {hard} are allowed (ulimit -n)"));
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).map_err(|error| format!("cannot raise the file limit: {error}"))
}
