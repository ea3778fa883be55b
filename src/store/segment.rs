//! The segments of a shard: which there are, what each holds, and in which order they were opened.

use std::collections::BTreeSet;

use super::policy::Queue;
use crate::terms::Deadline;

/// The number of a segment, which is its place in the arena.
pub(super) type SegmentId = u32;

const NONE: SegmentId = SegmentId::MAX;

/// A shard's memory is cut into about so many segments, as far as their length allows.
const SEGMENTS_WANTED: usize = 1024;
/// Lengths of segments. Below 64 KiB only where a shard has next to no memory.
pub(super) const SEGMENT_LENS: std::ops::RangeInclusive<usize> = 4 << 10..=1 << 20;
const SEGMENT_LEN_USUAL_MIN: usize = 64 << 10;

/// Most classes of time to live.
pub(super) const LIFE_CLASSES_MAX: usize = 16;

/// What a segment is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// Has memory, holds nothing.
    Free,
    /// Holds nothing and has no memory.
    Released,
    /// Takes new items.
    Open,
    /// Full.
    Sealed,
}

/// One segment.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) role: Role,
    pub(super) queue: Queue,
    /// Class of time to live of its items: 0 for those that never expire.
    pub(super) life: u8,
    /// Bytes written.
    pub(super) len: u32,
    /// Bytes of live items.
    pub(super) live_bytes: u32,
    /// Live items.
    pub(super) live_items: u32,
    /// Bytes of live items' values in memory of their own.
    pub(super) large_bytes: usize,
    /// The shard's count of writes when it was opened.
    pub(super) base: u64,
    /// No live item dies before this moment.
    due: Deadline,
    /// When the stamps of its items were looked at last, in seconds of the monotonic clock.
    pub(super) aged_s: u64,
    older: SegmentId,
    newer: SegmentId,
}

impl Segment {
    const fn new() -> Self {
        Self {
            role: Role::Released,
            queue: Queue::Probation,
            life: 0,
            len: 0,
            live_bytes: 0,
            live_items: 0,
            large_bytes: 0,
            base: 0,
            due: Deadline::NEVER,
            aged_s: 0,
            older: NONE,
            newer: NONE,
        }
    }

    /// Bytes written that are no live item's.
    pub(super) const fn dead_bytes(&self) -> u32 {
        self.len - self.live_bytes
    }
}

/// The segments that hold items of one queue, from the oldest to the newest.
#[derive(Clone, Copy, Debug)]
struct List {
    oldest: SegmentId,
    newest: SegmentId,
    /// Bytes of its live items and their large values.
    bytes: usize,
}

/// All segments.
#[derive(Debug)]
pub(super) struct Segments {
    table: Vec<Segment>,
    free: Vec<SegmentId>,
    released: Vec<SegmentId>,
    lists: [List; 2],
    /// Segments with items that die, by when the first may.
    due: BTreeSet<(u32, SegmentId)>,
    count_max: usize,
}

impl Segments {
    /// None yet, and never more than `count_max`.
    pub(super) fn new(count_max: usize) -> Self {
        let list = List { oldest: NONE, newest: NONE, bytes: 0 };
        let count_max = count_max.min(NONE as usize);
        Self {
            table: Vec::new(),
            free: Vec::new(),
            released: Vec::new(),
            lists: [list; 2],
            due: BTreeSet::new(),
            count_max,
        }
    }

    pub(super) fn get(&self, id: SegmentId) -> &Segment {
        &self.table[id as usize]
    }

    pub(super) fn get_mut(&mut self, id: SegmentId) -> &mut Segment {
        &mut self.table[id as usize]
    }

