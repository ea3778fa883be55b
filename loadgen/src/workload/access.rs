//! Which keys are asked for: the pattern of access.

use std::fmt;
use std::str::FromStr;

use crate::workload::random::{Draw, Random};
use crate::workload::zipf::Zipf;

/// As in `--access`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pattern {
    /// Every key as often.
    Uniform,
    /// The key of rank r has a share of 1 / r^skew.
    Zipf { skew: f64 },
    /// A share of the keys gets a share of the requests; each set uniformly.
    HotSet { keys: f64, requests: f64 },
    /// One key after the other, round and round.
    Sequential,
    /// Zipf, with the ranks moving over the keys: one key further with every so many requests.
    Drift { skew: f64, every: u64 },
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Pattern, String> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let arguments: Vec<&str> = if rest.is_empty() { Vec::new() } else { rest.split(':').collect() };
        let number = |index: usize, default: f64| match arguments.get(index) {
            None => Ok(default),
            Some(text) => {
                text.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or(format!("`{text}` is not a number"))
            }
        };
        let share = |index: usize, default: f64| match arguments.get(index) {
            None => Ok(default),
            Some(text) => percent(text),
        };
        let skew = |index| match number(index, 0.99) {
            Ok(skew) if !(0.0..=10.0).contains(&skew) => Err("a skew is from 0 to 10".to_string()),
            other => other,
        };
        let (pattern, arguments_max) = match name {
            "uniform" => (Pattern::Uniform, 0),
            "sequential" => (Pattern::Sequential, 0),
            "zipf" => (Pattern::Zipf { skew: skew(0)? }, 1),
            "hotset" => (Pattern::HotSet { keys: share(0, 0.1)?, requests: share(1, 0.9)? }, 2),
            "drift" => {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least 1, saturating")]
                let every = number(1, 100.0)?.max(1.0) as u64;
                (Pattern::Drift { skew: skew(0)?, every }, 2)
            }
            _ => return Err("not uniform, zipf:SKEW, hotset:KEYS%:REQUESTS%, sequential or drift:SKEW:EVERY".into()),
        };
        if arguments.len() > arguments_max { Err(format!("{name} takes {arguments_max} numbers")) } else { Ok(pattern) }
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let share = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok()).map(|number| number / 100.0);
    share.filter(|share| (0.0..=1.0).contains(share)).ok_or(format!("`{text}` is not a percentage from 0% to 100%"))
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Uniform => formatter.write_str("uniform"),
            Pattern::Sequential => formatter.write_str("sequential"),
            Pattern::Zipf { skew } => write!(formatter, "zipf:{skew}"),
            Pattern::HotSet { keys, requests } => write!(formatter, "hotset:{}%:{}%", keys * 100.0, requests * 100.0),
            Pattern::Drift { skew, every } => write!(formatter, "drift:{skew}:{every}"),
        }
    }
}

/// Draws keys by a pattern. One per worker; each worker has its own place in a sequence or a drift.
pub(crate) struct Access {
    count: u64,
    kind: Kind,
}

enum Kind {
    Uniform,
    Zipf(Zipf),
    HotSet { hot: u64, requests: f64 },
    Sequential { next: u64, step: u64 },
    Drift { zipf: Zipf, every: u64, drawn: u64 },
}

/// A prime that spreads neighbouring ranks over the keys.
const SPREAD: u64 = 2_654_435_761;

