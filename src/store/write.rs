//! What changes an item: storage requests, arithmetic, and changes of what is known of it.

use super::door::{
    ArithmeticOutcome, ArithmeticRequest, Change, Found, Incoming, NewCas, OutOfMemory, Search, StoreOutcome,
    StoreRequest,
};
use super::item::{Access, Traits, parse_number};
use super::items::{Items, Place, Written};
use super::policy::Queue;
use super::reclaim::INDEX_ENTRY_COST;
use super::shard::Shard;
use crate::memory::NoMemory;
use crate::terms::{Arithmetic, Deadline, Flags, Key, KeyHash, Marks, Now, StoreMode};

/// At which end a value grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Front,
    Back,
}

impl Shard {
    /// Stores a value as the request says; makes room if there is none.
    pub fn store(&mut self, request: StoreRequest<'_>, now: Now) -> StoreOutcome {
        let found = match self.find(request.key, request.hash, now) {
            Search::Hit(found) => Some(found),
            _ => None,
        };
        let len = request.value.as_slice().len().min(self.items.inline_value_len_max());
        match self.store_over(found, request, now) {
            Ok((outcome, place)) => {
                if self.items.is_half_full(place) {
                    self.reclaim_ahead(len, now);
                }
                self.shed_excess(now);
                outcome
            }
            Err(outcome) => outcome,
        }
    }

    fn store_over(
        &mut self,
        found: Option<Found>,
        request: StoreRequest<'_>,
        now: Now,
    ) -> Result<(StoreOutcome, Place), StoreOutcome> {
        let Some(found) = found else { return self.store_new(request, now) };
        let compare = match request.mode {
            StoreMode::Cas(wanted) => Some(wanted),
            StoreMode::Add => {
                let used = self.items.view(found.place).header();
                self.items.set_header(found.place, used.with_uses((used.uses() + 1).min(super::item::USES_MAX)));
                return Err(StoreOutcome::NotStored);
            }
            _ => request.compare,
        };
        let mut deadline = request.deadline;
        let mut marks = Marks { key_is_binary: request.key_is_binary, ..Default::default() };
        if let Some(wanted) = compare
            && !self.is_version(found, wanted)
        {
            let present = self.cas(found.place);
            let joins = matches!(request.mode, StoreMode::Append | StoreMode::Prepend);
            if joins || !(request.stale_if_older && wanted < present) {
                let size = self.items.size(self.items.view(found.place));
                self.items.classes.of_size(size).cas_badval += 1;
                return Err(StoreOutcome::Exists);
            }
            let item = self.items.view(found.place);
            deadline = item.deadline();
            marks = Marks { stale: true, won: item.header().marks().won, ..marks };
        }
        let (cas_hits, mode) = (u64::from(compare.is_some()), request.mode);
        let stored = match mode {
            StoreMode::Append => self.join(found, End::Back, &request, now)?,
            StoreMode::Prepend => self.join(found, End::Front, &request, now)?,
            _ => {
                let traits = Traits {
                    flags: request.flags,
                    deadline,
                    cas: request.cas.filter(|_| self.config.cas),
                    marks,
                    fetched: false,
                    uses: 0,
                    access: Access::at(now),
                };
                self.replace_value(found, request.key, request.value, traits, mode == StoreMode::Set, now)?
            }
        };
        let size = self.items.size(self.items.view(stored));
        self.items.classes.of_size(size).cas_hits += cas_hits;
        Ok((self.stored(stored), stored))
    }

    /// There is no item under the key.
    fn store_new(&mut self, request: StoreRequest<'_>, now: Now) -> Result<(StoreOutcome, Place), StoreOutcome> {
        let deadline = match (request.mode, request.vivify) {
            (StoreMode::Append | StoreMode::Prepend, Some(vivify)) => vivify,
            (StoreMode::Cas(_), _) => return Err(StoreOutcome::NotFound),
            (StoreMode::Set | StoreMode::Replace, _) if request.compare.is_some() => {
                return Err(StoreOutcome::NotFound);
            }
            (StoreMode::Replace | StoreMode::Append | StoreMode::Prepend, _) => return Err(StoreOutcome::NotStored),
            (StoreMode::Set | StoreMode::Add, _) => request.deadline,
        };
        let traits = Traits {
            flags: request.flags,
            deadline,
            cas: request.cas.filter(|_| self.config.cas),
            marks: Marks { key_is_binary: request.key_is_binary, ..Default::default() },
            fetched: false,
            uses: 0,
            access: Access::at(now),
        };
        let place = self.insert(request.key, request.hash, request.value, traits, now)?;
        Ok((self.stored(place), place))
    }

