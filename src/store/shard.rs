//! The door to one core's items.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::classes::{self, CLASSES};
use super::door::{
    ArithmeticOutcome, ArithmeticRequest, ClassStats, EvictionLog, Incoming, Item, Lookup, Marks, StoreOutcome,
    StoreRequest,
};
use super::eviction::seconds;
use super::expiry::{Flushes, Life};
use super::item::{End, Payload, StoredItem, parse_number};
use super::items::{Items, item_size};
use super::slots::SlotId;
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
///
/// After every call `stats().bytes <= stats().limit_maxbytes`, except that after [`Shard::set_memory_limit`] values in
/// the hands of readers may take longer to go. Not counted: the copy that a growing table or value is for a moment.
#[derive(Debug)]
pub struct Shard {
    pub(super) config: ShardConfig,
    pub(super) items: Items,
    pub(super) flushes: Flushes,
    /// Counters only; the gauges are read off when asked for.
    pub(super) counters: ShardStats,
    /// Writes so far: the age of items, and what CAS uniques are made of.
    pub(super) births: u64,
    /// What was evicted lately, if somebody watches.
    pub(super) eviction_log: Option<EvictionLog>,
    /// What became of the items of each size class.
    pub(super) class_counters: [ClassStats; CLASSES],
}

impl Shard {
    /// An empty shard.
    pub fn new(config: ShardConfig) -> Self {
        let items = Items::new(config.memory_limit);
        Self {
            config,
            items,
            flushes: Flushes::default(),
            counters: ShardStats::default(),
            births: 0,
            eviction_log: None,
            class_counters: [ClassStats::default(); CLASSES],
        }
    }

    /// The index's hash of a key: keyed, so that no client can choose keys that collide.
    pub fn hash(&self, key: Key<'_>) -> KeyHash {
        let mut hasher = SipHasher13::new_with_keys(self.config.hash_seed[0], self.config.hash_seed[1]);
        hasher.write(key.as_bytes());
        KeyHash(hasher.finish())
    }

    /// Brings the items of up to [`LOOK_AHEAD_KEYS`](crate::limits::LOOK_AHEAD_KEYS) keys near the CPU, before they are
    /// looked up one by one. Changes nothing.
    pub fn look_ahead(&self, hashes: &[KeyHash]) {
        self.items.look_ahead(hashes);
    }

