//! What travels between cores: a request on its way to the owner of its key, and the same letter on its way home with
//! the reply in it. The core that made a letter gets it back and uses its memory again.

use crate::memory::LargeValue;
use crate::metrics::{Counters, ItemTotals};
use crate::protocol::admin::{DumpRequest, WatchKinds};
use crate::protocol::binary::request::ItemRequest;
use crate::protocol::meta::{FlagSet, MetaRequest, Verb};
use crate::protocol::{Op, Output, Retrieval};
use crate::session::report::{Report, ReportKind};
use crate::session::slots::SlotNumber;
use crate::terms::{Exptime, FlushOrder, Key, ShardId};

/// A conversation on its core. The generation keeps a late reply from meeting the next connection in the same place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConnectionId {
    /// The place in the core's table of connections.
    pub index: u32,
    /// How often that place was used before.
    pub generation: u32,
}

/// What a letter asks of the core it is sent to.
#[derive(Clone, Copy, Debug)]
pub enum Task {
    /// One request; its key is the first `key_len` bytes of the letter's data, a small value the rest.
    One {
        /// What to do.
        op: Op,
        /// Length of the key.
        key_len: u8,
    },
    /// One packet of the binary dialect; key and value as above.
    Packet {
        /// What it asks for.
        request: ItemRequest,
        /// Length of the key.
        key_len: u8,
    },
    /// One meta request; the letter's data are its key, its flags, and a small value.
    Meta {
        /// Which.
        verb: Verb,
        /// The letters of its flags.
        set: FlagSet,
        /// Length of the key.
        key_len: u8,
        /// Length of the flags.
        flags_len: u16,
    },
    /// Gets of one pipeline, each of one key; the letter's data are their lines, classic or meta, of the plain kinds that a
    /// look-ahead understands.
    Gets {
        /// How many.
        count: u8,
    },
    /// Keys of a multi-get, as many as fit `reply_len_max` bytes of reply but at least one.
    Many {
        /// How to look them up.
        retrieval: Retrieval,
        /// Where to stop.
        reply_len_max: usize,
    },
    /// Give this flush its place in the order of all flushes (asked of shard 0).
    StampFlush(Exptime),
    /// Apply this flush.
    Flush(FlushOrder),
    /// Report counters.
    Totals,
    /// Report connections.
    Connections,
    /// Set counters to 0.
    ResetCounters,
    /// Report.
    Report(ReportKind),
    /// Count requests by prefix, or no more.
    Detail(bool),
    /// Show some of the shard's items; each core walks through once at a time.
    Dump {
        /// What to show; `items_max` is what is left of it.
        request: DumpRequest,
        /// Whether to begin at the beginning.
        is_first: bool,
        /// On the way home: whether these were the last.
        is_last: bool,
    },
    /// Keep lines for this connection, which watches.
    Watch {
        /// Of which events.
        kinds: WatchKinds,
        /// Whether to hand over those there are.
        takes: bool,
    },
    /// Use this much memory from now on, in bytes for all shards together.
    MemoryLimit(usize),
}

/// The counters of one core, on their way to the core that merges them.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Requests and connections.
    pub counters: Counters,
    /// Items.
    pub items: ItemTotals,
}

impl Totals {
    /// Adds those of another core.
    pub fn merge(&mut self, other: &Self) {
        self.counters.merge(&other.counters);
        self.items.merge(&other.items);
    }
}

/// A request on its way to another core, and its reply on its way home.
#[derive(Debug)]
pub struct Letter {
    /// The core that made it and waits for it.
    pub home: ShardId,
    /// The core it is for.
    pub to: ShardId,
    /// The conversation it belongs to.
    pub connection: ConnectionId,
    /// Where the reply goes; `None` if nobody wants it.
    pub slot: Option<SlotNumber>,
    /// What is asked.
    pub task: Task,
    /// Key and small value, or keys, each with its length before it.
    pub data: Vec<u8>,
    /// A large value.
    pub value: Option<LargeValue>,
    /// The reply.
    pub reply: Output,
    /// Of gets and of a multi-get: the length of each answered key's part of the reply.
    pub pieces: Vec<usize>,
    /// The answer to [`Task::Totals`].
    pub totals: Option<Box<Totals>>,
    /// The answer to [`Task::Report`].
    pub report: Option<Box<Report>>,
    /// The descriptor of the connection, for who watches.
    pub descriptor: i32,
}

