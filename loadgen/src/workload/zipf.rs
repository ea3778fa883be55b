//! Zipf's law: rank r is drawn in proportion to 1 / r^skew, exactly, for any skew and any number of ranks.

use crate::workload::random::{Draw, Random};

/// Draws ranks by rejection-inversion (Hörmann and Derflinger, "Rejection-inversion to generate variates from monotone
/// discrete distributions", 1996): no table, so that 2^40 ranks cost what 10 do; no approximation of the weights.
///
/// The hat over the weights is the integral of x^-skew from rank - 1/2 to rank + 1/2. It is measured from the far end
/// (the [`beyond`](Zipf::beyond) of a point), not from 1 as in the paper: the area left beyond a late rank is small,
/// and small numbers keep their precision, so the tail is as exact as the head.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    count: u64,
    skew: f64,
    /// Half a rank behind the last.
    end: f64,
    /// `end` to the power of `skew` - 1, and of 1 - `skew`.
    end_power: f64,
    end_power_inverse: f64,
    /// The whole area under the hat.
    area: f64,
    /// A point that lies at most so far before its rank needs no look at the hat.
    sure: f64,
}

impl Zipf {
    /// Ranks 0 to `count` - 1, the first the most likely; `skew` 0 makes all alike. `count` is at least 1 and at most
    /// 2^52, `skew` not negative.
    #[expect(clippy::cast_precision_loss, reason = "at most 2^52 ranks")]
    pub(crate) fn new(count: u64, skew: f64) -> Zipf {
        let count = count.clamp(1, 1 << 52);
        let end = count as f64 + 0.5;
        let mut zipf = Zipf {
            count,
            skew,
            end,
            end_power: end.powf(skew - 1.0),
            end_power_inverse: end.powf(1.0 - skew),
            area: 0.0,
            sure: 0.0,
        };
        // The first rank's bar is exactly as high as its weight, 1: nothing of it is rejected.
        zipf.area = zipf.beyond(1.5) + 1.0;
        zipf.sure = if count < 3 { 0.0 } else { 2.0 - zipf.point(zipf.beyond(2.5) + zipf.weight(2.0)) };
        zipf
    }

    fn weight(&self, rank: f64) -> f64 {
        rank.powf(-self.skew)
    }

    /// The integral of x^-skew from `point` to the end.
    fn beyond(&self, point: f64) -> f64 {
        // The logarithm of end / point; near the end by the difference, which is exact there.
        let log =
            if point * 2.0 > self.end { -((point - self.end) / self.end).ln_1p() } else { (self.end / point).ln() };
        let bend = self.skew - 1.0;
        if bend == 0.0 { log } else { self.end_power_inverse * (bend * log).exp_m1() / bend }
    }

    /// The point that has this area beyond it.
    fn point(&self, beyond: f64) -> f64 {
        let bend = self.skew - 1.0;
        let log = if bend == 0.0 { beyond } else { (bend * beyond * self.end_power).ln_1p() / bend };
        self.end * (-log).exp()
    }
}

impl Draw for Zipf {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank is at most 2^52 and at least 1"
    )]
    fn draw(&self, random: &mut Random) -> u64 {
        loop {
            let beyond = fine_unit(random) * self.area;
            let point = self.point(beyond);
            let rank = point.round().clamp(1.0, self.count as f64);
            // Below the first rank's bar all counts; above any other, what lies under its weight.
            if rank < 1.5 || rank - point <= self.sure || beyond <= self.beyond(rank + 0.5) + self.weight(rank) {
                return rank as u64 - 1;
            }
        }
    }

    fn bounds(&self) -> (u64, u64) {
        (0, self.count - 1)
    }
}

/// From 0 to 1, with the full precision of a float at whatever size: steps of 2^-53 would leave out most of the ranks
/// whose share is smaller than that.
#[expect(clippy::cast_precision_loss, reason = "rounding to a float's precision is the aim")]
fn fine_unit(random: &mut Random) -> f64 {
    let high = random.next();
    let low = if high < 1 << 53 { random.unit() } else { 0.5 };
    (high as f64 + low) / 18_446_744_073_709_551_616.0
}

#[cfg(test)]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test figures"
)]
mod tests {
    use super::*;

    /// Chi-square of counts against probabilities, in standard deviations from what chance would give: the statistic
    /// of n classes has mean n - 1 and variance 2 (n - 1). Classes expected less than 10 times are joined.
    fn deviations(counts: &[u64], probabilities: &[f64]) -> f64 {
        let draws = counts.iter().sum::<u64>() as f64;
        let (mut statistic, mut classes) = (0.0, 0);
        let (mut count, mut expected) = (0.0, 0.0);
        let mut left = 1.0;
        for (one, probability) in counts.iter().zip(probabilities) {
            count += *one as f64;
            expected += probability * draws;
            left -= probability;
            if expected >= 10.0 && left * draws >= 10.0 {
                statistic += (count - expected).powi(2) / expected;
                classes += 1;
                (count, expected) = (0.0, 0.0);
            }
        }
        statistic += (count - expected).powi(2) / expected.max(1e-9);
        let degrees = f64::from(classes);
        if degrees == 0.0 { 0.0 } else { (statistic - degrees) / (2.0 * degrees).sqrt() }
    }