impl Access {
    /// `worker` of `workers` share a sequence.
    pub(crate) fn new(pattern: Pattern, count: u64, worker: u64, workers: u64) -> Access {
        let kind = match pattern {
            Pattern::Uniform => Kind::Uniform,
            Pattern::Zipf { skew } => Kind::Zipf(Zipf::new(count, skew)),
            Pattern::HotSet { keys, requests } => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss,
                    reason = "a share of a count need not be exact"
                )]
                let hot = ((count as f64 * keys) as u64).clamp(1, count);
                Kind::HotSet { hot, requests }
            }
            Pattern::Sequential => Kind::Sequential { next: worker % count, step: workers },
            Pattern::Drift { skew, every } => Kind::Drift { zipf: Zipf::new(count, skew), every, drawn: 0 },
        };
        Access { count, kind }
    }

    pub(crate) fn next(&mut self, random: &mut Random) -> u64 {
        match &mut self.kind {
            Kind::Uniform => random.below(self.count),
            Kind::Zipf(zipf) => spread(zipf.draw(random), self.count),
            Kind::HotSet { hot, requests } => {
                let cold = self.count - *hot;
                if cold == 0 || random.unit() < *requests {
                    spread(random.below(*hot), self.count)
                } else {
                    spread(*hot + random.below(cold), self.count)
                }
            }
            Kind::Sequential { next, step } => {
                let key = *next;
                *next = (*next + *step) % self.count;
                key
            }
            Kind::Drift { zipf, every, drawn } => {
                *drawn += 1;
                spread((zipf.draw(random) + *drawn / *every) % self.count, self.count)
            }
        }
    }
}

/// A bijection of the numbers below `count`: the key that has a rank. Neighbouring ranks lie far apart, so that what the
/// pattern makes hot is not what was stored first.
fn spread(rank: u64, count: u64) -> u64 {
    if count.is_multiple_of(SPREAD) {
        return rank;
    }
    if count <= 1 << 32 {
        return rank * SPREAD % count;
    }
    u64::try_from(u128::from(rank) * u128::from(SPREAD) % u128::from(count)).unwrap_or(rank)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn drawn(pattern: &str, count: u64, draws: usize) -> Vec<u64> {
        let mut access = Access::new(pattern.parse().unwrap(), count, 0, 1);
        let mut random = Random::new(5);
        (0..draws).map(|_| access.next(&mut random)).collect()
    }

    #[test]
    fn patterns_read_as_they_are_written() {
        for text in ["uniform", "sequential", "zipf:0.99", "zipf:1.2", "hotset:10%:90%", "drift:0.9:1000"] {
            assert_eq!(text.parse::<Pattern>().unwrap().to_string(), text);
        }
        for wrong in ["", "zipf:x", "zipf:-1", "hotset:5", "hotset:200%:1%", "uniform:1", "random"] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_pattern_stays_within_the_keys_and_repeats_by_its_seed() {
        for pattern in ["uniform", "zipf:1.1", "hotset:20%:80%", "sequential", "drift:0.99:3"] {
            let keys = drawn(pattern, 37, 2000);
            assert!(keys.iter().all(|key| *key < 37), "{pattern}");
            assert_eq!(keys, drawn(pattern, 37, 2000), "{pattern}");
            assert_eq!(drawn(pattern, 1, 3), [0, 0, 0], "{pattern}");
        }
    }

    #[test]
    fn ranks_are_spread_one_to_one() {
        for count in [1, 2, 1000, 4096] {
            assert_eq!((0..count).map(|rank| spread(rank, count)).collect::<HashSet<_>>().len() as u64, count);
        }
        assert!(spread((1 << 40) - 1, 1 << 40) < 1 << 40);
    }

    #[test]
    fn a_hot_set_gets_its_share() {
        let keys = drawn("hotset:10%:90%", 1000, 50_000);
        let hot: HashSet<u64> = (0..100).map(|rank| spread(rank, 1000)).collect();
        let hits = keys.iter().filter(|key| hot.contains(key)).count();
        assert!((44_500..45_500).contains(&hits), "{hits}");
    }

    #[test]
    fn a_drift_moves_on() {
        let keys = drawn("drift:5:10", 1000, 10_000);
        // With so steep a skew nearly every request goes to the first rank, which each 10 requests is another key.
        let distinct = keys.iter().collect::<HashSet<_>>().len();
        assert!(distinct > 900, "{distinct}");
        assert_eq!(drawn("sequential", 3, 7), [0, 1, 2, 0, 1, 2, 0]);
    }
}