impl Letter {
    /// An empty letter.
    pub fn new(home: ShardId) -> Box<Self> {
        Box::new(Self {
            home,
            to: home,
            connection: ConnectionId { index: 0, generation: 0 },
            slot: None,
            task: Task::Totals,
            data: Vec::new(),
            value: None,
            reply: Output::default(),
            pieces: Vec::new(),
            totals: None,
            report: None,
            descriptor: 0,
        })
    }

    /// Requests that it carries.
    pub const fn requests(&self) -> usize {
        match self.task {
            Task::Gets { count } => count as usize,
            _ => 1,
        }
    }

    /// Whether it asks for no more than items. All else is the owner's itself to do, which knows its connections.
    pub const fn is_about_items(&self) -> bool {
        matches!(
            self.task,
            Task::One { .. } | Task::Packet { .. } | Task::Meta { .. } | Task::Gets { .. } | Task::Many { .. }
        )
    }

    /// Begins the data with the key of a single request. Its length.
    #[expect(clippy::cast_possible_truncation, reason = "a key's length fits a byte (limits.rs)")]
    pub fn put_key(&mut self, key: Key<'_>) -> u8 {
        self.data.extend_from_slice(key.as_bytes());
        key.as_bytes().len() as u8
    }

    /// Writes a meta request with this key; a small value may be added to the data.
    pub fn put_meta(&mut self, request: &MetaRequest<'_>, key: Key<'_>) {
        let text = request.flags.text();
        let key_len = self.put_key(key);
        #[expect(clippy::cast_possible_truncation, reason = "lines are that short (limits.rs)")]
        let flags_len = text.len() as u16;
        self.task = Task::Meta { verb: request.verb, set: request.flags.set(), key_len, flags_len };
        self.data.extend_from_slice(text);
    }

    /// Adds a key to a letter of many.
    pub fn push_key(&mut self, key: Key<'_>) {
        let bytes = key.as_bytes();
        #[expect(clippy::cast_possible_truncation, reason = "a key's length fits a byte (limits.rs)")]
        self.data.push(bytes.len() as u8);
        self.data.extend_from_slice(bytes);
    }

    /// Empties the letter and keeps its memory, as far as that is of a usual size.
    pub fn recycle(&mut self) {
        const DATA_KEPT_MAX: usize = 4 << 10;
        const REPLY_KEPT_MAX: usize = 16 << 10;
        self.data.clear();
        if self.data.capacity() > DATA_KEPT_MAX {
            self.data = Vec::new();
        }
        self.value = None;
        self.reply.clear();
        self.reply.shrink(REPLY_KEPT_MAX);
        self.pieces.clear();
        self.totals = None;
        self.report = None;
    }
}

/// The keys of a letter of many, from its data.
#[derive(Clone, Debug)]
pub struct PackedKeys<'a>(pub &'a [u8]);

impl<'a> Iterator for PackedKeys<'a> {
    type Item = Key<'a>;

    fn next(&mut self) -> Option<Key<'a>> {
        let (&len, rest) = self.0.split_first()?;
        let (key, rest) = rest.split_at_checked(usize::from(len))?;
        self.0 = rest;
        Key::new(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_out_of_a_letter_as_they_went_in() {
        let mut letter = Letter::new(ShardId(0));
        let keys = [b"a".to_vec(), vec![b'k'; 250], b"\x00\x01".to_vec()];
        for key in &keys {
            letter.push_key(Key::new(key).unwrap());
        }
        let found: Vec<_> = PackedKeys(&letter.data).map(|key| key.as_bytes().to_vec()).collect();
        assert_eq!(found, keys);
    }
}
