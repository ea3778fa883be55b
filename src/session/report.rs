//! What cores tell about themselves that is no plain counter, on its way to the core that puts it together.

use std::collections::BTreeMap;

use crate::limits::PREFIXES_MAX;
use crate::metrics::{ClassTotals, PrefixCounts};

/// What to report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReportKind {
    /// Items by size class.
    Classes,
    /// How many items of which size.
    Sizes,
    /// Requests by prefix of their keys.
    Prefixes,
}

/// A report of one core or of all.
#[derive(Clone, Debug)]
pub enum Report {
    /// By size class.
    Classes(BTreeMap<u8, ClassTotals>),
    /// Number of items by size in bytes.
    Sizes(BTreeMap<usize, u64>),
    /// By prefix.
    Prefixes(BTreeMap<Box<[u8]>, PrefixCounts>),
}

impl Report {
    /// Adds another core's report of the same kind.
    pub fn merge(&mut self, other: Self) {
        match (self, other) {
            (Self::Classes(all), Self::Classes(more)) => {
                for (class, totals) in more {
                    all.entry(class).or_default().merge(&totals);
                }
            }
            (Self::Sizes(all), Self::Sizes(more)) => {
                for (size, count) in more {
                    *all.entry(size).or_default() += count;
                }
            }
            (Self::Prefixes(all), Self::Prefixes(more)) => {
                for (prefix, counts) in more {
                    if let Some(there) = all.get_mut(&prefix) {
                        there.merge(&counts);
                    } else if all.len() < PREFIXES_MAX {
                        all.insert(prefix, counts);
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_cores_add_up() {
        let one = |get| PrefixCounts { get, ..PrefixCounts::default() };
        let mut all = Report::Prefixes([(b"a".as_slice().into(), one(1))].into());
        all.merge(Report::Prefixes([(b"a".as_slice().into(), one(2)), (b"b".as_slice().into(), one(3))].into()));
        let Report::Prefixes(all) = all else { panic!() };
        assert_eq!(all.values().map(|counts| counts.get).collect::<Vec<_>>(), [3, 3]);
    }
}
