//! One core's items. [`shard::Shard`] is the only door: no sockets, no clock, no runtime.

mod shard;

pub use shard::{
    ArithmeticOutcome, Incoming, Item, Lookup, Shard, ShardConfig, ShardStats, StoreOutcome, Value,
};
