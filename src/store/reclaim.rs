//! How room is made: memory that nobody has taken yet, then what is dead, then what is waste, then who is evicted.

use super::door::{Eviction, OutOfMemory, Room};
use super::expiry::{Life, ttl_left_s};
use super::items::{Cursor, Items, Place, Target};
use super::policy::{Candidate, Held, Queue, Verdict};
use super::segment::{Role, Segment};
use super::shard::Shard;
use crate::limits::{EVICTIONS_KEPT_MAX, VALUE_WISH_MIN};
use crate::memory::PAGE_LEN;
use crate::terms::{KeyHash, Now};

/// Segments that stay free, so that there is always one to move items to.
const RESERVE: usize = 1;
/// Items looked at in one step of emptying a segment. Their index entries are fetched together.
const STEP_ITEMS: usize = 16;
/// A segment with this share of waste is worth moving its items elsewhere: one part of so many.
const WASTE_SHARE: usize = 8;
/// Where nothing may be evicted, this share is.
const WASTE_SHARE_WITHOUT_EVICTION: usize = 64;
/// Segments' worth of items that are kept in a row before the next goes whatever the policy says.
const KEPT_SEGMENTS_MAX: usize = 8;
/// What an item's entry in the index costs, for the policy.
pub(super) const INDEX_ENTRY_COST: usize = 14;
/// Steps that a store does ahead of its need, for each so many bytes that it writes.
const STEP_BYTES: usize = 256;
/// Evicted items fetched within this time before are counted as active, as memcached does.
const ACTIVE_S: u32 = 61;
/// A shard keeps one part in so many of its part of all memory, whoever waits for more.
const KEPT_OF_PART: usize = 8;
/// Bytes given back in one tick where the limit has come down or a value waits for memory.
const SHED_BYTES_PER_TICK: usize = 1 << 20;

/// What an item is taken back for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Death {
    /// Found dead by a request.
    ByRequest,
    /// Found dead by the sweep.
    InBackground,
    /// Found dead when room was needed.
    ForRoom,
}

/// Why a segment is emptied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// For the waste in it: its items move to a segment in its place.
    Compact,
    /// To evict.
    Evict,
}

/// The emptying of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Emptying {
    pub(super) purpose: Purpose,
    /// Bytes kept since a segment became free.
    pub(super) kept: usize,
}

impl Shard {
    /// Makes room for an item of `len` bytes in a segment, and for its index entry if it is a new one.
    pub(super) fn make_room(
        &mut self,
        target: Target,
        len: usize,
        new: Option<KeyHash>,
        now: Now,
    ) -> Result<(), OutOfMemory> {
        let made = self.try_to_make_room(target, len, new, now);
        if made.is_err() {
            // The index does not grow after all.
            self.items.settle_tables();
        }
        made
    }

    fn try_to_make_room(
        &mut self,
        target: Target,
        len: usize,
        new: Option<KeyHash>,
        now: Now,
    ) -> Result<(), OutOfMemory> {
        loop {
            // Each time anew: reclaiming settles the tables, which gives back what they have not grown by yet.
            if let Some(hash) = new {
                while !self.items.take_for_index(hash) {
                    self.give_back_segment(now)?;
                }
            }
            if self.items.has_room(target, len) {
                return Ok(());
            }
            if self.items.segments.free() > RESERVE {
                self.items.open(target, self.births, now);
            } else if !self.items.add_segment() {
                self.reclaim(now)?;
            }
        }
    }

    /// Makes room for `change` of a value in memory of its own, by evicting until it succeeds.
    pub(super) fn with_memory<R>(
        &mut self,
        now: Now,
        mut change: impl FnMut(&mut Self) -> Result<R, crate::memory::NoMemory>,
    ) -> Result<R, OutOfMemory> {
        loop {
            match change(self) {
                Ok(result) => return Ok(result),
                Err(crate::memory::NoMemory::Room) => return Err(OutOfMemory),
                Err(crate::memory::NoMemory::Limit) => self.give_back_some(now)?,
            }
        }
    }

