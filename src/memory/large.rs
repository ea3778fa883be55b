//! Values in memory of their own.
//!
//! Every value gets a run of address space of a power of two pages from its core's range. Address space is plentiful
//! and memory stands only behind the pages that were written, so nothing is rounded up but to pages, nothing fragments,
//! and a value that grows is seldom moved. A run comes home to its range when the last reader has let go, on whatever
//! core that was.
#![allow(unsafe_code, reason = "bytes that readers share while their owner adds more beside them; each block argues")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;

use super::PAGE_LEN;
use super::budget::Budget;
use super::mapping::Mapping;

/// Why a value does not grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoMemory {
    /// The limit is reached.
    Limit,
    /// There is no room at this end of its address space, or no address space: it has to be copied.
    Room,
}

/// The sizes of runs: 2 to the power of 0 to 19 pages, 2 GiB.
const CLASSES: usize = 20;

/// Where one core's large values are made.
#[derive(Debug)]
pub struct LargeMemory {
    range: Arc<Range>,
    returns: Receiver<Run>,
    /// Runs to be used again, by class.
    free: [Vec<usize>; CLASSES],
    /// Address space from here on was never used.
    fresh: usize,
}

/// A run of address space: where it begins and how long it is.
#[derive(Clone, Copy, Debug)]
struct Run {
    at: usize,
    class: usize,
}

/// What the runs of one core have in common, for as long as any of them lives.
#[derive(Debug)]
struct Range {
    mapping: Mapping,
    budget: Arc<Budget>,
    returns: Sender<Run>,
}

/// A run in use, together with the memory that is taken for it. Shared by the value and its readers.
#[derive(Debug)]
struct Extent {
    range: Arc<Range>,
    run: Run,
    /// Pages of the run that may have memory behind them: from one, up to another.
    first_page: AtomicUsize,
    end_page: AtomicUsize,
}

/// A value in memory of its own. Its owner may add to either end; what it has shared does not change.
///
/// Invariant: `bytes` shows `start..end` of the run or, until [`LargeValue::show`], less of it; that lies within
/// `start..written`, and nobody else has ever seen what lies outside of the latter.
#[derive(Debug)]
pub struct LargeValue {
    extent: Arc<Extent>,
    start: usize,
    end: usize,
    written: usize,
    bytes: Bytes,
}

impl LargeMemory {
    /// Address space for values that take their memory from `budget`: `wanted` bytes of it, or fewer down to `least`.
    pub fn reserve(budget: Arc<Budget>, wanted: usize, least: usize) -> io::Result<Self> {
        let mapping = Mapping::reserve(wanted, least, false)?;
        let (sender, returns) = channel();
        let range = Arc::new(Range { mapping, budget, returns: sender });
        Ok(Self { range, returns, free: Default::default(), fresh: 0 })
    }

    /// An empty value with room for `capacity` bytes behind it and `front` before. It takes no memory yet.
    pub fn allocate(&mut self, front: usize, capacity: usize) -> Result<LargeValue, NoMemory> {
        let len = front.checked_add(capacity).ok_or(NoMemory::Room)?;
        let class = len.div_ceil(PAGE_LEN).max(1).next_power_of_two().ilog2() as usize;
        if class >= CLASSES {
            return Err(NoMemory::Room);
        }
        let at = self.find_run(class).ok_or(NoMemory::Room)?;
        let extent = Extent {
            range: Arc::clone(&self.range),
            run: Run { at, class },
            first_page: AtomicUsize::new(0),
            end_page: AtomicUsize::new(0),
        };
        Ok(LargeValue { extent: Arc::new(extent), start: front, end: front, written: front, bytes: Bytes::new() })
    }

    /// A value of exactly these bytes.
    pub fn copy(&mut self, bytes: &[u8]) -> Result<LargeValue, NoMemory> {
        let mut value = self.allocate(0, bytes.len())?;
        value.append(bytes)?;
        Ok(value)
    }

    /// A value of the bytes of `value` with `extra` behind, or before them if `front`, in a run that has room for as
    /// much again at that end.
    pub fn copy_with(&mut self, value: &[u8], extra: &[u8], front: bool) -> Result<LargeValue, NoMemory> {
        let len = value.len() + extra.len();
        let mut copy = if front { self.allocate(2 * len, len)? } else { self.allocate(0, 2 * len)? };
        if front {
            copy.append(extra)?;
            copy.append(value)?;
        } else {
            copy.append(value)?;
            copy.append(extra)?;
        }
        Ok(copy)
    }

