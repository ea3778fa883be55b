//! The door to one core's items.

use std::io;

use super::class::{ClassStats, class_of};
use super::door::{
    Eviction, Found, Item, Lookup, OutOfMemory, Search, ShardConfig, ShardStats, Sought, Value, WalkCursor,
};
use super::expiry::{Flushes, Life};
use super::hash::siphash13;
use super::index::SLICES;
use super::item::{Header, ItemView};
use super::items::{Cursor, Items, Place};
use super::policy::{Policy, Queue};
use super::reclaim::{Death, Emptying, Purpose};
use crate::memory::LargeMemory;
use crate::terms::{CasUnique, Deadline, Flags, FlushOrder, Key, KeyHash, Now};

/// A step of a walk ends behind this many items, or this many parts of the index.
const WALK_ITEMS: usize = 100;
const WALK_SLICES: usize = 64;

/// One core's items, bounded by the budget that all shards share.
///
/// What the shard takes of the budget never brings that above its limit, except for what tables take for a moment while
/// they grow, and after the limit has come down.
#[derive(Debug)]
pub struct Shard {
    pub(super) config: ShardConfig,
    pub(super) items: Items,
    pub(super) policy: Policy,
    pub(super) flushes: Flushes,
    /// Counters only; the gauges are read off when asked for.
    pub(super) counters: ShardStats,
    /// Writes so far: the age of items, and what CAS uniques are made of.
    pub(super) births: u64,
    pub(super) emptying: Emptying,
    /// Whether memory has run out once: room is made ahead of its need.
    pub(super) is_full: bool,
    /// Whether memory is being given back, for which items may be evicted even with `-M`.
    pub(super) sheds: bool,
    /// The segment whose access stamps are looked at next, and the region of the index that may shrink next.
    pub(super) aging: u32,
    pub(super) shrink_at: usize,
    pub(super) watches_evictions: bool,
    pub(super) evicted: Vec<Eviction>,
    pub(super) evicted_unseen: u64,
    /// What of the budget is taken for the policy's tables.
    charged_policy: usize,
}

impl Shard {
    /// An empty shard. Fails where the kernel gives no address space.
    pub fn new(config: ShardConfig) -> io::Result<Self> {
        let share = config.budget.limit() / usize::from(config.shards.max(1));
        let items = Items::new(config.budget.clone(), share, config.huge_pages)?;
        let policy = Policy::new(share);
        let mut shard = Self {
            config,
            items,
            policy,
            flushes: Flushes::default(),
            counters: ShardStats::default(),
            births: 0,
            emptying: Emptying { purpose: Purpose::Evict, kept: 0 },
            is_full: false,
            sheds: false,
            aging: 0,
            shrink_at: 0,
            watches_evictions: false,
            evicted: Vec::new(),
            evicted_unseen: 0,
            charged_policy: 0,
        };
        shard.settle_policy();
        Ok(shard)
    }

    /// The index's hash of a key: keyed, so that no client can choose keys that collide.
    #[inline]
    pub fn hash(&self, key: Key<'_>) -> KeyHash {
        KeyHash(siphash13(self.config.hash_seed, key.as_bytes()))
    }

    /// Brings the items of a few keys near the CPU, before they are looked up one by one, and notes where they may be.
    pub fn look_ahead(&self, keys: &mut [Sought]) {
        self.items.look_ahead(keys);
    }

    /// Where memory for large values comes from while they arrive on this core.
    pub const fn large_memory(&mut self) -> &mut LargeMemory {
        &mut self.items.large_memory
    }

    /// Values longer than this live in memory of their own.
    pub fn inline_value_len_max(&self) -> usize {
        self.items.inline_value_len_max()
    }

    /// Looks for an item. That is no use of it; one that is dead is taken back.
    #[inline]
    pub fn find(&mut self, key: Key<'_>, hash: KeyHash, now: Now) -> Search {
        let place = self.items.find(key, hash);
        self.found(place, hash, now)
    }

    /// The same for a key that may have been looked at ahead.
    #[inline]
    pub fn find_sought(&mut self, key: Key<'_>, sought: Sought, now: Now) -> Search {
        let place = self.items.find_sought(key, sought);
        self.found(place, sought.hash, now)
    }

    #[inline(always)]
    fn found(&mut self, place: Option<Place>, hash: KeyHash, now: Now) -> Search {
        self.flushes.carry_out_due(self.births, now);
        let Some(place) = place else { return Search::Miss };
        let death = match self.life(place, now) {
            Life::Live => return Search::Hit(Found { place, hash }),
            Life::Expired => Search::Expired,
            Life::Flushed => Search::Flushed,
        };
        self.bury(place, hash, Death::ByRequest, now);
        death
    }

