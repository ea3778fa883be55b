//! What keeping an item is worth, on a scale of eighths of an octave, and which part of the bytes is worth less.

#![expect(clippy::cast_possible_truncation, reason = "steps are fewer than 384, parts of 2^32 below it")]

/// Eighths of an octave from the least worth to the highest.
const STEPS: usize = 384;
/// Steps per octave.
const OCTAVE: u32 = 8;
/// What lifts the least worth above 0: an item of 2^40 bytes.
const OFFSET: u32 = 40 * OCTAVE;

/// Expected uses per byte, logarithmic: one step is an eighth of an octave.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Worth(u16);

impl Worth {
    /// Of an item of so many bytes with this expectation of uses, in sixteenths.
    pub(super) fn new(uses_sixteenths: u32, size: usize) -> Self {
        let steps = OFFSET + log2_steps(u64::from(uses_sixteenths)) - log2_steps(size as u64).min(OFFSET);
        Self(steps.min(STEPS as u32 - 1) as u16)
    }
}

/// The logarithm in eighths of an octave, linear within the octave.
fn log2_steps(number: u64) -> u32 {
    let number = number.max(1);
    let octave = number.ilog2();
    let eighths = if octave >= 3 { number >> (octave - 3) } else { number << (3 - octave) } as u32 & 7;
    octave * OCTAVE + eighths
}

/// Where the worse part of the bytes ends. Bytes at the border itself belong to it in part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Border {
    pub(super) at: Worth,
    /// Of the bytes of exactly this worth, the part below the border, in 2^32ths.
    pub(super) below: u64,
}

impl Border {
    /// Nothing is below.
    pub(super) const LOWEST: Self = Self { at: Worth(0), below: 0 };
}

/// How the bytes judged lately are spread over the scale.
#[derive(Debug)]
pub(super) struct Spread {
    bytes: Box<[u64; STEPS]>,
    total: u64,
}

impl Spread {
    pub(super) fn new() -> Self {
        Self { bytes: Box::new([0; STEPS]), total: 0 }
    }

    /// Counts an item; what was counted before fades over `window` bytes.
    pub(super) fn count(&mut self, worth: Worth, size: usize, window: usize) {
        self.bytes[usize::from(worth.0)] += size as u64;
        self.total += size as u64;
        if self.total > window as u64 {
            self.bytes.iter_mut().for_each(|bytes| *bytes /= 2);
            self.total = self.bytes.iter().sum();
        }
    }

    /// All counts were halved: everything is worth an octave less.
    pub(super) fn lower_by_octave(&mut self) {
        let octave = OCTAVE as usize;
        let lowest: u64 = self.bytes[..octave].iter().sum();
        self.bytes.copy_within(octave.., 0);
        self.bytes[STEPS - octave..].fill(0);
        self.bytes[0] += lowest;
    }

    /// The border below which so many sixteenths of the bytes lie.
    pub(super) fn border(&self, sixteenths: u64) -> Border {
        let mut left = self.total / 16 * sixteenths;
        for (step, &bytes) in self.bytes.iter().enumerate() {
            if bytes > left {
                let below = ((u128::from(left) << 32) / u128::from(bytes)) as u64;
                return Border { at: Worth(step as u16), below };
            }
            left -= bytes;
        }
        Border::LOWEST
    }

    /// Bytes of memory.
    pub(super) const fn memory() -> usize {
        STEPS * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worth_grows_with_uses_and_falls_with_size() {
        let mut last = Worth(0);
        for uses in [1, 2, 3, 5, 10, 26, 42, 58, 250] {
            let worth = Worth::new(uses, 1000);
            assert!(worth > last, "{uses}");
            last = worth;
        }
        assert!(Worth::new(16, 100) > Worth::new(16, 120));
        assert_eq!(Worth::new(32, 200), Worth::new(16, 100));
        assert!(Worth::new(1, usize::MAX) < Worth::new(1, 1 << 30));
        assert_eq!(Worth::new(u32::MAX, 0), Worth(383));
    }

    #[test]
    fn the_border_cuts_off_the_part_asked_for() {
        let mut spread = Spread::new();
        assert_eq!(spread.border(8), Border::LOWEST);
        for uses in [16, 32, 64, 128] {
            spread.count(Worth::new(uses, 100), 100, 1 << 30);
        }
        let border = spread.border(8);
        assert_eq!(border, Border { at: Worth::new(64, 100), below: 0 });
        let border = spread.border(2);
        assert_eq!(border, Border { at: Worth::new(16, 100), below: 1 << 31 });
        spread.lower_by_octave();
        assert_eq!(spread.border(8).at, Worth::new(32, 100));
    }

    #[test]
    fn what_was_counted_fades() {
        let mut spread = Spread::new();
        for _ in 0..1000 {
            spread.count(Worth::new(16, 100), 100, 10_000);
        }
        for _ in 0..300 {
            spread.count(Worth::new(64, 100), 100, 10_000);
        }
        assert_eq!(spread.border(4).at, Worth::new(64, 100));
    }
}
