//! From a key's hash to the place of its item: many small hash tables, so that growing moves few entries at a time and
//! no insert waits for the whole, and so that the tables are well filled at any number of items.
//!
//! The hash space is cut into regions, and each region into tables of 128 buckets, or of up to [`TABLE_BUCKETS`] if that
//! is too many. A region that is full is laid out anew over about an eighth more tables; a table that is full of the
//! graves of removed entries is laid out anew at its size. hashbrown by itself would double a table in both cases, and a
//! full cache, where entries come and go, would drift to a quarter's use.
//!
//! Regions are of uneven width, the widest twice the narrowest. So they grow at different times, and what they have in
//! spare together is about the same at any number of items.
//!
//! Bits of a hash, none used twice:
//!
//! | bits | what |
//! |---|---|
//! | 63..32 | the region, by multiply-shift of a curve |
//! | 29..18 | the table within the region, by multiply-shift |
//! | 16..10 | hashbrown's tag |
//! | 9..0 | the bucket |
//!
//! The lower 30 are kept in the entry: they are compared before an item is read, and are enough to lay entries out anew.

use crate::memory::TableMemory;
use crate::terms::KeyHash;

/// A table in the shard's own memory for tables.
type Table = hashbrown::HashTable<Entry, TableMemory>;

/// An index entry: 30 bits of the hash above 34 bits of place. The place is the item's offset in units of the shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry(u64);

/// Bits of an entry that hold the place.
pub(super) const PLACE_BITS: u32 = 34;
const CHECK_MASK: u64 = (1 << 30) - 1;
const PLACE_MASK: u64 = (1 << PLACE_BITS) - 1;

/// Buckets of a full-sized table.
const TABLE_BUCKETS: usize = 1024;
/// Buckets of a region's first table.
const BUCKETS_MIN: usize = 16;
/// That table doubles up to so many buckets before there are more tables.
const SMALL_TABLE_BUCKETS: usize = 128;
/// A region with more tables than this has tables of twice the size, if they are not full-sized yet. The smallest are
/// soon too many: by chance one of them is always full.
const SMALL_TABLES_MAX: usize = 12;
const SMALLEST_TABLES_MAX: usize = 3;
/// A region that is filled above this share in percent grows when one of its tables has no room; below it, only that
/// table is laid out anew.
const GROWTH_LOAD_MIN: usize = 78;
/// A region that is filled below this share in percent gives tables back.
const SHRINK_LOAD_MAX: usize = 45;
/// Bytes of memory that get a region of their own. A region of the smallest items has 30,000 entries then, which are
/// laid out anew in less than half a millisecond.
const BYTES_PER_REGION: usize = 1 << 20;
/// How uneven the widths of regions are: 0.34 in units of 2^-16.
const CURVE: u64 = 22_282;
/// So many regions are looked at in a step of closing up, and hardly more entries moved.
const CLOSE_UP_REGIONS: usize = 4;
const CLOSE_UP_ENTRIES: usize = 2048;
/// Parts into which a region is cut for a walk.
pub(super) const SLICES: usize = 256;

/// All entries of a shard.
#[derive(Debug)]
pub(super) struct Index {
    regions: Box<[Region]>,
    memory: TableMemory,
    /// The region whose tables are to close up next.
    closes_up: usize,
    bytes: usize,
    len: usize,
}

#[derive(Debug, Default)]
struct Region {
    tables: Vec<Table>,
    len: usize,
}

impl Entry {
    const fn new(hash: KeyHash, place: u64) -> Self {
        Self((hash.0 & CHECK_MASK) << PLACE_BITS | place & PLACE_MASK)
    }

    const fn check(self) -> u64 {
        self.0 >> PLACE_BITS
    }

    const fn place(self) -> u64 {
        self.0 & PLACE_MASK
    }
}

/// What hashbrown is given as hash: it takes the bucket from the low bits and its tag from the top seven.
const fn spread(check: u64) -> u64 {
    check | check >> 10 << 57
}

/// The table of `tables` that entries with this check are in.
const fn table_of(check: u64, tables: usize) -> usize {
    ((check >> 18) as usize * tables) >> 12
}

