//! What `stats` and its relatives answer.

use core::fmt::{self, Display};
use core::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::engine::node::Node;
use crate::metrics::{self, ClassTotals, PrefixCounts};
use crate::protocol::Dialect;
use crate::protocol::text::response;
use crate::session::Session;
use crate::session::letter::Totals;
use crate::session::report::Report;

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

/// The reply to `stats sizes` where sizes are not looked at.
pub(super) const NO_SIZES: &[u8] = b"STAT sizes_status disabled\r\nEND\r\n";

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
            "detail_enabled" => response::write_stat(&mut text, name, if node.is_detailed() { "yes" } else { "no" }),
            "verbosity" => response::write_stat(&mut text, name, &node.config.facts.verbosity().to_string()),
            _ => response::write_stat(&mut text, name, value),
        }
    }
    text.extend_from_slice(response::END);
    text
}

/// The reply to `stats items`, `stats sizes` or `stats detail dump`.
pub(super) fn gathered(report: Option<&Report>) -> Vec<u8> {
    let mut text = Vec::with_capacity(2048);
    match report {
        Some(Report::Classes(classes)) => classes.iter().for_each(|(class, totals)| items(&mut text, *class, totals)),
        Some(Report::Sizes(sizes)) => {
            for (size, count) in sizes {
                response::write_stat(&mut text, &size.to_string(), &count.to_string());
            }
        }
        Some(Report::Prefixes(prefixes)) => {
            for (prefix, PrefixCounts { get, hit, set, del }) in prefixes {
                text.extend_from_slice(b"PREFIX ");
                text.extend_from_slice(prefix);
                text.extend_from_slice(format!(" get {get} hit {hit} set {set} del {del}\r\n").as_bytes());
            }
        }
        None => {}
    }
    text.extend_from_slice(response::END);
    text
}

/// One class of `stats items`: only classes that hold items are shown. What has no counterpart here is 0.
fn items(text: &mut Vec<u8>, class: u8, totals: &ClassTotals) {
    if totals.number == 0 {
        return;
    }
    let rows = [
        ("number", totals.number),
        ("number_hot", 0),
        ("number_warm", 0),
        ("number_cold", totals.number),
        ("number_temp", 0),
        ("age_hot", 0),
        ("age_warm", 0),
        ("age", totals.age),
        ("mem_requested", totals.bytes),
        ("evicted", totals.evicted),
        ("evicted_nonzero", totals.evicted_nonzero),
        ("evicted_time", totals.evicted_time),
        ("outofmemory", totals.out_of_memory),
        ("tailrepairs", 0),
        ("reclaimed", totals.reclaimed),
        ("expired_unfetched", totals.expired_unfetched),
        ("evicted_unfetched", totals.evicted_unfetched),
        ("evicted_active", totals.evicted_active),
        ("crawler_reclaimed", totals.crawler_reclaimed),
        ("crawler_items_checked", 0),
        ("lrutail_reflocked", 0),
        ("moves_to_cold", 0),
        ("moves_to_warm", 0),
        ("moves_within_lru", 0),
        ("direct_reclaims", 0),
        ("hits_to_hot", 0),
        ("hits_to_warm", 0),
        ("hits_to_cold", 0),
        ("hits_to_temp", 0),
    ];
    for (name, value) in rows {
        response::write_stat(text, &format!("items:{class}:{name}"), &value.to_string());
    }
}

/// The reply to `stats slabs`: size classes as if they were slabs without a free chunk.
pub(super) fn slabs(report: Option<&Report>) -> Vec<u8> {
    /// What memcached calls a page.
    const PAGE: u64 = 1 << 20;
    let mut text = Vec::with_capacity(2048);
    let (mut active, mut bytes) = (0_u64, 0);
    if let Some(Report::Classes(classes)) = report {
        for (class, totals) in classes.iter().filter(|(_, totals)| totals.number > 0) {
            active += 1;
            bytes += totals.bytes;
            let per_page = (PAGE / totals.size_max.max(1)).max(1);
            let rows = [
                ("chunk_size", totals.size_max),
                ("chunks_per_page", per_page),
                ("total_pages", totals.number.div_ceil(per_page)),
                ("total_chunks", totals.number),
                ("used_chunks", totals.number),
                ("free_chunks", 0),
                ("free_chunks_end", 0),
                ("get_hits", totals.get_hits),
                ("cmd_set", totals.cmd_set),
                ("delete_hits", totals.delete_hits),
                ("incr_hits", totals.incr_hits),
                ("decr_hits", totals.decr_hits),
                ("cas_hits", totals.cas_hits),
                ("cas_badval", totals.cas_badval),
                ("touch_hits", totals.touch_hits),
            ];
            for (name, value) in rows {
                response::write_stat(&mut text, &format!("{class}:{name}"), &value.to_string());
            }
        }
    }
    response::write_stat(&mut text, "active_slabs", &active.to_string());
    response::write_stat(&mut text, "total_malloced", &bytes.to_string());
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
