//! What goes in and out through the door.

use std::sync::Arc;

use bytes::Bytes;

use super::items::Place;
use crate::memory::{Budget, LargeValue};
use crate::terms::{Arithmetic, CasUnique, Deadline, Flags, Key, KeyHash, Marks, ShardId, StoreMode};

/// What a shard is made from.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// This shard's number. CAS uniques of shard `id` are `id + 1 + n * shards`, so no two shards hand out the same.
    pub id: ShardId,
    /// How many shards the process has.
    pub shards: u16,
    /// What all shards take their memory from: items, index, large values, bookkeeping.
    pub budget: Arc<Budget>,
    /// Largest value in bytes (`-I`).
    pub item_size_max: usize,
    /// Whether a full shard evicts (`false` with `-M`).
    pub evict: bool,
    /// Whether items have CAS uniques (`false` with `-C`: all are 0).
    pub cas: bool,
    /// Whether items lie on huge pages (`-L`).
    pub huge_pages: bool,
    /// The key of the index hash.
    pub hash_seed: [u64; 2],
}

/// A value on its way in.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// Bytes to copy.
    Slice(&'a [u8]),
    /// Memory that becomes the item's, without a copy.
    Large(LargeValue),
}

impl Incoming<'_> {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Slice(bytes) => bytes,
            Self::Large(value) => value.bytes(),
        }
    }
}

/// A value on its way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// Bytes in the shard's memory, to be copied into the reply.
    Inline(&'a [u8]),
    /// Reference-counted memory: a reply clones the handle and sends it without a copy.
    Shared(&'a Bytes),
}

impl<'a> Value<'a> {
    /// Bytes of the value.
    pub fn len(self) -> usize {
        self.as_bytes().len()
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::Inline(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// A stored item as a reader sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Item<'a> {
    /// The value.
    pub value: Value<'a>,
    /// The client's flags.
    pub flags: Flags,
    /// The version; 0 with `-C`.
    pub cas: CasUnique,
    /// When it dies.
    pub deadline: Deadline,
    /// What the protocol remembers of it.
    pub marks: Marks,
    /// Whether somebody has fetched it since it was stored.
    pub fetched: bool,
    /// Seconds since it was last fetched, touched or stored; beyond 9 hours to about 4 minutes.
    pub idle_s: u32,
    /// Its size class, for reports.
    pub class: u8,
    /// Bytes of it in the store, key and value included.
    pub size: usize,
}

/// What a look-up found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lookup<'a> {
    /// A live item.
    Hit(Item<'a>),
    /// Nothing.
    Miss,
    /// An item whose time had come; its memory is taken back.
    Expired,
    /// An item that a `flush_all` killed; its memory is taken back.
    Flushed,
}

/// Where a live item is. Good until the next call that changes the shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    pub(super) place: Place,
    pub(super) hash: KeyHash,
}

/// What a key is looked up by: its hash, and perhaps where [`Shard::look_ahead`](super::Shard::look_ahead) has seen it.
#[derive(Clone, Copy, Debug)]
pub struct Sought {
    pub(super) hash: KeyHash,
    /// Good as long as the shard has counted no more `moves` than these; what lies there may be another key's.
    pub(super) place: Place,
    pub(super) moves: u64,
}

impl Sought {
    /// Nothing but a hash.
    pub const fn new(hash: KeyHash) -> Self {
        Self { hash, place: 0, moves: u64::MAX }
    }

    /// The hash.
    #[inline]
    pub const fn hash(self) -> KeyHash {
        self.hash
    }
}

impl From<KeyHash> for Sought {
    #[inline]
    fn from(hash: KeyHash) -> Self {
        Self::new(hash)
    }
}

/// What a search found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Search {
    /// A live item.
    Hit(Found),
    /// Nothing.
    Miss,
    /// An item whose time had come; its memory is taken back.
    Expired,
    /// An item that a `flush_all` killed; its memory is taken back.
    Flushed,
}

/// There is no memory for a change, and nothing may be evicted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// Where memory for a value that arrives comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// It is there.
    Here,
    /// All shards have been asked for it.
    Asked,
}

/// A CAS unique for a changed item.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum NewCas {
    /// As it is.
    #[default]
    Keep,
    /// The shard's next.
    Next,
    /// The client's (meta flag `E`).
    Explicit(CasUnique),
}

/// What is to be changed of an item; nothing by default.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Change {
    /// When it dies from now on.
    pub deadline: Option<Deadline>,
    /// What the protocol remembers of it from now on.
    pub marks: Option<Marks>,
    /// The client's flags from now on.
    pub flags: Option<Flags>,
    /// Whether the value goes, so that 0 bytes are left.
    pub clear_value: bool,
    /// The version.
    pub cas: NewCas,
}

/// A storage request.
#[derive(Debug)]
pub struct StoreRequest<'a> {
    /// How what is there is treated.
    pub mode: StoreMode,
    /// Under which key.
    pub key: Key<'a>,
    /// What [`Shard::hash`](super::Shard::hash) gives for it.
    pub hash: KeyHash,
    /// The client's flags.
    pub flags: Flags,
    /// When the item dies.
    pub deadline: Deadline,
    /// The value.
    pub value: Incoming<'a>,
    /// Store only over an item of this version (meta flag `C`, a binary header's CAS). With `Set` and `Replace` a
    /// missing item is `NotFound`; with `Append` and `Prepend` it is `NotStored`; `Add` does not look at it.
    pub compare: Option<CasUnique>,
    /// The version to give the item instead of the shard's next (meta flag `E`).
    pub cas: Option<CasUnique>,
    /// With `compare` and `Set`: a version older than the item's is stored all the same, but as stale, with the old
    /// deadline and win (meta flag `I`).
    pub stale_if_older: bool,
    /// With `Append` and `Prepend`: what is missing is stored with this deadline (meta flag `N`).
    pub vivify: Option<Deadline>,
    /// Whether the key was given in base64.
    pub key_is_binary: bool,
}