impl Index {
    /// An empty index for a shard that may have `share` bytes, with its tables in `memory`.
    pub(super) fn new(share: usize, memory: TableMemory) -> Self {
        let regions: Box<[Region]> = (0..(share / BYTES_PER_REGION).max(1)).map(|_| Region::default()).collect();
        let bytes = size_of_val(&*regions);
        Self { regions, memory, closes_up: 0, bytes, len: 0 }
    }

    /// Entries.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Bytes of all tables.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// There are about 2 to this power of buckets.
    pub(super) fn power_level(&self) -> u32 {
        let buckets = self.regions.iter().flat_map(|region| &region.tables).map(Table::num_buckets).sum::<usize>();
        buckets.max(1).ilog2()
    }

    /// The place under `hash` of which `is_it` says that it holds the item looked for.
    #[inline]
    pub(super) fn find(&self, hash: KeyHash, mut is_it: impl FnMut(u64) -> bool) -> Option<u64> {
        let check = hash.0 & CHECK_MASK;
        let table = self.table(hash)?;
        table.find(spread(check), |entry| entry.check() == check && is_it(entry.place())).map(|entry| entry.place())
    }

    /// Calls `each` with the places under `hash` that could hold its item: usually one if there is one, else none.
    #[inline]
    pub(super) fn candidates(&self, hash: KeyHash, mut each: impl FnMut(u64)) {
        self.find(hash, |place| {
            each(place);
            false
        });
    }

    /// Moves an entry to another place. There must be one.
    pub(super) fn relocate(&mut self, hash: KeyHash, from: u64, to: u64) {
        let wanted = Entry::new(hash, from);
        let found = self.table_mut(hash).and_then(|table| table.find_mut(spread(wanted.check()), |e| *e == wanted));
        debug_assert!(found.is_some(), "every item is in the index");
        if let Some(entry) = found {
            *entry = Entry::new(hash, to);
        }
    }

    /// Removes an entry. There must be one.
    pub(super) fn remove(&mut self, hash: KeyHash, place: u64) {
        let wanted = Entry::new(hash, place);
        let region = self.region_of(hash);
        let region = &mut self.regions[region];
        let tables = region.tables.len();
        let found = region
            .tables
            .get_mut(table_of(wanted.check(), tables))
            .and_then(|table| table.find_entry(spread(wanted.check()), |entry| *entry == wanted).ok());
        debug_assert!(found.is_some(), "every item is in the index");
        if let Some(entry) = found {
            entry.remove();
            region.len -= 1;
            self.len -= 1;
        }
    }

    /// Bytes by which the index grows if an entry with `hash` comes, unless chance wants a table more.
    #[inline]
    pub(super) fn growth_bytes(&self, hash: KeyHash) -> usize {
        let region = &self.regions[self.region_of(hash)];
        match self.table(hash) {
            Some(table) if table.len() < table.capacity() => 0,
            _ => region.growth().map_or(0, |growth| growth.bytes() - region.bytes()),
        }
    }

    /// Adds an entry. There must be none for the same item.
    pub(super) fn insert(&mut self, hash: KeyHash, place: u64) {
        let entry = Entry::new(hash, place);
        let number = self.region_of(hash);
        let region = &mut self.regions[number];
        if !region.has_room(entry) {
            let before = region.bytes();
            match region.growth() {
                Some(growth) => region.lay_out(growth, &self.memory),
                None => region.clear_graves(table_of(entry.check(), region.tables.len()), &self.memory),
            }
            while !region.has_room(entry) {
                // Full by chance, although the region is not.
                region.lay_out(Shape { tables: region.tables.len() + 1, ..region.shape() }.suitable(), &self.memory);
            }
            self.bytes = self.bytes - before + region.bytes();
            self.close_up();
        }
        let region = &mut self.regions[number];
        let tables = region.tables.len();
        region.tables[table_of(entry.check(), tables)]
            .insert_unique(spread(entry.check()), entry, |e| spread(e.check()));
        region.len += 1;
        self.len += 1;
    }

