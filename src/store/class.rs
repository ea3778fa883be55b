//! Size classes, for reports only: the store has no slabs, but monitoring asks what lies in which (PROTOCOL §6).

/// Classes there are, from 1; the last has everything that no other holds.
pub(super) const CLASSES: usize = 40;

/// Largest item of each class in bytes: memcached's with its defaults, a quarter more each time.
const SIZES: [usize; CLASSES] = {
    let mut sizes = [0; CLASSES];
    let (mut class, mut size) = (0, 96_usize);
    while class < CLASSES - 1 {
        sizes[class] = size;
        size = (size + size / 4).next_multiple_of(8);
        class += 1;
    }
    sizes[CLASSES - 1] = 512 << 10;
    sizes
};

/// Items up to this size are classed by a table.
const TABLE_SIZE_MAX: usize = 2048;
#[expect(clippy::cast_possible_truncation, reason = "there are 40 classes")]
const TABLE: [u8; TABLE_SIZE_MAX / 8 + 1] = {
    let mut table = [0; TABLE_SIZE_MAX / 8 + 1];
    let (mut place, mut class) = (0, 0);
    while place < table.len() {
        if SIZES[class] < place * 8 {
            class += 1;
        }
        table[place] = class as u8 + 1;
        place += 1;
    }
    table
};

/// The class of an item of `size` bytes.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "there are 40 classes")]
pub(super) fn class_of(size: usize) -> u8 {
    match TABLE.get(size.div_ceil(8)) {
        Some(&class) => class,
        None => SIZES.partition_point(|&largest| largest < size).min(CLASSES - 1) as u8 + 1,
    }
}

/// What is known of the items of one size class; counters since start or the last reset, except the gauges named so.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ClassStats {
    /// Largest item of the class in bytes; 512 KiB for the last, which holds what is larger, too.
    pub size_max: usize,
    /// Gauge: items.
    pub number: u64,
    /// Gauge: bytes of the items, large values included.
    pub bytes: u64,
    /// Gauge: seconds since the oldest of them was used, as far as is known without looking at all.
    pub age_s: u32,
    /// Live items pushed out for room.
    pub evicted: u64,
    /// Evicted items that would have expired.
    pub evicted_nonzero: u64,
    /// Seconds since the last access of the item evicted last.
    pub evicted_time: u32,
    /// Evicted items that nobody had fetched.
    pub evicted_unfetched: u64,
    /// Evicted items fetched within the last minute or so before.
    pub evicted_active: u64,
    /// Items refused for want of memory.
    pub out_of_memory: u64,
    /// Dead items whose memory was taken back to make room for a new one.
    pub reclaimed: u64,
    /// Expired items taken back that nobody had fetched.
    pub expired_unfetched: u64,
    /// Dead items taken back by the background sweep.
    pub crawler_reclaimed: u64,
    /// Fetches that found an item.
    pub get_hits: u64,
    /// Stored values.
    pub cmd_set: u64,
    /// Items deleted by request.
    pub delete_hits: u64,
    /// Numbers incremented.
    pub incr_hits: u64,
    /// Numbers decremented.
    pub decr_hits: u64,
    /// Compare-and-swaps that stored.
    pub cas_hits: u64,
    /// Compare-and-swaps that found another version.
    pub cas_badval: u64,
    /// Items touched.
    pub touch_hits: u64,
}

impl ClassStats {
    /// Adds those of another shard.
    pub fn merge(&mut self, other: &Self) {
        self.size_max = other.size_max;
        for (sum, part) in self.numbers().into_iter().zip({ *other }.numbers()) {
            *sum += *part;
        }
        self.evicted_time = self.evicted_time.max(other.evicted_time);
        self.age_s = self.age_s.max(other.age_s);
    }

    fn numbers(&mut self) -> [&mut u64; 18] {
        let Self {
            size_max: _,
            evicted_time: _,
            age_s: _,
            number,
            bytes,
            evicted,
            evicted_nonzero,
            evicted_unfetched,
            evicted_active,
            out_of_memory,
            reclaimed,
            expired_unfetched,
            crawler_reclaimed,
            get_hits,
            cmd_set,
            delete_hits,
            incr_hits,
            decr_hits,
            cas_hits,
            cas_badval,
            touch_hits,
        } = self;
        [
            number,
            bytes,
            evicted,
            evicted_nonzero,
            evicted_unfetched,
            evicted_active,
            out_of_memory,
            reclaimed,
            expired_unfetched,
            crawler_reclaimed,
            get_hits,
            cmd_set,
            delete_hits,
            incr_hits,
            decr_hits,
            cas_hits,
            cas_badval,
            touch_hits,
        ]
    }
}

/// The statistics of all classes.
#[derive(Clone, Debug)]
pub(super) struct Classes(Box<[ClassStats; CLASSES]>);

impl Classes {
    pub(super) fn new() -> Self {
        Self(Box::new(SIZES.map(|size_max| ClassStats { size_max, ..ClassStats::default() })))
    }

    /// Those of a class, which [`class_of`] gave.
    #[inline]
    pub(super) fn get_mut(&mut self, class: u8) -> &mut ClassStats {
        &mut self.0[usize::from(class - 1)]
    }

    /// Those of the class of an item of `size` bytes.
    #[inline]
    pub(super) fn of_size(&mut self, size: usize) -> &mut ClassStats {
        self.get_mut(class_of(size))
    }

    /// The classes that hold items, or have done something.
    pub(super) fn in_use(&self) -> impl Iterator<Item = (u8, &ClassStats)> {
        (1..)
            .zip(self.0.iter())
            .filter(|(_, stats)| **stats != ClassStats { size_max: stats.size_max, ..ClassStats::default() })
    }

    /// Sets all but the gauges to 0.
    pub(super) fn reset(&mut self) {
        for stats in self.0.iter_mut() {
            let ClassStats { size_max, number, bytes, .. } = *stats;
            *stats = ClassStats { size_max, number, bytes, ..ClassStats::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_in_the_smallest_class_that_holds_it() {
        assert_eq!((class_of(1), class_of(96), class_of(97), class_of(120), class_of(121)), (1, 1, 2, 2, 3));
        for size in (1..3_000_000).step_by(13) {
            let class = usize::from(class_of(size));
            assert!(class == CLASSES || size <= SIZES[class - 1], "{size}");
            assert!(class == 1 || size > SIZES[class - 2], "{size}");
        }
    }

    #[test]
    fn merging_adds_every_counter() {
        let mut one = ClassStats { evicted_time: 4, ..ClassStats::default() };
        for (value, number) in (1..).zip(one.numbers()) {
            *number = value;
        }
        let mut sum = ClassStats::default();
        sum.merge(&one);
        sum.merge(&one);
        assert!(sum.numbers().into_iter().map(|number| *number).eq((1..=18).map(|value| 2 * value)));
        assert_eq!(sum.evicted_time, 4);
    }
}