    fn stored(&mut self, place: Place) -> StoreOutcome {
        self.counters.total_items += 1;
        let item = self.items.view(place);
        let (len, size) = (self.value(item).as_bytes().len(), self.items.size(item));
        self.items.classes.of_size(size).cmd_set += 1;
        StoreOutcome::Stored { cas: self.cas(place), len }
    }

    /// Adds to or subtracts from a decimal number. A number with fewer digits keeps the value's length and is padded
    /// with blanks (PROTOCOL §3). Flags and deadline stay, the CAS unique is new.
    pub fn arithmetic(&mut self, request: ArithmeticRequest<'_>, now: Now) -> ArithmeticOutcome {
        let ArithmeticRequest { key, hash, direction, delta, .. } = request;
        let Search::Hit(found) = self.find(key, hash, now) else {
            return match request.create {
                Some((number, deadline)) => self.create_number(&request, number, deadline, now),
                None => ArithmeticOutcome::NotFound,
            };
        };
        if request.compare.is_some_and(|wanted| !self.is_version(found, wanted)) {
            return ArithmeticOutcome::Exists;
        }
        let item = self.items.view(found.place);
        let (text_len, size) = (item.stored_value_len(), self.items.size(item));
        let Some(present) = parse_number(item.stored_value()).filter(|_| !item.header().is_large()) else {
            return ArithmeticOutcome::NonNumeric;
        };
        let number = match direction {
            Arithmetic::Increment => present.wrapping_add(delta),
            Arithmetic::Decrement => present.saturating_sub(delta),
        };
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(number).as_bytes();
        let mut traits = item.traits();
        traits.uses = (traits.uses + 1).min(super::item::USES_MAX);
        traits.deadline = request.deadline.unwrap_or(traits.deadline);
        traits.cas = request.cas.filter(|_| self.config.cas);
        let class = self.items.classes.of_size(size);
        match direction {
            Arithmetic::Increment => class.incr_hits += 1,
            Arithmetic::Decrement => class.decr_hits += 1,
        }
        let written = if digits.len() <= text_len {
            let birth = self.next_birth();
            self.retrait(found, traits, birth, now).map(|found| {
                if let Some(text) = self.items.inline_value_mut(found.place) {
                    text[..digits.len()].copy_from_slice(digits);
                    text[digits.len()..].fill(b' ');
                }
                found.place
            })
        } else {
            let written = self.replace_value(found, key, Incoming::Slice(digits), traits, false, now);
            written.map_err(|_| OutOfMemory)
        };
        match written {
            Ok(place) => {
                let deadline = self.items.view(place).deadline();
                ArithmeticOutcome::Value { number, cas: self.cas(place), deadline }
            }
            Err(OutOfMemory) => ArithmeticOutcome::OutOfMemory,
        }
    }

    fn create_number(
        &mut self,
        request: &ArithmeticRequest<'_>,
        number: u64,
        deadline: Deadline,
        now: Now,
    ) -> ArithmeticOutcome {
        let mut digits = itoa::Buffer::new();
        let value = Incoming::Slice(digits.format(number).as_bytes());
        let mut store = StoreRequest::new(StoreMode::Add, request.key, request.hash, Flags(0), deadline, value);
        store.cas = request.cas;
        store.key_is_binary = request.key_is_binary;
        match self.store(store, now) {
            StoreOutcome::Stored { cas, .. } => ArithmeticOutcome::Created { number, cas, deadline },
            _ => ArithmeticOutcome::OutOfMemory,
        }
    }

