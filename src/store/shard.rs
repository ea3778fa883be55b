//! The door to one core's items.

use bytes::Bytes;

use crate::terms::{Arithmetic, CasUnique, Deadline, Flags, FlushOrder, Key, KeyHash, Now, ShardId, StoreMode};

/// What a shard is made from.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// This shard's number. CAS uniques of shard `id` are `id + 1 + n * shards`, so no two shards hand out the same.
    pub id: ShardId,
    /// How many shards the process has.
    pub shards: u16,
    /// Bytes this shard may use: items, index, bookkeeping.
    pub memory_limit: usize,
    /// Largest value in bytes (`-I`).
    pub item_size_max: usize,
    /// Whether a full shard evicts (`false` with `-M`).
    pub evict: bool,
    /// Whether items have CAS uniques (`false` with `-C`: all are 0).
    pub cas: bool,
    /// The key of the index hash.
    pub hash_seed: [u64; 2],
}

/// A value on its way in.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// Bytes to copy.
    Slice(&'a [u8]),
    /// Memory that becomes the item's, without a copy.
    Shared(Bytes),
}

/// A value on its way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// Bytes in the shard's memory, to be copied into the reply.
    Inline(&'a [u8]),
    /// Reference-counted memory: a reply clones the handle and sends it without a copy.
    Shared(&'a Bytes),
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

/// What became of a storage request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreOutcome {
    /// Stored, with this version.
    Stored(CasUnique),
    /// `Add` found an item; `Replace`, `Append`, `Prepend` found none.
    NotStored,
    /// `Cas` found another version.
    Exists,
    /// `Cas` found no item.
    NotFound,
    /// Does not fit the limits of an item; the old item under the key is gone.
    TooLarge,
    /// No memory and nothing may be evicted; the old item under the key is gone.
    OutOfMemory,
}

/// What became of `incr` and `decr`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArithmeticOutcome {
    /// The new number, with the item's new version.
    Value(u64, CasUnique),
    /// No item.
    NotFound,
    /// The item's value is not a decimal number of 64 bits.
    NonNumeric,
    /// No memory for the new number.
    OutOfMemory,
}

/// What the shard counts about its items; all since start or the last reset, except the gauges named so.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ShardStats {
    /// Gauge: live and not yet reclaimed items.
    pub curr_items: u64,
    /// Items ever stored.
    pub total_items: u64,
    /// Gauge: bytes that count against the limit, index included.
    pub bytes: u64,
    /// Gauge: the limit, in bytes.
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

/// One core's items, bounded by their memory limit.
#[derive(Debug)]
pub struct Shard {}
