//! Which items are forgotten when room is needed. Pure: told of items by the store, it knows hashes and sizes only.
//!
//! The store keeps items in two queues of segments. New ones start on *probation*, a small part of the memory; when its
//! oldest segment is given up, an item is kept, which moves it to *main*, only if it is worth more than what main gives
//! up at present. Main gives up its oldest segment too: the better half of the bytes judged there is kept and goes to
//! the queue's young end, the other half is forgotten.
//!
//! An item's worth is its expected uses per byte, so ten small items outlive one large item that is used as often as one
//! of them. Uses are counted over a longer time than an item is held (`sketch`), and the counts are halved now and
//! then, so that what was popular once does not stay for ever. A tie goes to what is held: a loop over more keys than
//! fit finds a stable part of them instead of none.
//!
//! Frequency against recency, as `TinyLFU` (Einziger, Friedman, Manes 2017) decides it, the two queues of S3-FIFO (Yang et
//! al. 2023), and worth by size as in GDSF (Cherkasova 1998) are where the ideas come from; `docs/BENCHMARKS.md` has
//! what they are worth here.

mod sketch;
mod worth;

use sketch::Sketch;
use worth::{Border, Spread, Worth};

/// One part in this many of the bytes held is on probation.
const PROBATION_PART: usize = 32;
/// Main keeps all but so many sixteenths of the bytes it judges.
const MAIN_GIVES: u64 = 8;
/// While main is still being filled, probation keeps all but so many sixteenths.
const FILLING_GIVES: u64 = 10;
/// Main counts as full when it lacks less than one part in this many of what it may have.
const FULL_PART: usize = 20;
/// Expected uses of an item beyond its count, in sixteenths: nothing is worth nothing.
const PRIOR_SIXTEENTHS: u32 = 10;
/// The count from which on a new item goes to main at once, if it is worth it: it was asked for before.
const RETURNED_COUNT: u32 = 2;
/// The use counter an item goes on with in main, at most: what was used lately counts twice.
const CARRIED_MAX: u8 = 1;
/// One part in this many of the capacity: how many bytes judged the borders remember.
const MEMORY_PART: usize = 8;
/// One part in this many of the capacity, at least `KEPT_MIN` bytes, is kept in a row at most.
const KEPT_PART: usize = 64;
const KEPT_MIN: usize = 64 << 10;

/// A queue of segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queue {
    /// New items.
    Probation,
    /// Items that proved their worth.
    Main,
}

/// A live item of the segment that is being given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The keyed hash of its key.
    pub hash: u64,
    /// All bytes that the item costs: header, key, value, index.
    pub size: usize,
    /// Uses since it was stored or last kept, 0 to 3.
    pub uses: u8,
    /// Seconds until it expires, if it does.
    pub ttl_left_s: Option<u32>,
}

/// What becomes of a candidate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is forgotten.
    Evict,
    /// It is copied to the open segment of main.
    Keep {
        /// The use counter it goes on with there.
        uses: u8,
    },
}

/// What the store holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Held {
    /// Bytes of live items on probation, large values included.
    pub probation_bytes: usize,
    /// Bytes of live items in main, large values included.
    pub main_bytes: usize,
    /// Live items in both.
    pub items: usize,
}

/// The policy of one shard.
#[derive(Debug)]
pub struct Policy {
    capacity: usize,
    sketch: Sketch,
    /// Items placed until something was judged for the first time: as many as are held.
    placed: usize,
    is_full: bool,
    /// Main has its share: what comes must be better than what goes.
    main_is_full: bool,
    judged_probation: Box<Spread>,
    judged_main: Box<Spread>,
    /// Main keeps what is above.
    main_border: Border,
    /// Probation keeps what is above.
    probation_border: Border,
    /// Bytes kept since something was evicted.
    kept_bytes: usize,
    /// For ties.
    random: u64,
}

impl Policy {
    /// For a shard of this many bytes.
    pub fn new(capacity_bytes: usize) -> Self {
        Self {
            capacity: capacity_bytes,
            sketch: Sketch::new(capacity_bytes),
            placed: 0,
            is_full: false,
            main_is_full: false,
            judged_probation: Box::new(Spread::new()),
            judged_main: Box::new(Spread::new()),
            main_border: Border::LOWEST,
            probation_border: Border::LOWEST,
            kept_bytes: 0,
            random: 0x2545_f491_4f6c_dd1d,
        }
    }