    /// Looks an item up, which counts as a use.
    pub fn get(&mut self, key: Key<'_>, hash: KeyHash, now: Now) -> Lookup<'_> {
        match self.find_live(key, hash, now) {
            Ok(id) => {
                self.mark_fetched(id, now);
                Lookup::Hit(self.view(id, now))
            }
            Err(absent) => absent,
        }
    }

    /// Looks an item up and gives it a new deadline, which the returned item has already. The CAS unique stays.
    pub fn get_and_touch(&mut self, key: Key<'_>, hash: KeyHash, deadline: Deadline, now: Now) -> Lookup<'_> {
        match self.find_live(key, hash, now) {
            Ok(id) => {
                self.mark_fetched(id, now);
                self.items.get_mut(id).deadline = deadline;
                Lookup::Hit(self.view(id, now))
            }
            Err(absent) => absent,
        }
    }

    /// Gives an item a new deadline; whether there is one. Counts as a use; the CAS unique stays.
    pub fn touch(&mut self, key: Key<'_>, hash: KeyHash, deadline: Deadline, now: Now) -> bool {
        matches!(self.get_and_touch(key, hash, deadline, now), Lookup::Hit(_))
    }

    /// Stores a value as the request says; makes room if there is none.
    pub fn store(&mut self, request: StoreRequest<'_>, now: Now) -> StoreOutcome {
        let StoreRequest { key, hash, flags, deadline, cas, key_is_binary, .. } = request;
        let found = self.find_live(key, hash, now).ok();
        let (mode, compare) = match request.mode {
            StoreMode::Cas(wanted) => (StoreMode::Replace, Some(wanted)),
            mode => (mode, request.compare),
        };
        let is_overwrite = matches!(mode, StoreMode::Set | StoreMode::Replace);
        let mut is_older = false;
        if let (Some(wanted), Some(id)) = (compare, found)
            && mode != StoreMode::Add
            && !self.is_version(id, wanted)
        {
            is_older = is_overwrite && request.stale_if_older && wanted < self.items.get(id).cas;
            if !is_older {
                return StoreOutcome::Exists;
            }
        }
        let new_marks = Marks { stale: false, won: false, key_is_binary };
        let written = match (mode, found) {
            (StoreMode::Add, Some(id)) => {
                self.items.get_mut(id).visited = true;
                return StoreOutcome::NotStored;
            }
            (StoreMode::Set | StoreMode::Replace, None) if compare.is_some() => return StoreOutcome::NotFound,
            (StoreMode::Append | StoreMode::Prepend, None) => {
                let Some(deadline) = request.vivify else { return StoreOutcome::NotStored };
                self.insert(key, hash, flags, deadline, request.value, now)
            }
            (StoreMode::Replace | StoreMode::Cas(_), None) => return StoreOutcome::NotStored,
            (StoreMode::Append, Some(id)) => self.join(id, End::Back, &request.value, now),
            (StoreMode::Prepend, Some(id)) => self.join(id, End::Front, &request.value, now),
            (StoreMode::Set | StoreMode::Replace | StoreMode::Cas(_), Some(id)) => {
                self.replace(id, is_older, compare.is_none() && mode == StoreMode::Set, request, now)
            }
            (StoreMode::Set | StoreMode::Add, None) => self.insert(key, hash, flags, deadline, request.value, now),
        };
        match written {
            Ok(id) => {
                self.counters.total_items += 1;
                let item = self.items.get_mut(id);
                item.marks = match found {
                    Some(_) if is_older => Marks { stale: true, won: item.marks.won, key_is_binary },
                    Some(_) if !is_overwrite => Marks { key_is_binary: item.marks.key_is_binary, ..new_marks },
                    _ => new_marks,
                };
                self.assign_cas(id, cas);
                let item = self.items.get(id);
                StoreOutcome::Stored { cas: item.cas, len: item.payload.value_bytes().len() }
            }
            Err(refusal) => refusal,
        }
    }

    /// A `set` announced a value that is too large: the old item under the key goes, as with any `set` that fails.
    pub fn refuse_too_large(&mut self, key: Key<'_>, hash: KeyHash, now: Now) {
        self.delete(key, hash, now);
    }

    /// Deletes an item; whether there was one.
    pub fn delete(&mut self, key: Key<'_>, hash: KeyHash, now: Now) -> bool {
        self.find_live(key, hash, now).map(|id| self.items.remove(id)).is_ok()
    }

    /// Adds to or subtracts from a decimal number. A number with fewer digits keeps the value's length and is padded
    /// with blanks (PROTOCOL §3). Flags stay, and the deadline unless the request has one; the CAS unique is new.
    pub fn arithmetic(&mut self, request: ArithmeticRequest<'_>, now: Now) -> ArithmeticOutcome {
        let ArithmeticRequest { key, hash, .. } = request;
        let Ok(id) = self.find_live(key, hash, now) else { return self.create_number(&request, now) };
        if request.compare.is_some_and(|wanted| !self.is_version(id, wanted)) {
            return ArithmeticOutcome::Exists;
        }
        let item = self.items.get_mut(id);
        item.visited = true;
        let Some(text) = item.payload.inline_value_mut() else { return ArithmeticOutcome::NonNumeric };
        let Some(present) = parse_number(text) else { return ArithmeticOutcome::NonNumeric };
        let number = match request.direction {
            Arithmetic::Increment => present.wrapping_add(request.delta),
            Arithmetic::Decrement => present.saturating_sub(request.delta),
        };
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(number).as_bytes();
        if digits.len() <= text.len() {
            text[..digits.len()].copy_from_slice(digits);
            text[digits.len()..].fill(b' ');
            self.give_birth(id);
        } else if self.overwrite(id, key, Incoming::Slice(digits), now).is_err() {
            return ArithmeticOutcome::OutOfMemory;
        }
        self.assign_cas(id, request.cas);
        let item = self.items.get_mut(id);
        item.deadline = request.deadline.unwrap_or(item.deadline);
        ArithmeticOutcome::Value { number, cas: item.cas, deadline: item.deadline }
    }

    /// The number did not exist: makes it, if that is asked for.
    fn create_number(&mut self, request: &ArithmeticRequest<'_>, now: Now) -> ArithmeticOutcome {
        let Some((number, deadline)) = request.create else { return ArithmeticOutcome::NotFound };
        let mut digits = itoa::Buffer::new();
        let value = Incoming::Slice(digits.format(number).as_bytes());
        let Ok(id) = self.insert(request.key, request.hash, Flags(0), deadline, value, now) else {
            return ArithmeticOutcome::OutOfMemory;
        };
        self.counters.total_items += 1;
        self.items.get_mut(id).marks.key_is_binary = request.key_is_binary;
        self.assign_cas(id, request.cas);
        ArithmeticOutcome::Created { number, cas: self.items.get(id).cas, deadline }
    }

    /// Carries out a `flush_all`: what was written before its moment is dead, and its memory comes back bit by bit.
    pub fn flush(&mut self, order: FlushOrder, now: Now) {
        self.flushes.carry_out_due(self.births, now);
        self.flushes.order(order, self.births);
        self.flushes.carry_out_due(self.births, now);
    }

    /// Changes the memory limit and evicts down to it, also with `-M`.
    pub fn set_memory_limit(&mut self, bytes: usize, now: Now) {
        self.flushes.carry_out_due(self.births, now);
        self.config.memory_limit = bytes;
        self.shed(now);
    }

    /// A bounded step of what happens without a request: takes dead items back and lets go of values whose readers
    /// have gone. To be called at least every 100 ms.
    pub fn tick(&mut self, now: Now) {
        self.flushes.carry_out_due(self.births, now);
        self.sweep_in_background(now);
        self.shed(now);
    }

    /// The counters, with the gauges as they stand.
    pub fn stats(&self) -> ShardStats {
        ShardStats {
            curr_items: self.items.len() as u64,
            bytes: self.items.bytes() as u64,
            limit_maxbytes: self.config.memory_limit as u64,
            hash_bytes: self.items.index().bytes() as u64,
            hash_power_level: u64::from(self.items.index().power_level()),
            ..self.counters
        }
    }

    /// Sets the counters to 0. Gauges stay.
    pub fn reset_stats(&mut self) {
        self.counters = ShardStats::default();
        self.class_counters = [ClassStats::default(); CLASSES];
    }

    /// Asserts what always holds: index, slots and queue have the same items, every item is found under its key, and
    /// the bytes add up. Looks at every item: for tests.
    pub fn verify(&self) {
        self.items.verify();
    }

    /// The live item under `key`. A dead one is taken back, and `Err` says of what it died.
    pub(super) fn find_live(&mut self, key: Key<'_>, hash: KeyHash, now: Now) -> Result<SlotId, Lookup<'static>> {
        self.flushes.carry_out_due(self.births, now);
        let id = self.items.find(key, hash).ok_or(Lookup::Miss)?;
        match self.flushes.life(self.items.get(id), now) {
            Life::Live => Ok(id),
            Life::Expired => {
                self.bury(id, now);
                Err(Lookup::Expired)
            }
            Life::Flushed => {
                self.bury(id, now);
                Err(Lookup::Flushed)
            }
        }
    }

    pub(super) fn mark_fetched(&mut self, id: SlotId, now: Now) {
        let item = self.items.get_mut(id);
        item.accessed_s = seconds(now);
        item.fetched = true;
        item.visited = true;
    }

    pub(super) fn view(&self, id: SlotId, now: Now) -> Item<'_> {
        let item = self.items.get(id);
        let size = item_size(&item.payload);
        Item {
            value: item.payload.value(),
            flags: item.flags,
            cas: item.cas,
            deadline: item.deadline,
            marks: item.marks,
            fetched: item.fetched,
            idle_s: seconds(now).saturating_sub(item.accessed_s),
            class: classes::class_of(size),
            size,
        }
    }

    /// The version of an item born as the shard's `birth`-th.
    pub(super) fn cas_of(&self, birth: u64) -> CasUnique {
        if !self.config.cas {
            return CasUnique(0);
        }
        CasUnique(u64::from(self.config.id.0) + 1 + (birth - 1) * u64::from(self.config.shards))
    }

    /// 0 is no item's version, also where all items show 0 (`-C`).
    fn is_version(&self, id: SlotId, wanted: CasUnique) -> bool {
        wanted.0 != 0 && self.items.get(id).cas == wanted
    }

    /// Gives an item the version that the client chose for it, if it did.
    pub(super) fn assign_cas(&mut self, id: SlotId, cas: Option<CasUnique>) {
        if let (Some(cas), true) = (cas, self.config.cas) {
            self.items.get_mut(id).cas = cas;
        }
    }

    pub(super) fn give_birth(&mut self, id: SlotId) {
        self.births += 1;
        let (birth, cas) = (self.births, self.cas_of(self.births));
        let item = self.items.get_mut(id);
        (item.birth, item.cas) = (birth, cas);
    }

    fn insert(
        &mut self,
        key: Key<'_>,
        hash: KeyHash,
        flags: Flags,
        deadline: Deadline,
        value: Incoming<'_>,
        now: Now,
    ) -> Result<SlotId, StoreOutcome> {
        self.check_value_len(value.len())?;
        let charge = Payload::charge_for(key.as_bytes().len(), value.len());
        self.check_charge(charge)?;
        self.make_room(charge, Some(hash), now)?;
        self.births += 1;
        Ok(self.items.insert(StoredItem {
            payload: Payload::new(key, value),
            hash,
            birth: self.births,
            cas: self.cas_of(self.births),
            flags,
            deadline,
            accessed_s: seconds(now),
            newer: None,
            older: None,
            marks: Marks::default(),
            visited: false,
            fetched: false,
        }))
    }

    /// Puts a new item in the place of an old one. An older version keeps the old one's deadline; only a plain `set`
    /// takes the old item with it when it fails.
    fn replace(
        &mut self,
        id: SlotId,
        is_older: bool,
        is_plain_set: bool,
        request: StoreRequest<'_>,
        now: Now,
    ) -> Result<SlotId, StoreOutcome> {
        let StoreRequest { key, hash, flags, deadline, value, .. } = request;
        let deadline = if is_older { self.items.get(id).deadline } else { deadline };
        let charge = Payload::charge_for(key.as_bytes().len(), value.len());
        // The tables shrink only for an item that comes anew, and only a `set` may lose the old one by trying.
        if is_plain_set && self.tables_are_in_the_way(charge) {
            self.items.remove(id);
            return self.insert(key, hash, flags, deadline, value, now);
        }
        match self.overwrite(id, key, value, now) {
            Ok(()) => {
                let item = self.items.get_mut(id);
                (item.flags, item.deadline) = (flags, deadline);
                (item.accessed_s, item.fetched) = (seconds(now), false);
                Ok(id)
            }
            Err(refusal) => {
                // The client believes the old value replaced.
                if is_plain_set {
                    self.items.remove(id);
                }
                Err(refusal)
            }
        }
    }

    /// Gives an item a new value, and the place of a new one in the eviction queue. Without room the old value stays.
    pub(super) fn overwrite(
        &mut self,
        id: SlotId,
        key: Key<'_>,
        value: Incoming<'_>,
        now: Now,
    ) -> Result<(), StoreOutcome> {
        self.check_value_len(value.len())?;
        let item = self.items.get_mut(id);
        match item.payload.inline_value_mut() {
            Some(present) if present.len() == value.len() => present.copy_from_slice(value.as_slice()),
            _ => self.change_payload(id, Payload::charge_for(key.as_bytes().len(), value.len()), now, |old| {
                (Payload::new(key, value), Some(old))
            })?,
        }
        self.items.renew(id);
        self.give_birth(id);
        Ok(())
    }

    /// `append` and `prepend`. Without room the old value stays.
    fn join(&mut self, id: SlotId, end: End, extra: &Incoming<'_>, now: Now) -> Result<SlotId, StoreOutcome> {
        let value_len_max = self.config.item_size_max;
        let present = &self.items.get(id).payload;
        self.check_value_len(present.value_bytes().len() + extra.len())?;
        let charge = present.joined_charge(end, extra.len(), value_len_max);
        self.change_payload(id, charge, now, |old| old.join(end, extra.as_slice(), value_len_max))?;
        self.items.get_mut(id).visited = true;
        self.give_birth(id);
        Ok(id)
    }

    /// Changes an item's bytes to ones that are charged `charge`. `change` gives the new bytes and what is left of
    /// the old ones.
    pub(super) fn change_payload(
        &mut self,
        id: SlotId,
        charge: usize,
        now: Now,
        change: impl FnOnce(Payload) -> (Payload, Option<Payload>),
    ) -> Result<(), StoreOutcome> {
        self.check_charge(charge)?;
        let old = self.items.take(id);
        // What a reader holds stays charged beside the new value.
        let old_charge = if old.is_held() { old.charge() } else { 0 };
        if let Err(refusal) = self.make_room(charge + old_charge, None, now) {
            self.items.put(id, old);
            return Err(refusal);
        }
        let (new, left_over) = change(old);
        self.items.put(id, new);
        if let Some(old) = left_over {
            self.items.discard(old);
        }
        Ok(())
    }

    const fn check_value_len(&self, value_len: usize) -> Result<(), StoreOutcome> {
        if value_len > self.config.item_size_max { Err(StoreOutcome::TooLarge) } else { Ok(()) }
    }
}
