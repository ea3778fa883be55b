//! Distributions of sizes and of times to live, as they are written on the command line.
//!
//! A distribution is one or more parts, each with its share: `100`, `8-4096`, `8:30%,100:50%,4096:20%`,
//! `2:40%,pareto/15/214.476/0.348238:60%`.

use std::fmt;
use std::str::FromStr;

use crate::workload::random::{Draw, Random};

/// The largest size that can be asked for, in bytes: memcached's largest `-I`.
const SIZE_MAX: u64 = 1 << 30;
/// The longest time to live in seconds: longer ones are dates to a memcached server.
const TTL_MAX: u64 = 30 * 24 * 3600;
/// A Pareto part draws no more than this unless it says otherwise: what a server takes by default, with its key.
const PARETO_MAX: u64 = 1_000_000;

/// Sizes of values in bytes, as in `--value-size`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sizes(Table);

/// Times to live in seconds, as in `--ttl`; 0 is for ever. Times may have a unit: `90s`, `5m`, `12h`, `7d`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ttls(Table);

/// Parts with their cumulated shares.
#[derive(Clone, Debug, PartialEq)]
struct Table {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
struct Part {
    law: Law,
    share: f64,
    /// A random 64-bit number below this, and not below an earlier part's, draws from this part.
    bound: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Law {
    Fixed(u64),
    /// Every whole number from the first to the second, as likely.
    Range(u64, u64),
    /// The generalized Pareto distribution (location, scale, shape), rounded down, at most `max`.
    Pareto {
        location: f64,
        scale: f64,
        shape: f64,
        max: u64,
    },
}

impl Table {
    fn parse(text: &str, number: fn(&str) -> Option<u64>, max: u64) -> Result<Table, String> {
        let mut parts = Vec::new();
        for word in text.split(',').map(str::trim) {
            let (law, share) = match word.split_once(':') {
                None => (word, None),
                Some((law, share)) => (law, Some(share)),
            };
            let share = match share {
                None if !text.contains(',') => 1.0,
                None => return Err(format!("`{word}` has no share: write {word}:50%")),
                Some(share) => weight(share).ok_or_else(|| format!("`{share}` is not a share such as 30% or 0.3"))?,
            };
            let law =
                Law::parse(law, number).ok_or_else(|| format!("`{law}` is not a number, a range or a pareto/..."))?;
            let (least, greatest) = law.bounds();
            if least > greatest {
                return Err(format!("`{word}` ends before it begins"));
            }
            if greatest > max {
                return Err(format!("`{word}` is more than {max}"));
            }
            parts.push(Part { law, share, bound: 0 });
        }
        let whole: f64 = parts.iter().map(|part| part.share).sum();
        if whole <= 0.0 {
            return Err("no part has a share above zero".to_string());
        }
        let mut below = 0.0;
        for part in &mut parts {
            part.share /= whole;
            below += part.share;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates at the top, as wanted"
            )]
            let bound = (below * 18_446_744_073_709_551_616.0) as u64;
            part.bound = bound;
        }
        // The sum of the shares may be a hair below 1.
        if let Some(last) = parts.iter_mut().rfind(|part| part.share > 0.0) {
            last.bound = u64::MAX;
        }
        Ok(Table { parts })
    }

    fn write(&self, formatter: &mut fmt::Formatter<'_>, number: fn(u64) -> String) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match part.law {
                Law::Fixed(one) => write!(formatter, "{comma}{}", number(one))?,
                Law::Range(first, last) => write!(formatter, "{comma}{}-{}", number(first), number(last))?,
                Law::Pareto { location, scale, shape, max } => {
                    write!(formatter, "{comma}pareto/{location}/{scale}/{shape}")?;
                    if max != PARETO_MAX {
                        write!(formatter, "/{max}")?;
                    }
                }
            }
            if self.parts.len() > 1 {
                write!(formatter, ":{}%", (part.share * 1e6).round() / 1e4)?;
            }
        }
        Ok(())
    }
}

