//! Per-core counters, their merge, and how `stats` shows them.
//!
//! A core counts into its own [`Counters`]; whoever is asked merges those of all cores, and [`general`] lists them
//! under memcached's names. Nothing here is shared, and nothing knows who counts.

mod classes;
mod counters;
mod general;
mod table;

pub use classes::{ClassTotals, PrefixCounts};
pub use counters::{Counters, ItemTotals};
pub use general::{ProcessFacts, general};
pub use table::{Kind, Metric};
