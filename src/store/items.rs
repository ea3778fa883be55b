//! The parts of a shard in step: segments, index, large values, size classes, and what they take of the budget.

use std::io;
use std::sync::Arc;

use super::class::{Classes, class_of};
use super::door::Sought;
use super::index::{Index, PLACE_BITS};
use super::item::{Header, ItemView, LARGE_REFERENCE_LEN, Plan, Traits};
use super::large::LargeValues;
use super::policy::Queue;
use super::segment::{LIFE_CLASSES_MAX, Role, SEGMENT_LENS, SegmentId, Segments, segment_len};
use crate::memory::{Arena, Budget, LargeMemory, LargeValue, TableMemory};
use crate::terms::{Deadline, Key, KeyHash, Now};

/// What a segment costs beside its memory: its entry in the table, and in the list of those with items that die.
const SEGMENT_OVERHEAD: usize = 160;
/// Open segments may take this share of a shard's memory, in percent; the classes of time to live are merged until they do.
const OPEN_SHARE_MAX: usize = 3;
/// Values up to this share of a segment lie in it, at most [`INLINE_VALUE_LEN_MAX`].
const INLINE_SHARE: usize = 8;
const INLINE_VALUE_LEN_MAX: usize = 16 << 10;
/// Address space of a shard in units of the process's limit, so that the limit may grow at run time.
const ADDRESS_SPACE_FACTOR: usize = 4;
/// Least address space of a shard.
const ADDRESS_SPACE_MIN: usize = 16 << 30;
/// Runs of large values are powers of two, and one that is used again need not fit another.
const LARGE_ADDRESS_SPACE_FACTOR: usize = 4;

/// Where an item lies: its offset in the arena.
pub(super) type Place = usize;

/// Where an item is written: the newest segment of a queue, or, for what is moved out of a segment full of waste, one
/// that has that segment's place in the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Target {
    pub(super) queue: Queue,
    pub(super) life: u8,
    /// The segment that is being emptied.
    pub(super) instead_of: Option<SegmentId>,
}

/// Something that walks through a segment bit by bit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cursor {
    pub(super) segment: SegmentId,
    /// Offset in the segment.
    pub(super) at: u32,
}

/// All items of a shard.
#[derive(Debug)]
pub(super) struct Items {
    pub(super) arena: Arena,
    pub(super) segments: Segments,
    pub(super) index: Index,
    pub(super) large: LargeValues,
    pub(super) large_memory: LargeMemory,
    pub(super) classes: Classes,
    pub(super) budget: Arc<Budget>,
    /// Open segments by queue, first those for new items, then those for what is moved; and by class of time to live.
    open: [[Option<SegmentId>; LIFE_CLASSES_MAX]; 4],
    /// Log2 of the length of a segment.
    segment_shift: u32,
    /// Log2 of the unit in which places are kept in the index.
    unit_shift: u32,
    /// Classes of time to live, the one that never ends included.
    life_classes: u8,
    /// What of the budget is taken for tables.
    pub(super) charged_tables: usize,
    /// Bytes of live items in segments.
    pub(super) live_bytes: usize,
    /// The segment being emptied for room, and the one being swept.
    pub(super) emptied: Option<Cursor>,
    pub(super) swept: Option<Cursor>,
    /// Counts items that were moved or removed: what was found before may be elsewhere.
    pub(super) moves: u64,
}

impl Items {
    /// No items. `share` is what the shard may expect of the budget.
    pub(super) fn new(budget: Arc<Budget>, share: usize, huge_pages: bool) -> io::Result<Self> {
        let wanted = (budget.limit() * ADDRESS_SPACE_FACTOR).max(ADDRESS_SPACE_MIN);
        let least = budget.limit() + SEGMENT_LENS.end();
        let segment_len = segment_len(share);
        let unit_shift = 1.max(wanted.next_power_of_two().ilog2().saturating_sub(PLACE_BITS));
        let arena = Arena::reserve(wanted, least, huge_pages)?;
        let large_memory = LargeMemory::reserve(Arc::clone(&budget), wanted * LARGE_ADDRESS_SPACE_FACTOR, least * 2)?;
        let table_memory = TableMemory::reserve(wanted, 0, huge_pages)?;
        let life_classes = (share / segment_len * OPEN_SHARE_MAX / 100 / 2).clamp(2, LIFE_CLASSES_MAX);
        let mut items = Self {
            segments: Segments::new(arena.len() / segment_len),
            arena,
            index: Index::new(share, table_memory),
            large: LargeValues::default(),
            large_memory,
            classes: Classes::new(),
            budget,
            open: [[None; LIFE_CLASSES_MAX]; 4],
            segment_shift: segment_len.ilog2(),
            unit_shift,
            life_classes: u8::try_from(life_classes).unwrap_or(u8::MAX),
            charged_tables: 0,
            live_bytes: 0,
            emptied: None,
            swept: None,
            moves: 0,
        };
        items.settle_tables();
        Ok(items)
    }

