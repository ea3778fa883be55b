//! When requests are due in an open loop: decided before the first is sent, whatever the server does.

use std::ops::Range;

use crate::workload::random::Random;

/// How the gaps between requests are distributed, as in `--arrivals`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Gaps {
    /// All the same.
    Constant,
    /// Exponentially: every moment is as likely.
    Poisson,
}

/// The moments at which requests are due, in nanoseconds, one after the other.
///
/// Nothing that happens to a request moves the next one: [`due`](Arrivals::due) is given to each request as the begin of
/// its latency, however late it is sent. This is what makes coordinated omission impossible.
pub(crate) struct Arrivals {
    gaps: Gaps,
    gap_ns: f64,
    random: Random,
    /// Counted in floating point so that a gap of a fraction of a nanosecond is not lost.
    next_ns: f64,
    end_ns: u64,
}

impl Arrivals {
    /// In this span of time, at `rate` per second. One of `workers` alike begins its turn `worker` parts of a gap later.
    pub(crate) fn new(gaps: Gaps, rate: f64, span: Range<u64>, random: Random, worker: u64, workers: u64) -> Arrivals {
        let gap_ns = 1e9 / rate;
        let mut arrivals = Arrivals { gaps, gap_ns, random, next_ns: nanos(span.start), end_ns: span.end };
        match gaps {
            Gaps::Constant => arrivals.next_ns += gap_ns * nanos(worker) / nanos(workers.max(1)),
            Gaps::Poisson => arrivals.advance(),
        }
        arrivals
    }

    /// When the next request is due; [`u64::MAX`] after the last.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time after the begin of the run")]
    pub(crate) fn due(&self) -> u64 {
        Some(self.next_ns as u64).filter(|next| *next < self.end_ns).unwrap_or(u64::MAX)
    }

    /// The next request is taken.
    pub(crate) fn advance(&mut self) {
        self.next_ns += match self.gaps {
            Gaps::Constant => self.gap_ns,
            // The unit is below 1, so the logarithm is finite.
            Gaps::Poisson => -(1.0 - self.random.unit()).ln() * self.gap_ns,
        };
    }

    /// About how many requests are due before `until_ns` and not yet taken.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
    pub(crate) fn waiting(&self, until_ns: u64) -> u64 {
        ((nanos(until_ns.min(self.end_ns)) - self.next_ns) / self.gap_ns).max(0.0).ceil() as u64
    }
}

#[expect(clippy::cast_precision_loss, reason = "53 bits of nanoseconds are 100 days")]
fn nanos(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count_before(arrivals: &mut Arrivals, end_ns: u64) -> u64 {
        let mut count = 0;
        while arrivals.due() < end_ns {
            arrivals.advance();
            count += 1;
        }
        count
    }

    #[test]
    fn constant_gaps_neither_drift_nor_bunch() {
        // 3 per second: no whole number of nanoseconds.
        let mut arrivals = Arrivals::new(Gaps::Constant, 3.0, 1000..u64::MAX, Random::new(1), 0, 1);
        assert_eq!(arrivals.due(), 1000);
        assert_eq!(arrivals.waiting(1000 + 1_000_000_000), 3);
        assert_eq!(count_before(&mut arrivals, 1000 + 3_000_000_000), 9);
        let mut hour = Arrivals::new(Gaps::Constant, 123_457.0, 0..u64::MAX, Random::new(1), 0, 1);
        assert_eq!(count_before(&mut hour, 100_000_000_000).abs_diff(12_345_700), 0);
    }

    #[test]
    fn workers_take_turns() {
        let dues: Vec<u64> = (0..4)
            .map(|worker| Arrivals::new(Gaps::Constant, 250.0, 0..u64::MAX, Random::new(1), worker, 4).due())
            .collect();
        assert_eq!(dues, [0, 1_000_000, 2_000_000, 3_000_000]);
    }

    #[test]
    fn poisson_gaps_have_the_rate_and_the_spread_of_their_law() {
        let mut arrivals = Arrivals::new(Gaps::Poisson, 10_000.0, 0..u64::MAX, Random::new(9), 0, 1);
        let (mut sum, mut squares, mut last) = (0.0, 0.0, 0);
        for _ in 0..200_000 {
            let gap = nanos(arrivals.due() - last);
            last = arrivals.due();
            (sum, squares) = (sum + gap, squares + gap * gap);
            arrivals.advance();
        }
        let mean = sum / 200_000.0;
        let deviation = (squares / 200_000.0 - mean * mean).sqrt();
        assert!((mean / 100_000.0 - 1.0).abs() < 0.01, "{mean}");
        assert!((deviation / mean - 1.0).abs() < 0.02, "{deviation}");
    }

    #[test]
    fn a_late_taker_finds_every_request_due() {
        let mut arrivals = Arrivals::new(Gaps::Constant, 1000.0, 0..500_000_000, Random::new(1), 0, 1);
        // Nobody looked for 200 ms: 200 requests are due, each at its own moment.
        assert_eq!(arrivals.waiting(200_000_000), 200);
        for number in 0..200 {
            assert_eq!(arrivals.due(), number * 1_000_000);
            arrivals.advance();
        }
        assert_eq!(arrivals.waiting(200_000_000), 0);
        // The span ends after 500; nothing is due at its end.
        assert_eq!(arrivals.waiting(u64::MAX), 300);
        (0..300).for_each(|_| arrivals.advance());
        assert_eq!((arrivals.due(), arrivals.waiting(u64::MAX)), (u64::MAX, 0));
    }
}
