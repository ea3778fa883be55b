//! What `stats` and its relatives answer.

use core::fmt::{self, Display};
use core::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::engine::node::Node;
use crate::metrics;
use crate::protocol::Dialect;
use crate::protocol::text::response;
use crate::session::Session;
use crate::session::letter::Totals;

/// One end of a conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A UDP port: what comes from there is a conversation per datagram.
    Udp(SocketAddr),
    /// A socket in the file system, which is all that is known of its clients, too.
    Unix(Arc<str>),
}

impl Display for Address {
    /// As `stats conns` shows it (PROTOCOL §6).
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let six = |ip: IpAddr| if ip.is_ipv6() { "6" } else { "" };
        match self {
            Self::Tcp(address) => write!(formatter, "tcp{}:{address}", six(address.ip())),
            Self::Udp(address) => write!(formatter, "udp{}:{address}", six(address.ip())),
            Self::Unix(path) => write!(formatter, "unix:{path}"),
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// The number under which `stats conns` shows the connection: its file descriptor.
    pub descriptor: i32,
    /// The client's address.
    pub remote: Address,
    /// The listener's address.
    pub local: Address,
    /// The dialect that is spoken there, whatever [`Access`](super::Access) says.
    pub dialect: Option<Dialect>,
}

impl Peer {
    /// Whether this is the conversation of one datagram, which is no connection that anybody counts or lists.
    pub(super) const fn is_datagram(&self) -> bool {
        matches!(self.remote, Address::Udp(_))
    }
}

/// The reply to `stats`.
pub(super) fn general(node: &Node, totals: &Totals) -> Vec<u8> {
    let mut text = Vec::with_capacity(4096);
    let facts = node.config.facts.facts(node.now);
    for (name, value) in metrics::general(&facts, &totals.counters, &totals.items) {
        response::write_stat(&mut text, name, &value);
    }
    text.extend_from_slice(response::END);
    text
}

/// The reply to `stats settings`.
pub(super) fn settings(node: &Node) -> Vec<u8> {
    let mut text = Vec::with_capacity(2048);
    for (name, value) in &node.config.settings {
        match *name {
            "maxbytes" => response::write_stat(&mut text, name, &node.memory_limit.to_string()),
            "verbosity" => response::write_stat(&mut text, name, &node.config.facts.verbosity().to_string()),
            _ => response::write_stat(&mut text, name, value),
        }
    }
    text.extend_from_slice(response::END);
    text
}

/// One listener's part of the reply to `stats conns`.
pub(super) fn listener(text: &mut Vec<u8>, descriptor: i32, local: &Address) {
    response::write_stat(text, &format!("{descriptor}:addr"), &local.to_string());
    let state = if matches!(local, Address::Udp(_)) { "conn_read" } else { "conn_listening" };
    response::write_stat(text, &format!("{descriptor}:state"), state);
}

/// One connection's part of the reply to `stats conns` (PROTOCOL §6).
pub(super) fn connection(text: &mut Vec<u8>, peer: &Peer, session: &Session, idle_s: u64) {
    let descriptor = peer.descriptor;
    response::write_stat(text, &format!("{descriptor}:addr"), &peer.remote.to_string());
    response::write_stat(text, &format!("{descriptor}:listen_addr"), &peer.local.to_string());
    response::write_stat(text, &format!("{descriptor}:state"), state(session));
    response::write_stat(text, &format!("{descriptor}:secs_since_last_cmd"), &idle_s.to_string());
}

/// The nearest of memcached's connection states.
fn state(session: &Session) -> &'static str {
    if session.closing {
        "conn_closing"
    } else if session.unsent > 0 {
        "conn_mwrite"
    } else if !session.is_idle() {
        "conn_io_pending"
    } else if session.framing.is_between_requests() {
        "conn_read"
    } else {
        "conn_nread"
    }
}
