//! One connection of a worker.

use std::collections::VecDeque;

use ringcached_ring::ConnId;

use crate::conversation::Manner;
use crate::worker::talk::Talk;
use crate::workload::source::Request;

pub(super) struct Lane {
    pub(super) id: ConnId,
    pub(super) talk: Talk,
    /// Requests that follow from replies: the store after a miss, the swap after a gets.
    pub(super) followups: VecDeque<Request>,
    pub(super) is_alive: bool,
    /// Listed in `ready`, since this moment.
    pub(super) is_ready: bool,
    pub(super) ready_at: u64,
    /// It thinks until then.
    pub(super) wakes_at: u64,
    /// When it was last heard of, or asked something while nothing was due.
    pub(super) waits_since: u64,
}

impl Lane {
    pub(super) fn new(id: ConnId, manner: Manner, is_udp: bool) -> Lane {
        Lane {
            id,
            talk: Talk::new(manner, is_udp),
            followups: VecDeque::new(),
            is_alive: true,
            is_ready: false,
            ready_at: 0,
            wakes_at: 0,
            waits_since: 0,
        }
    }
}