    /// The shard's memory has changed. Counts are forgotten when it has changed by more than about a factor of four.
    pub fn set_capacity(&mut self, bytes: usize) {
        self.capacity = bytes;
        if !self.sketch.suits(bytes) {
            self.sketch = Sketch::new(bytes);
        }
    }

    /// A new item of so many bytes is about to be stored: where it goes. To be called once for each item that takes no
    /// live item's place; costs one cache line.
    pub fn place(&mut self, hash: u64, size: usize) -> Queue {
        if !self.is_full {
            self.placed += 1;
            self.sketch.fit(self.placed);
        }
        let count = self.count(hash, 1);
        let is_wanted = count >= RETURNED_COUNT && worth(count, size) > self.main_border.at;
        // What is more than all that probation may hold would be the next to go.
        let is_huge = size > self.capacity / PROBATION_PART;
        if (self.main_is_full && is_wanted) || is_huge { Queue::Main } else { Queue::Probation }
    }

    /// Room is needed: which queue gives up its oldest segment. To be called before each segment is judged.
    pub fn next_queue(&mut self, held: Held) -> Queue {
        self.is_full = true;
        self.sketch.fit(held.items);
        let all = held.probation_bytes + held.main_bytes;
        let probation_share = all / PROBATION_PART;
        let main_share = all - probation_share;
        self.main_is_full = held.main_bytes >= main_share - main_share / FULL_PART;
        self.main_border = self.judged_main.border(MAIN_GIVES);
        self.probation_border = if self.main_is_full {
            // A tie goes to what main holds already.
            Border { below: u64::MAX, ..self.main_border }
        } else {
            self.judged_probation.border(FILLING_GIVES)
        };
        if held.probation_bytes > probation_share { Queue::Probation } else { Queue::Main }
    }

    /// What becomes of a live item of a segment that `queue` gives up. Costs one cache line. Of what is judged in a row
    /// at most 1/64 of the capacity (at least 64 KiB) is kept before something is evicted.
    pub fn judge(&mut self, queue: Queue, item: Candidate) -> Verdict {
        let count = self.count(item.hash, u32::from(item.uses));
        let worth = worth(count, item.size);
        let window = self.capacity / MEMORY_PART;
        let (judged, border) = match queue {
            Queue::Probation => (&mut self.judged_probation, self.probation_border),
            Queue::Main => (&mut self.judged_main, self.main_border),
        };
        judged.count(worth, item.size, window);
        let is_above = worth > border.at || (worth == border.at && self.draw() >= border.below);
        if is_above && self.kept_bytes <= (self.capacity / KEPT_PART).max(KEPT_MIN) {
            self.kept_bytes = self.kept_bytes.saturating_add(item.size);
            return Verdict::Keep { uses: item.uses.min(CARRIED_MAX) };
        }
        self.kept_bytes = 0;
        Verdict::Evict
    }

    /// Bytes of its tables.
    pub fn bytes(&self) -> usize {
        self.sketch.bytes() + 2 * Spread::memory()
    }

    fn count(&mut self, hash: u64, uses: u32) -> u32 {
        let (count, have_aged) = self.sketch.add(hash, uses);
        if have_aged {
            self.judged_main.lower_by_octave();
            self.judged_probation.lower_by_octave();
        }
        count
    }

    /// Evenly from 0 to 2^32 - 1 (xorshift).
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 32
    }
}

