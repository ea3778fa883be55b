//! Memory for hash tables of a few sizes, which come and go by the thousand.
//!
//! The C library's allocator leaves holes where tables of one size have made way for those of the next (2 bytes per
//! item of a shard that is filled to a twentieth), and gives what is free at the end of its heap back to the kernel in
//! one call, which took more than half a millisecond. Here each size has spans of its own, of 136 KiB: a table goes into
//! the first that has room, and a span without tables gives its memory back at once.
#![allow(unsafe_code, reason = "an allocator that hands out parts of its mapping; each block argues")]

use std::alloc::Layout;
use std::collections::BTreeSet;
use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, MutexGuard, PoisonError};

use allocator_api2::alloc::{AllocError, Allocator, Global};

use super::PAGE_LEN;
use super::mapping::Mapping;

/// Bytes of a span: so many pages that 15 tables of 1,024 buckets, or as many more of fewer, leave little at its end.
const SPAN_LEN: usize = 34 * PAGE_LEN;
/// What places in a span are aligned to. Tables want as much for their groups of control bytes.
const ALIGN: usize = 16;
/// A size of which more than one in so many places is free is sparse.
const SPARSE_SHARE: usize = 64;
/// Most places of a span.
const PLACES_MAX: usize = 896;

/// The allocator of one shard's tables. Clones share its memory. What is larger than a span, or does not fit its
/// address space any more, comes from the global allocator.
#[derive(Clone, Debug)]
pub struct TableMemory(Arc<Lock<Spans>>);

/// Never contended: a shard with all its tables is used by one thread at a time, though not always by the same. Taken when a
/// table is made or goes, and by the background work that looks for better places.
#[expect(clippy::disallowed_types, reason = "nobody ever waits for it")]
type Lock<T> = std::sync::Mutex<T>;

#[derive(Debug)]
struct Spans {
    mapping: Mapping,
    /// Those that were ever used, from the beginning of the mapping.
    all: Vec<Span>,
    /// Spans without a table, and without memory.
    empty: BTreeSet<usize>,
    /// The sizes of places there are, each with the spans that have one free.
    sizes: Vec<Size>,
}

#[derive(Debug)]
struct Size {
    len: usize,
    with_room: BTreeSet<usize>,
    /// Places that are taken, and free ones of spans that are not empty.
    taken: usize,
    free: usize,
}

impl Size {
    /// Whether its tables could do with much less memory, if they stood closer.
    const fn is_sparse(&self) -> bool {
        self.free > places(self.len) && self.free * SPARSE_SHARE > self.taken
    }
}

/// Invariant: `used` is the number of bits of `taken`.
#[derive(Clone, Debug)]
struct Span {
    /// Which of the sizes its places have.
    size: usize,
    used: usize,
    taken: [u64; PLACES_MAX / 64],
}

impl TableMemory {
    /// Memory within an address space of `wanted` bytes, or fewer down to `least` where the kernel refuses more.
    pub fn reserve(wanted: usize, least: usize, huge_pages: bool) -> io::Result<Self> {
        let mapping = Mapping::reserve(wanted, least.max(SPAN_LEN), huge_pages)?;
        let spans = Spans { mapping, all: Vec::new(), empty: BTreeSet::new(), sizes: Vec::new() };
        Ok(Self(Arc::new(Lock::new(spans))))
    }

    fn spans(&self) -> MutexGuard<'_, Spans> {
        // Nothing in here unwinds half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes that a table of `len` bytes takes: what is left over at the end of a span is shared by its tables.
    pub const fn cost(len: usize) -> usize {
        if Spans::fits(len) { SPAN_LEN / places(len) } else { len }
    }

    /// Whether tables of some size are spread over many more spans than they need.
    pub fn is_sparse(&self) -> bool {
        self.spans().sizes.iter().any(Size::is_sparse)
    }

    /// Whether the table that has this among its entries had better be made anew: it is of a size that is sparse, and the
    /// new one would stand in an earlier span.
    pub fn is_out_of_place<T>(&self, entry: &T) -> bool {
        let spans = self.spans();
        spans.offset(NonNull::from_ref(entry).cast()).is_some_and(|at| {
            let size = &spans.sizes[spans.all[at / SPAN_LEN].size];
            size.is_sparse() && size.with_room.first().is_some_and(|&first| first < at / SPAN_LEN)
        })
    }

