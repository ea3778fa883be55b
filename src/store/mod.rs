//! One core's items. [`Shard`] is the only door: no sockets, no clock, no runtime.
//!
//! A first form of the store: every item is an allocation of its own. What is behind the door can be replaced without
//! changing it. Read `door` (what goes in and out), `shard` (what each request does), `items` (the parts in
//! step), `eviction` (how room is made), `queue` (who goes first), `expiry` (who is dead).

mod classes;
mod door;
mod eviction;
mod expiry;
mod index;
mod item;
mod items;
mod memory;
mod queue;
mod shard;
mod slots;

#[cfg(test)]
mod door_tests;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use door::{
    ArithmeticOutcome, ArithmeticRequest, Change, ClassStats, Eviction, Found, Incoming, Item, Lookup, Marks, NewCas,
    OutOfMemory, Search, StoreOutcome, StoreRequest, Value, WalkCursor,
};
pub use shard::{Shard, ShardConfig, ShardStats};
