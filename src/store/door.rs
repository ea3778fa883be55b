//! What goes in and out of a [`Shard`]: requests, outcomes, items as readers see them; and the plain steps (find, look,
//! change, walk) that the meaning of richer requests is made of.

use bytes::Bytes;

use super::classes;
use super::item::Payload;
use super::shard::Shard;
use super::slots::SlotId;
use crate::terms::{Arithmetic, CasUnique, Deadline, Flags, Key, KeyHash, Now, StoreMode};

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

impl Value<'_> {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Inline(bytes) => bytes.len(),
            Self::Shared(bytes) => bytes.len(),
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What the protocol remembers about an item besides its value (PROTOCOL §4).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Marks {
    /// Invalidated, or stored with an older version.
    pub stale: bool,
    /// Somebody was told to fetch the value anew.
    pub won: bool,
    /// The key came in base64.
    pub key_is_binary: bool,
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
    /// What the protocol remembers.
    pub marks: Marks,
    /// Whether it was fetched or touched since it was stored.
    pub fetched: bool,
    /// Seconds since it was last fetched, touched or stored.
    pub idle_s: u32,
    /// Its size class, from 1; for reports only.
    pub class: u8,
    /// Bytes of the whole item in the store.
    pub size: usize,
}

/// Where a live item is. Good until the next call that changes the shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found(pub(super) SlotId);

/// What [`Shard::find`] found.
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

/// What [`Shard::get`] found.
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

/// The version after a change.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum NewCas {
    /// As before.
    #[default]
    Keep,
    /// A new one of the shard.
    Next,
    /// This one, chosen by the client.
    Explicit(CasUnique),
}

/// What [`Shard::change`] changes about an item.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Change {
    /// A new deadline.
    pub deadline: Option<Deadline>,
    /// New marks.
    pub marks: Option<Marks>,
    /// New client flags.
    pub flags: Option<Flags>,
    /// Whether the value is to be empty.
    pub clear_value: bool,
    /// The version.
    pub cas: NewCas,
}

/// There is no memory for a change; the item stays as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// A storage request.
#[derive(Debug)]
pub struct StoreRequest<'a> {
    /// How the present item is treated. `Cas` is `Replace` with `compare`, but a missing item is `NotFound`.
    pub mode: StoreMode,
    /// The key.
    pub key: Key<'a>,
    /// Its hash.
    pub hash: KeyHash,
    /// The client's flags.
    pub flags: Flags,
    /// When the item dies.
    pub deadline: Deadline,
    /// The value.
    pub value: Incoming<'a>,
    /// Store only over this version; ignored by `Add`.
    pub compare: Option<CasUnique>,
    /// The version to give, instead of the shard's next.
    pub cas: Option<CasUnique>,
    /// If `compare` is older than the present version, store all the same, but stale.
    pub stale_if_older: bool,
    /// `Append` and `Prepend` to nothing make an item with this deadline.
    pub vivify: Option<Deadline>,
    /// The key came in base64.
    pub key_is_binary: bool,
}

impl<'a> StoreRequest<'a> {
    /// A request without the finer points.
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
        /// The version it has now.
        cas: CasUnique,
        /// Length of the whole value, also after `Append` and `Prepend`.
        len: usize,
    },
    /// `Add` found an item; `Replace`, `Append`, `Prepend` found none.
    NotStored,
    /// There is another version.
    Exists,
    /// A version was to be compared, and there is no item.
    NotFound,
    /// Does not fit the limits of an item; after a plain `Set` the old item under the key is gone.
    TooLarge,
    /// No memory and nothing may be evicted; after a plain `Set` the old item under the key is gone.
    OutOfMemory,
}