    /// Bytes of memory behind all tables that did not come from the global allocator, as far as it is in use.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        let spans = self.spans();
        (spans.all.len() - spans.empty.len()) * SPAN_LEN
    }
}

/// Places of `len` bytes in a span.
const fn places(len: usize) -> usize {
    SPAN_LEN / len.next_multiple_of(ALIGN)
}

impl Spans {
    /// Whether tables of this length have spans.
    const fn fits(len: usize) -> bool {
        len > 0 && len <= SPAN_LEN && places(len) <= PLACES_MAX
    }

    /// A place for `len` bytes, aligned to [`ALIGN`]: where it is in the mapping. `None` without address space.
    fn take(&mut self, len: usize) -> Option<usize> {
        let len = len.next_multiple_of(ALIGN);
        let size = self.sizes.iter().position(|size| size.len == len).unwrap_or_else(|| {
            self.sizes.push(Size { len, with_room: BTreeSet::new(), taken: 0, free: 0 });
            self.sizes.len() - 1
        });
        let number = match self.sizes[size].with_room.first() {
            Some(&number) => number,
            None => self.open(size)?,
        };
        let span = &mut self.all[number];
        let word = span.taken.iter().position(|word| *word != u64::MAX)?;
        let bit = span.taken[word].trailing_ones() as usize;
        span.taken[word] |= 1 << bit;
        span.used += 1;
        let size = &mut self.sizes[size];
        (size.taken, size.free) = (size.taken + 1, size.free - 1);
        if span.used == places(len) {
            size.with_room.remove(&number);
        }
        Some(number * SPAN_LEN + (word * 64 + bit) * len)
    }

    /// A span without tables for this size.
    fn open(&mut self, size: usize) -> Option<usize> {
        let span = Span { size, used: 0, taken: [0; PLACES_MAX / 64] };
        let number = if let Some(number) = self.empty.pop_first() {
            self.all[number] = span;
            number
        } else {
            if (self.all.len() + 1) * SPAN_LEN > self.mapping.len() {
                return None;
            }
            self.all.push(span);
            self.all.len() - 1
        };
        let size = &mut self.sizes[size];
        size.with_room.insert(number);
        size.free += places(size.len);
        Some(number)
    }

    /// Takes a place back that `take` has given.
    ///
    /// # Safety
    ///
    /// Nobody may use the bytes at that place any more.
    unsafe fn give_back(&mut self, at: usize) {
        let number = at / SPAN_LEN;
        let span = &mut self.all[number];
        let size = &mut self.sizes[span.size];
        let place = at % SPAN_LEN / size.len;
        span.taken[place / 64] &= !(1 << (place % 64));
        span.used -= 1;
        (size.taken, size.free) = (size.taken - 1, size.free + 1);
        if span.used > 0 {
            size.with_room.insert(number);
            return;
        }
        size.with_room.remove(&number);
        size.free -= places(size.len);
        self.empty.insert(number);
        // SAFETY: no place of this span is taken, and the caller has let go of the last.
        unsafe { self.mapping.discard(number * SPAN_LEN, SPAN_LEN) };
    }

    /// Where in the mapping this address is, if it is one of it.
    fn offset(&self, address: NonNull<u8>) -> Option<usize> {
        let offset = address.addr().get().checked_sub(self.mapping.address(0).addr())?;
        (offset < self.mapping.len()).then_some(offset)
    }
}