fn worth(count: u32, size: usize) -> Worth {
    Worth::new(count * 16 + PRIOR_SIXTEENTHS, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn hash(key: u64) -> u64 {
        (key + 1).wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(29).wrapping_mul(0xa24b_aed4_963e_e407)
    }

    fn candidate(key: u64, size: usize, uses: u8) -> Candidate {
        Candidate { hash: hash(key), size, uses, ttl_left_s: None }
    }

    /// Main full of items of 100 bytes that were used `uses` times each, judged often enough to know its border.
    fn settled(uses: u8) -> Policy {
        let mut policy = Policy::new(MIB);
        let held = Held { probation_bytes: MIB / 32, main_bytes: MIB - MIB / 32, items: 10_000 };
        for key in 0..2_000 {
            policy.place(hash(key), 100);
            policy.next_queue(held);
            policy.judge(Queue::Main, candidate(key, 100, uses));
        }
        policy.next_queue(held);
        policy
    }

    #[test]
    fn probation_gives_while_it_has_more_than_its_share() {
        let mut policy = Policy::new(MIB);
        let held = |probation_bytes, main_bytes| Held { probation_bytes, main_bytes, items: 1000 };
        assert_eq!(policy.next_queue(held(MIB, 0)), Queue::Probation);
        assert_eq!(policy.next_queue(held(MIB / 16, MIB)), Queue::Probation);
        assert_eq!(policy.next_queue(held(MIB / 64, MIB)), Queue::Main);
    }

    #[test]
    fn what_is_used_on_probation_is_kept_and_what_is_not_is_evicted() {
        let mut policy = settled(1);
        for key in 100_000..100_100 {
            assert_eq!(policy.place(hash(key), 100), Queue::Probation);
            let uses = (key % 2) as u8 * 3;
            let verdict = policy.judge(Queue::Probation, candidate(key, 100, uses));
            let expected = if uses > 0 { Verdict::Keep { uses: CARRIED_MAX } } else { Verdict::Evict };
            assert_eq!(verdict, expected, "{uses} uses");
        }
    }

    #[test]
    fn what_comes_back_goes_to_main() {
        let mut policy = settled(0);
        assert_eq!(policy.place(hash(100_000), 100), Queue::Probation);
        assert_eq!(policy.judge(Queue::Probation, candidate(100_000, 100, 0)), Verdict::Evict);
        assert_eq!(policy.place(hash(100_000), 100), Queue::Main);
        assert_eq!(policy.place(hash(100_001), 10_000), Queue::Probation);
        assert_eq!(policy.place(hash(100_001), 10_000), Queue::Probation, "not worth its size");
    }

    #[test]
    fn a_large_item_needs_more_uses_than_a_small_one() {
        let mut policy = settled(1);
        for key in 100_000..100_020 {
            policy.place(hash(key), 100);
            assert_eq!(policy.judge(Queue::Probation, candidate(key, 20, 1)), Verdict::Keep { uses: 1 });
            assert_eq!(policy.judge(Queue::Probation, candidate(key, 2_000, 1)), Verdict::Evict);
        }
    }

    #[test]
    fn a_newcomer_as_good_as_what_is_held_does_not_displace_it() {
        let mut policy = settled(0);
        for key in 100_000..100_200 {
            policy.place(hash(key), 100);
            assert_eq!(policy.judge(Queue::Probation, candidate(key, 100, 0)), Verdict::Evict);
        }
    }

    #[test]
    fn main_gives_half_of_what_is_all_the_same() {
        let mut policy = settled(1);
        let evicted =
            (0..1_000).filter(|key| policy.judge(Queue::Main, candidate(*key, 100, 0)) == Verdict::Evict).count();
        assert!((350..=650).contains(&evicted), "{evicted}");
    }

    #[test]
    fn whatever_is_judged_something_goes() {
        let mut policy = settled(0);
        for queue in [Queue::Probation, Queue::Main] {
            let mut kept = 0;
            for key in 0..10_000 {
                match policy.judge(queue, candidate(200_000 + key, 1_000, 3)) {
                    Verdict::Keep { .. } => kept += 1_000,
                    Verdict::Evict => kept = 0,
                }
                assert!(kept <= KEPT_MIN + 1_000, "{kept}");
            }
        }
    }

    #[test]
    fn its_memory_follows_the_items_held() {
        let mut policy = Policy::new(64 * MIB);
        assert!(policy.bytes() < 16 << 10, "{}", policy.bytes());
        for key in 0..1_000_000 {
            policy.place(hash(key), 64);
        }
        assert!(policy.bytes() < 1_500_000, "{}", policy.bytes());
        policy.set_capacity(1024 * MIB);
        assert!(policy.bytes() < 64 << 10);
    }
}