impl Draw for Table {
    fn draw(&self, random: &mut Random) -> u64 {
        let law = match self.parts.as_slice() {
            [only] => Some(only.law),
            parts => {
                let number = random.next();
                parts.iter().find(|part| number < part.bound).or(parts.last()).map(|part| part.law)
            }
        };
        law.map_or(0, |law| law.draw(random))
    }

    fn bounds(&self) -> (u64, u64) {
        let bounds = self.parts.iter().filter(|part| part.share > 0.0).map(|part| part.law.bounds());
        bounds.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1))).unwrap_or((0, 0))
    }
}

impl Law {
    fn parse(text: &str, number: fn(&str) -> Option<u64>) -> Option<Law> {
        if let Some(arguments) = text.strip_prefix("pareto/") {
            let arguments: Vec<&str> = arguments.split('/').collect();
            let float = |index: usize| arguments.get(index)?.parse().ok().filter(|number: &f64| number.is_finite());
            let (location, scale, shape) = (float(0)?, float(1)?, float(2)?);
            let max = arguments.get(3).map_or(Some(PARETO_MAX), |text| number(text))?;
            let is_sound = location >= 0.0 && scale > 0.0 && arguments.len() <= 4;
            return is_sound.then_some(Law::Pareto { location, scale, shape, max });
        }
        match text.split_once('-') {
            None => Some(Law::Fixed(number(text)?)),
            Some((first, last)) => Some(Law::Range(number(first)?, number(last)?)),
        }
    }

    fn draw(self, random: &mut Random) -> u64 {
        match self {
            Law::Fixed(one) => one,
            Law::Range(first, last) => first + random.below(last - first + 1),
            Law::Pareto { location, scale, shape, max } => {
                // The inverse of the distribution function, at 1 - unit; the unit is below 1.
                let log = -(1.0 - random.unit()).ln();
                let excess = if shape == 0.0 { log } else { (shape * log).exp_m1() / shape };
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, as wanted")]
                let drawn = (location + scale * excess) as u64;
                drawn.min(max)
            }
        }
    }

    fn bounds(self) -> (u64, u64) {
        match self {
            Law::Fixed(one) => (one, one),
            Law::Range(first, last) => (first, last),
            Law::Pareto { location, scale, shape, max } => {
                let end = if shape < 0.0 { location - scale / shape } else { f64::INFINITY };
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, as wanted")]
                let (least, greatest) = (location as u64, end as u64);
                (least, greatest.min(max))
            }
        }
    }
}

/// `30%`, `0.3` or any other weight that is not negative; only the ratios between weights count.
fn weight(text: &str) -> Option<f64> {
    let number = text.trim().trim_end_matches('%').parse().ok();
    number.filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

fn size(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 2] = [("k", 1024), ("m", 1 << 20)];
    let unit = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = unit.unwrap_or((text, 1));
    number.trim().parse::<u64>().ok()?.checked_mul(factor)
}

fn seconds(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 24 * 3600)];
    let unit = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = unit.unwrap_or((text, 1));
    number.trim().parse::<u64>().ok()?.checked_mul(factor)
}

impl FromStr for Sizes {
    type Err = String;

    /// `100`, `8-4096`, `4k`, `8:30%,100:50%,4096:20%`; see the module.
    fn from_str(text: &str) -> Result<Sizes, String> {
        Table::parse(text, size, SIZE_MAX).map(Sizes)
    }
}

impl FromStr for Ttls {
    type Err = String;

    /// `0`, `60`, `5m`, `1h-2h`, `60s:40%,1d:60%`; see the module.
    fn from_str(text: &str) -> Result<Ttls, String> {
        Table::parse(text, seconds, TTL_MAX).map(Ttls)
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(formatter, |bytes| bytes.to_string())
    }
}

impl fmt::Display for Ttls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(formatter, |seconds| seconds.to_string())
    }
}

impl Draw for Sizes {
    fn draw(&self, random: &mut Random) -> u64 {
        self.0.draw(random)
    }

    fn bounds(&self) -> (u64, u64) {
        self.0.bounds()
    }
}

impl Draw for Ttls {
    fn draw(&self, random: &mut Random) -> u64 {
        self.0.draw(random)
    }

