//! What is said on one connection: a stream of replies in order, or datagrams that find their requests by a number.

use crate::conversation::{Conversation, Manner, Reply, Violation};
use crate::worker::datagrams::Datagrams;
use crate::workload::keyspace::Keyspace;
use crate::workload::source::Request;

pub(crate) enum Talk {
    Stream(Conversation),
    Datagrams(Datagrams),
}

impl Talk {
    pub(crate) fn new(manner: Manner, is_udp: bool) -> Talk {
        if is_udp { Talk::Datagrams(Datagrams::new(manner)) } else { Talk::Stream(Conversation::new(manner)) }
    }

    /// How many requests wait for their replies.
    pub(crate) fn outstanding(&self) -> usize {
        match self {
            Talk::Stream(conversation) => conversation.outstanding(),
            Talk::Datagrams(datagrams) => datagrams.outstanding(),
        }
    }

    /// How many replies are expected, those that only end batches among them.
    pub(crate) fn expected(&self) -> usize {
        match self {
            Talk::Stream(conversation) => conversation.expected(),
            Talk::Datagrams(datagrams) => datagrams.outstanding(),
        }
    }

    /// How many requests may go out in one piece.
    pub(crate) fn batch_max(&self) -> usize {
        match self {
            Talk::Stream(_) => usize::MAX,
            Talk::Datagrams(_) => 1,
        }
    }

    pub(crate) fn ask(&mut self, request: &Request, keys: &[u64], at: u64, keyspace: &Keyspace, out: &mut Vec<u8>) {
        match self {
            Talk::Stream(conversation) => conversation.ask(request, keys, at, keyspace, out),
            Talk::Datagrams(datagrams) => datagrams.ask(request, keys, at, keyspace, out),
        }
    }

    pub(crate) fn end_batch(&mut self, out: &mut Vec<u8>) {
        if let Talk::Stream(conversation) = self {
            conversation.end_batch(out);
        }
    }

    /// Sets the moment of the last `count` replies expected, which is when they are handed to the kernel.
    pub(crate) fn sent_at(&mut self, count: usize, at: u64) {
        match self {
            Talk::Stream(conversation) => conversation.mark_last(count, at),
            Talk::Datagrams(datagrams) => datagrams.sent_at(at),
        }
    }

    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        keyspace: &Keyspace,
        on_reply: &mut impl FnMut(Reply),
    ) -> Result<(), Violation> {
        match self {
            Talk::Stream(conversation) => conversation.receive(bytes, keyspace, on_reply),
            Talk::Datagrams(datagrams) => datagrams.receive(bytes, keyspace, on_reply),
        }
    }

    /// What was not found since the last time; only if the manner wants it.
    pub(crate) fn missed(&mut self) -> &mut Vec<Request> {
        match self {
            Talk::Stream(conversation) => &mut conversation.missed,
            Talk::Datagrams(datagrams) => &mut datagrams.missed,
        }
    }
}
