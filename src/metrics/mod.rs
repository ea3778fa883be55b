//! Per-core counters, their merge, and how `stats` shows them.
