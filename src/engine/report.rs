//! What `stats` and its relatives answer.

use core::net::SocketAddr;

use crate::engine::node::Node;
use crate::metrics;
use crate::protocol::text::response;
use crate::session::Session;
use crate::session::letter::Totals;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// The number under which `stats conns` shows the connection: its file descriptor.
    pub descriptor: i32,
    /// The client's address.
    pub remote: SocketAddr,
    /// The listener's address.
    pub local: SocketAddr,
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
            "maxbytes" => response::write_stat(&mut text, name, &node.config.shard.budget.limit().to_string()),
            "verbosity" => response::write_stat(&mut text, name, &node.config.facts.verbosity().to_string()),
            _ => response::write_stat(&mut text, name, value),
        }
    }
    text.extend_from_slice(response::END);
    text
}

/// One listener's part of the reply to `stats conns`.
pub(super) fn listener(text: &mut Vec<u8>, descriptor: i32, local: SocketAddr) {
    response::write_stat(text, &format!("{descriptor}:addr"), &address(local));
    response::write_stat(text, &format!("{descriptor}:state"), "conn_listening");
}

/// One connection's part of the reply to `stats conns` (PROTOCOL §6).
pub(super) fn connection(text: &mut Vec<u8>, peer: &Peer, session: &Session, idle_s: u64) {
    let descriptor = peer.descriptor;
    response::write_stat(text, &format!("{descriptor}:addr"), &address(peer.remote));
    response::write_stat(text, &format!("{descriptor}:listen_addr"), &address(peer.local));
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

fn address(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => format!("tcp:{v4}"),
        SocketAddr::V6(v6) => format!("tcp6:{v6}"),
    }
}
