//! One core's items. [`Shard`] is the only door: no sockets, no clock, no runtime.
//!
//! A first form of the store: every item is an allocation of its own. What is behind the door can be replaced without
//! changing it. Read `shard` (what each request does), `items` (the parts in
//! step), `eviction` (how room is made), `queue` (who goes first), `expiry` (who is dead).

mod eviction;
mod expiry;
mod index;
mod item;
mod items;
mod memory;
pub mod policy;
mod queue;
mod shard;
mod slots;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use shard::{ArithmeticOutcome, Incoming, Item, Lookup, Shard, ShardConfig, ShardStats, StoreOutcome, Value};
