//! How often keys were asked for lately, whether they are held or not: a count-min sketch of 4-bit counters that forgets.
//!
//! It stands for the ghosts as well: a key that was evicted keeps its count. A key's four counters share one cache line,
//! so a look costs at most one cache miss. The lines come in chunks that grow and age one at a time, when they are
//! touched, so that no call does work in proportion to the memory.

#![expect(clippy::cast_possible_truncation, reason = "counts have 4 bits, places in a chunk fewer than 32")]

/// Counters per item held, before rounding to a power of two: 1 byte.
const COUNTERS_PER_ITEM: usize = 2;
/// Once as many quarters of a use as this per item held were counted, all counts are halved.
const USE_QUARTERS_PER_AGE: u64 = 3;
/// Bytes of capacity for which one chunk is made.
const CHUNK_SHARE: usize = 4 << 20;
const CHUNKS_MAX: usize = 1 << 16;
const COUNTERS_PER_LINE: usize = 128;
const LINES_MAX: usize = 1 << 20;

/// The highest count.
pub(super) const COUNT_MAX: u32 = 15;

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line([u64; 8]);

const EMPTY: Line = Line([0; 8]);

#[derive(Debug)]
struct Chunk {
    /// A power of two of them.
    lines: Vec<Line>,
    /// The age up to which the counts have been halved.
    age: u32,
}

/// Counts uses per key hash.
#[derive(Debug)]
pub(super) struct Sketch {
    /// A power of two of them.
    chunks: Vec<Chunk>,
    /// The lines a chunk should have for the number of items held.
    lines_wanted: usize,
    /// All lines there are.
    lines: usize,
    items: u64,
    uses: u64,
    age: u32,
}

/// A key's four counters: the chunk, the line in it, and for each counter the word and the bit where it starts.
struct Spot {
    chunk: usize,
    line: usize,
    counters: [(usize, u32); 4],
}

impl Sketch {
    /// For a cache of this many bytes.
    pub(super) fn new(capacity: usize) -> Self {
        let count = (capacity / CHUNK_SHARE).clamp(1, CHUNKS_MAX).next_power_of_two();
        let chunks = (0..count).map(|_| Chunk { lines: vec![EMPTY], age: 0 }).collect();
        Self { chunks, lines_wanted: 1, lines: count, items: 0, uses: 0, age: 0 }
    }

    /// Whether the chunks made suit a cache of this many bytes.
    pub(super) fn suits(&self, capacity: usize) -> bool {
        let made_for = self.chunks.len() * CHUNK_SHARE;
        capacity <= made_for * 4 && (capacity >= made_for / 16 || self.chunks.len() == 1)
    }

    /// So many items are held: sizes the chunks, which follow as they are touched.
    pub(super) fn fit(&mut self, items: usize) {
        self.items = items as u64;
        let lines = items * COUNTERS_PER_ITEM / COUNTERS_PER_LINE / self.chunks.len();
        // Between 0.7 and 1.4 of the wish. Chunks shrink only when far too large: a brief want should forget nothing.
        let nearest = (lines + lines / 3).max(2).next_power_of_two() / 2;
        if nearest > self.lines_wanted || nearest * 4 <= self.lines_wanted {
            self.lines_wanted = nearest.min(LINES_MAX);
        }
    }

    /// Adds uses of a key and returns its count. The second value is whether all counts have just been halved.
    pub(super) fn add(&mut self, hash: u64, uses: u32) -> (u32, bool) {
        let spot = self.spot(hash);
        let line = &mut self.chunks[spot.chunk].lines[spot.line].0;
        let old = spot.counters.iter().map(|(word, bit)| line[*word] >> bit & 15).min().unwrap_or(0) as u32;
        let count = (old + uses).min(COUNT_MAX);
        for (word, bit) in spot.counters {
            if ((line[word] >> bit & 15) as u32) < count {
                line[word] = line[word] & !(15 << bit) | u64::from(count) << bit;
            }
        }
        self.uses += u64::from(uses);
        let aged = self.uses * 4 > self.items.max(1024) * USE_QUARTERS_PER_AGE;
        if aged {
            self.uses = 0;
            self.age = self.age.wrapping_add(1);
        }
        (count, aged)
    }

    /// Bytes of the tables.
    pub(super) fn bytes(&self) -> usize {
        self.lines * size_of::<Line>() + self.chunks.len() * size_of::<Chunk>()
    }

