//! The offline optimum that the bench measures against: it knows the trace, and evicts what has the longest way to its
//! next use times its size (Belady's rule weighed by size). It need not keep what is not asked for again.

use super::{NONE, OVERHEAD, Outcome};
use crate::random::Random;
use crate::workload::Trace;

/// Items looked at to find one to evict: the worst of a random sample stands for the worst of all.
const SAMPLE: u32 = 64;

struct Optimum<'a> {
    trace: &'a Trace,
    capacity: usize,
    used: usize,
    /// The keys held, in no order, and where in `held` each key is.
    held: Vec<u32>,
    place: Vec<u32>,
    /// For each key held, the position at which it is asked for next.
    next: Vec<u32>,
    random: Random,
}

/// Plays a whole trace.
pub(crate) fn play(trace: &Trace, capacity: usize) -> Outcome {
    let keys = trace.keys.len();
    let mut optimum = Optimum {
        trace,
        capacity,
        used: 0,
        held: Vec::new(),
        place: vec![NONE; keys],
        next: vec![NONE; keys],
        random: Random::new(1, 5),
    };
    let next_use = next_uses(trace);
    let mut expires = vec![0_usize; keys];
    let mut outcome = Outcome::default();
    for (position, &key) in trace.requests.iter().enumerate() {
        let index = key as usize;
        let hit = optimum.place[index] != NONE;
        if !hit {
            expires[index] = trace.expiry(position, key);
        }
        // What has expired by then is of no use.
        let next = if (next_use[position] as usize) < expires[index] { next_use[position] } else { NONE };
        optimum.set(position, key, next);
        if position >= trace.warm_up {
            outcome.requests += 1;
            outcome.misses += u64::from(!hit);
        }
    }
    outcome
}

/// For each request the position of the next one for the same key.
fn next_uses(trace: &Trace) -> Vec<u32> {
    let mut seen = vec![NONE; trace.keys.len()];
    let mut next = vec![NONE; trace.requests.len()];
    for (position, &key) in trace.requests.iter().enumerate().rev() {
        next[position] = seen[key as usize];
        seen[key as usize] = position as u32;
    }
    next
}

impl Optimum<'_> {
    fn size(&self, key: u32) -> usize {
        self.trace.keys[key as usize].payload() + OVERHEAD
    }

    /// Keeps the key until its next use, or drops it, and makes room at the cost of those worth least.
    fn set(&mut self, position: usize, key: u32, next: u32) {
        if next == NONE {
            if self.place[key as usize] != NONE {
                self.remove(key);
            }
            return;
        }
        self.next[key as usize] = next;
        if self.place[key as usize] != NONE {
            return;
        }
        self.place[key as usize] = self.held.len() as u32;
        self.held.push(key);
        self.used += self.size(key);
        while self.used > self.capacity {
            let worst = self.worst_of_sample(position, key);
            self.remove(worst);
        }
    }

    fn worst_of_sample(&mut self, position: usize, newcomer: u32) -> u32 {
        let mut worst =
            if self.place[newcomer as usize] == NONE { (0, NONE) } else { (self.cost(position, newcomer), newcomer) };
        for _ in 0..SAMPLE {
            let key = self.held[self.random.below(self.held.len() as u32) as usize];
            worst = worst.max((self.cost(position, key), key));
        }
        worst.1
    }

    fn cost(&self, position: usize, key: u32) -> u64 {
        u64::from(self.next[key as usize] - position as u32) * self.size(key) as u64
    }

    fn remove(&mut self, key: u32) {
        let place = std::mem::replace(&mut self.place[key as usize], NONE);
        self.used -= self.size(key);
        self.held.swap_remove(place as usize);
        if let Some(&moved) = self.held.get(place as usize) {
            self.place[moved as usize] = place;
        }
    }
}