    /// Gives tables back where entries have gone: looks at the region after the one looked at last, which `cursor`
    /// names. Bytes given back.
    pub(super) fn shrink_step(&mut self, cursor: &mut usize) -> usize {
        if *cursor >= self.regions.len() {
            *cursor = 0;
        }
        let region = &mut self.regions[*cursor];
        *cursor += 1;
        let before = region.bytes();
        if let Some(shape) = region.shrinkage() {
            region.lay_out(shape, &self.memory);
        }
        // By chance it may have become a table more than was meant.
        let after = region.bytes();
        self.bytes = self.bytes - before + after;
        before.saturating_sub(after)
    }

    /// Where tables of one size have made way for those of another, they leave holes. Makes a bounded number of the
    /// remaining ones anew, which fills them.
    pub(super) fn close_up(&mut self) {
        if !self.memory.is_sparse() {
            return;
        }
        let mut moved = 0;
        for _ in 0..CLOSE_UP_REGIONS.min(self.regions.len()) {
            let region = &mut self.regions[self.closes_up];
            for number in 0..region.tables.len() {
                let table = &region.tables[number];
                if !table.iter().next().is_some_and(|entry| self.memory.is_out_of_place(entry)) {
                    continue;
                }
                if moved > CLOSE_UP_ENTRIES {
                    return;
                }
                moved += table.len();
                region.clear_graves(number, &self.memory);
            }
            self.closes_up = (self.closes_up + 1) % self.regions.len();
        }
    }

    /// How many regions there are.
    pub(super) const fn regions(&self) -> usize {
        self.regions.len()
    }

    /// Entries of a region.
    pub(super) fn region_len(&self, region: usize) -> usize {
        self.regions.get(region).map_or(0, |region| region.len)
    }

    /// Calls `each` with the places of some of the [`SLICES`] parts of a region.
    pub(super) fn slices(&self, region: usize, slices: std::ops::Range<usize>, mut each: impl FnMut(u64)) {
        let Some(region) = self.regions.get(region).filter(|region| region.len > 0) else { return };
        let count = region.tables.len();
        let (first, end) = ((slices.start as u64) << 22, (slices.end as u64) << 22);
        let last = end.saturating_sub(1);
        let Some(tables) = region.tables.get(table_of(first, count)..(table_of(last, count) + 1).min(count)) else {
            return;
        };
        for entry in tables.iter().flatten().filter(|entry| (first..end).contains(&entry.check())) {
            each(entry.place());
        }
    }

    /// Asserts that the sums are the sums, and calls `each` with every place.
    pub(super) fn verify(&self, mut each: impl FnMut(u64)) {
        let tables = || self.regions.iter().flat_map(|region| &region.tables);
        assert_eq!(self.len, tables().map(Table::len).sum::<usize>(), "entries");
        let bytes = self.regions.iter().map(Region::bytes).sum::<usize>() + size_of_val(&*self.regions);
        assert_eq!(self.bytes, bytes, "bytes of the index");
        for region in &self.regions {
            assert_eq!(region.len, region.tables.iter().map(Table::len).sum::<usize>(), "entries of a region");
            for table in &region.tables {
                assert_eq!(table_len(table.num_buckets()), table.allocation_size(), "bytes of a table");
            }
        }
        tables().flatten().for_each(|entry| each(entry.place()));
    }

    #[inline]
    fn region_of(&self, hash: KeyHash) -> usize {
        let even = hash.0 >> 32;
        // Near enough to log2(1 + even): of slope 1.34 at the beginning and 0.66 at the end, and within the 32 bits.
        let uneven = even + ((((even * ((1 << 32) - even)) >> 32) * CURVE) >> 16);
        ((uneven.min((1 << 32) - 1) * self.regions.len() as u64) >> 32) as usize
    }

    #[inline]
    fn table(&self, hash: KeyHash) -> Option<&Table> {
        let tables = &self.regions[self.region_of(hash)].tables;
        tables.get(table_of(hash.0 & CHECK_MASK, tables.len()))
    }

    fn table_mut(&mut self, hash: KeyHash) -> Option<&mut Table> {
        let region = self.region_of(hash);
        let tables = &mut self.regions[region].tables;
        let number = table_of(hash.0 & CHECK_MASK, tables.len());
        tables.get_mut(number)
    }
}

