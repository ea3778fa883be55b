//! `-p`, `-U`, `-s`, `-a`, `-l`: where to listen, and how the options decide it together.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::address::{self, Listen, Manner, Security};
use super::options::Options;
use super::suboptions::Extended;
use super::value::{ConfigError, number};
use super::{absolute, given};
use crate::protocol::Dialect;

const PORT: u16 = 11211;
const LISTEN: &str = "127.0.0.1";
const UNIX_MASK: u32 = 0o700;

/// Where to listen. At least one of the three is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Network {
    /// TCP addresses (`-l`, `-p`).
    pub listen: Vec<Listen>,
    /// `-p` as `stats settings` shows it: 0 without TCP, -1 until the free port is known.
    pub tcp_port: i32,
    /// UDP addresses (`-l`, `-U`).
    pub udp: Vec<Listen>,
    /// `-U` as `stats settings` shows it, like `tcp_port`.
    pub udp_port: i32,
    /// The port of core 0 alone, after which come those of the others (`--shard-ports`).
    pub shard_ports: Option<u16>,
    /// The socket in the file system (`-s`).
    pub unix: Option<UnixSocket>,
    /// The dialect spoken where no prefix says otherwise (`-B`).
    pub dialect: Option<Dialect>,
}

/// A socket in the file system.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnixSocket {
    /// Where, absolute.
    pub path: PathBuf,
    /// Who may connect: the file's access mode (`-a`).
    pub mask: u32,
}

/// Reads the options. `manner` is what applies to addresses without a prefix of their own.
pub(super) fn network(
    options: &Options,
    extended: &Extended,
    manner: Manner,
    notices: &mut Vec<String>,
) -> Result<Network, ConfigError> {
    let unix = unix(options, notices)?;
    let ports = -1..=i32::from(u16::MAX);
    let udp_port = given("-U", options.udp_port.as_ref(), ports.clone(), 0)?;
    let default_port = if udp_port == 0 { i32::from(PORT) } else { udp_port };
    let tcp_port = given("-p", options.port.as_ref(), ports, default_port)?;
    // A socket in the file system stands alone unless addresses are asked for beside it.
    let is_alone = unix.is_some() && options.port.is_none() && options.listen.is_empty();
    let tcp_port = if is_alone { 0 } else { tcp_port };
    let listen = if tcp_port == 0 { Vec::new() } else { tcp(options, tcp_port, manner, notices)? };
    let udp = if udp_port == 0 { Vec::new() } else { udp(options, udp_port, manner, notices)? };
    if listen.is_empty() && udp.is_empty() && unix.is_none() {
        return Err(ConfigError::bad("-p", "0 switches TCP off, and there is no -U and no -s; -1 picks a free port"));
    }
    if udp.is_empty() {
        if extended.udp_reply_max.is_some() {
            notices.push("-o udp_reply_max: without effect: there is no UDP (-U)".to_owned());
        }
    } else if !listen.is_empty() && listen.iter().all(|listen| listen.manner.security != Security::Plain) {
        let complaint = "UDP has no TLS: add an address with notls: to -l, or leave out -U";
        return Err(ConfigError::bad("-U", complaint));
    }
    let shard_ports = options.shard_ports.as_ref().map(|text| number("--shard-ports", text, 1..=u16::MAX));
    let shard_ports = shard_ports.transpose()?;
    Ok(Network { listen, tcp_port, udp, udp_port, shard_ports, unix, dialect: manner.dialect })
}

/// Whether every core can have a port of its own beside those of `-p` and `-l`.
pub(super) fn check_shard_ports(network: &Network, cores: usize) -> Result<(), ConfigError> {
    let Some(base) = network.shard_ports else { return Ok(()) };
    let refuse = |complaint: std::fmt::Arguments<'_>| Err(ConfigError::bad("--shard-ports", complaint));
    let last = usize::from(base) + cores - 1;
    if last > usize::from(u16::MAX) {
        return refuse(format_args!("{cores} cores would need ports up to {last}"));
    }
    if network.listen.is_empty() {
        return refuse(format_args!("there is no TCP: -p is 0, or -s stands alone"));
    }
    let taken = network.listen.iter().flat_map(|listen| &listen.addresses).map(SocketAddr::port);
    match taken.map(usize::from).find(|port| (usize::from(base)..=last).contains(port)) {
        Some(port) => refuse(format_args!("ports {base} to {last} are for single cores, but -p or -l asks for {port}")),
        None => Ok(()),
    }
}