/// A request that counts up or down.
#[derive(Clone, Copy, Debug)]
pub struct ArithmeticRequest<'a> {
    /// The key.
    pub key: Key<'a>,
    /// Its hash.
    pub hash: KeyHash,
    /// Up or down.
    pub direction: Arithmetic,
    /// By how much.
    pub delta: u64,
    /// Only this version.
    pub compare: Option<CasUnique>,
    /// The version to give, instead of the shard's next.
    pub cas: Option<CasUnique>,
    /// A new deadline of what is there.
    pub deadline: Option<Deadline>,
    /// If there is no item, make one with this number, to which nothing is added, and this deadline.
    pub create: Option<(u64, Deadline)>,
    /// The key came in base64.
    pub key_is_binary: bool,
}

impl<'a> ArithmeticRequest<'a> {
    /// A request without the finer points.
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

/// What became of a request that counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArithmeticOutcome {
    /// Counted.
    Value {
        /// The new number.
        number: u64,
        /// The version it has now.
        cas: CasUnique,
        /// When it dies.
        deadline: Deadline,
    },
    /// There was no item; now there is.
    Created {
        /// The number.
        number: u64,
        /// The version it has.
        cas: CasUnique,
        /// When it dies.
        deadline: Deadline,
    },
    /// No item.
    NotFound,
    /// There is another version.
    Exists,
    /// The item's value is not a decimal number of 64 bits.
    NonNumeric,
    /// No memory for the new number; the old one stays.
    OutOfMemory,
}

/// How far a walk through all items has come.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct WalkCursor(usize);

/// An item that was evicted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Eviction {
    /// Its key.
    pub key: Box<[u8]>,
    /// Whether anybody had fetched it.
    pub fetched: bool,
    /// When it would have died.
    pub deadline: Deadline,
    /// Seconds since it was last used.
    pub idle_s: u32,
    /// Its size class.
    pub class: u8,
    /// Its bytes.
    pub size: usize,
}

/// Evictions that nobody has asked for yet.
#[derive(Debug, Default)]
pub(super) struct EvictionLog {
    evictions: Vec<Eviction>,
    dropped: u64,
}

/// Evictions kept for whoever watches.
const EVICTIONS_KEPT_MAX: usize = 1024;

impl EvictionLog {
    pub(super) fn push(&mut self, eviction: Eviction) {
        if self.evictions.len() < EVICTIONS_KEPT_MAX {
            self.evictions.push(eviction);
        } else {
            self.dropped += 1;
        }
    }
}

/// How the items of one size class stand, and what became of those that were there.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ClassStats {
    /// The largest item of the class, in bytes.
    pub size_max: usize,
    /// Items.
    pub number: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Seconds since the oldest of them was used, as far as is known without looking at all.
    pub age_s: u32,
    /// Evicted.
    pub evicted: u64,
    /// Evicted though they had an exptime.
    pub evicted_nonzero: u64,
    /// Evicted that nobody had fetched.
    pub evicted_unfetched: u64,
    /// Evicted within a minute of their last use.
    pub evicted_active: u64,
    /// Seconds since the last evicted one was used.
    pub evicted_time: u32,
    /// Expired that nobody had fetched.
    pub expired_unfetched: u64,
    /// Dead ones taken back to make room.
    pub reclaimed: u64,
    /// Dead ones taken back in the background.
    pub crawler_reclaimed: u64,
}

/// Places looked at in one step of a walk.
const WALK_STEP: usize = 100;
/// Items looked at for the oldest of each class.
const AGE_LOOKS: usize = 1000;

impl Shard {
    /// Looks for a live item, which counts as no use. A dead one is taken back.
    #[inline]
    pub fn find(&mut self, key: Key<'_>, hash: KeyHash, now: Now) -> Search {
        match self.find_live(key, hash, now) {
            Ok(id) => Search::Hit(Found(id)),
            Err(Lookup::Expired) => Search::Expired,
            Err(Lookup::Flushed) => Search::Flushed,
            Err(_) => Search::Miss,
        }
    }

