//! Which operation comes next.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::workload::Operation;
use crate::workload::random::Random;

/// Shares of operations, as in `--mix get:90%,set:10%`. Their sum is 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mix {
    shares: BTreeMap<Operation, f64>,
    /// A random 64-bit number chooses the first operation whose bound is above it.
    bounds: Vec<(u64, Operation)>,
}

impl Mix {
    /// Weights of any sum; `None` if none is above zero.
    pub(crate) fn new(weights: &[(Operation, f64)]) -> Option<Mix> {
        let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
        let mut shares = BTreeMap::new();
        for (operation, weight) in weights.iter().filter(|(_, weight)| *weight > 0.0) {
            *shares.entry(*operation).or_insert(0.0) += weight / sum;
        }
        let mut bounds = Vec::new();
        let mut below = 0.0;
        for (operation, share) in &shares {
            below += share;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates at the last bound")]
            bounds.push(((below * 18_446_744_073_709_551_616.0) as u64, *operation));
        }
        bounds.last_mut()?.0 = u64::MAX;
        Some(Mix { shares, bounds })
    }

    /// Gets, or multi-gets, in this part of the requests; sets in the rest.
    pub(crate) fn gets_and_sets(ratio: f64, multiget: bool) -> Mix {
        let get = if multiget { Operation::MultiGet } else { Operation::Get };
        let weights = [(get, ratio), (Operation::Set, 1.0 - ratio)];
        Mix::new(&weights).unwrap_or_else(|| unreachable!("a ratio and its rest are not both zero"))
    }

    pub(crate) fn shares(&self) -> &BTreeMap<Operation, f64> {
        &self.shares
    }

    pub(crate) fn has(&self, operation: Operation) -> bool {
        self.shares.contains_key(&operation)
    }

    pub(crate) fn next(&self, random: &mut Random) -> Operation {
        if let [(_, only)] = self.bounds.as_slice() {
            return *only;
        }
        let number = random.next();
        let chosen = self.bounds.iter().find(|(bound, _)| number < *bound).or(self.bounds.last());
        chosen.map_or(Operation::Get, |(_, operation)| *operation)
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Mix, String> {
        let mut weights = Vec::new();
        for part in text.split(',') {
            let (name, weight) = part.split_once(':').ok_or(format!("`{part}` is not OPERATION:WEIGHT"))?;
            let operation = Operation::named(name.trim()).filter(|operation| *operation != Operation::Fill);
            let operation = operation.ok_or_else(|| {
                let names = Operation::ALL.iter().filter(|one| **one != Operation::Fill).map(|one| one.name());
                format!("`{name}` is none of {}", names.collect::<Vec<_>>().join(" "))
            })?;
            let number = weight.trim().trim_end_matches('%').parse::<f64>().ok();
            let number = number.filter(|number| number.is_finite() && *number >= 0.0);
            weights.push((operation, number.ok_or(format!("`{weight}` is not a weight such as 90% or 0.9"))?));
        }
        Mix::new(&weights).ok_or("no operation has a weight above zero".to_string())
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (operation, share)) in self.shares.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let percent = (share * 1e6).round() / 1e4;
            write!(formatter, "{comma}{}:{percent}%", operation.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_keeps_its_shares() {
        let mix: Mix = "get:3,set:1, delete:1".parse().unwrap();
        assert_eq!(mix.to_string(), "get:60%,set:20%,delete:20%");
        let mut random = Random::new(3);
        let mut counts = BTreeMap::new();
        for _ in 0..100_000 {
            *counts.entry(mix.next(&mut random)).or_insert(0) += 1;
        }
        assert!((59_000..61_000).contains(&counts[&Operation::Get]), "{counts:?}");
        assert!((19_300..20_700).contains(&counts[&Operation::Delete]), "{counts:?}");
        assert_eq!(counts.len(), 3);
        for (ratio, only) in [(0.0, Operation::Set), (1.0, Operation::MultiGet)] {
            let mix = Mix::gets_and_sets(ratio, true);
            assert!((0..1000).all(|_| mix.next(&mut random) == only));
        }
    }

    #[test]
    fn nonsense_is_no_mix() {
        for wrong in ["", "get", "get:x", "get:0", "fetch:1", "get:-1,set:1", "fill:1", "get:inf"] {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
        }
    }
}