fn unix(options: &Options, notices: &mut Vec<String>) -> Result<Option<UnixSocket>, ConfigError> {
    let mask = options.unix_mask.as_ref().map_or(Ok(UNIX_MASK), |text| {
        u32::from_str_radix(text, 8)
            .ok()
            .filter(|mask| *mask <= 0o777)
            .ok_or_else(|| ConfigError::bad("-a", format_args!("must be octal, from 0 to 777, not {text:?}")))
    })?;
    let Some(path) = &options.unix_socket else {
        if options.unix_mask.is_some() {
            notices.push("-a: without effect: there is no socket in the file system (-s)".to_owned());
        }
        return Ok(None);
    };
    let path = absolute("-s", path)?;
    // The kernel's `sockaddr_un` has room for 107 bytes and an end.
    let len = path.as_os_str().len();
    if options.unix_socket.as_ref().is_some_and(|path| path.as_os_str().is_empty()) || len > UNIX_PATH_LEN_MAX {
        let complaint = format_args!("a path of 1 to {UNIX_PATH_LEN_MAX} bytes is needed, not one of {len}");
        return Err(ConfigError::bad("-s", complaint));
    }
    Ok(Some(UnixSocket { path, mask }))
}

/// The longest path a socket can have (unix(7)).
const UNIX_PATH_LEN_MAX: usize = 107;

fn hosts(options: &Options) -> Vec<&str> {
    let lists =
        if options.listen.is_empty() { vec![LISTEN] } else { options.listen.iter().map(String::as_str).collect() };
    lists.into_iter().flat_map(|list| list.split([',', ';'])).collect()
}

fn tcp(options: &Options, port: i32, manner: Manner, notices: &mut Vec<String>) -> Result<Vec<Listen>, ConfigError> {
    let port = u16::try_from(port).unwrap_or(0);
    let mut listen: Vec<Listen> = Vec::new();
    for name in hosts(options) {
        let mut new = address::parse(name, port, manner, notices)?;
        new.addresses.retain(|address| {
            let is_known = is_listed(&listen, address);
            if is_known {
                notices.push(format!("-l: {address} is listed twice; it is opened once"));
            }
            !is_known
        });
        if !new.addresses.is_empty() {
            listen.push(new);
        }
    }
    Ok(listen)
}

/// UDP on every host of `-l`, always with the port of `-U`.
fn udp(options: &Options, port: i32, manner: Manner, notices: &mut Vec<String>) -> Result<Vec<Listen>, ConfigError> {
    let port = u16::try_from(port).unwrap_or(0);
    let mut udp: Vec<Listen> = Vec::new();
    for name in hosts(options) {
        let mut new = address::parse(name, port, manner, &mut Vec::new())?;
        for address in &mut new.addresses {
            address.set_port(port);
        }
        new.manner = Manner { security: Security::Plain, ..manner };
        new.addresses.retain(|address| !udp.iter().any(|known| known.addresses.contains(address)));
        if !new.addresses.is_empty() {
            udp.push(new);
        }
    }
    if udp.iter().flat_map(|listen| &listen.addresses).any(|address| !address.ip().is_loopback()) {
        notices.push(
            "-U: UDP is open beyond this machine: senders can forge addresses, so let a firewall guard it".into(),
        );
    }
    Ok(udp)
}

/// Whether an address is there already. A port that the kernel is to choose is another one each time.
fn is_listed(listen: &[Listen], address: &SocketAddr) -> bool {
    address.port() != 0 && listen.iter().any(|known| known.addresses.contains(address))
}

/// A number that may have a `k` or `m`, within what one reply over UDP may take.
pub(super) fn udp_reply_max(text: &str) -> Result<usize, ConfigError> {
    number("-o udp_reply_max", text, crate::limits::UDP_REPLY_MAX_RANGE)
}