// SAFETY: a place is handed out to one at a time, since its bit in `taken` is set from `take` to `give_back`; places of a
// span lie side by side within it, and spans within the mapping; both begin at multiples of `ALIGN` from a page. The
// mapping lives as long as any clone. Moving or cloning the allocator moves no memory. What is not of the mapping is the
// global allocator's, which keeps the same promises.
unsafe impl Allocator for TableMemory {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if Spans::fits(layout.size()) && layout.align() <= ALIGN {
            let mut spans = self.spans();
            if let Some(at) = spans.take(layout.size())
                && let Some(address) = NonNull::new(spans.mapping.address(at))
            {
                return Ok(NonNull::slice_from_raw_parts(address, layout.size()));
            }
        }
        Global.allocate(layout)
    }

    unsafe fn deallocate(&self, address: NonNull<u8>, layout: Layout) {
        let mut spans = self.spans();
        match spans.offset(address) {
            // SAFETY: the caller gives back what `allocate` gave, and that was a place of the mapping.
            Some(at) => unsafe { spans.give_back(at) },
            // SAFETY: as above, and it was the global allocator's.
            None => unsafe { Global.deallocate(address, layout) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hashbrown::HashTable;

    type Table = HashTable<u64, TableMemory>;

    fn filled(memory: &TableMemory, buckets: usize, from: u64) -> Table {
        let mut table = HashTable::with_capacity_in(buckets / 8 * 7, memory.clone());
        (from..from + buckets as u64 / 8 * 7).for_each(|number| {
            table.insert_unique(number, number, |number| *number);
        });
        table
    }

    fn is_whole(table: &Table, from: u64) -> bool {
        let count = table.num_buckets() as u64 / 8 * 7;
        (from..from + count).all(|number| table.find(number, |there| *there == number).is_some())
    }

    #[test]
    fn tables_of_all_sizes_stand_beside_each_other_and_leave_nothing_behind() {
        let memory = TableMemory::reserve(64 << 20, 1 << 20, false).unwrap();
        let mut tables: Vec<(u64, Table)> = Vec::new();
        let mut number = 1_u64;
        for round in 0..2_000 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if tables.len() > 200 || (round > 1_500 && !tables.is_empty()) {
                let (from, table) = tables.swap_remove((number >> 33) as usize % tables.len());
                assert!(is_whole(&table, from));
            } else {
                tables.push((round << 32, filled(&memory, 16 << ((number >> 40) % 7), round << 32)));
            }
        }
        assert!(tables.iter().all(|(from, table)| is_whole(table, *from)));
        tables.clear();
        assert_eq!(memory.bytes(), 0);
        assert!(memory.spans().sizes.iter().all(|size| size.with_room.is_empty() && size.taken + size.free == 0));
    }

    #[test]
    fn a_size_makes_way_for_the_next_and_takes_what_it_costs() {
        let memory = TableMemory::reserve(64 << 20, 1 << 20, false).unwrap();
        let mut tables: Vec<Table> = Vec::new();
        for buckets in [16, 32, 64, 128, 256, 512, 1024] {
            tables = (0..300).map(|_| Table::with_capacity_in(buckets / 8 * 7, memory.clone())).collect();
            let len = tables[0].allocation_size();
            assert!(memory.bytes() >= 300 * TableMemory::cost(len) && TableMemory::cost(len) <= len * 101 / 100);
            assert!(memory.bytes() < 300 * TableMemory::cost(len) + SPAN_LEN, "{buckets}");
        }
        drop(tables);
        assert_eq!(memory.bytes(), 0);
    }

    #[test]
    fn tables_that_are_out_of_place_close_up_when_made_anew() {
        let memory = TableMemory::reserve(64 << 20, 1 << 20, false).unwrap();
        let mut tables: Vec<Table> = (0..1_200).map(|from| filled(&memory, 128, from)).collect();
        let before = memory.bytes();
        let mut number = 0;
        tables.retain(|_| {
            number += 1;
            number % 4 == 0
        });
        assert!(memory.is_sparse() && memory.bytes() == before, "every span has a table left");
        for table in &mut tables {
            if table.iter().next().is_some_and(|entry| memory.is_out_of_place(entry)) {
                *table = table.clone();
            }
        }
        assert!(!memory.is_sparse() && memory.bytes() <= before / 4 + 2 * SPAN_LEN, "{}", memory.bytes());
        assert!(tables.iter().zip(0..).all(|(table, number)| is_whole(table, number * 4 + 3)));
    }

    #[test]
    fn beyond_its_address_space_the_global_allocator_steps_in() {
        let memory = TableMemory::reserve(SPAN_LEN, SPAN_LEN, false).unwrap();
        let tables: Vec<Table> = (0..20).map(|from| filled(&memory, 1024, from)).collect();
        assert_eq!(memory.bytes(), SPAN_LEN);
        let large = filled(&memory, 1 << 16, 7);
        assert!(is_whole(&large, 7) && tables.iter().zip(0..).all(|(table, from)| is_whole(table, from)));
    }
}
