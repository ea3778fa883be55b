//! Random numbers that are the same on every machine for the same seed, and the distributions the workloads need.

/// A generator of 64-bit numbers (the mixing steps are those of `SplitMix64`).
#[derive(Clone)]
pub(crate) struct Random {
    state: u64,
}

/// Spreads the bits of a number over the whole word.
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl Random {
    /// A generator of its own for each pair of seed and stream, so that two uses of one seed are independent.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self { state: mix(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ mix(stream.wrapping_add(1))) }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// Evenly from 0 up to, not including, `end`.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u32
    }

    /// Evenly from 0 up to, not including, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The standard normal distribution.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// Ranks from 0 with a chance in proportion to 1 / (rank + 1)^skew. Exact: rejection-inversion after Hörmann and
/// Derflinger (1996), so the tail is not clipped and no table of the ranks is needed.
pub(crate) struct Zipf {
    ranks: f64,
    skew: f64,
    low: f64,
    high: f64,
    cut: f64,
}

impl Zipf {
    pub(crate) fn new(ranks: u32, skew: f64) -> Self {
        let mut zipf = Self { ranks: f64::from(ranks), skew, low: 0.0, high: 0.0, cut: 0.0 };
        zipf.low = zipf.area(1.5) - 1.0;
        zipf.high = zipf.area(zipf.ranks + 0.5);
        zipf.cut = 2.0 - zipf.area_inverse(zipf.area(2.5) - zipf.weight(2.0));
        zipf
    }

    pub(crate) fn sample(&self, random: &mut Random) -> u32 {
        loop {
            let at = self.high + random.unit() * (self.low - self.high);
            let x = self.area_inverse(at);
            let rank = (x + 0.5).floor().clamp(1.0, self.ranks);
            if rank - x <= self.cut || at >= self.area(rank + 0.5) - self.weight(rank) {
                return rank as u32 - 1;
            }
        }
    }

    fn weight(&self, x: f64) -> f64 {
        x.powf(-self.skew)
    }

    /// The integral of `weight`.
    fn area(&self, x: f64) -> f64 {
        let exponent = 1.0 - self.skew;
        if exponent.abs() < 1e-9 { x.ln() } else { (x.powf(exponent) - 1.0) / exponent }
    }

    fn area_inverse(&self, area: f64) -> f64 {
        let exponent = 1.0 - self.skew;
        if exponent.abs() < 1e-9 { area.exp() } else { (1.0 + area * exponent).max(0.0).powf(1.0 / exponent) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_has_the_exact_distribution() {
        for skew in [0.6, 0.99, 1.0, 1.2] {
            let zipf = Zipf::new(1000, skew);
            let mut random = Random::new(7, 0);
            let mut seen = vec![0_u32; 1000];
            let samples = 400_000;
            for _ in 0..samples {
                seen[zipf.sample(&mut random) as usize] += 1;
            }
            let weights: Vec<f64> = (1..=1000).map(|rank| f64::from(rank).powf(-skew)).collect();
            let sum: f64 = weights.iter().sum();
            for range in [0..1, 1..2, 2..10, 10..100, 100..1000] {
                let expected = weights[range.clone()].iter().sum::<f64>() / sum;
                let got = f64::from(seen[range.clone()].iter().sum::<u32>()) / f64::from(samples);
                assert!((got - expected).abs() < 0.004, "skew {skew}, ranks {range:?}: {got} for {expected}");
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let draw = |seed, stream| -> Vec<u64> {
            let mut random = Random::new(seed, stream);
            (0..4).map(|_| random.next()).collect()
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }
}
