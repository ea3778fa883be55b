//! Size classes as memcached's tools know them. There are no slabs here: a class is only a name for sizes, so that
//! reports by class say something.

/// The smallest class holds items up to this many bytes; each next one a quarter more, in steps of 8.
const FIRST: usize = 96;
/// Everything above belongs to the last class.
const LAST: usize = 512 << 10;
/// Classes there are, and one place for 0, which is none.
pub(super) const CLASSES: usize = 41;

/// Upper bounds by class.
const BOUNDS: [usize; CLASSES] = {
    let mut bounds = [0; CLASSES];
    let mut size = FIRST;
    let mut class = 1;
    while class < CLASSES {
        bounds[class] = if size > LAST { LAST } else { size };
        size = (size + size / 4).next_multiple_of(8);
        class += 1;
    }
    bounds
};

/// The class of an item of `size` bytes, from 1.
pub(super) fn class_of(size: usize) -> u8 {
    let class = BOUNDS[1..].partition_point(|&bound| bound < size) + 1;
    u8::try_from(class.min(CLASSES - 1)).unwrap_or(u8::MAX)
}

/// The largest item of a class, in bytes; of the last one, what larger items are counted as.
pub(super) fn size_max(class: u8) -> usize {
    BOUNDS.get(usize::from(class)).copied().unwrap_or(LAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_grow_and_every_size_has_one() {
        assert!(BOUNDS[1..].windows(2).all(|pair| pair[0] < pair[1] || pair[1] == LAST), "{BOUNDS:?}");
        assert_eq!((class_of(1), class_of(96), class_of(97)), (1, 1, 2));
        let mut last = 1;
        for size in 1..2 * LAST {
            let class = class_of(size);
            assert!(class == last || class == last + 1);
            assert!(size <= size_max(class) || size > LAST);
            last = class;
        }
    }
}