    /// Looks for memory for the next `bytes` of a value that arrives, of which `missing` are still to come in all. A
    /// shard that has its part of all memory evicts for them; otherwise, or if that does not help, all shards are asked
    /// to give back `ahead` bytes, at least [`VALUE_WISH_MIN`], in their ticks.
    pub fn find_memory(&mut self, bytes: usize, ahead: usize, missing: usize, now: Now) -> Result<Room, OutOfMemory> {
        if !self.config.evict {
            return Err(OutOfMemory);
        }
        let pages = |bytes: usize| bytes.next_multiple_of(PAGE_LEN) + PAGE_LEN;
        while self.memory_taken() >= self.part() / 2 {
            if self.config.budget.has(pages(bytes)) {
                return Ok(Room::Here);
            }
            if self.give_back_some(now).is_err() {
                break;
            }
        }
        self.config.budget.want(pages(ahead.max(VALUE_WISH_MIN).min(missing)));
        Ok(Room::Asked)
    }

    /// The shard's part of all memory, if all had the same.
    fn part(&self) -> usize {
        self.config.budget.limit() / usize::from(self.config.shards.max(1))
    }

    /// What was asked for by [`Shard::find_memory`] is needed no more.
    pub fn unwish_memory(&mut self) {
        self.config.budget.want(0);
    }

    /// Work done ahead by whoever writes `len` bytes to a segment of which more than half is full, so that there is a
    /// free one when it is needed and nobody has to empty a whole segment.
    pub(super) fn reclaim_ahead(&mut self, len: usize, now: Now) {
        for _ in 0..=len / STEP_BYTES {
            if !self.is_full || self.items.segments.free() > RESERVE || self.reclaim(now).is_err() {
                return;
            }
        }
    }

    /// Gives memory back: one free segment, or whatever a step of reclaiming frees.
    pub(super) fn give_back_some(&mut self, now: Now) -> Result<(), OutOfMemory> {
        if self.items.segments.free() > RESERVE && self.items.release_segments(1) == 1 {
            return Ok(());
        }
        self.reclaim(now)
    }

    fn give_back_segment(&mut self, now: Now) -> Result<(), OutOfMemory> {
        while self.items.segments.free() <= RESERVE {
            self.reclaim(now)?;
        }
        self.items.release_segments(1);
        Ok(())
    }

    /// A bounded step towards more free memory: the dead first, then waste, then the living.
    fn reclaim(&mut self, now: Now) -> Result<(), OutOfMemory> {
        self.is_full = true;
        if self.items.emptied.is_none() && self.sweep_step(Death::ForRoom, now) {
            return Ok(());
        }
        if self.items.emptied.is_none() {
            self.choose_segment().ok_or(OutOfMemory)?;
        }
        self.empty_step(now);
        Ok(())
    }

    /// Chooses the segment to be emptied next.
    fn choose_segment(&mut self) -> Option<()> {
        let share = if self.config.evict || self.sheds { WASTE_SHARE } else { WASTE_SHARE_WITHOUT_EVICTION };
        let waste_min = self.items.segment_len() / share;
        let has_waste = |segment: &Segment| segment.dead_bytes() as usize >= waste_min;
        // Moving takes a segment to move to.
        let can_move = self.items.segments.free() > 0;
        let most_dead = self.items.segments.most_dead().filter(|(_, segment)| can_move && has_waste(segment));
        let (id, purpose) = match most_dead {
            Some((id, _)) => (id, Purpose::Compact),
            None if self.config.evict || self.sheds => (self.oldest_of_next_queue()?, Purpose::Evict),
            None => return None,
        };
        self.items.emptied = Some(Cursor { segment: id, at: 0 });
        self.emptying.purpose = purpose;
        Some(())
    }

    fn oldest_of_next_queue(&mut self) -> Option<u32> {
        loop {
            let segments = &self.items.segments;
            let held = Held {
                probation_bytes: segments.queue_bytes(Queue::Probation),
                main_bytes: segments.queue_bytes(Queue::Main),
                items: self.items.len(),
            };
            let chosen = self.policy.next_queue(held);
            self.settle_policy();
            let segments = &self.items.segments;
            let queue = match (segments.oldest(Queue::Probation), segments.oldest(Queue::Main)) {
                (Some(_), None) => Queue::Probation,
                (None, Some(_)) => Queue::Main,
                _ => chosen,
            };
            let id = segments.oldest(queue)?;
            if segments.get(id).role == Role::Sealed {
                return Some(id);
            }
            // Without live items it is free now, and another one is the oldest.
            self.items.seal(id);
            if self.items.segments.get(id).role == Role::Sealed {
                return Some(id);
            }
        }
    }