    /// Finds a key's counters, its chunk being grown and aged before.
    fn spot(&mut self, hash: u64) -> Spot {
        // The index takes its bits from the same hash: mix, so that its choice of bucket says nothing about ours.
        let bits = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let chunk = (bits >> 48) as usize & (self.chunks.len() - 1);
        self.tend(chunk);
        let line = (bits >> 28) as usize & (self.chunks[chunk].lines.len() - 1);
        let mut counters = [(0, 0); 4];
        for (row, counter) in counters.iter_mut().enumerate() {
            let number = (bits >> (8 + row * 5)) as usize & 31;
            *counter = (row * 2 + number / 16, (number % 16 * 4) as u32);
        }
        Spot { chunk, line, counters }
    }

    fn tend(&mut self, number: usize) {
        let chunk = &mut self.chunks[number];
        let missed = self.age.wrapping_sub(chunk.age);
        if missed > 0 {
            chunk.age = self.age;
            let kept = 0x1111_1111_1111_1111 * (15 >> missed.min(4));
            for word in chunk.lines.iter_mut().flat_map(|line| &mut line.0) {
                *word = *word >> missed.min(4) & kept;
            }
        }
        let lines = chunk.lines.len();
        if lines < self.lines_wanted {
            // A key's line number gains a bit: its counts are to be found whichever it is.
            chunk.lines.reserve_exact(self.lines_wanted - lines);
            while chunk.lines.len() < self.lines_wanted {
                chunk.lines.extend_from_within(..);
            }
        } else if lines > self.lines_wanted {
            chunk.lines.truncate(self.lines_wanted);
            chunk.lines.shrink_to_fit();
        }
        self.lines = self.lines + chunk.lines.len() - lines;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(key: u64) -> u64 {
        (key + 1).wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(29).wrapping_mul(0xa24b_aed4_963e_e407)
    }

    #[test]
    fn counts_are_never_too_low_and_seldom_too_high() {
        let mut sketch = Sketch::new(16 << 20);
        sketch.fit(100_000);
        for key in 0..30_000 {
            for _ in 0..=key % 3 {
                sketch.add(hash(key), 1);
            }
        }
        let counts: Vec<(u64, u32)> = (0..30_000).map(|key| (key % 3 + 1, sketch.add(hash(key), 0).0)).collect();
        assert!(counts.iter().all(|(uses, count)| u64::from(*count) >= *uses));
        let wrong = counts.iter().filter(|(uses, count)| u64::from(*count) != *uses).count();
        assert!(wrong < 3_000, "{wrong} of 30,000");
    }

    #[test]
    fn counts_are_halved_once_enough_was_counted_and_end_at_the_highest() {
        let mut sketch = Sketch::new(1 << 20);
        sketch.fit(2_400);
        assert_eq!(sketch.add(hash(1), 40).0, COUNT_MAX);
        let mut ages = 0;
        for key in 0..4_000 {
            ages += u32::from(sketch.add(hash(100_000 + key), 1).1);
        }
        assert_eq!(ages, 2);
        assert_eq!(sketch.add(hash(1), 0).0, COUNT_MAX >> 2);
    }

    #[test]
    fn growing_forgets_nothing_and_the_size_follows_the_items() {
        let mut sketch = Sketch::new(64 << 20);
        sketch.fit(10_000);
        for key in 0..1_000 {
            sketch.add(hash(key), 5);
        }
        sketch.fit(1_000_000);
        assert!((0..1_000).all(|key| sketch.add(hash(key), 0).0 >= 5));
        for key in 0..100_000 {
            sketch.add(hash(key), 0);
        }
        let bytes = sketch.bytes();
        assert!((700_000..1_500_000).contains(&bytes), "{bytes} bytes for a million items");
        sketch.fit(100_000);
        for key in 0..100_000 {
            sketch.add(hash(key), 0);
        }
        assert!(sketch.bytes() < 200_000, "{}", sketch.bytes());
    }

    #[test]
    fn chunks_suit_a_range_of_capacities() {
        let sketch = Sketch::new(64 << 20);
        assert!(sketch.suits(64 << 20) && sketch.suits(200 << 20) && sketch.suits(8 << 20));
        assert!(!sketch.suits(1 << 30) && !sketch.suits(1 << 20));
        assert!(Sketch::new(1 << 20).suits(0));
    }
}