    /// All segments that there ever were.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SegmentId, &Segment)> {
        (0..).zip(&self.table)
    }

    /// How many there ever were.
    pub(super) fn count(&self) -> SegmentId {
        SegmentId::try_from(self.table.len()).unwrap_or(NONE)
    }

    /// How many have memory and hold nothing.
    pub(super) const fn free(&self) -> usize {
        self.free.len()
    }

    /// Bytes of the live items of a queue, large values included.
    pub(super) const fn queue_bytes(&self, queue: Queue) -> usize {
        self.lists[queue as usize].bytes
    }

    /// Counts bytes of a queue's live items; `more` or less.
    pub(super) fn count_queue_bytes(&mut self, queue: Queue, bytes: usize, more: bool) {
        let sum = &mut self.lists[queue as usize].bytes;
        *sum = if more { *sum + bytes } else { *sum - bytes };
    }

    /// The oldest segment of a queue.
    pub(super) fn oldest(&self, queue: Queue) -> Option<SegmentId> {
        Some(self.lists[queue as usize].oldest).filter(|&id| id != NONE)
    }

    /// Gives memory to a segment that has none: one that had some before, or a new one. The caller has paid for it.
    pub(super) fn add(&mut self) -> Option<SegmentId> {
        let id = match self.released.pop() {
            Some(id) => id,
            None if self.table.len() < self.count_max => {
                self.table.push(Segment::new());
                self.count() - 1
            }
            None => return None,
        };
        self.get_mut(id).role = Role::Free;
        self.free.push(id);
        Some(id)
    }

    /// Whether [`Segments::add`] would give one.
    pub(super) fn can_add(&self) -> bool {
        !self.released.is_empty() || self.table.len() < self.count_max
    }

    /// Takes the memory of a free segment away; the caller gives it back to the kernel.
    pub(super) fn release(&mut self) -> Option<SegmentId> {
        let id = self.free.pop()?;
        self.get_mut(id).role = Role::Released;
        self.released.push(id);
        Some(id)
    }

    /// Opens a free segment as the newest of its queue, or right before the segment `before`.
    pub(super) fn open(
        &mut self,
        queue: Queue,
        life: u8,
        base: u64,
        now_s: u64,
        before: Option<SegmentId>,
    ) -> Option<SegmentId> {
        let id = self.free.pop()?;
        let (older, newer) = match before {
            Some(before) => (self.get(before).older, before),
            None => (self.lists[queue as usize].newest, NONE),
        };
        *self.get_mut(id) =
            Segment { role: Role::Open, queue, life, base, older, newer, aged_s: now_s, ..Segment::new() };
        match older {
            NONE => self.lists[queue as usize].oldest = id,
            older => self.get_mut(older).newer = id,
        }
        match newer {
            NONE => self.lists[queue as usize].newest = id,
            newer => self.get_mut(newer).older = id,
        }
        Some(id)
    }

    /// Takes a segment without live items out of its queue: it is free.
    pub(super) fn set_free(&mut self, id: SegmentId) {
        let Segment { queue, older, newer, due, live_items, .. } = *self.get(id);
        debug_assert_eq!(live_items, 0, "a segment with items is not free");
        match older {
            NONE => self.lists[queue as usize].oldest = newer,
            older => self.get_mut(older).newer = newer,
        }
        match newer {
            NONE => self.lists[queue as usize].newest = older,
            newer => self.get_mut(newer).older = older,
        }
        self.due.remove(&(due.as_tenths(), id));
        *self.get_mut(id) = Segment { role: Role::Free, ..Segment::new() };
        self.free.push(id);
    }

    /// An item that dies at `deadline` has come into a segment, or an item of it has that deadline now.
    pub(super) fn note_deadline(&mut self, id: SegmentId, deadline: Deadline) {
        let due = self.get(id).due;
        if deadline < due {
            self.due.remove(&(due.as_tenths(), id));
            self.get_mut(id).due = deadline;
            self.due.insert((deadline.as_tenths(), id));
        }
    }

    /// Forgets when the items of a segment die: they will be looked at and noted again.
    pub(super) fn forget_deadlines(&mut self, id: SegmentId) {
        let due = self.get(id).due;
        self.due.remove(&(due.as_tenths(), id));
        self.get_mut(id).due = Deadline::NEVER;
    }

    /// The segment in which an item may have died first.
    pub(super) fn first_due(&self) -> Option<(Deadline, SegmentId)> {
        self.due.first().map(|&(tenths, id)| (Deadline::from_tenths(tenths), id))
    }

    /// The sealed segment with the most dead bytes.
    pub(super) fn most_dead(&self) -> Option<(SegmentId, &Segment)> {
        self.iter().filter(|(_, segment)| segment.role == Role::Sealed).max_by_key(|(_, segment)| segment.dead_bytes())
    }

    /// Asserts that lists, roles and sums agree.
    pub(super) fn verify(&self) {
        let with = |role: Role| self.table.iter().filter(|segment| segment.role == role).count();
        assert_eq!((with(Role::Free), with(Role::Released)), (self.free.len(), self.released.len()));
        let mut listed = 0;
        for queue in [Queue::Probation, Queue::Main] {
            let (mut id, mut older, mut bytes) = (self.lists[queue as usize].oldest, NONE, 0);
            while id != NONE {
                let segment = self.get(id);
                assert!(matches!(segment.role, Role::Open | Role::Sealed) && segment.queue == queue);
                assert_eq!(segment.older, older, "segments know their neighbours");
                bytes += segment.live_bytes as usize + segment.large_bytes;
                (older, id) = (id, segment.newer);
                listed += 1;
            }
            assert_eq!(self.lists[queue as usize].newest, older);
            assert_eq!(self.lists[queue as usize].bytes, bytes, "bytes of a queue");
        }
        assert_eq!(listed, with(Role::Open) + with(Role::Sealed), "every segment with items is in a queue");
        let due = self.iter().filter(|(_, segment)| segment.due != Deadline::NEVER);
        assert!(due.map(|(id, segment)| (segment.due.as_tenths(), id)).eq({
            let mut by_id: Vec<_> = self.due.iter().copied().collect();
            by_id.sort_unstable_by_key(|&(_, id)| id);
            by_id
        }));
    }
}

/// How long the segments of a shard are that may expect `share` bytes: a thousandth of it, or in a tiny shard a 64th.
/// A power of two.
pub(super) fn segment_len(share: usize) -> usize {
    let floor = |len: usize| 1 << len.max(1).ilog2();
    let tiny = floor(share / 64).clamp(*SEGMENT_LENS.start(), SEGMENT_LEN_USUAL_MIN);
    floor(share / SEGMENTS_WANTED).clamp(tiny, *SEGMENT_LENS.end())
}