    /// Changes what is known of an item.
    pub fn change(&mut self, found: Found, change: Change, now: Now) -> Result<Found, OutOfMemory> {
        let item = self.items.view(found.place);
        let mut traits = item.traits();
        traits.deadline = change.deadline.unwrap_or(traits.deadline);
        traits.marks = change.marks.unwrap_or(traits.marks);
        traits.flags = change.flags.unwrap_or(traits.flags);
        let birth = match change.cas {
            NewCas::Keep => self.items.birth(found.place),
            NewCas::Next => {
                traits.cas = None;
                self.next_birth()
            }
            NewCas::Explicit(cas) => {
                traits.cas = Some(cas).filter(|_| self.config.cas);
                self.next_birth()
            }
        };
        if change.clear_value {
            let Some(key) = OwnedKey::of(self.items.view(found.place).key()) else { return Ok(found) };
            let place = self.write_over(found, key.as_key(), Written::Inline(&[]), traits, birth, now)?;
            return Ok(Found { place, ..found });
        }
        self.retrait(found, traits, birth, now)
    }

    /// Gives an item other traits or another birth, in its place if its parts allow.
    pub(super) fn retrait(&mut self, found: Found, traits: Traits, birth: u64, now: Now) -> Result<Found, OutOfMemory> {
        if self.items.rewrite(found.place, traits, birth) {
            return Ok(found);
        }
        let item = self.items.view(found.place);
        let Some(key) = OwnedKey::of(item.key()) else { return Ok(found) };
        let len = Items::len_max(key.as_key(), item.stored_value_len(), item.header().is_large(), traits);
        let queue = self.queue_of(found.place);
        let target = Items::target(queue, self.items.life_of(traits.deadline, now));
        let place = self.make_room_beside(found, key.as_key(), target, len, now)?;
        let place = self.items.relocate(target, place, found.hash, traits, birth);
        Ok(Found { place, ..found })
    }

    fn insert(
        &mut self,
        key: Key<'_>,
        hash: KeyHash,
        value: Incoming<'_>,
        traits: Traits,
        now: Now,
    ) -> Result<Place, StoreOutcome> {
        self.check_value_len(value.as_slice().len())?;
        let value = self.written(value, now)?;
        let len = Items::len_max(key, stored_len(&value), matches!(value, Written::Large(_)), traits);
        let large = if let Written::Large(large) = &value { large.charge() } else { 0 };
        let size = len + large + INDEX_ENTRY_COST;
        let queue = self.policy.place(hash.0, size);
        self.settle_policy();
        let target = Items::target(queue, self.items.life_of(traits.deadline, now));
        self.make_room(target, len, Some(hash), now).map_err(|OutOfMemory| self.out_of_memory(len))?;
        let birth = self.next_birth();
        Ok(self.items.insert(target, key, hash, value, traits, birth))
    }

    /// Gives an item another value. If `forget` it goes where there is no memory for the new one.
    fn replace_value(
        &mut self,
        found: Found,
        key: Key<'_>,
        value: Incoming<'_>,
        mut traits: Traits,
        forget: bool,
        now: Now,
    ) -> Result<Place, StoreOutcome> {
        let replaced = self.check_value_len(value.as_slice().len()).and_then(|()| {
            // Written again is used again; but who only writes has not fetched.
            traits.uses = (self.items.view(found.place).header().uses() + 1).min(super::item::USES_MAX);
            let birth = self.births + 1;
            let life = self.items.segments.get(self.items.segment_of(found.place)).life;
            if let Incoming::Slice(bytes) = value
                && bytes.len() <= self.items.inline_value_len_max()
                && life == self.items.life_of(traits.deadline, now)
                && self.items.overwrite(found.place, bytes, traits, birth)
            {
                self.births = birth;
                return Ok(found.place);
            }
            let (search, value) = if forget {
                // The old value would be lost with a failure anyway: its memory is as good as any.
                let queue = self.queue_of(found.place);
                let uses = traits.uses;
                self.items.remove(found.place, found.hash);
                return self.insert_again(key, found.hash, value, Traits { uses, ..traits }, queue, now);
            } else {
                (found, self.written(value, now)?)
            };
            let Search::Hit(found) = self.find(key, search.hash, now) else {
                // Making memory for the value took the old one.
                return Err(StoreOutcome::OutOfMemory);
            };
            let birth = self.next_birth();
            self.write_over(found, key, value, traits, birth, now).map_err(|OutOfMemory| self.out_of_memory(0))
        });
        if replaced.is_err()
            && forget
            && let Search::Hit(found) = self.find(key, found.hash, now)
        {
            self.items.remove(found.place, found.hash);
        }
        replaced
    }