    /// Looks at the next items of the segment that is being emptied.
    fn empty_step(&mut self, now: Now) {
        let Some(mut cursor) = self.items.emptied else { return };
        let mut batch = [(0, KeyHash(0)); STEP_ITEMS];
        let mut found = 0;
        while found < STEP_ITEMS
            && let Some(place) = self.items.next_live(&mut cursor)
        {
            batch[found] = (place, self.hash_at(place));
            found += 1;
        }
        self.items.emptied = Some(cursor);
        self.fetch_entries(batch[..found].iter().map(|&(_, hash)| hash));
        let large = self.items.large.charge();
        for (number, &(place, hash)) in batch[..found].iter().enumerate() {
            if large.saturating_sub(self.items.large.charge()) > self.items.segment_len() {
                // Large values have made much room: who needs it looks whether it is enough.
                self.go_on_at(batch[number].0);
                return;
            }
            self.empty_item(place, hash, now);
        }
        if self.items.emptied.is_none() {
            // It is free.
            self.emptying.kept = self.emptying.kept.saturating_sub(self.items.segment_len());
        } else if found < STEP_ITEMS {
            // What is left could not be moved.
            self.items.emptied = None;
        }
        let mut shrink_at = self.shrink_at;
        self.items.index.shrink_step(&mut shrink_at);
        self.shrink_at = shrink_at;
        self.items.settle_tables();
    }

    /// Goes on emptying with the item at a place, if its segment is not free by now.
    fn go_on_at(&mut self, place: Place) {
        let at = u32::try_from(place % self.items.segment_len()).unwrap_or(u32::MAX);
        if let Some(cursor) = &mut self.items.emptied {
            cursor.at = at;
        }
    }

    fn empty_item(&mut self, place: Place, hash: KeyHash, now: Now) {
        if self.life(place, now) != Life::Live {
            self.bury(place, hash, Death::ForRoom, now);
            return;
        }
        let segment = self.items.segment_of(place);
        let life = self.items.segments.get(segment).life;
        let item = self.items.view(place);
        let stride = self.items.stride(item);
        let large = item.large_number().map_or(0, |number| self.items.large.get(number).charge());
        let size = stride + large + INDEX_ENTRY_COST;
        let queue = self.items.segments.get(segment).queue;
        let (target, uses) = match self.emptying.purpose {
            Purpose::Compact => (Target { queue, life, instead_of: Some(segment) }, item.header().uses()),
            Purpose::Evict => {
                let candidate = Candidate {
                    hash: hash.0,
                    size,
                    uses: item.header().uses(),
                    ttl_left_s: ttl_left_s(item.deadline(), now),
                };
                let verdict = self.policy.judge(queue, candidate);
                match verdict {
                    Verdict::Keep { uses } if self.emptying.kept < KEPT_SEGMENTS_MAX * self.items.segment_len() => {
                        (Items::target(Queue::Main, life), uses)
                    }
                    _ => return self.evict(place, hash, size, now),
                }
            }
        };
        self.emptying.kept += stride;
        self.keep(target, place, hash, uses, now);
    }

    /// Moves an item to where it lives on.
    fn keep(&mut self, target: Target, place: Place, hash: KeyHash, uses: u8, now: Now) {
        let item = self.items.view(place);
        // A birth that followed from the segment may need 4 bytes more elsewhere.
        let len = self.items.stride(item) + 4 + 2;
        if !self.items.has_room(target, len) && !self.items.open(target, self.births, now) {
            // Cannot be with a segment in reserve; if it is, the item has to go where that is allowed.
            if self.config.evict || self.sheds {
                let size = self.items.size(self.items.view(place));
                self.evict(place, hash, size, now);
            }
            return;
        }
        let item = self.items.view(place);
        let traits = super::item::Traits { uses, ..item.traits() };
        let birth = self.items.birth(place);
        self.items.relocate(target, place, hash, traits, birth);
    }

    fn evict(&mut self, place: Place, hash: KeyHash, size: usize, now: Now) {
        let item = self.items.view(place);
        let (header, deadline) = (item.header(), item.deadline());
        let idle_s = header.idle_s(now);
        if self.watches_evictions {
            if self.evicted.len() < EVICTIONS_KEPT_MAX {
                let class = super::class::class_of(self.items.size(item));
                let key = item.key().into();
                let fetched = header.is_fetched();
                self.evicted.push(Eviction { key, fetched, deadline, idle_s, class, size });
            } else {
                self.evicted_unseen += 1;
            }
        }
        let (unfetched, active) = (!header.is_fetched(), header.is_fetched() && idle_s < ACTIVE_S);
        let item_size = self.items.size(self.items.view(place));
        let class = self.items.classes.of_size(item_size);
        class.evicted += 1;
        class.evicted_nonzero += u64::from(deadline != crate::terms::Deadline::NEVER);
        class.evicted_time = idle_s;
        class.evicted_unfetched += u64::from(unfetched);
        class.evicted_active += u64::from(active);
        self.counters.evictions += 1;
        self.counters.evicted_unfetched += u64::from(unfetched);
        self.counters.evicted_active += u64::from(active);
        self.items.remove(place, hash);
    }

