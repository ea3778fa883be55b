//! A request changes a shard.