    /// The item that was found.
    #[inline]
    pub fn item(&self, found: Found, now: Now) -> Item<'_> {
        let item = self.items.view(found.place);
        self.shown(found.place, item, item.header(), self.items.size(item), now)
    }

    /// Uses an item that is not stale, and gives it as it stood before. Its use does not count (as of
    /// [`Shard::mark_used`]) if it is a `peek`. `None` is a stale one, and nothing has been done: what is to be done with
    /// it depends on who asks.
    #[inline(always)]
    pub fn use_fresh(&mut self, found: Found, is_peek: bool, now: Now) -> Option<Item<'_>> {
        let item = self.items.view(found.place);
        let (header, size) = (item.header(), self.items.size(item));
        if header.marks().stale {
            return None;
        }
        if !is_peek {
            self.mark(found.place, header, size, now);
        }
        Some(self.shown(found.place, self.items.view(found.place), header, size, now))
    }

    /// An item of this size that has, or had, this header.
    #[inline(always)]
    fn shown<'a>(&'a self, place: Place, item: ItemView<'a>, header: Header, size: usize, now: Now) -> Item<'a> {
        Item {
            value: self.value(item),
            flags: item.flags(),
            cas: self.cas_of_item(place, item),
            deadline: item.deadline(),
            marks: header.marks(),
            fetched: header.is_fetched(),
            idle_s: header.idle_s(now),
            class: class_of(size),
            size,
        }
    }

    /// Counts a use of an item: for eviction, for `fetched`, and as its last access.
    #[inline]
    pub fn mark_used(&mut self, found: Found, now: Now) {
        let item = self.items.view(found.place);
        let (header, size) = (item.header(), self.items.size(item));
        self.mark(found.place, header, size, now);
    }

    #[inline(always)]
    fn mark(&mut self, place: Place, header: Header, size: usize, now: Now) {
        let used = header.as_used(now);
        if used != header {
            self.items.set_header(place, used);
        }
        self.items.classes.of_size(size).get_hits += 1;
    }

    /// Looks an item up, which counts as a use.
    #[inline]
    pub fn get(&mut self, key: Key<'_>, hash: KeyHash, now: Now) -> Lookup<'_> {
        self.get_sought(key, hash.into(), now)
    }

    /// The same for a key that may have been looked at ahead.
    #[inline(always)]
    pub fn get_sought(&mut self, key: Key<'_>, sought: Sought, now: Now) -> Lookup<'_> {
        let place = self.items.find_sought(key, sought);
        match self.found(place, sought.hash, now) {
            Search::Hit(Found { place, .. }) => {
                let item = self.items.view(place);
                let (header, size) = (item.header(), self.items.size(item));
                self.mark(place, header, size, now);
                let item = self.items.view(place);
                Lookup::Hit(self.shown(place, item, item.header(), size, now))
            }
            absent => absent.into(),
        }
    }

    /// The flags and the value of an item that was looked at ahead and has its value beside it: what most look-ups come to,
    /// at less cost. It counts as a use, as [`Shard::get_sought`] does, which is to be asked if this is `None`: then
    /// nothing has been done, and the item may exist all the same.
    #[inline(always)]
    pub fn get_inline(&mut self, key: Key<'_>, sought: Sought, now: Now) -> Option<(Flags, &[u8])> {
        if self.flushes.matter() {
            return None;
        }
        let item = self.items.view_sought(key, sought)?;
        let (header, flags) = (item.header(), item.flags());
        if header.is_large() || item.deadline().is_over(now) {
            return None;
        }
        let (start, len) = (header.head_len() + header.key_len(), item.stored_value_len());
        self.mark(sought.place, header, item.len(), now);
        Some((flags, self.items.bytes_at(sought.place + start, len)))
    }

    /// Looks an item up and gives it a new deadline, which the returned item has already. The CAS unique stays. Without
    /// memory for a deadline where there was none (`-M`) the item stays as it is, and this is a miss: a client must not
    /// believe that it expires.
    pub fn get_and_touch(&mut self, key: Key<'_>, hash: KeyHash, deadline: Deadline, now: Now) -> Lookup<'_> {
        match self.find(key, hash, now) {
            Search::Hit(found) => {
                self.mark_used(found, now);
                match self.set_deadline(found, deadline, now) {
                    Ok(found) => Lookup::Hit(self.item(found, now)),
                    Err(OutOfMemory) => Lookup::Miss,
                }
            }
            absent => absent.into(),
        }
    }

    /// Gives an item a new deadline; whether there is one. Counts as a use; the CAS unique stays.
    pub fn touch(&mut self, key: Key<'_>, hash: KeyHash, deadline: Deadline, now: Now) -> bool {
        matches!(self.get_and_touch(key, hash, deadline, now), Lookup::Hit(_))
    }

    /// The value of a `set` was not kept: the old item under the key goes, as with any `set` that fails.
    pub fn refuse_value(&mut self, key: Key<'_>, hash: KeyHash, now: Now) {
        if let Search::Hit(found) = self.find(key, hash, now) {
            self.items.remove(found.place, hash);
        }
    }

    /// Deletes an item; whether there was one.
    pub fn delete(&mut self, key: Key<'_>, hash: KeyHash, now: Now) -> bool {
        let Search::Hit(found) = self.find(key, hash, now) else { return false };
        self.remove(found);
        true
    }

    /// Deletes an item that was found.
    pub fn remove(&mut self, found: Found) {
        let size = self.items.size(self.items.view(found.place));
        self.items.classes.of_size(size).delete_hits += 1;
        self.items.remove(found.place, found.hash);
    }

    /// Carries out a `flush_all`: what was written before its moment is dead, and its memory comes back bit by bit.
    pub fn flush(&mut self, order: FlushOrder, now: Now) {
        self.flushes.carry_out_due(self.births, now);
        self.flushes.order(order, self.births);
        self.flushes.carry_out_due(self.births, now);
    }

    /// Tells the shard that the limit of the budget is another, and evicts down to its share of it, also with `-M`.
    /// `false` if the limit is beyond what the shard has address space for.
    pub fn set_memory_limit(&mut self, bytes: usize, now: Now) -> bool {
        if bytes > self.items.address_space() {
            return false;
        }
        self.flushes.carry_out_due(self.births, now);
        self.config.budget.set_limit(bytes);
        self.set_policy_capacity(bytes / usize::from(self.config.shards.max(1)));
        self.is_full = false;
        let excess = self.config.budget.excess();
        if excess > 0 {
            self.shed_to(self.items.share().saturating_sub(self.part_of(excess)), now);
        }
        true
    }

    /// A bounded step of what happens without a request: takes dead items back, and gives memory back that is wanted
    /// elsewhere. To be called at least every 100 ms; `true` if there is more to do, at once.
    pub fn tick(&mut self, now: Now) -> bool {
        self.flushes.carry_out_due(self.births, now);
        let sweeps = self.sweep_in_background(now);
        self.age_in_background(now);
        self.items.index.close_up();
        self.shed(now) || sweeps
    }

    /// One bounded step of a walk through all items: calls `each` with the live ones of it. An item that is there
    /// throughout the walk is met once. `None` at the end.
    pub fn walk(&self, cursor: WalkCursor, now: Now, mut each: impl FnMut(Key<'_>, &Item<'_>)) -> Option<WalkCursor> {
        let (mut next, mut met) = (cursor, 0);
        for _ in 0..WALK_SLICES {
            let mut meet = |place| {
                met += 1;
                let Some(key) = Key::new(self.items.view(place).key()) else { return };
                if self.life(place, now) == Life::Live {
                    each(key, &self.item(Found { place, hash: KeyHash(0) }, now));
                }
            };
            let is_small = next.slice == 0 && self.items.index.region_len(next.region) <= WALK_ITEMS;
            let slices = if is_small { 0..SLICES } else { next.slice..next.slice + 1 };
            self.items.slices(next.region, slices.clone(), &mut meet);
            next.slice = slices.end;
            if next.slice == SLICES {
                next = WalkCursor { region: next.region + 1, slice: 0 };
            }
            if met >= WALK_ITEMS || next.region >= self.items.index.regions() {
                break;
            }
        }
        (next.region < self.items.index.regions()).then_some(next)
    }

    /// Whether evicted items are kept for [`Shard::drain_evictions`], up to
    /// [`EVICTIONS_KEPT_MAX`](crate::limits::EVICTIONS_KEPT_MAX) of them.
    pub fn watch_evictions(&mut self, on: bool) {
        self.watches_evictions = on;
        if !on {
            self.evicted = Vec::new();
        }
    }

    /// Calls `each` with what was evicted since the last call. How many more were, for which there was no room.
    pub fn drain_evictions(&mut self, mut each: impl FnMut(&Eviction)) -> u64 {
        self.evicted.drain(..).for_each(|eviction| each(&eviction));
        std::mem::take(&mut self.evicted_unseen)
    }

    /// The counters, with the gauges as they stand.
    pub fn stats(&self) -> ShardStats {
        let shards = usize::from(self.config.shards.max(1));
        let limit = self.config.budget.limit();
        let remainder = if self.config.id.0 == 0 { limit % shards } else { 0 };
        ShardStats {
            curr_items: self.items.len() as u64,
            bytes: self.items.bytes() as u64,
            limit_maxbytes: (limit / shards + remainder) as u64,
            hash_bytes: self.items.index.bytes() as u64,
            hash_power_level: u64::from(self.items.index.power_level()),
            ..self.counters
        }
    }

    /// The size classes that hold items or have done something, by number.
    pub fn class_stats(&self, now: Now) -> Vec<(u8, ClassStats)> {
        let mut ages = [0; super::class::CLASSES + 1];
        let oldest = [Queue::Probation, Queue::Main].into_iter().filter_map(|queue| self.items.segments.oldest(queue));
        for segment in oldest {
            let mut cursor = Cursor { segment, at: 0 };
            while let Some(place) = self.items.next_live(&mut cursor) {
                let item = self.items.view(place);
                let age = &mut ages[usize::from(class_of(self.items.size(item)))];
                *age = item.header().idle_s(now).max(*age);
            }
        }
        let with_age =
            |(class, stats): (u8, &ClassStats)| (class, ClassStats { age_s: ages[usize::from(class)], ..*stats });
        self.items.classes.in_use().map(with_age).collect()
    }

    /// How many items there are of each size, in steps of 32 bytes. Looks at every item.
    pub fn size_histogram(&self) -> Vec<(usize, u64)> {
        let mut histogram = std::collections::BTreeMap::new();
        for segment in 0..self.items.segments.count() {
            let mut cursor = Cursor { segment, at: 0 };
            while let Some(place) = self.items.next_live(&mut cursor) {
                *histogram.entry(self.items.size(self.items.view(place)).next_multiple_of(32)).or_insert(0) += 1;
            }
        }
        histogram.into_iter().collect()
    }

    /// Sets the counters to 0. Gauges stay.
    pub fn reset_stats(&mut self) {
        self.counters = ShardStats::default();
        self.items.classes.reset();
    }

    /// What the shard has taken of the budget, in bytes.
    pub fn memory_taken(&self) -> usize {
        self.items.share() + self.charged_policy
    }

    /// Asserts what always holds: every item is found under its key, and all sums are the sums. Looks at every item:
    /// for tests.
    pub fn verify(&self) {
        self.items.verify(|key| self.hash(key));
    }

    #[inline(always)]
    pub(super) fn value<'a>(&'a self, item: ItemView<'a>) -> Value<'a> {
        match item.large_number() {
            Some(number) => Value::Shared(self.items.large.get(number).bytes()),
            None => Value::Inline(item.stored_value()),
        }
    }

    /// The hash of the item at a place.
    pub(super) fn hash_at(&self, place: Place) -> KeyHash {
        Key::new(self.items.view(place).key()).map_or(KeyHash(0), |key| self.hash(key))
    }

    /// The version of the item at a place.
    pub(super) fn cas(&self, place: Place) -> CasUnique {
        self.cas_of_item(place, self.items.view(place))
    }

    #[inline(always)]
    fn cas_of_item(&self, place: Place, item: ItemView<'_>) -> CasUnique {
        if !self.config.cas {
            return CasUnique(0);
        }
        item.explicit_cas().unwrap_or_else(|| self.cas_of(self.items.birth_of(place, item)))
    }

    /// The version of an item born as the shard's `birth`-th.
    #[inline]
    pub(super) fn cas_of(&self, birth: u64) -> CasUnique {
        if !self.config.cas {
            return CasUnique(0);
        }
        CasUnique(u64::from(self.config.id.0) + 1 + birth.saturating_sub(1) * u64::from(self.config.shards))
    }

    /// 0 is no item's version, also where all items show 0 (`-C`).
    pub(super) fn is_version(&self, found: Found, wanted: CasUnique) -> bool {
        wanted.0 != 0 && self.cas(found.place) == wanted
    }

    fn set_policy_capacity(&mut self, bytes: usize) {
        self.policy.set_capacity(bytes);
        self.settle_policy();
    }

    /// Makes what is taken of the budget for the policy's tables what they are.
    pub(super) fn settle_policy(&mut self) {
        let bytes = self.policy.bytes();
        if bytes > self.charged_policy {
            self.config.budget.take_anyway(bytes - self.charged_policy);
        } else if bytes < self.charged_policy {
            self.config.budget.give(self.charged_policy - bytes);
        }
        self.charged_policy = bytes;
    }

    fn set_deadline(&mut self, found: Found, deadline: Deadline, now: Now) -> Result<Found, OutOfMemory> {
        let size = self.items.size(self.items.view(found.place));
        self.items.classes.of_size(size).touch_hits += 1;
        let traits = super::item::Traits { deadline, ..self.items.view(found.place).traits() };
        let birth = self.items.birth(found.place);
        self.retrait(found, traits, birth, now)
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.config.budget.give(self.charged_policy);
    }
}

impl From<Search> for Lookup<'_> {
    /// What was not found. A hit has an item, which has to be looked at.
    fn from(search: Search) -> Self {
        match search {
            Search::Hit(_) | Search::Miss => Self::Miss,
            Search::Expired => Self::Expired,
            Search::Flushed => Self::Flushed,
        }
    }
}