    /// Takes a dead item back.
    pub(super) fn bury(&mut self, place: Place, hash: KeyHash, death: Death, now: Now) {
        let item = self.items.view(place);
        let unfetched = !item.header().is_fetched() && self.life(place, now) == Life::Expired;
        let size = self.items.size(item);
        let class = self.items.classes.of_size(size);
        class.expired_unfetched += u64::from(unfetched);
        self.counters.expired_unfetched += u64::from(unfetched);
        match death {
            Death::ByRequest => {}
            Death::InBackground => {
                class.crawler_reclaimed += 1;
                self.counters.crawler_reclaimed += 1;
            }
            Death::ForRoom => {
                class.reclaimed += 1;
                self.counters.reclaimed += 1;
            }
        }
        self.items.remove(place, hash);
    }

    /// Brings index entries near the CPU. A loop that does nothing else: the fewer instructions lie between two look-ups,
    /// the more of them the CPU has under way at a time.
    fn fetch_entries(&self, hashes: impl Iterator<Item = KeyHash>) {
        hashes.for_each(|hash| self.items.index.candidates(hash, |_| {}));
    }

    /// Takes dead items back, with what they need of the index fetched together.
    pub(super) fn bury_all(&mut self, places: &[Place], death: Death, now: Now) {
        for places in places.chunks(STEP_ITEMS) {
            let mut hashes = [KeyHash(0); STEP_ITEMS];
            for (hash, &place) in hashes.iter_mut().zip(places) {
                *hash = self.hash_at(place);
            }
            self.fetch_entries(hashes[..places.len()].iter().copied());
            for (&hash, &place) in hashes.iter().zip(places) {
                self.bury(place, hash, death, now);
            }
        }
        if !places.is_empty() {
            let mut shrink_at = self.shrink_at;
            self.items.index.shrink_step(&mut shrink_at);
            self.shrink_at = shrink_at;
            self.items.settle_tables();
        }
    }

    /// Gives back what is beyond the limit or what somebody waits for: this shard's part of it, a bounded step at a
    /// time. Whether there is more to do at once.
    pub(super) fn shed(&mut self, now: Now) -> bool {
        let shortage = self.config.budget.shortage();
        if shortage == 0 {
            return false;
        }
        let share = self.items.share();
        // Who waits gets everything but what a shard needs to work with.
        let least = if self.config.budget.excess() > 0 { 0 } else { self.part() / KEPT_OF_PART };
        let goal = share.saturating_sub(self.part_of(shortage).min(SHED_BYTES_PER_TICK)).max(least);
        if goal >= share {
            return false;
        }
        self.shed_to(goal, now);
        self.items.share() <= goal && self.config.budget.shortage() > 0
    }

    /// This shard's part of `bytes` that all are to give back, by what each has taken.
    pub(super) fn part_of(&self, bytes: usize) -> usize {
        let taken = self.config.budget.taken().max(1) as u128;
        let part = (bytes as u128 * self.memory_taken() as u128).div_ceil(taken);
        usize::try_from(part).unwrap_or(usize::MAX)
    }

    /// Gives back what tables took beyond the limit when they grew.
    #[inline]
    pub(super) fn shed_excess(&mut self, now: Now) {
        let excess = self.config.budget.excess();
        if excess > 0 && self.config.evict {
            self.shed_to(self.items.share().saturating_sub(self.part_of(excess)), now);
        }
    }

    /// Gives memory back until the shard has no more than `goal`, if it can.
    pub(super) fn shed_to(&mut self, goal: usize, now: Now) {
        self.sheds = true;
        while self.items.share() > goal {
            if self.items.segments.free() > RESERVE {
                self.items.release_segments(1);
            } else if self.reclaim(now).is_err() {
                // Nothing is left but the reserve.
                self.items.release_segments(RESERVE);
                break;
            }
        }
        self.sheds = false;
    }
}
