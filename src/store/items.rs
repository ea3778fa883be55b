//! All items of a shard with their index, their order and their bytes, kept in step.

use super::classes::{CLASSES, class_of};
use super::index::Index;
use super::item::{Payload, StoredItem};
use super::memory::Pinned;
use super::queue::Queue;
use super::slots::{SlotId, SlotTable};
use crate::limits::LOOK_AHEAD_KEYS;
use crate::terms::{Key, KeyHash};

/// Slots, index and queue hold the same items; `bytes` is what they all cost.
#[derive(Debug)]
pub(super) struct Items {
    slots: SlotTable,
    index: Index,
    queue: Queue,
    pinned: Pinned,
    payload_bytes: usize,
    sweep_place: usize,
    /// Items and their bytes by size class.
    tallies: [(u64, u64); CLASSES],
}

/// Bytes that memory brings at a time.
const CACHE_LINE_LEN: usize = 64;
/// Tables smaller than this are not worth a rebuild.
const SHRINK_CAPACITY_MIN: usize = 64;

impl Items {
    /// No items, for a shard of `memory_limit` bytes.
    pub(super) fn new(memory_limit: usize) -> Self {
        Self {
            slots: SlotTable::default(),
            index: Index::new(memory_limit),
            queue: Queue::default(),
            pinned: Pinned::default(),
            payload_bytes: 0,
            sweep_place: 0,
            tallies: [(0, 0); CLASSES],
        }
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// Bytes of everything.
    pub(super) fn bytes(&self) -> usize {
        self.payload_bytes + self.bytes_fixed()
    }

    /// Bytes that no eviction gives back: the tables and what only readers hold.
    pub(super) fn bytes_fixed(&self) -> usize {
        self.slots.bytes() + self.index.bytes() + self.pinned.bytes()
    }

    /// What is left of [`Items::bytes_fixed`] once the tables are as small as for one item.
    pub(super) const fn bytes_fixed_min(&self) -> usize {
        Self::tables_bytes_min() + self.pinned.bytes()
    }

    /// Bytes of the tables for one item.
    pub(super) const fn tables_bytes_min() -> usize {
        SlotTable::bytes_min() + Index::bytes_min()
    }

    /// Bytes by which the tables grow if an item with `hash` comes.
    pub(super) fn growth_bytes(&self, hash: KeyHash) -> usize {
        self.slots.growth_bytes().saturating_add(self.index.growth_bytes(hash))
    }

    pub(super) const fn index(&self) -> &Index {
        &self.index
    }

    pub(super) fn find(&self, key: Key<'_>, hash: KeyHash) -> Option<SlotId> {
        self.index.find(hash, |id| self.slots.get(id).payload.key() == key.as_bytes())
    }

    /// Brings what look-ups of these hashes will read into the cache. Each step is done for all before the next, so
    /// that the CPU waits for memory once per step instead of once per step and key.
    pub(super) fn look_ahead(&self, hashes: &[KeyHash]) {
        let mut ids = [None; LOOK_AHEAD_KEYS];
        for (id, &hash) in ids.iter_mut().zip(hashes) {
            *id = self.index.find(hash, |_| true);
        }
        let mut memories = [&[][..]; LOOK_AHEAD_KEYS];
        for (memory, id) in memories.iter_mut().zip(ids) {
            *memory = id.map_or(&[], |id| self.slots.get(id).payload.memory());
        }
        let touched = memories.iter().fold(0, |touched, memory| {
            touched ^ memory.first().copied().unwrap_or(0) ^ memory.get(CACHE_LINE_LEN).copied().unwrap_or(0)
        });
        std::hint::black_box(touched);
    }

    pub(super) fn get(&self, id: SlotId) -> &StoredItem {
        self.slots.get(id)
    }

    /// An item to be changed; its bytes only with [`Items::take`] and [`Items::put`], its hash not at all.
    pub(super) fn get_mut(&mut self, id: SlotId) -> &mut StoredItem {
        self.slots.get_mut(id)
    }

    /// Adds an item under a key that has none.
    pub(super) fn insert(&mut self, item: StoredItem) -> SlotId {
        self.charge(&item.payload);
        let hash = item.hash;
        let id = self.slots.insert(item);
        self.index.insert(hash, id);
        self.queue.push_newest(&mut self.slots, id);
        id
    }

    fn charge(&mut self, payload: &Payload) {
        self.payload_bytes += payload.charge();
        let (number, bytes) = self.tally(payload);
        *number += 1;
        *bytes += item_size(payload) as u64;
    }

    fn discharge(&mut self, payload: &Payload) {
        self.payload_bytes -= payload.charge();
        let (number, bytes) = self.tally(payload);
        *number -= 1;
        *bytes -= item_size(payload) as u64;
    }

    fn tally(&mut self, payload: &Payload) -> (&mut u64, &mut u64) {
        let (number, bytes) = &mut self.tallies[usize::from(class_of(item_size(payload)))];
        (number, bytes)
    }

    /// Removes an item. What is returned has no bytes any more.
    pub(super) fn remove(&mut self, id: SlotId) -> StoredItem {
        self.queue.unlink(&mut self.slots, id);
        let mut item = self.slots.remove(id);
        self.index.remove(item.hash, id);
        let payload = std::mem::replace(&mut item.payload, Payload::taken());
        self.discharge(&payload);
        self.discard(payload);
        item
    }

    /// Takes an item's bytes out for a change. Until [`Items::put`] they count nowhere and the item is not evicted.
    pub(super) fn take(&mut self, id: SlotId) -> Payload {
        let payload = std::mem::replace(&mut self.slots.get_mut(id).payload, Payload::taken());
        self.discharge(&payload);
        payload
    }

    /// Gives an item its bytes.
    pub(super) fn put(&mut self, id: SlotId, payload: Payload) {
        self.charge(&payload);
        self.slots.get_mut(id).payload = payload;
    }

    /// Lets go of bytes that are no item's any more.
    pub(super) fn discard(&mut self, payload: Payload) {
        if payload.is_held() {
            self.pinned.pin(payload);
        }
    }

    /// Frees values whose readers have gone, of the first `looks`. Whether any had.
    pub(super) fn release_pinned(&mut self, looks: usize) -> bool {
        self.pinned.release(looks)
    }

    /// Makes an item the last to be evicted, as if it had come now.
    pub(super) fn renew(&mut self, id: SlotId) {
        self.queue.unlink(&mut self.slots, id);
        self.queue.push_newest(&mut self.slots, id);
    }

    /// The next item to evict, see [`Queue::next_victim`].
    pub(super) fn next_victim(&mut self, is_dead: impl Fn(&StoredItem) -> bool) -> Option<SlotId> {
        self.queue.next_victim(&mut self.slots, is_dead)
    }

    /// Goes on with the round through all slots: the item in the next one.
    pub(super) fn sweep_next(&mut self) -> Option<SlotId> {
        let place = self.sweep_place;
        let Ok(found) = self.slots.at_place(place) else {
            self.sweep_place = 0;
            return None;
        };
        self.sweep_place += 1;
        found.map(|(id, _)| id)
    }

    /// Shows the items of `count` places from `place` on; gives the place to go on from, if there is one.
    pub(super) fn walk(&self, place: usize, count: usize, mut each: impl FnMut(SlotId)) -> Option<usize> {
        for place in place..place + count {
            if let Some((id, _)) = self.slots.at_place(place).ok()? {
                each(id);
            }
        }
        Some(place + count)
    }

    /// All items from the one written longest ago.
    pub(super) fn oldest_first(&self) -> impl Iterator<Item = SlotId> {
        std::iter::successors(self.queue.oldest(), |&id| self.slots.get(id).newer)
    }

    /// Items and their bytes in each size class.
    pub(super) fn class_tallies(&self) -> impl Iterator<Item = (u8, (u64, u64))> {
        (0..).zip(self.tallies)
    }

    /// The size of every item.
    pub(super) fn sizes(&self) -> impl Iterator<Item = usize> {
        self.slots.iter().map(|(_, item)| item_size(&item.payload))
    }

    /// Whether the tables were made for four times the items.
    pub(super) fn tables_are_mostly_empty(&self) -> bool {
        self.slots.capacity() >= SHRINK_CAPACITY_MIN && self.slots.len() < self.slots.capacity() / 4
    }

    /// Rebuilds the tables for the items there are. Every `SlotId` held outside is void after it.
    pub(super) fn shrink_tables(&mut self) {
        let mut slots = SlotTable::default();
        let mut index = self.index.new_alike();
        let mut queue = Queue::default();
        let old_hand = self.queue.hand();
        while let Some(old_id) = self.queue.oldest() {
            self.queue.unlink(&mut self.slots, old_id);
            let item = self.slots.remove(old_id);
            let hash = item.hash;
            let id = slots.insert(item);
            index.insert(hash, id);
            queue.push_newest(&mut slots, id);
            if old_hand == Some(old_id) {
                queue.set_hand(Some(id));
            }
        }
        (self.slots, self.index, self.queue, self.sweep_place) = (slots, index, queue, 0);
    }

    /// Asserts that the parts are in step.
    pub(super) fn verify(&self) {
        self.slots.verify();
        self.index.verify();
        self.queue.verify(&self.slots);
        self.pinned.verify();
        assert_eq!(self.index.len(), self.len(), "index entries and items");
        for (id, item) in self.slots.iter() {
            let key = Key::new(item.payload.key()).expect("every item has a key");
            assert_eq!(self.find(key, item.hash), Some(id), "every item is found under its key");
        }
        let payload_bytes = self.slots.iter().map(|(_, item)| item.payload.charge()).sum::<usize>();
        assert_eq!(self.payload_bytes, payload_bytes, "bytes of payloads");
        let (number, bytes) = self.tallies.iter().fold((0, 0), |sum, tally| (sum.0 + tally.0, sum.1 + tally.1));
        assert_eq!((number, bytes), (self.len() as u64, self.sizes().sum::<usize>() as u64), "items by class");
    }
}

/// Bytes of a whole item.
pub(super) fn item_size(payload: &Payload) -> usize {
    payload.charge() + size_of::<StoredItem>()
}
