//! Which shard owns a key. The only place that computes an owner.
//!
//! The rule is public, so that clients may compute it: `owner = (XXH3_64(key) * shards) >> 64`, with the hash's seed 0
//! and the product taken in 128 bits.

use xxhash_rust::xxh3::xxh3_64;

use crate::terms::{Key, ShardId};

/// The map from keys to shards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Routing {
    shards: u16,
}

impl Routing {
    /// Keys spread over `shards` shards; at least one.
    pub const fn new(shards: u16) -> Self {
        Self { shards: if shards == 0 { 1 } else { shards } }
    }

    /// The number of shards.
    pub const fn shards(self) -> u16 {
        self.shards
    }

    /// The shard that owns `key`.
    #[inline]
    pub fn owner(self, key: Key<'_>) -> ShardId {
        if self.shards == 1 {
            return ShardId(0);
        }
        let product = u128::from(xxh3_64(key.as_bytes())) * u128::from(self.shards);
        #[expect(clippy::cast_possible_truncation, reason = "the upper half is below `shards`")]
        ShardId((product >> 64) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_spread_evenly() {
        let routing = Routing::new(7);
        let mut counts = [0_u32; 7];
        for number in 0..70_000 {
            let key = format!("key:{number}");
            counts[routing.owner(Key::new(key.as_bytes()).unwrap()).index()] += 1;
        }
        assert!(counts.iter().all(|&count| (9_500..10_500).contains(&count)), "{counts:?}");
    }

    #[test]
    fn the_rule_is_public_and_does_not_change() {
        // Clients compute owners from it: the vectors stand in docs/PROTOCOL.md, "The owner of a key".
        let document = include_str!("../docs/PROTOCOL.md");
        for key in ["a", "foo", "user:0000000042", "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"] {
            let owner = |shards| Routing::new(shards).owner(Key::new(key.as_bytes()).unwrap()).0;
            let owners = [2, 3, 4, 16, 256].map(|shards| owner(shards).to_string()).join(" | ");
            let line = format!("| `{key}` | `{:016x}` | {owners} |\n", xxh3_64(key.as_bytes()));
            assert!(document.contains(&line), "{line}");
        }
        assert_eq!(Routing::new(1).owner(Key::new(b"foo").unwrap()).0, 0);
    }
}