    fn find_run(&mut self, class: usize) -> Option<usize> {
        if let Some(at) = self.free[class].pop() {
            return Some(at);
        }
        for run in self.returns.try_iter() {
            self.free[run.class].push(run.at);
        }
        if let Some(at) = self.free[class].pop() {
            return Some(at);
        }
        let len = PAGE_LEN << class;
        if len <= self.range.mapping.len() - self.fresh {
            self.fresh += len;
            return Some(self.fresh - len);
        }
        self.split(class)
    }

    /// Cuts the smallest larger run in halves until one fits.
    fn split(&mut self, class: usize) -> Option<usize> {
        let larger = (class + 1..CLASSES).find(|&larger| !self.free[larger].is_empty())?;
        let at = self.free[larger].pop()?;
        for half in class..larger {
            self.free[half].push(at + (PAGE_LEN << half));
        }
        Some(at)
    }
}

impl LargeValue {
    /// Bytes of the value.
    pub const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether the value has no bytes.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory taken for it.
    pub fn charge(&self) -> usize {
        self.extent.charge()
    }

    /// The value. A clone of it is a reader: it keeps this version, whatever becomes of the item.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Adds to the end. Without memory or room nothing changes; behind a value that was cut there is none.
    pub fn append(&mut self, extra: &[u8]) -> Result<(), NoMemory> {
        self.write(extra)?;
        self.show();
        Ok(())
    }

    /// As [`LargeValue::append`], but [`LargeValue::bytes`] shows what was added only after [`LargeValue::show`]: for a
    /// value that grows by small pieces and is looked at when it is whole.
    pub fn write(&mut self, extra: &[u8]) -> Result<(), NoMemory> {
        if extra.is_empty() {
            return Ok(());
        }
        let end = self.end.checked_add(extra.len()).filter(|&end| end <= self.extent.len()).ok_or(NoMemory::Room)?;
        if self.end < self.written {
            return Err(NoMemory::Room);
        }
        self.extent.take_pages(self.end, end)?;
        // SAFETY: the place lies within the run and behind `written`, where no reader's slice reaches and nobody else
        // writes: a run has one `LargeValue`, which is borrowed mutably.
        unsafe { extra.as_ptr().copy_to_nonoverlapping(self.extent.address(self.end), extra.len()) };
        self.end = end;
        self.written = end;
        Ok(())
    }

    /// Adds to the front. Without memory or room nothing changes.
    pub fn prepend(&mut self, extra: &[u8]) -> Result<(), NoMemory> {
        if extra.is_empty() {
            return Ok(());
        }
        let start = self.start.checked_sub(extra.len()).ok_or(NoMemory::Room)?;
        self.extent.take_pages(start, self.start)?;
        // SAFETY: as in `append`, before `start`.
        unsafe { extra.as_ptr().copy_to_nonoverlapping(self.extent.address(start), extra.len()) };
        self.start = start;
        self.show();
        Ok(())
    }

    /// Drops all bytes but the first `len`. Readers may still look at what was dropped: its place is not written again.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.bytes.truncate(len);
            self.end = self.start + len;
        }
    }

    /// Makes [`LargeValue::bytes`] show all that was written.
    pub fn show(&mut self) {
        let view = View { extent: Arc::clone(&self.extent), start: self.start, end: self.end };
        self.bytes = Bytes::from_owner(view);
    }
}

/// Part of a run that does not change any more.
struct View {
    extent: Arc<Extent>,
    start: usize,
    end: usize,
}

impl AsRef<[u8]> for View {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the range lies within the run, was written before the view was made, and is not written again as long
        // as the run lives (`LargeValue`), which it does while this view holds it.
        unsafe { std::slice::from_raw_parts(self.extent.address(self.start), self.end - self.start) }
    }
}

impl Extent {
    const fn len(&self) -> usize {
        PAGE_LEN << self.run.class
    }

    fn address(&self, at: usize) -> *mut u8 {
        self.range.mapping.address(self.run.at + at)
    }

    fn charge(&self) -> usize {
        (self.end_page.load(Ordering::Relaxed) - self.first_page.load(Ordering::Relaxed)) * PAGE_LEN
    }