    pub(super) const fn len(&self) -> usize {
        self.index.len()
    }

    /// Bytes of live items, their large values and the index.
    pub(super) const fn bytes(&self) -> usize {
        self.live_bytes + self.large.charge() + self.index.bytes()
    }

    /// What the shard has taken of the budget, with its large values.
    pub(super) fn share(&self) -> usize {
        let with_memory = self.segments.iter().filter(|(_, segment)| segment.role != Role::Released).count();
        with_memory * self.segment_cost() + self.charged_tables + self.large.charge()
    }

    pub(super) const fn segment_len(&self) -> usize {
        1 << self.segment_shift
    }

    /// Bytes of the budget that a segment takes.
    pub(super) const fn segment_cost(&self) -> usize {
        self.segment_len() + SEGMENT_OVERHEAD
    }

    /// Values longer than this live in memory of their own.
    pub(super) fn inline_value_len_max(&self) -> usize {
        (self.segment_len() / INLINE_SHARE).min(INLINE_VALUE_LEN_MAX)
    }

    /// Most bytes that all segments of the shard may ever have.
    pub(super) const fn address_space(&self) -> usize {
        self.arena.len()
    }

    /// Where the item under `key` lies.
    #[inline]
    pub(super) fn find(&self, key: Key<'_>, hash: KeyHash) -> Option<Place> {
        self.index.find(hash, |unit| self.view(self.place(unit)).key() == key.as_bytes()).map(|unit| self.place(unit))
    }