/// How a region may be laid out: so many tables of so many buckets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Shape {
    tables: usize,
    buckets: usize,
}

impl Shape {
    /// About as many buckets in fewer and larger tables, if there are many small ones.
    fn suitable(self) -> Self {
        let tables_max = if self.buckets <= SMALL_TABLE_BUCKETS { SMALLEST_TABLES_MAX } else { SMALL_TABLES_MAX };
        if self.tables > tables_max && self.buckets < TABLE_BUCKETS {
            Self { tables: self.tables.div_ceil(2), buckets: self.buckets * 2 }.suitable()
        } else {
            self
        }
    }

    const fn bytes(self) -> usize {
        self.tables * table_bytes(self.buckets)
    }
}

impl Region {
    fn shape(&self) -> Shape {
        Shape { tables: self.tables.len(), buckets: self.tables.first().map_or(0, Table::num_buckets) }
    }

    fn bytes(&self) -> usize {
        self.shape().bytes()
    }

    fn has_room(&self, entry: Entry) -> bool {
        let table = self.tables.get(table_of(entry.check(), self.tables.len()));
        table.is_some_and(|table| table.len() < table.capacity())
    }

    /// The next larger shape, if the region is full; `None` if only graves are in the way.
    fn growth(&self) -> Option<Shape> {
        let Shape { tables, buckets } = self.shape();
        if tables > 0 && self.len * 100 < tables * buckets * GROWTH_LOAD_MIN {
            return None;
        }
        Some(match buckets {
            0 => Shape { tables: 1, buckets: BUCKETS_MIN },
            SMALL_TABLE_BUCKETS.. => Shape { tables: tables + tables.div_ceil(8), buckets }.suitable(),
            _ => Shape { tables: 1, buckets: buckets * 2 },
        })
    }

    /// A smaller shape, if the region is mostly empty.
    fn shrinkage(&self) -> Option<Shape> {
        let Shape { tables, buckets } = self.shape();
        if tables == 0 || self.len * 100 > tables * buckets * SHRINK_LOAD_MAX {
            return None;
        }
        let shape = if self.len == 0 {
            Shape { tables: 0, buckets: 0 }
        } else if self.len * 3 / 2 > SMALL_TABLE_BUCKETS {
            Shape { tables: (self.len * 3 / 2).div_ceil(SMALL_TABLE_BUCKETS), buckets: SMALL_TABLE_BUCKETS }.suitable()
        } else {
            Shape { tables: 1, buckets: (self.len * 3 / 2).next_power_of_two().max(BUCKETS_MIN) }
        };
        (shape.bytes() < self.bytes()).then_some(shape)
    }

    /// Lays all entries out over tables of the given shape. Should one of those be too full by chance, another table
    /// is added.
    fn lay_out(&mut self, shape: Shape, memory: &TableMemory) {
        let mut tables: Vec<Table> = Vec::new();
        let mut wanted = shape.tables;
        'again: loop {
            tables.clear();
            tables.reserve_exact(wanted);
            tables.extend((0..wanted).map(|_| new_table(shape.buckets, memory)));
            for &entry in self.tables.iter().flatten() {
                let table = &mut tables[table_of(entry.check(), wanted)];
                if table.len() == table.capacity() {
                    wanted += 1;
                    continue 'again;
                }
                table.insert_unique(spread(entry.check()), entry, |entry| spread(entry.check()));
            }
            break;
        }
        self.tables = tables;
    }

    /// Lays one table out anew at its size, and as near the beginning of the memory as there is room.
    fn clear_graves(&mut self, number: usize, memory: &TableMemory) {
        let table = &mut self.tables[number];
        let mut cleared = new_table(table.num_buckets(), memory);
        for &entry in &*table {
            cleared.insert_unique(spread(entry.check()), entry, |entry| spread(entry.check()));
        }
        *table = cleared;
    }
}

fn new_table(buckets: usize, memory: &TableMemory) -> Table {
    Table::with_capacity_in(buckets / 8 * 7, memory.clone())
}