    /// The sum of r^-skew for ranks from `first` to `last`, by Euler and Maclaurin where there are many.
    fn sum(first: u64, last: u64, skew: f64) -> f64 {
        let exact_until = last.min(first.max(2000));
        let exact: f64 = (first..=exact_until).rev().map(|rank| (rank as f64).powf(-skew)).sum();
        if exact_until == last {
            return exact;
        }
        let (a, b) = (exact_until as f64, last as f64);
        let f = |x: f64| x.powf(-skew);
        let slope = |x: f64| -skew * x.powf(-skew - 1.0);
        let log = (b / a).ln();
        let bend = 1.0 - skew;
        let integral = if bend == 0.0 { log } else { a.powf(bend) * (bend * log).exp_m1() / bend };
        exact + integral + (f(b) - f(a)) / 2.0 + (slope(b) - slope(a)) / 12.0
    }

    const SKEWS: [f64; 8] = [0.0, 0.5, 0.9, 0.99, 1.0, 1.01, 1.3, 3.0];

    #[test]
    fn every_rank_of_a_small_space_has_its_share() {
        for count in [1, 2, 3, 10, 1000] {
            for skew in SKEWS {
                let zipf = Zipf::new(count, skew);
                let mut random = Random::new(11);
                let mut counts = vec![0; count as usize];
                for _ in 0..300_000 {
                    counts[zipf.draw(&mut random) as usize] += 1;
                }
                let whole = sum(1, count, skew);
                let shares: Vec<f64> = (1..=count).map(|rank| (rank as f64).powf(-skew) / whole).collect();
                let off = deviations(&counts, &shares);
                assert!(off.abs() < 4.0, "{count} ranks, skew {skew}: {off} deviations");
            }
        }
    }

    #[test]
    fn every_part_of_a_large_space_has_its_share() {
        for count in [10_000_000, (1 << 40) - 1] {
            for skew in SKEWS {
                let zipf = Zipf::new(count, skew);
                let mut random = Random::new(12);
                // Classes: quarters of octaves, from the first rank to the last.
                let mut ends: Vec<u64> = (0..160).map(|quarter| 2_f64.powf(f64::from(quarter) / 4.0) as u64).collect();
                ends.retain(|end| *end < count);
                ends.dedup();
                ends.push(count);
                let mut counts = vec![0; ends.len()];
                for _ in 0..400_000 {
                    let rank = zipf.draw(&mut random) + 1;
                    counts[ends.partition_point(|end| *end < rank)] += 1;
                }
                let whole = sum(1, count, skew);
                let mut first = 1;
                let mut shares = Vec::new();
                for end in &ends {
                    shares.push(sum(first, *end, skew) / whole);
                    first = end + 1;
                }
                let off = deviations(&counts, &shares);
                assert!(off.abs() < 4.0, "{count} ranks, skew {skew}: {off} deviations");
            }
        }
    }

    #[test]
    fn no_rank_of_the_tail_is_left_out() {
        // Neighbours in the last octave of 2^40 ranks are drawn alike: no clipping, no rounding to some of them.
        for skew in [0.0, 0.8, 0.99, 1.0] {
            let zipf = Zipf::new(1 << 40, skew);
            let mut random = Random::new(13);
            let mut counts = [0; 16];
            let mut seen = 0;
            for _ in 0..400_000 {
                let rank = zipf.draw(&mut random);
                if rank >= 1 << 39 {
                    counts[(rank % 16) as usize] += 1;
                    seen += 1;
                }
            }
            assert!(seen > 5_000, "skew {skew}: {seen}");
            let off = deviations(&counts, &[1.0 / 16.0; 16]);
            assert!(off.abs() < 4.0, "skew {skew}: {off} deviations");
        }
    }

    #[test]
    fn what_lies_beyond_leads_back_to_the_point() {
        for skew in SKEWS {
            for count in [1_u64, 50, 1 << 40] {
                let zipf = Zipf::new(count, skew);
                for share in [0.0, 1e-9, 0.3, 0.999_999] {
                    let point = 0.6 + share * (zipf.end - 0.6);
                    let back = zipf.point(zipf.beyond(point));
                    // The head of a flat distribution is measured from 2^40 away: a thousandth of a rank is its grain.
                    assert!((back - point).abs() <= 1e-3 + point * 1e-12, "{count} {skew} {point} {back}");
                }
            }
        }
    }

    #[test]
    fn the_seed_decides() {
        let zipf = Zipf::new(1000, 0.99);
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..100).map(|_| zipf.draw(&mut random)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_eq!(zipf.bounds(), (0, 999));
    }
}
