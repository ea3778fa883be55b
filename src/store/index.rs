//! From a key's hash to the slot of its item: many small hash tables instead of one, so that growing moves one of them
//! and no insert waits for the whole.

use hashbrown::HashTable;

use super::memory::allocated;
use super::slots::SlotId;
use crate::terms::KeyHash;

/// An index entry. The hash bits are enough to grow a table without a look at the items.
#[derive(Clone, Copy, Debug)]
struct Entry {
    tag: u32,
    slot: SlotId,
}

/// All entries of a shard. Bits of the hash: the low 16 choose the table, the high 32 are kept in the entry and choose
/// the place in the table.
#[derive(Debug)]
pub(super) struct Index {
    tables: Box<[HashTable<Entry>]>,
    bytes: usize,
    len: usize,
}

/// Bytes of memory limit that get one table: 16,000 smallest items, whose table is rebuilt within 0.2 ms.
const BYTES_PER_TABLE: usize = 1 << 20;
/// Most tables: what 16 bits of hash can choose between.
const TABLES_MAX: usize = 1 << 16;
/// Buckets of the smallest table.
const BUCKETS_MIN: usize = 16;
/// A table without spare room is rebuilt at its size up to this load in percent, and doubled above. hashbrown by
/// itself would double at any load above one half, and a full cache, where entries come and go, would drift to a
/// quarter's use.
const REBUILD_LOAD_MAX: usize = 78;

impl Index {
    /// An empty index for a shard of `memory_limit` bytes.
    pub(super) fn new(memory_limit: usize) -> Self {
        let tables = (memory_limit / BYTES_PER_TABLE).clamp(1, TABLES_MAX).next_power_of_two();
        Self::with_tables(tables)
    }

    fn with_tables(tables: usize) -> Self {
        let bytes = allocated(tables * size_of::<HashTable<Entry>>());
        Self { tables: (0..tables).map(|_| HashTable::new()).collect(), bytes, len: 0 }
    }

    /// An empty index with as many tables.
    pub(super) fn new_alike(&self) -> Self {
        Self::with_tables(self.tables.len())
    }

    /// Entries.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Bytes of all tables.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of an index for one item.
    pub(super) const fn bytes_min() -> usize {
        allocated(size_of::<HashTable<Entry>>()) + table_bytes(BUCKETS_MIN)
    }

    /// The number of buckets is at least 2 to this power.
    pub(super) fn power_level(&self) -> u32 {
        self.tables.iter().map(HashTable::num_buckets).sum::<usize>().max(1).ilog2()
    }

    /// The slot under `hash` whose item `is_it`.
    pub(super) fn find(&self, hash: KeyHash, is_it: impl Fn(SlotId) -> bool) -> Option<SlotId> {
        let tag = tag_of(hash);
        self.tables[self.table_of(hash)]
            .find(spread(tag), |entry| entry.tag == tag && is_it(entry.slot))
            .map(|e| e.slot)
    }

    /// Bytes by which the index grows if an entry with `hash` comes.
    pub(super) fn growth_bytes(&self, hash: KeyHash) -> usize {
        let table = &self.tables[self.table_of(hash)];
        if table.len() < table.capacity() {
            0
        } else {
            table_bytes(buckets_next(table)) - table_bytes(buckets_of(table))
        }
    }

    /// Adds an entry. There must be none for the same item.
    pub(super) fn insert(&mut self, hash: KeyHash, slot: SlotId) {
        let table_number = self.table_of(hash);
        let table = &mut self.tables[table_number];
        if table.len() == table.capacity() {
            let buckets = buckets_next(table);
            self.bytes = self.bytes - table_bytes(buckets_of(table)) + table_bytes(buckets);
            let mut rebuilt = HashTable::with_capacity(buckets / 8 * 7);
            for &entry in &*table {
                rebuilt.insert_unique(spread(entry.tag), entry, |entry| spread(entry.tag));
            }
            *table = rebuilt;
        }
        let tag = tag_of(hash);
        table.insert_unique(spread(tag), Entry { tag, slot }, |entry| spread(entry.tag));
        self.len += 1;
    }

    /// Removes the entry of the item in `slot`.
    pub(super) fn remove(&mut self, hash: KeyHash, slot: SlotId) {
        let table_number = self.table_of(hash);
        let found = self.tables[table_number].find_entry(spread(tag_of(hash)), |entry| entry.slot == slot);
        found.expect("every item is in the index").remove();
        self.len -= 1;
    }

    /// Asserts that the sums are the sums.
    pub(super) fn verify(&self) {
        assert_eq!(self.len, self.tables.iter().map(HashTable::len).sum::<usize>(), "entries");
        let headers = allocated(self.tables.len() * size_of::<HashTable<Entry>>());
        let tables = self.tables.iter().map(|table| allocated(table.allocation_size())).sum::<usize>();
        assert_eq!(self.bytes, headers + tables, "bytes of the index");
    }

    fn table_of(&self, hash: KeyHash) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are what is wanted")]
        let low = hash.0 as u16;
        usize::from(low) & (self.tables.len() - 1)
    }
}

const fn tag_of(hash: KeyHash) -> u32 {
    (hash.0 >> 32) as u32
}

/// hashbrown takes the bucket from the low bits and its own 7-bit tag from the high ones.
fn spread(tag: u32) -> u64 {
    u64::from(tag) << 32 | u64::from(tag)
}

/// hashbrown's layout on machines with 16-byte groups: the entries, one control byte each, and one group more.
const fn table_bytes(buckets: usize) -> usize {
    if buckets == 0 { 0 } else { allocated(buckets * size_of::<Entry>() + buckets + 16) }
}

fn buckets_of(table: &HashTable<Entry>) -> usize {
    if table.capacity() == 0 { 0 } else { table.num_buckets() }
}

fn buckets_next(table: &HashTable<Entry>) -> usize {
    let buckets = buckets_of(table);
    if table.len() * 100 <= buckets * REBUILD_LOAD_MAX { buckets.max(BUCKETS_MIN) } else { buckets * 2 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::slots::SlotTable;
    use crate::store::tests::bare_item;

    fn hash(number: u64) -> KeyHash {
        KeyHash(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    #[test]
    fn growth_costs_what_was_announced_and_what_hashbrown_says() {
        let mut index = Index::new(4 << 20);
        let mut slots = SlotTable::default();
        for number in 0..3000 {
            let announced = index.bytes() + index.growth_bytes(hash(number));
            index.insert(hash(number), slots.insert(bare_item()));
            assert_eq!(index.bytes(), announced);
            index.verify();
        }
        assert_eq!(index.power_level(), 12);
        assert!(Index::bytes_min() <= Index::new(0).bytes() + Index::new(0).growth_bytes(hash(0)));
    }

    #[test]
    fn entries_that_come_and_go_do_not_grow_the_index() {
        let mut index = Index::new(0);
        let mut slots = SlotTable::default();
        let slot_of: Vec<_> = (0..700).map(|_| slots.insert(bare_item())).collect();
        for (number, &slot) in (0..).zip(&slot_of) {
            index.insert(hash(number), slot);
        }
        let bytes = index.bytes();
        for (number, &slot) in (700..20_000).zip(slot_of.iter().cycle()) {
            index.remove(hash(number - 700), slot);
            index.insert(hash(number), slot);
        }
        assert_eq!((index.bytes(), index.len()), (bytes, 700), "700 of 1024 buckets");
    }
}