    /// The item at a place.
    #[inline]
    pub(super) fn view(&self, place: Place) -> ItemView<'_> {
        let in_segment = self.segment_len() - (place & (self.segment_len() - 1));
        ItemView::new(self.arena.bytes(place, in_segment))
    }

    /// Bytes from one item to the next.
    pub(super) fn stride(&self, item: ItemView<'_>) -> usize {
        item.len().next_multiple_of(1 << self.unit_shift)
    }

    /// The size of an item, its value included wherever it lies.
    #[inline(always)]
    pub(super) fn size(&self, item: ItemView<'_>) -> usize {
        item.len() + item.large_number().map_or(0, |number| self.large.get(number).len())
    }

    /// The segment that a place is in.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "as many segments as an arena has fit 32 bits")]
    pub(super) const fn segment_of(&self, place: Place) -> SegmentId {
        (place >> self.segment_shift) as SegmentId
    }

    /// The shard's count of writes when the item at `place` was written.
    #[inline]
    pub(super) fn birth(&self, place: Place) -> u64 {
        self.birth_of(place, self.view(place))
    }

    /// The same of an item that is looked at already.
    #[inline]
    pub(super) fn birth_of(&self, place: Place, item: ItemView<'_>) -> u64 {
        item.birth(self.segments.get(self.segment_of(place)).base)
    }

    /// Changes an item's header.
    #[inline]
    pub(super) fn set_header(&mut self, place: Place, header: Header) {
        header.write(self.arena.bytes_mut(place, super::item::FIXED_LEN));
    }

    /// The bytes of a value that lies in its segment, to be changed.
    pub(super) fn inline_value_mut(&mut self, place: Place) -> Option<&mut [u8]> {
        let item = self.view(place);
        let header = item.header();
        let (start, len) = (header.head_len() + header.key_len(), item.stored_value_len());
        (!header.is_large()).then(|| self.arena.bytes_mut(place + start, len))
    }

    /// Brings what a look-up of these hashes will need near the CPU: first the entries of all, then the items of all.
    /// Notes where an item may be.
    pub(super) fn look_ahead(&self, keys: &mut [Sought]) {
        for sought in &mut *keys {
            self.index.candidates(sought.hash, |unit| {
                (sought.place, sought.moves) = (self.place(unit), self.moves);
            });
        }
        for sought in keys.iter().filter(|sought| sought.moves == self.moves) {
            self.arena.prefetch(sought.place);
            self.arena.prefetch(sought.place + 64);
        }
    }

    /// Where the item under `key` lies.
    #[inline(always)]
    pub(super) fn find_sought(&self, key: Key<'_>, sought: Sought) -> Option<Place> {
        if self.view_sought(key, sought).is_some() { Some(sought.place) } else { self.find(key, sought.hash) }
    }

    /// The item under `key`, if it is where the look-ahead has seen it.
    #[inline(always)]
    pub(super) fn view_sought(&self, key: Key<'_>, sought: Sought) -> Option<ItemView<'_>> {
        // Nothing has been moved or removed since, so an item under this key that lay there is still the one.
        if sought.moves != self.moves {
            return None;
        }
        let item = self.view(sought.place);
        (item.key() == key.as_bytes()).then_some(item)
    }

    /// `len` bytes from `place` on, all of one segment.
    #[inline(always)]
    pub(super) fn bytes_at(&self, place: Place, len: usize) -> &[u8] {
        self.arena.bytes(place, len)
    }

    /// The class of time to live for an item that dies at `deadline`.
    pub(super) fn life_of(&self, deadline: Deadline, now: Now) -> u8 {
        // Twice the logarithm of the seconds left, from 2 s to 100 days.
        const STEPS: u64 = 48;
        let Some(seconds) = deadline.seconds_left(now) else { return 0 };
        let log = u64::from(seconds.max(1).ilog2());
        let half = seconds >> log.saturating_sub(1) & 1;
        let step = (2 * log + half).min(STEPS - 1);
        let class = 1 + step * u64::from(self.life_classes - 1) / STEPS;
        u8::try_from(class).unwrap_or(0)
    }

    /// Where a new item of this life in that queue is written.
    pub(super) const fn target(queue: Queue, life: u8) -> Target {
        Target { queue, life, instead_of: None }
    }

    /// Bytes an item may take at most once it is written.
    pub(super) fn len_max(key: Key<'_>, value_len: usize, is_large: bool, traits: Traits) -> usize {
        Plan::new(key, value_len, is_large, traits, 0, u64::MAX).len() + 14
    }

    /// Whether the open segment of a target has room for `len` bytes.
    #[inline]
    pub(super) fn has_room(&self, target: Target, len: usize) -> bool {
        self.open[row(target)][usize::from(target.life)]
            .is_some_and(|id| self.segments.get(id).len as usize + len <= self.segment_len())
    }

    /// Whether the segment that a place is in is more than half full.
    pub(super) fn is_half_full(&self, place: Place) -> bool {
        self.segments.get(self.segment_of(place)).len as usize > self.segment_len() / 2
    }

    /// Opens another segment for a target; there must be a free one. Whether there was.
    pub(super) fn open(&mut self, target: Target, births: u64, now: Now) -> bool {
        let slot = (row(target), usize::from(target.life));
        if self.segments.free() == 0 {
            return false;
        }
        if let Some(full) = self.open[slot.0][slot.1] {
            self.seal(full);
        }
        // The segment that is being emptied may have been the one just sealed, and be free already.
        let before = target.instead_of.filter(|&id| self.segments.get(id).role == Role::Sealed);
        self.open[slot.0][slot.1] =
            self.segments.open(target.queue, target.life, births, now.monotonic_ms / 1000, before);
        true
    }

    /// Closes an open segment.
    pub(super) fn seal(&mut self, id: SegmentId) {
        for slot in self.open.iter_mut().flatten().filter(|slot| **slot == Some(id)) {
            *slot = None;
        }
        self.segments.get_mut(id).role = Role::Sealed;
        if self.segments.get(id).live_items == 0 {
            self.set_free(id);
        }
    }

    /// Writes an item where there is room for it (`has_room`), but for its value, whose place is returned. It is not in
    /// the index yet.
    pub(super) fn write(
        &mut self,
        target: Target,
        key: Key<'_>,
        value_len: usize,
        is_large: bool,
        traits: Traits,
        birth: u64,
    ) -> (Place, &mut [u8]) {
        let id = self.open[row(target)][usize::from(target.life)].expect("there is room, so there is a segment");
        let start = id as usize * self.segment_len();
        let segment = self.segments.get_mut(id);
        let plan = Plan::new(key, value_len, is_large, traits, birth, segment.base);
        let stride = plan.len().next_multiple_of(1 << self.unit_shift);
        let place = start + segment.len as usize;
        segment.len += count(stride);
        segment.live_bytes += count(stride);
        segment.live_items += 1;
        self.live_bytes += stride;
        self.segments.count_queue_bytes(target.queue, stride, true);
        self.segments.note_deadline(id, traits.deadline);
        let value = plan.write(key, self.arena.bytes_mut(place, stride));
        (place, value)
    }

    /// Writes a new item and enters it in the index.
    pub(super) fn insert(
        &mut self,
        target: Target,
        key: Key<'_>,
        hash: KeyHash,
        value: Written<'_>,
        traits: Traits,
        birth: u64,
    ) -> Place {
        let place = self.write_value(target, key, value, traits, birth);
        self.index.insert(hash, self.unit(place));
        self.settle_tables();
        place
    }

    /// Writes a new version of the item at `old`, which is one no more.
    #[expect(clippy::too_many_arguments, reason = "an item has this many parts, and they have nothing else in common")]
    pub(super) fn replace(
        &mut self,
        target: Target,
        old: Place,
        key: Key<'_>,
        hash: KeyHash,
        value: Written<'_>,
        traits: Traits,
        birth: u64,
    ) -> Place {
        let place = self.write_value(target, key, value, traits, birth);
        self.index.relocate(hash, self.unit(old), self.unit(place));
        self.bury(old);
        self.settle_tables();
        place
    }

    fn write_value(&mut self, target: Target, key: Key<'_>, value: Written<'_>, traits: Traits, birth: u64) -> Place {
        let place = match value {
            Written::Inline(bytes) => {
                let (place, slot) = self.write(target, key, bytes.len(), false, traits, birth);
                slot.copy_from_slice(bytes);
                place
            }
            Written::Large(large) => {
                let (charge, number) = (large.charge(), self.large.insert(large));
                let (place, slot) = self.write(target, key, LARGE_REFERENCE_LEN, true, traits, birth);
                slot.copy_from_slice(&number.to_le_bytes());
                self.count_large(place, charge, true);
                place
            }
        };
        self.count_class(place, true);
        place
    }

    /// Moves an item: to another queue, out of a segment full of waste, or because it has parts now that it had no room
    /// for. There must be room for it.
    pub(super) fn relocate(&mut self, target: Target, from: Place, hash: KeyHash, traits: Traits, birth: u64) -> Place {
        let item = self.view(from);
        let (key_at, value_len, is_large) =
            (from + item.header().head_len(), item.stored_value_len(), item.header().is_large());
        let charge = item.large_number().map(|number| self.large.get(number).charge());
        let mut key_bytes = [0; crate::limits::KEY_LEN_MAX];
        let key_len = item.header().key_len();
        key_bytes[..key_len].copy_from_slice(item.key());
        let key = Key::new(&key_bytes[..key_len]).expect("every item has a key");
        self.count_class(from, false);
        let (to, _) = self.write(target, key, value_len, is_large, traits, birth);
        let to_value = to + self.view(to).header().head_len() + key_len;
        self.arena.copy(key_at + key_len, to_value, value_len);
        if let Some(charge) = charge {
            self.count_large(from, charge, false);
            self.count_large(to, charge, true);
        }
        self.count_class(to, true);
        self.index.relocate(hash, self.unit(from), self.unit(to));
        self.bury_counted(from);
        to
    }

    /// Writes other traits, or another birth, over an item, if its parts allow. Whether they did.
    pub(super) fn rewrite(&mut self, place: Place, traits: Traits, birth: u64) -> bool {
        let id = self.segment_of(place);
        let base = self.segments.get(id).base;
        let item = self.view(place);
        let Some(key) = Key::new(item.key()) else { return false };
        let plan = Plan::new(key, item.stored_value_len(), item.header().is_large(), traits, birth, base).over(item);
        if !plan.fits_over(item) {
            return false;
        }
        let head_len = item.header().head_len();
        plan.write_head(self.arena.bytes_mut(place, head_len));
        self.segments.note_deadline(id, traits.deadline);
        true
    }

    /// Writes another value over an item's, if its length and parts allow. Whether they did.
    pub(super) fn overwrite(&mut self, place: Place, value: &[u8], traits: Traits, birth: u64) -> bool {
        let id = self.segment_of(place);
        let base = self.segments.get(id).base;
        let item = self.view(place);
        let Some(key) = Key::new(item.key()) else { return false };
        let plan = Plan::new(key, value.len(), false, traits, birth, base).over(item);
        if !plan.fits_over(item) {
            return false;
        }
        let (value_at, stride) = (item.header().head_len() + item.header().key_len(), self.stride(item));
        // Its size stays, and with it what is counted by size.
        let bytes = self.arena.bytes_mut(place, stride);
        plan.write_head(bytes);
        bytes[value_at..value_at + value.len()].copy_from_slice(value);
        self.segments.note_deadline(id, traits.deadline);
        true
    }

    /// Changes a value in memory of its own.
    pub(super) fn change_large<R>(&mut self, place: Place, change: impl FnOnce(&mut LargeValue) -> R) -> Option<R> {
        let number = self.view(place).large_number()?;
        self.count_class(place, false);
        let (result, before, after) = self.large.change(number, change);
        self.count_large(place, before, false);
        self.count_large(place, after, true);
        self.count_class(place, true);
        Some(result)
    }

    /// Removes an item.
    pub(super) fn remove(&mut self, place: Place, hash: KeyHash) {
        self.index.remove(hash, self.unit(place));
        self.bury(place);
    }

    /// The live item that a walk through a segment comes to next, and the place where it goes on.
    pub(super) fn next_live(&self, cursor: &mut Cursor) -> Option<Place> {
        let segment = self.segments.get(cursor.segment);
        while cursor.at < segment.len {
            let place = cursor.segment as usize * self.segment_len() + cursor.at as usize;
            let item = self.view(place);
            cursor.at += count(self.stride(item));
            if !item.header().is_dead() {
                return Some(place);
            }
        }
        None
    }

    /// The places of the items of some slices of the index.
    pub(super) fn slices(&self, region: usize, slices: std::ops::Range<usize>, mut each: impl FnMut(Place)) {
        self.index.slices(region, slices, |unit| each(self.place(unit)));
    }

    /// An item is one no more: its bytes are waste, and if it was the last of its segment, that is free.
    fn bury(&mut self, place: Place) {
        self.count_class(place, false);
        if let Some(number) = self.view(place).large_number() {
            let value = self.large.remove(number);
            self.count_large(place, value.charge(), false);
        }
        self.bury_counted(place);
    }

    fn bury_counted(&mut self, place: Place) {
        let item = self.view(place);
        let (dead, stride) = (item.header().as_dead(), self.stride(item));
        self.set_header(place, dead);
        let id = self.segment_of(place);
        let segment = self.segments.get_mut(id);
        segment.live_bytes -= count(stride);
        segment.live_items -= 1;
        let (queue, is_empty) = (segment.queue, segment.live_items == 0 && segment.role == Role::Sealed);
        self.live_bytes -= stride;
        self.segments.count_queue_bytes(queue, stride, false);
        self.moves += 1;
        if is_empty {
            self.set_free(id);
        }
    }

    fn set_free(&mut self, id: SegmentId) {
        self.segments.set_free(id);
        for cursor in [&mut self.emptied, &mut self.swept] {
            if cursor.is_some_and(|cursor| cursor.segment == id) {
                *cursor = None;
            }
        }
    }

    fn count_large(&mut self, place: Place, charge: usize, more: bool) {
        let segment = self.segments.get_mut(self.segment_of(place));
        segment.large_bytes = if more { segment.large_bytes + charge } else { segment.large_bytes - charge };
        let queue = segment.queue;
        self.segments.count_queue_bytes(queue, charge, more);
    }

    fn count_class(&mut self, place: Place, more: bool) {
        let size = self.size(self.view(place));
        let class = self.classes.get_mut(class_of(size));
        if more {
            class.number += 1;
            class.bytes += size as u64;
        } else {
            class.number -= 1;
            class.bytes -= size as u64;
        }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "places fit the address space")]
    pub(super) const fn place(&self, unit: u64) -> Place {
        (unit << self.unit_shift) as usize
    }

    #[inline]
    const fn unit(&self, place: Place) -> u64 {
        place as u64 >> self.unit_shift
    }
}

/// A value to be written.
#[derive(Debug)]
pub(super) enum Written<'a> {
    /// Bytes to copy.
    Inline(&'a [u8]),
    /// Memory of its own.
    Large(LargeValue),
}

/// Bytes within a segment.
fn count(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

const fn row(target: Target) -> usize {
    target.queue as usize + if target.instead_of.is_some() { 2 } else { 0 }
}