    /// A found item.
    #[inline]
    pub fn item(&self, found: Found, now: Now) -> Item<'_> {
        self.view(found.0, now)
    }

    /// A use of a found item: eviction spares it for a while, it counts as fetched, and as accessed now.
    #[inline]
    pub fn mark_used(&mut self, found: Found, now: Now) {
        self.mark_fetched(found.0, now);
    }

    /// Changes a found item.
    ///
    /// # Errors
    /// [`OutOfMemory`] if an empty value finds no room; nothing is changed then.
    pub fn change(&mut self, found: Found, change: Change, now: Now) -> Result<Found, OutOfMemory> {
        let id = found.0;
        if change.clear_value {
            let key_len = self.items.get(id).payload.key().len();
            self.change_payload(id, Payload::charge_for(key_len, 0), now, |old| (old.emptied(), Some(old)))
                .map_err(|_| OutOfMemory)?;
        }
        match change.cas {
            NewCas::Keep => {}
            NewCas::Next => {
                self.births += 1;
                self.items.get_mut(id).cas = self.cas_of(self.births);
            }
            NewCas::Explicit(cas) => self.assign_cas(id, Some(cas)),
        }
        let item = self.items.get_mut(id);
        item.deadline = change.deadline.unwrap_or(item.deadline);
        item.marks = change.marks.unwrap_or(item.marks);
        item.flags = change.flags.unwrap_or(item.flags);
        Ok(found)
    }

    /// Removes a found item.
    pub fn remove(&mut self, found: Found) {
        self.items.remove(found.0);
    }

    /// One bounded step through all live items; gives the cursor for the next step, if there is one. Items that are
    /// there from the first step to the last are seen once, unless the tables shrink in between.
    pub fn walk(&self, cursor: WalkCursor, now: Now, mut each: impl FnMut(Key<'_>, &Item<'_>)) -> Option<WalkCursor> {
        let end = self.items.walk(cursor.0, WALK_STEP, |id| {
            let item = self.items.get(id);
            if self.flushes.is_live(item, self.births, now)
                && let Some(key) = Key::new(item.payload.key())
            {
                each(key, &self.view(id, now));
            }
        });
        end.map(WalkCursor)
    }

    /// Whether evictions are kept for [`Shard::drain_evictions`].
    pub fn watch_evictions(&mut self, on: bool) {
        self.eviction_log = on.then(|| self.eviction_log.take().unwrap_or_default());
    }

    /// Hands over the evictions since the last call, and tells how many more there were.
    pub fn drain_evictions(&mut self, mut each: impl FnMut(&Eviction)) -> u64 {
        let Some(log) = &mut self.eviction_log else { return 0 };
        log.evictions.drain(..).for_each(|eviction| each(&eviction));
        std::mem::take(&mut log.dropped)
    }

    /// The classes that have items, or have had.
    pub fn class_stats(&self, now: Now) -> Vec<(u8, ClassStats)> {
        let mut all = self.class_counters;
        for (class, (number, bytes)) in self.items.class_tallies() {
            let stats = &mut all[usize::from(class)];
            (stats.number, stats.bytes, stats.size_max) = (number, bytes, classes::size_max(class));
        }
        for id in self.items.oldest_first().take(AGE_LOOKS) {
            let item = self.view(id, now);
            let stats = &mut all[usize::from(item.class)];
            stats.age_s = stats.age_s.max(item.idle_s);
        }
        let numbered = (0_u8..).zip(all);
        numbered
            .filter(|(_, stats)| *stats != ClassStats { size_max: stats.size_max, ..ClassStats::default() })
            .collect()
    }

    /// How many items there are of each size, in steps of 32 bytes. Looks at every item.
    pub fn size_histogram(&self) -> Vec<(usize, u64)> {
        let mut histogram = std::collections::BTreeMap::new();
        for size in self.items.sizes() {
            *histogram.entry(size.next_multiple_of(32)).or_insert(0) += 1;
        }
        histogram.into_iter().collect()
    }
}
