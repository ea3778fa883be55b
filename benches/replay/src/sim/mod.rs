//! Caches without a server: each plays a trace and counts what it misses. They count, they do not measure time.

pub(crate) mod lru;
pub(crate) mod optimum;
pub(crate) mod s3fifo;
pub(crate) mod segments;
pub(crate) mod sieve;

use crate::workload::Trace;

/// What an item costs beyond key and value in the simulations that are not of ringcached's own store: what the store
/// aims at.
pub(crate) const OVERHEAD: usize = 24;

/// No key, no place.
pub(crate) const NONE: u32 = u32::MAX;

/// What a cache did with a trace, the warm-up left out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    pub(crate) misses: u64,
}

impl Outcome {
    pub(crate) fn miss_ratio(self) -> f64 {
        self.misses as f64 / self.requests.max(1) as f64
    }
}

/// A cache that is asked key by key.
pub(crate) trait Cache {
    /// One request: whether the key was there, alive, at this position of the trace. If not it is there afterwards, if
    /// it fits.
    fn request(&mut self, position: usize, key: u32) -> bool;
}

/// Plays a whole trace.
pub(crate) fn play(trace: &Trace, cache: &mut dyn Cache) -> Outcome {
    let mut outcome = Outcome::default();
    for (position, &key) in trace.requests.iter().enumerate() {
        let hit = cache.request(position, key);
        if position >= trace.warm_up {
            outcome.requests += 1;
            outcome.misses += u64::from(!hit);
        }
    }
    outcome
}

/// A list of keys with links in a table: push at the front, remove anywhere, walk from the back.
pub(crate) struct KeyList {
    next: Vec<u32>,
    previous: Vec<u32>,
    pub(crate) front: u32,
    pub(crate) back: u32,
}

impl KeyList {
    pub(crate) fn new(keys: usize) -> Self {
        Self { next: vec![NONE; keys], previous: vec![NONE; keys], front: NONE, back: NONE }
    }

    pub(crate) fn push_front(&mut self, key: u32) {
        self.previous[key as usize] = NONE;
        self.next[key as usize] = self.front;
        match self.front {
            NONE => self.back = key,
            front => self.previous[front as usize] = key,
        }
        self.front = key;
    }

    pub(crate) fn remove(&mut self, key: u32) {
        let (next, previous) = (self.next[key as usize], self.previous[key as usize]);
        match previous {
            NONE => self.front = next,
            previous => self.next[previous as usize] = next,
        }
        match next {
            NONE => self.back = previous,
            next => self.previous[next as usize] = previous,
        }
    }

    /// The neighbour towards the front.
    pub(crate) fn towards_front(&self, key: u32) -> u32 {
        self.previous[key as usize]
    }
}

#[cfg(test)]
mod tests;