    /// Takes memory for the pages of `from..to` that have none. Only the value's owner calls it; a reader looks at the
    /// numbers only when it is the last one.
    fn take_pages(&self, from: usize, to: usize) -> Result<(), NoMemory> {
        let (wanted_first, wanted_end) = (from / PAGE_LEN, to.div_ceil(PAGE_LEN));
        let (first, end) = (self.first_page.load(Ordering::Relaxed), self.end_page.load(Ordering::Relaxed));
        let (new_first, new_end) =
            if first == end { (wanted_first, wanted_end) } else { (first.min(wanted_first), end.max(wanted_end)) };
        let more = (new_end - new_first) - (end - first);
        if more > 0 {
            if !self.range.budget.take_for_value(more * PAGE_LEN) {
                return Err(NoMemory::Limit);
            }
            self.first_page.store(new_first, Ordering::Relaxed);
            self.end_page.store(new_end, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        let charge = self.charge();
        if charge > 0 {
            let at = self.run.at + self.first_page.load(Ordering::Relaxed) * PAGE_LEN;
            // SAFETY: the last holder of the run is here, so nobody has a reference into it.
            unsafe { self.range.mapping.discard(at, charge) };
            self.range.budget.give(charge);
        }
        // Where the core is gone, nobody needs the run again.
        let _ = self.range.returns.send(self.run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(limit: usize, address_space: usize) -> (LargeMemory, Arc<Budget>) {
        let budget = Arc::new(Budget::new(limit));
        let memory = LargeMemory::reserve(Arc::clone(&budget), address_space, address_space).unwrap();
        (memory, budget)
    }

    #[test]
    fn a_value_takes_the_pages_it_fills_and_gives_them_back() {
        let (mut memory, budget) = memory(100 * PAGE_LEN, 1 << 20);
        let mut value = memory.allocate(0, 50 * PAGE_LEN).unwrap();
        assert_eq!(budget.taken(), 0, "an announcement costs nothing");
        value.append(&[b'a'; PAGE_LEN]).unwrap();
        value.append(b"b").unwrap();
        assert_eq!((budget.taken(), value.charge(), value.len()), (2 * PAGE_LEN, 2 * PAGE_LEN, PAGE_LEN + 1));
        let reader = value.bytes().clone();
        drop(value);
        assert_eq!(budget.taken(), 2 * PAGE_LEN, "charged as long as somebody reads");
        assert_eq!((reader.len(), reader[PAGE_LEN]), (PAGE_LEN + 1, b'b'));
        drop(reader);
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn readers_keep_their_version_while_both_ends_grow() {
        let (mut memory, _) = memory(1 << 20, 1 << 20);
        let mut value = memory.copy_with(b"middle", b"", true).unwrap();
        let first = value.bytes().clone();
        value.append(b" end").unwrap();
        let second = value.bytes().clone();
        value.prepend(b"front ").unwrap();
        assert_eq!(
            (&first[..], &second[..], &value.bytes()[..]),
            (&b"middle"[..], &b"middle end"[..], &b"front middle end"[..])
        );
        let third = value.bytes().clone();
        value.truncate(5);
        assert_eq!(value.append(b"?"), Err(NoMemory::Room), "a reader still looks at what was cut");
        assert_eq!((&value.bytes()[..], value.len(), &third[..]), (&b"front"[..], 5, &b"front middle end"[..]));
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let (mut memory, budget) = memory(3 * PAGE_LEN, 1 << 20);
        let mut value = memory.allocate(0, 4 * PAGE_LEN).unwrap();
        value.append(&[1; 2 * PAGE_LEN]).unwrap();
        assert_eq!(value.append(&[2; PAGE_LEN + 1]), Err(NoMemory::Limit), "beyond the limit");
        assert_eq!(value.append(&[2; 3 * PAGE_LEN]), Err(NoMemory::Room), "beyond the run");
        assert_eq!(value.prepend(b"x"), Err(NoMemory::Room));
        assert_eq!((value.len(), budget.taken()), (2 * PAGE_LEN, 2 * PAGE_LEN));
        value.append(&[2; PAGE_LEN]).unwrap();
        assert!(memory.allocate(0, 3 << 30).is_err() && memory.allocate(usize::MAX, 1).is_err());
    }

    #[test]
    fn address_space_is_used_again_whatever_the_sizes() {
        let (mut memory, budget) = memory(1 << 30, 64 * PAGE_LEN);
        for round in 0..1000_usize {
            let pages = 1 + round * 7 % 16;
            let value = memory.copy(&vec![b'v'; pages * PAGE_LEN]).unwrap();
            assert!(value.bytes().iter().all(|&byte| byte == b'v'));
        }
        let held: Vec<_> = (0..16).map(|_| memory.copy(&[b'v'; PAGE_LEN]).unwrap()).collect();
        assert_eq!(budget.taken(), 16 * PAGE_LEN);
        drop(held);
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn a_value_outlives_its_core() {
        let (mut memory, budget) = memory(1 << 20, 1 << 20);
        let value = memory.copy(b"kept").unwrap();
        let reader = value.bytes().clone();
        drop((value, memory));
        assert_eq!((&reader[..], budget.taken()), (&b"kept"[..], PAGE_LEN));
        drop(reader);
        assert_eq!(budget.taken(), 0);
    }
}
