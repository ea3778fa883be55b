//! One core's items. [`Shard`] is the only door: no sockets, no clock, no runtime.
//!
//! Items lie in segments of a log, one behind the other, and an index of hash tables knows where. Read `item` (how an
//! item lies in memory), `segment` and `index`, `items` (these in step), `shard` and `write` (what each request does),
//! then `reclaim` (how room is made), `policy` (who is evicted) and `expiry` (who is dead).

#![allow(
    clippy::inline_always,
    reason = "a look-up is one piece of code: what its parts hand each other would go through memory field by field"
)]

mod charge;
mod class;
mod door;
mod expiry;
mod hash;
mod index;
mod item;
mod items;
mod large;
pub mod policy;
mod reclaim;
mod segment;
mod shard;
mod verify;
mod write;

#[cfg(test)]
mod door_tests;
#[cfg(test)]
mod tests;

pub use crate::terms::Marks;
pub use class::ClassStats;
pub use door::{
    ArithmeticOutcome, ArithmeticRequest, Change, Eviction, Found, Incoming, Item, Lookup, NewCas, OutOfMemory, Room,
    Search, ShardConfig, ShardStats, Sought, StoreOutcome, StoreRequest, Value, WalkCursor,
};
pub use shard::Shard;
