//! Where items live: numbered slots, so that an index entry and a queue link are four bytes.

use std::num::NonZeroU32;

use super::item::StoredItem;
use super::memory::allocated;

/// The number of a slot. Stays an item's until the item goes or the tables shrink.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SlotId(NonZeroU32);

impl SlotId {
    fn from_place(place: usize) -> Self {
        let number = u32::try_from(place + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("growth_bytes refuses what a number cannot count"))
    }

    const fn place(self) -> usize {
        self.0.get() as usize - 1
    }
}

#[derive(Debug)]
enum Slot {
    /// Free, with the next free one.
    Free(Option<SlotId>),
    Used(StoredItem),
}

/// All slots of a shard, in chunks of [`CHUNK_LEN`], so that growing moves nothing; only the first chunk starts
/// smaller and grows to that size. Grows when no slot is free.
#[derive(Debug, Default)]
pub(super) struct SlotTable {
    chunks: Vec<Vec<Slot>>,
    free: Option<SlotId>,
    len: usize,
    len_ever_used: usize,
}

/// Slots of a chunk: 56 KiB.
const CHUNK_LEN: usize = 1024;
/// Fewest slots the first chunk grows by.
const GROWTH_MIN: usize = 16;
/// Chunks that the list of chunks grows by.
const CHUNKS_GROWTH: usize = 16;

impl SlotTable {
    /// Items in the table.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Slots there is memory for.
    pub(super) fn capacity(&self) -> usize {
        match self.chunks.as_slice() {
            [] => 0,
            [first] => first.capacity(),
            chunks => chunks.len() * CHUNK_LEN,
        }
    }

    /// Bytes of the table.
    pub(super) fn bytes(&self) -> usize {
        table_bytes(self.capacity(), self.chunks.capacity())
    }

    /// Bytes of a table for one item.
    pub(super) const fn bytes_min() -> usize {
        table_bytes(GROWTH_MIN, CHUNKS_GROWTH)
    }

    /// Bytes by which the table grows if one more item comes.
    pub(super) fn growth_bytes(&self) -> usize {
        if self.free.is_some() || self.len_ever_used < self.capacity() {
            return 0;
        }
        if self.len_ever_used >= u32::MAX as usize - 1 {
            return usize::MAX / 2;
        }
        let (mut slots, mut chunks) = (self.capacity(), self.chunks.capacity());
        slots += if self.first_chunk_grows() { self.first_chunk_growth() } else { CHUNK_LEN };
        if self.chunks.len() == chunks && (slots > CHUNK_LEN || chunks == 0) {
            chunks += CHUNKS_GROWTH;
        }
        table_bytes(slots, chunks) - self.bytes()
    }

    fn first_chunk_grows(&self) -> bool {
        self.capacity() < CHUNK_LEN
    }

    fn first_chunk_growth(&self) -> usize {
        let capacity = self.capacity();
        (capacity / 16).max(GROWTH_MIN).min(CHUNK_LEN - capacity)
    }

    fn grow(&mut self) {
        let first_chunk_grows = self.first_chunk_grows();
        let growth = if first_chunk_grows { self.first_chunk_growth() } else { CHUNK_LEN };
        if self.chunks.is_empty() || !first_chunk_grows {
            if self.chunks.len() == self.chunks.capacity() {
                self.chunks.reserve_exact(CHUNKS_GROWTH);
            }
            self.chunks.push(Vec::new());
        }
        if let Some(last) = self.chunks.last_mut() {
            last.reserve_exact(growth);
        }
    }

    /// Puts `item` into a free slot.
    pub(super) fn insert(&mut self, item: StoredItem) -> SlotId {
        self.len += 1;
        if let Some(id) = self.free {
            let slot = self.slot_mut(id);
            let Slot::Free(next) = *slot else { unreachable!("the free list holds free slots") };
            *slot = Slot::Used(item);
            self.free = next;
            return id;
        }
        if self.len_ever_used == self.capacity() {
            self.grow();
        }
        self.len_ever_used += 1;
        self.chunks.last_mut().expect("there is room: it has grown").push(Slot::Used(item));
        SlotId::from_place(self.len_ever_used - 1)
    }

