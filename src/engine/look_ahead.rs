//! Hashes of keys that will be looked up soon, so that their items are fetched from memory together.
//!
//! A look-up of an item that is not in the cache waits several times for memory, and a pipeline of them waits in turn.
//! Before a run of gets is executed, the shard is therefore told all their keys (`Shard::look_ahead`); the hashes are
//! kept, for the look-ups themselves. This changes no reply: a key that was not foreseen is hashed when it comes.

use memchr::memchr;

use crate::limits::LOOK_AHEAD_KEYS;
use crate::routing::Routing;
use crate::store::Shard;
use crate::terms::{Key, KeyHash, ShardId};

/// Keys seen ahead in one run over one input, in their order.
#[derive(Debug)]
pub(super) struct LookAhead {
    /// Where each key stands in memory, which tells it from others as long as the input stays where it is.
    addresses: [usize; LOOK_AHEAD_KEYS],
    hashes: [KeyHash; LOOK_AHEAD_KEYS],
    len: usize,
    next: usize,
    /// Where the last key seen stands, whoever owns it.
    last: usize,
}

impl LookAhead {
    pub(super) const fn new() -> Self {
        Self { addresses: [0; LOOK_AHEAD_KEYS], hashes: [KeyHash(0); LOOK_AHEAD_KEYS], len: 0, next: 0, last: 0 }
    }

    /// Forgets all keys: the input goes, and something else may soon stand at the same addresses.
    pub(super) const fn reset(&mut self) {
        self.len = 0;
        self.next = 0;
        self.last = 0;
    }

    /// Whether `rest`, what is left of the input, lies behind all keys seen ahead. Those of other cores count: where
    /// there are many cores, most keys are theirs, and nobody looks at the same lines again and again.
    #[inline]
    pub(super) fn is_used_up(&self, rest: &[u8]) -> bool {
        rest.as_ptr().addr() > self.last
    }

    /// Looks at the gets of one key each, classic or meta, that `input` begins with.
    pub(super) fn over_lines(&mut self, input: &[u8], shard: &Shard, routing: Routing, here: ShardId) {
        let mut rest = input;
        let lines = std::iter::from_fn(|| {
            let is_meta = rest.starts_with(b"mg ");
            let line = if is_meta { &rest[3..] } else { rest.strip_prefix(b"get ")? };
            let end = memchr(b'\n', line)?;
            rest = &line[end + 1..];
            let line = &line[..end];
            let key = line.strip_suffix(b"\r").unwrap_or(line);
            // The address of a key tells it only if it is the same key: a line of several is left to its own look-ahead.
            match memchr(b' ', key) {
                Some(end) if is_meta => Key::new(&key[..end]),
                Some(_) => None,
                None => Key::new(key),
            }
        });
        self.over(lines, shard, routing, here);
    }

    /// Looks at the next of `keys`.
    pub(super) fn over<'a>(
        &mut self,
        keys: impl Iterator<Item = Key<'a>>,
        shard: &Shard,
        routing: Routing,
        here: ShardId,
    ) {
        self.reset();
        for key in keys.take(LOOK_AHEAD_KEYS) {
            self.last = address(key);
            if routing.owner(key) == here {
                self.addresses[self.len] = address(key);
                self.hashes[self.len] = shard.hash(key);
                self.len += 1;
            }
        }
        // A single key gains nothing: its look-up is next.
        if self.len > 1 {
            shard.look_ahead(&self.hashes[..self.len]);
        }
    }

    /// The hash of `key`, which was seen ahead or not.
    #[inline]
    pub(super) fn hash(&mut self, key: Key<'_>, shard: &Shard) -> KeyHash {
        if self.next < self.len && self.addresses[self.next] == address(key) {
            self.next += 1;
            return self.hashes[self.next - 1];
        }
        shard.hash(key)
    }
}

fn address(key: Key<'_>) -> usize {
    key.as_bytes().as_ptr().addr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ShardConfig;

    #[test]
    fn lines_of_other_cores_are_looked_at_once() {
        let shard = Shard::new(ShardConfig {
            id: ShardId(0),
            shards: 2,
            budget: std::sync::Arc::new(crate::memory::Budget::new(1 << 20)),
            item_size_max: 1 << 20,
            evict: true,
            cas: true,
            huge_pages: false,
            hash_seed: [7, 11],
        })
        .unwrap();
        let nobody = ShardId(2);
        let input = b"get a\r\n".repeat(LOOK_AHEAD_KEYS + 1);
        let mut ahead = LookAhead::new();
        assert!(ahead.is_used_up(&input));
        ahead.over_lines(&input, &shard, Routing::new(2), nobody);
        for line in 0..LOOK_AHEAD_KEYS {
            assert!(!ahead.is_used_up(&input[line * 7..]), "line {line}");
        }
        assert!(ahead.is_used_up(&input[LOOK_AHEAD_KEYS * 7..]));
    }
}