impl<'a> StoreRequest<'a> {
    /// A plain request: nothing to compare, no version given.
    pub const fn new(
        mode: StoreMode,
        key: Key<'a>,
        hash: KeyHash,
        flags: Flags,
        deadline: Deadline,
        value: Incoming<'a>,
    ) -> Self {
        Self {
            mode,
            key,
            hash,
            flags,
            deadline,
            value,
            compare: None,
            cas: None,
            stale_if_older: false,
            vivify: None,
            key_is_binary: false,
        }
    }
}

/// What became of a storage request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreOutcome {
    /// Stored.
    Stored {
        /// The item's version; 0 with `-C`.
        cas: CasUnique,
        /// The length of the item's value, what was there before an `Append` included.
        len: usize,
    },
    /// `Add` found an item; `Replace`, `Append`, `Prepend` found none.
    NotStored,
    /// Another version is there.
    Exists,
    /// There is no item whose version could be compared.
    NotFound,
    /// Does not fit the limits of an item; after `Set` the old item under the key is gone.
    TooLarge,
    /// No memory and nothing may be evicted; after `Set` the old item under the key is gone.
    OutOfMemory,
}

/// An `incr` or `decr`.
#[derive(Clone, Copy, Debug)]
pub struct ArithmeticRequest<'a> {
    /// Under which key.
    pub key: Key<'a>,
    /// What [`Shard::hash`](super::Shard::hash) gives for it.
    pub hash: KeyHash,
    /// Up or down.
    pub direction: Arithmetic,
    /// By how much.
    pub delta: u64,
    /// Compute only with an item of this version.
    pub compare: Option<CasUnique>,
    /// The version to give the item instead of the shard's next.
    pub cas: Option<CasUnique>,
    /// When the item dies from now on.
    pub deadline: Option<Deadline>,
    /// The number and deadline of the item to make if there is none. The delta is not applied then.
    pub create: Option<(u64, Deadline)>,
    /// Whether the key was given in base64.
    pub key_is_binary: bool,
}

impl<'a> ArithmeticRequest<'a> {
    /// A plain request.
    pub const fn new(key: Key<'a>, hash: KeyHash, direction: Arithmetic, delta: u64) -> Self {
        Self {
            key,
            hash,
            direction,
            delta,
            compare: None,
            cas: None,
            deadline: None,
            create: None,
            key_is_binary: false,
        }
    }
}

/// What became of `incr` and `decr`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArithmeticOutcome {
    /// Done.
    Value {
        /// The new number.
        number: u64,
        /// The item's new version.
        cas: CasUnique,
        /// When it dies.
        deadline: Deadline,
    },
    /// There was none, and one was made.
    Created {
        /// Its number.
        number: u64,
        /// Its version.
        cas: CasUnique,
        /// When it dies.
        deadline: Deadline,
    },
    /// No item.
    NotFound,
    /// Another version is there.
    Exists,
    /// The item's value is not a decimal number of 64 bits.
    NonNumeric,
    /// No memory for the new number; the old one stays.
    OutOfMemory,
}

/// How far a walk through a shard has come.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct WalkCursor {
    pub(super) region: usize,
    pub(super) slice: usize,
}

/// An item that was evicted, for whoever watches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Eviction {
    /// Its key.
    pub key: Box<[u8]>,
    /// Whether somebody had fetched it.
    pub fetched: bool,
    /// When it would have died.
    pub deadline: Deadline,
    /// Seconds since its last access.
    pub idle_s: u32,
    /// Its size class.
    pub class: u8,
    /// Bytes of it in the store.
    pub size: usize,
}

/// What the shard counts about its items; all since start or the last reset, except the gauges named so.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ShardStats {
    /// Gauge: items not yet reclaimed.
    pub curr_items: u64,
    /// Items ever stored.
    pub total_items: u64,
    /// Gauge: bytes of items, large values and index.
    pub bytes: u64,
    /// Gauge: this shard's share of the limit of all, in bytes.
    pub limit_maxbytes: u64,
    /// Gauge: bytes of the index.
    pub hash_bytes: u64,
    /// Gauge: the index has room for 2 to this power of entries.
    pub hash_power_level: u64,
    /// Live items pushed out for room.
    pub evictions: u64,
    /// Evicted items that nobody had fetched.
    pub evicted_unfetched: u64,
    /// Evicted items fetched within the last minute or so before.
    pub evicted_active: u64,
    /// Expired items taken back that nobody had fetched.
    pub expired_unfetched: u64,
    /// Dead items whose memory was taken back to make room for a new one.
    pub reclaimed: u64,
    /// Dead items taken back by the background sweep.
    pub crawler_reclaimed: u64,
    /// Items the background sweep has looked at.
    pub crawler_items_checked: u64,
}