    fn bounds(&self) -> (u64, u64) {
        self.0.bounds()
    }
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "test figures")]
mod tests {
    use super::*;

    fn draws(text: &str, count: usize) -> Vec<u64> {
        let sizes: Sizes = text.parse().unwrap();
        let mut random = Random::new(3);
        let drawn: Vec<u64> = (0..count).map(|_| sizes.draw(&mut random)).collect();
        let (least, greatest) = sizes.bounds();
        assert!(drawn.iter().all(|size| (least..=greatest).contains(size)), "{text}");
        drawn
    }

    fn share(drawn: &[u64], counts: impl Fn(u64) -> bool) -> f64 {
        drawn.iter().filter(|size| counts(**size)).count() as f64 / drawn.len() as f64
    }

    #[test]
    fn tables_keep_their_shares() {
        let drawn = draws("8:30%,100:50%,4096:20%", 200_000);
        for (size, expected) in [(8, 0.3), (100, 0.5), (4096, 0.2)] {
            let off = (share(&drawn, |one| one == size) - expected).abs();
            // Four deviations of a share of 200,000 draws.
            assert!(off < 0.0045, "{size}: {off}");
        }
        assert!(draws("5:0,7:1", 1000).iter().all(|one| *one == 7));
        assert!(draws("7:1,5:0", 1000).iter().all(|one| *one == 7));
    }

    #[test]
    fn ranges_reach_both_ends_evenly() {
        let drawn = draws("10-19", 100_000);
        for size in 10..=19 {
            let off = (share(&drawn, |one| one == size) - 0.1).abs();
            assert!(off < 0.004, "{size}: {off}");
        }
        let mixed = draws("1-2:1,100:3", 100_000);
        assert!((share(&mixed, |one| one == 100) - 0.75).abs() < 0.006);
    }

    #[test]
    fn a_pareto_part_follows_its_law() {
        let (scale, shape) = (214.476, 0.348_238);
        let drawn = draws("pareto/15/214.476/0.348238", 200_000);
        for quantile in [0.1, 0.5, 0.9, 0.99] {
            // The distribution function's inverse at this quantile.
            let bound = 15.0 + scale / shape * (f64::powf(1.0 - quantile, -shape) - 1.0);
            let below = share(&drawn, |one| (one as f64 + 0.5) < bound);
            assert!((below - quantile).abs() < 0.006, "{quantile}: {below}");
        }
        assert!(draws("pareto/0/1000/2", 10_000).iter().all(|size| *size <= PARETO_MAX));
        assert!(draws("pareto/0/1000/2/500", 10_000).iter().all(|size| *size <= 500));
        // A negative shape ends by itself, a zero shape is the exponential distribution.
        assert!(draws("pareto/10/100/-0.5", 10_000).iter().all(|size| *size <= 210));
        let mean = draws("pareto/0/1000/0", 100_000).iter().sum::<u64>() as f64 / 100_000.0;
        assert!((mean - 999.5).abs() < 15.0, "{mean}");
    }

    #[test]
    fn what_is_read_is_written_alike() {
        for text in ["100", "8-4096", "8:30%,100:50%,4096:20%", "0:0.5%,pareto/15/214.476/0.348238:99.5%"] {
            assert_eq!(text.parse::<Sizes>().unwrap().to_string(), text);
        }
        assert_eq!("4k".parse::<Sizes>().unwrap().to_string(), "4096");
        assert_eq!("5m".parse::<Ttls>().unwrap().to_string(), "300");
        assert_eq!("60s:1,1h-2h:3".parse::<Ttls>().unwrap().to_string(), "60:25%,3600-7200:75%");
        assert_eq!("0".parse::<Ttls>().unwrap().bounds(), (0, 0));
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for wrong in
            ["", "x", "-1", "5-", "9-8", "1,2", "1:x", "1:-1", "1:0", "2147483648", "pareto/1/0/1", "pareto/1", "5%"]
        {
            assert!(wrong.parse::<Sizes>().is_err(), "{wrong}");
        }
        assert!("31d".parse::<Ttls>().is_err());
        assert!("1,2".parse::<Sizes>().unwrap_err().contains("share"));
    }
}