    fn insert_again(
        &mut self,
        key: Key<'_>,
        hash: KeyHash,
        value: Incoming<'_>,
        traits: Traits,
        queue: Queue,
        now: Now,
    ) -> Result<Place, StoreOutcome> {
        let value = self.written(value, now)?;
        let len = Items::len_max(key, stored_len(&value), matches!(value, Written::Large(_)), traits);
        let target = Items::target(queue, self.items.life_of(traits.deadline, now));
        self.make_room(target, len, Some(hash), now).map_err(|OutOfMemory| self.out_of_memory(len))?;
        let birth = self.next_birth();
        Ok(self.items.insert(target, key, hash, value, traits, birth))
    }

    /// `append` and `prepend`. Without room the old value stays.
    fn join(&mut self, found: Found, end: End, request: &StoreRequest<'_>, now: Now) -> Result<Place, StoreOutcome> {
        let extra = request.value.as_slice();
        let item = self.items.view(found.place);
        let present_len = self.value(item).as_bytes().len();
        self.check_value_len(present_len + extra.len())?;
        let mut traits = item.traits();
        traits.uses = (traits.uses + 1).min(super::item::USES_MAX);
        traits.cas = request.cas.filter(|_| self.config.cas);
        // A new value: neither stale, nor anybody's to fetch.
        traits.marks = Marks { key_is_binary: traits.marks.key_is_binary, ..Default::default() };
        let place = if item.header().is_large() {
            self.join_large(found, request.key, end, extra, now).map_err(|OutOfMemory| self.out_of_memory(0))?
        } else {
            let present = self.value(item).as_bytes();
            let joined = match end {
                End::Back => [present, extra].concat(),
                End::Front => [extra, present].concat(),
            };
            let value = if joined.len() > self.items.inline_value_len_max() {
                let copy = self.with_memory(now, |shard| {
                    shard.items.prepare_large()?;
                    shard.items.large_memory.copy_with(&joined, &[], end == End::Front)
                });
                Written::Large(copy.map_err(|OutOfMemory| self.out_of_memory(joined.len()))?)
            } else {
                Written::Inline(&joined)
            };
            let Search::Hit(found) = self.find(request.key, found.hash, now) else {
                return Err(StoreOutcome::OutOfMemory);
            };
            let birth = self.next_birth();
            return self
                .write_over(found, request.key, value, traits, birth, now)
                .map_err(|OutOfMemory| self.out_of_memory(joined.len()));
        };
        let birth = self.next_birth();
        let found = Found { place, ..found };
        self.retrait(found, traits, birth, now).map(|found| found.place).map_err(|OutOfMemory| self.out_of_memory(0))
    }

    /// Adds to a value in memory of its own: where it is, or in a copy with room for as much again.
    fn join_large(
        &mut self,
        found: Found,
        key: Key<'_>,
        end: End,
        extra: &[u8],
        now: Now,
    ) -> Result<Place, OutOfMemory> {
        loop {
            let Search::Hit(found) = self.find(key, found.hash, now) else { return Err(OutOfMemory) };
            let grown = self.items.change_large(found.place, |value| match end {
                End::Back => value.append(extra),
                End::Front => value.prepend(extra),
            });
            match grown {
                None | Some(Ok(())) => return Ok(found.place),
                Some(Err(NoMemory::Limit)) => self.give_back_some(now)?,
                Some(Err(NoMemory::Room)) => {
                    let Some(number) = self.items.view(found.place).large_number() else { return Err(OutOfMemory) };
                    let present = self.items.large.get(number).bytes().clone();
                    let copy = self.with_memory(now, |shard| {
                        shard.items.large_memory.copy_with(&present, extra, end == End::Front)
                    })?;
                    let Search::Hit(found) = self.find(key, found.hash, now) else { return Err(OutOfMemory) };
                    self.items.change_large(found.place, |value| *value = copy);
                    return Ok(found.place);
                }
            }
        }
    }