/// Bytes of a table, its place in the region and its share of what its memory leaves unused included.
const fn table_bytes(buckets: usize) -> usize {
    if buckets == 0 { 0 } else { TableMemory::cost(table_len(buckets)) + size_of::<Table>() }
}

/// hashbrown's layout on machines with 16-byte groups: the entries, one control byte each, and one group more.
const fn table_len(buckets: usize) -> usize {
    buckets * (size_of::<Entry>() + 1) + 16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash of an entry, and a place that names it.
    fn hash(number: u64) -> KeyHash {
        // A bijection that spreads bits (splitmix64).
        let mut word = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        KeyHash(word ^ word >> 31)
    }

    fn index(share: usize) -> Index {
        Index::new(share, TableMemory::reserve(1 << 30, 1 << 30, false).unwrap())
    }

    fn insert(index: &mut Index, number: u64) {
        let announced = index.bytes() + index.growth_bytes(hash(number));
        index.insert(hash(number), number);
        assert!(index.bytes() >= announced, "{number}");
    }

    #[test]
    fn every_entry_is_found_while_tables_grow_and_shrink() {
        let mut index = index(3 << 20);
        for number in 0..200_000 {
            insert(&mut index, number);
        }
        index.verify(|_| {});
        for number in 0..200_000 {
            assert_eq!(index.find(hash(number), |place| place == number), Some(number));
        }
        for number in (0..200_000).filter(|number| number % 10 != 0) {
            index.remove(hash(number), number);
        }
        let before = index.bytes();
        let mut cursor = 0;
        let saved: usize = (0..3).map(|_| index.shrink_step(&mut cursor)).sum();
        assert_eq!(index.bytes(), before - saved);
        assert!(index.bytes() < before / 5);
        for number in 0..200_000 {
            let found = index.find(hash(number), |place| place == number);
            assert_eq!(found.is_some(), number % 10 == 0, "{number}");
        }
        index.relocate(hash(10), 10, 77);
        assert_eq!(index.find(hash(10), |place| place == 77), Some(77));
        index.verify(|_| {});
    }

    #[test]
    fn an_entry_costs_at_most_14_bytes_on_average_at_any_number_and_12_and_a_half_of_many() {
        let mut index = index(64 << 20);
        for number in 0..1_500_000 {
            insert(&mut index, number);
            let hundredths = index.bytes() * 100 / index.len();
            // In the beginning a region has a few tables, and one more is much.
            assert!(number < 30_000 || hundredths <= 1400, "{hundredths} hundredths of a byte at {number}");
            assert!(number < 250_000 || hundredths <= 1250, "{hundredths} hundredths of a byte at {number}");
        }
    }

    #[test]
    fn tables_stay_at_their_size_while_entries_come_and_go() {
        let mut index = index(8 << 20);
        (0..150_000).for_each(|number| insert(&mut index, number));
        let before = index.bytes();
        for number in 150_000..1_500_000 {
            index.remove(hash(number - 150_000), number - 150_000);
            insert(&mut index, number);
        }
        index.verify(|_| {});
        assert!(index.bytes() <= before * 115 / 100, "{} bytes became {}", before, index.bytes());
    }

    #[test]
    fn tables_that_are_left_close_up_without_new_entries() {
        let mut index = index(64 << 20);
        (0..300_000).for_each(|number| insert(&mut index, number));
        (0..300_000).filter(|number| number % 16 != 0).for_each(|number| index.remove(hash(number), number));
        let mut cursor = 0;
        for _ in 0..index.regions() {
            index.shrink_step(&mut cursor);
        }
        for _ in 0..index.regions() {
            index.close_up();
        }
        assert!(!index.memory.is_sparse());
        index.verify(|_| {});
        assert!((0..300_000).step_by(16).all(|number| index.find(hash(number), |place| place == number).is_some()));
    }

    #[test]
    fn the_slices_of_a_region_are_all_of_it() {
        let mut index = index(2 << 20);
        (0..50_000).for_each(|number| insert(&mut index, number));
        let mut seen = Vec::new();
        for region in 0..index.regions() {
            for slice in 0..SLICES / 2 {
                index.slices(region, 2 * slice..2 * slice + 2, |place| seen.push(place));
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..50_000).collect::<Vec<_>>());
    }
}