    fn slot(&self, id: SlotId) -> &Slot {
        &self.chunks[id.place() / CHUNK_LEN][id.place() % CHUNK_LEN]
    }

    fn slot_mut(&mut self, id: SlotId) -> &mut Slot {
        &mut self.chunks[id.place() / CHUNK_LEN][id.place() % CHUNK_LEN]
    }

    /// Takes the item out of slot `id`.
    pub(super) fn remove(&mut self, id: SlotId) -> StoredItem {
        let slot = {
            let free = Slot::Free(self.free);
            std::mem::replace(self.slot_mut(id), free)
        };
        self.free = Some(id);
        self.len -= 1;
        let Slot::Used(item) = slot else { unreachable!("slot {id:?} is free") };
        item
    }

    pub(super) fn get(&self, id: SlotId) -> &StoredItem {
        let Slot::Used(item) = self.slot(id) else { unreachable!("slot {id:?} is free") };
        item
    }

    pub(super) fn get_mut(&mut self, id: SlotId) -> &mut StoredItem {
        let Slot::Used(item) = self.slot_mut(id) else { unreachable!("slot {id:?} is free") };
        item
    }

    /// The item at a place from 0, for sweeps; `Err` behind the last place.
    pub(super) fn at_place(&self, place: usize) -> Result<Option<(SlotId, &StoredItem)>, PastTheEnd> {
        match self.chunks.get(place / CHUNK_LEN).and_then(|chunk| chunk.get(place % CHUNK_LEN)) {
            None => Err(PastTheEnd),
            Some(Slot::Free(_)) => Ok(None),
            Some(Slot::Used(item)) => Ok(Some((SlotId::from_place(place), item))),
        }
    }

    /// All items.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SlotId, &StoredItem)> {
        (0..self.len_ever_used).filter_map(|place| self.at_place(place).ok().flatten())
    }

    /// Asserts that every slot is used or in the free list, once.
    pub(super) fn verify(&self) {
        let mut free_len = 0;
        let mut free = self.free;
        while let Some(id) = free {
            free_len += 1;
            assert!(free_len <= self.len_ever_used, "the free list is a ring");
            let Slot::Free(next) = *self.slot(id) else { panic!("used slot in the free list") };
            free = next;
        }
        assert_eq!(self.len, self.iter().count(), "items in slots");
        assert_eq!(self.len + free_len, self.len_ever_used, "used and free slots");
        let slots = self.chunks.iter().map(Vec::capacity).sum::<usize>();
        assert_eq!(self.capacity(), slots, "chunks are as large as was asked for");
    }
}

const fn table_bytes(slots: usize, chunks: usize) -> usize {
    let list = allocated(chunks * size_of::<Vec<Slot>>());
    if slots <= CHUNK_LEN {
        list + allocated(slots * size_of::<Slot>())
    } else {
        list + slots / CHUNK_LEN * allocated(CHUNK_LEN * size_of::<Slot>())
    }
}

/// There is no such place.
#[derive(Clone, Copy, Debug)]
pub(super) struct PastTheEnd;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::bare_item;

    #[test]
    fn a_slot_costs_no_more_than_its_item() {
        assert_eq!(size_of::<Slot>(), size_of::<StoredItem>());
        assert_eq!(size_of::<Option<SlotId>>(), 4);
    }

    #[test]
    fn growth_costs_what_was_announced() {
        let mut slots = SlotTable::default();
        for number in 0..70 * CHUNK_LEN {
            let announced = slots.bytes() + slots.growth_bytes();
            let id = slots.insert(bare_item());
            assert_eq!((slots.bytes(), id.place()), (announced, number));
        }
        slots.verify();
    }
}
