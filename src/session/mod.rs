//! One conversation, without its socket: input cut into frames, replies put in the order of their requests, and all
//! that a request may have to wait for.
//!
//! The session decides nothing about items and owns no shard; `engine` runs it.

pub mod batch;
pub mod framing;
pub mod gather;
pub mod letter;
pub mod multiget;
pub mod report;
pub mod slots;
pub mod stream;

use std::collections::VecDeque;

use crate::auth::scram::Exchange;
use crate::limits::{HELD_BACK_MAX, INPUT_BACKLOG_MAX, OUTPUT_BACKLOG_MAX, OUTSTANDING_PER_CONNECTION_MAX};
use crate::session::framing::Framing;
use crate::session::gather::Gather;
use crate::session::letter::Letter;
use crate::session::multiget::MultiGet;
use crate::session::slots::{SlotNumber, Slots};
use crate::session::stream::{Dump, Watching};
use crate::terms::ShardId;

/// The state of one conversation.
#[derive(Debug)]
pub struct Session {
    /// Cuts the input.
    pub framing: Framing,
    /// Orders the replies.
    pub slots: Slots,
    /// Input that could not be used yet: an unfinished line or small value, or more requests than may run now.
    pub pending: Vec<u8>,
    /// Requests in letters under way for this conversation, those without a reply included.
    outstanding: usize,
    /// Requests of this conversation that have come home in letters so far.
    home: u64,
    /// While replies are held back: they are sent when so many requests have come home.
    pub held_until: Option<u64>,
    /// Letters that wait for a credit, or in strict order for the letters before them. Nothing runs behind them.
    pub parked: VecDeque<Box<Letter>>,
    /// The owner that the last letter went to.
    pub last_owner: ShardId,
    /// A multi-get in progress. Nothing runs behind it.
    pub multiget: Option<Box<MultiGet>>,
    /// A request to all cores in progress. Nothing runs behind it.
    pub gather: Option<Box<Gather>>,
    /// A reply that waits for everything before it. Nothing runs behind it.
    pub fence: Option<Fence>,
    /// A dump of keys in progress. Nothing runs behind it.
    pub dump: Option<Box<Dump>>,
    /// A value that arrives and has no memory. Nothing is read behind it.
    pub memory_wait: Option<MemoryWait>,
    /// The conversation only receives events; nothing it sends is looked at.
    pub watch: Option<Box<Watching>>,
    /// Reply bytes handed to the driver that it has not sent yet.
    pub unsent: usize,
    /// The client will send nothing more.
    pub input_over: bool,
    /// An attempt to authenticate that takes further messages.
    pub exchange: Option<Box<Exchange>>,
    /// Attempts to authenticate that have failed.
    pub failed_attempts: u8,
    /// No further request is run; the conversation ends when the replies to those before are sent.
    pub closing: bool,
}

/// A reply that is given when all requests before it have been carried out, those without a reply too.
#[derive(Debug)]
pub struct Fence {
    /// Its place.
    pub slot: SlotNumber,
    /// The reply.
    pub reply: Box<[u8]>,
}

/// How a value waits that arrives and has no memory.
#[derive(Clone, Copy, Debug)]
pub struct MemoryWait {
    /// Bytes of the value that had arrived.
    pub arrived: usize,
    /// When it is given up if no more has by then, in milliseconds of the monotonic clock.
    pub until_ms: u64,
    /// Whether it waits now, and is not being tried again.
    pub is_on: bool,
}

impl Session {
    /// A conversation at its start, cut by `framing`.
    pub fn new(framing: Framing) -> Self {
        Self {
            framing,
            slots: Slots::default(),
            pending: Vec::new(),
            outstanding: 0,
            home: 0,
            held_until: None,
            parked: VecDeque::new(),
            last_owner: ShardId(0),
            multiget: None,
            gather: None,
            fence: None,
            dump: None,
            memory_wait: None,
            watch: None,
            unsent: 0,
            input_over: false,
            exchange: None,
            failed_attempts: 0,
            closing: false,
        }
    }

    /// Whether the next request may run now. If not, something will come that changes it: a letter home, a credit, or
    /// the driver's word that it has sent what it was given.
    #[inline]
    pub fn may_run(&self) -> bool {
        !self.closing
            && self.parked.is_empty()
            && self.multiget.is_none()
            && self.gather.is_none()
            && self.fence.is_none()
            && self.dump.is_none()
            && self.watch.is_none()
            && !self.waits_for_memory()
            && self.outstanding < OUTSTANDING_PER_CONNECTION_MAX
            && self.has_room()
    }

    /// Whether the next request may run now, of a conversation whose last request only wrote a reply.
    #[inline]
    pub const fn has_room(&self) -> bool {
        self.backlog() < OUTPUT_BACKLOG_MAX
    }

    /// Whether a value waits for memory.
    #[inline]
    pub fn waits_for_memory(&self) -> bool {
        self.memory_wait.is_some_and(|wait| wait.is_on)
    }

    /// Reply bytes that the client has not been sent, wherever they wait.
    #[inline]
    pub const fn backlog(&self) -> usize {
        self.slots.buffered() + self.unsent
    }

    /// Notes that requests are under way.
    pub const fn post(&mut self, requests: usize) {
        self.outstanding += requests;
    }

    /// Notes that requests have come home.
    pub const fn take_home(&mut self, requests: usize) {
        self.outstanding -= requests;
        self.home += requests as u64;
    }

    /// Requests under way.
    pub const fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Whether there is something to be sent now. Little of it waits for the letters that are under way when it is ready, so
    /// that a pipeline or a retrieval is answered by one send: that costs more than all else of the way to another core and
    /// home, which takes microseconds. It does not wait for what is posted later, or a client that always has something
    /// under way would hear nothing for long.
    pub fn is_to_be_sent(&mut self) -> bool {
        let ready = self.slots.out().len();
        if ready == 0 || ready >= HELD_BACK_MAX || self.outstanding == 0 {
            return ready > 0;
        }
        self.home >= *self.held_until.get_or_insert(self.home + self.outstanding as u64)
    }

    /// Whether nothing is under way for this conversation.
    pub fn is_idle(&self) -> bool {
        self.outstanding == 0
            && self.parked.is_empty()
            && self.multiget.is_none()
            && self.gather.is_none()
            && self.dump.is_none()
    }

    /// Whether the conversation is over and everything has been sent.
    pub fn is_finished(&self) -> bool {
        self.closing && self.is_idle() && self.backlog() == 0
    }

    /// Whether the socket should be read. `runs_later` says that the session has requests waiting for their turn.
    pub fn wants_input(&self, runs_later: bool) -> bool {
        let stuck = runs_later || !self.may_run();
        let full = stuck && self.pending.len() > INPUT_BACKLOG_MAX;
        !(self.closing || self.input_over || full)
    }

    /// Ends the conversation: no further request is run, those under way are answered.
    pub fn close(&mut self) {
        self.closing = true;
        // Of a dump no more is asked for, and nobody watches any more.
        self.dump = None;
        self.watch = None;
        self.pending = Vec::new();
    }
}