    /// Writes a new version of an item, which may be elsewhere by now.
    fn write_over(
        &mut self,
        found: Found,
        key: Key<'_>,
        value: Written<'_>,
        traits: Traits,
        birth: u64,
        now: Now,
    ) -> Result<Place, OutOfMemory> {
        let len = Items::len_max(key, stored_len(&value), matches!(value, Written::Large(_)), traits);
        let target = Items::target(self.queue_of(found.place), self.items.life_of(traits.deadline, now));
        let place = self.make_room_beside(found, key, target, len, now)?;
        Ok(self.items.replace(target, place, key, found.hash, value, traits, birth))
    }

    /// Makes room for a new version of an item, and says where the item is then; if it had to go for the room, there is
    /// none for the new version.
    fn make_room_beside(
        &mut self,
        found: Found,
        key: Key<'_>,
        target: super::items::Target,
        len: usize,
        now: Now,
    ) -> Result<Place, OutOfMemory> {
        let moves = self.items.moves;
        self.make_room(target, len, None, now)?;
        if self.items.moves == moves {
            return Ok(found.place);
        }
        self.items.find(key, found.hash).ok_or(OutOfMemory)
    }

    /// A value as it will be written: what is too long for a segment goes into memory of its own.
    fn written<'a>(&mut self, value: Incoming<'a>, now: Now) -> Result<Written<'a>, StoreOutcome> {
        match value {
            Incoming::Large(value) if value.len() > self.items.inline_value_len_max() => {
                let prepared = self.with_memory(now, |shard| shard.items.prepare_large());
                prepared.map_err(|OutOfMemory| self.out_of_memory(value.len()))?;
                Ok(Written::Large(value))
            }
            Incoming::Slice(bytes) if bytes.len() <= self.items.inline_value_len_max() => Ok(Written::Inline(bytes)),
            value => {
                let bytes = value.as_slice();
                let copy = self.with_memory(now, |shard| {
                    shard.items.prepare_large()?;
                    shard.items.large_memory.copy(bytes)
                });
                Ok(Written::Large(copy.map_err(|OutOfMemory| self.out_of_memory(bytes.len()))?))
            }
        }
    }

    fn queue_of(&self, place: Place) -> Queue {
        self.items.segments.get(self.items.segment_of(place)).queue
    }

    const fn next_birth(&mut self) -> u64 {
        self.births += 1;
        self.births
    }

    fn out_of_memory(&mut self, size: usize) -> StoreOutcome {
        self.items.classes.of_size(size).out_of_memory += 1;
        StoreOutcome::OutOfMemory
    }

    /// A value must fit the limit of items, and half of the memory, which may have become less than that.
    fn check_value_len(&self, value_len: usize) -> Result<(), StoreOutcome> {
        let value_len_max = self.config.item_size_max.min(self.config.budget.limit() / 2);
        if value_len > value_len_max { Err(StoreOutcome::TooLarge) } else { Ok(()) }
    }
}

fn stored_len(value: &Written<'_>) -> usize {
    match value {
        Written::Inline(bytes) => bytes.len(),
        Written::Large(_) => super::item::LARGE_REFERENCE_LEN,
    }
}

/// A copy of an item's key, for while the item is moved.
struct OwnedKey {
    bytes: [u8; crate::limits::KEY_LEN_MAX],
    len: usize,
}

impl OwnedKey {
    fn of(key: &[u8]) -> Option<Self> {
        let mut bytes = [0; crate::limits::KEY_LEN_MAX];
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        (!key.is_empty()).then_some(Self { bytes, len: key.len() })
    }

    fn as_key(&self) -> Key<'_> {
        Key::new(&self.bytes[..self.len]).expect("it was a key when it was copied")
    }
}
