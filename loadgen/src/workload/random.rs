//! Random numbers: the same seed gives the same sequence, on every machine.

/// `SplitMix64`: small, fast, and good enough to choose keys.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// From 0 to `bound` - 1, every number as likely (but for a share of `bound` / 2^64). 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// From 0 inclusive to 1 exclusive, in steps of 2^-53.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / 9_007_199_254_740_992.0
    }
}

/// A bijection of the 64-bit numbers that leaves nothing of their order.
pub(crate) fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A distribution of numbers: ranks of keys, sizes in bytes, times in seconds. What is drawn depends on the random
/// numbers alone, so that drawing with a generator seeded by a key gives that key's number.
pub(crate) trait Draw: Send + Sync {
    fn draw(&self, random: &mut Random) -> u64;

    /// The least and the greatest number that can be drawn.
    fn bounds(&self) -> (u64, u64);
}
