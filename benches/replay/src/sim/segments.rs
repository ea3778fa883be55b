//! ringcached's own policy in the form its store gives it: items are appended to segments, whole segments are given up,
//! what is worth keeping is copied, and everything counts: headers, index, the tails of open segments, dead bytes, the
//! reserve, the policy's tables.

use std::collections::VecDeque;

use ringcached::store::policy::{Candidate, Held, Policy, Queue, Verdict};

use super::{Cache, NONE};
use crate::random::mix;
use crate::workload::Trace;

/// Bytes before key and value: flags, lengths, and the CAS delta.
const HEADER: usize = 8;
/// More for an item with a time to live.
const DEADLINE: usize = 4;
/// Bytes of index per item: an entry and its control byte at the average load.
const INDEX: usize = 14;
/// Free segments held back so that copying always finds room.
const RESERVE: usize = 1;
/// Values from here up live outside of the log, with a stub of this many bytes in it.
const LARGE: usize = 8 << 10;
const STUB: usize = 24;
/// A sealed segment is compacted before anything is evicted once one part in this many of it is dead.
const DEAD_PART: usize = 4;

struct Segment {
    queue: Queue,
    items: Vec<u32>,
    written: usize,
    dead: usize,
    /// Items of the oldest segment that have been judged already.
    judged: usize,
}

/// What the store did for the policy, besides hits and misses.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Effort {
    pub(crate) inserted: u64,
    pub(crate) copied: u64,
    pub(crate) held: u64,
    pub(crate) policy_bytes: u64,
}

pub(crate) struct Segments<'a> {
    trace: &'a Trace,
    capacity: usize,
    segment_len: usize,
    policy: Policy,
    all: Vec<Segment>,
    free: Vec<u32>,
    /// Sealed segments, oldest first, per queue.
    sealed: [VecDeque<u32>; 2],
    open: [u32; 2],
    in_use: usize,
    items: usize,
    large_bytes: usize,
    /// Bytes of live items per queue.
    live: [usize; 2],
    /// For each key its segment, and its number in it.
    place: Vec<(u32, u32)>,
    uses: Vec<u8>,
    expires: Vec<usize>,
    /// Keys by the second of their expiry.
    wheel: Vec<Vec<u32>>,
    second: usize,
    effort: Effort,
}

fn number(queue: Queue) -> usize {
    match queue {
        Queue::Probation => 0,
        Queue::Main => 1,
    }
}

impl<'a> Segments<'a> {
    pub(crate) fn new(trace: &'a Trace, capacity: usize) -> Self {
        let keys = trace.keys.len();
        let seconds = trace.requests.len() / trace.requests_per_s as usize + 1;
        Self {
            trace,
            capacity,
            segment_len: (capacity / 1024).next_power_of_two().clamp(64 << 10, 1 << 20),
            policy: Policy::new(capacity),
            all: Vec::new(),
            free: Vec::new(),
            sealed: [VecDeque::new(), VecDeque::new()],
            open: [NONE; 2],
            in_use: 0,
            items: 0,
            large_bytes: 0,
            live: [0; 2],
            place: vec![(NONE, 0); keys],
            uses: vec![0; keys],
            expires: vec![0; keys],
            wheel: if trace.has_ttl { vec![Vec::new(); seconds + 64] } else { Vec::new() },
            second: 0,
            effort: Effort::default(),
        }
    }

    pub(crate) fn effort(&self) -> Effort {
        Effort { held: self.items as u64, policy_bytes: self.policy.bytes() as u64, ..self.effort }
    }

    fn is_large(&self, key: u32) -> bool {
        self.trace.keys[key as usize].value_len as usize >= LARGE
    }

    /// Bytes in the log, in granules of 2.
    fn log_len(&self, key: u32) -> usize {
        let info = self.trace.keys[key as usize];
        let value = if self.is_large(key) { STUB } else { info.value_len as usize };
        let deadline = if info.ttl_s > 0 { DEADLINE } else { 0 };
        (HEADER + deadline + usize::from(info.key_len) + value + 1) & !1
    }

    fn large_len(&self, key: u32) -> usize {
        if self.is_large(key) { self.trace.keys[key as usize].value_len as usize + 64 } else { 0 }
    }

    fn size(&self, key: u32) -> usize {
        self.log_len(key) + self.large_len(key) + INDEX
    }

    /// Bytes in use, the reserve included.
    pub(crate) fn used(&self) -> usize {
        (self.in_use + RESERVE) * self.segment_len + self.items * INDEX + self.large_bytes + self.policy.bytes()
    }

    fn insert(&mut self, position: usize, key: u32) {
        let queue = self.policy.place(hash(key), self.size(key));
        self.effort.inserted += self.size(key) as u64;
        self.make_room(self.large_len(key) + INDEX, position);
        let slot = number(queue);
        if self.open[slot] == NONE || !self.fits(slot, key) {
            self.seal(slot);
            self.make_room(self.segment_len, position);
        }
        self.items += 1;
        self.large_bytes += self.large_len(key);
        self.append(queue, key);
        self.uses[key as usize] = 0;
        self.expires[key as usize] = self.trace.expiry(position, key);
        if self.trace.keys[key as usize].ttl_s > 0 {
            let second = self.expires[key as usize] / self.trace.requests_per_s as usize + 1;
            self.wheel[second].push(key);
        }
    }

    fn fits(&self, slot: usize, key: u32) -> bool {
        self.all[self.open[slot] as usize].written + self.log_len(key) <= self.segment_len
    }

    fn seal(&mut self, slot: usize) {
        let open = std::mem::replace(&mut self.open[slot], NONE);
        if open != NONE {
            self.sealed[slot].push_back(open);
        }
    }

    /// Puts a key that is in no segment into the open segment of a queue.
    fn append(&mut self, queue: Queue, key: u32) {
        let slot = number(queue);
        if self.open[slot] == NONE || !self.fits(slot, key) {
            self.seal(slot);
            self.open[slot] = self.fresh(queue);
        }
        let len = self.log_len(key);
        let segment = &mut self.all[self.open[slot] as usize];
        self.place[key as usize] = (self.open[slot], segment.items.len() as u32);
        segment.items.push(key);
        segment.written += len;
        self.live[slot] += self.size(key);
    }

    fn fresh(&mut self, queue: Queue) -> u32 {
        self.in_use += 1;
        let segment = Segment { queue, items: Vec::new(), written: 0, dead: 0, judged: 0 };
        if let Some(number) = self.free.pop() {
            self.all[number as usize] = segment;
            return number;
        }
        self.all.push(segment);
        self.all.len() as u32 - 1
    }

    /// Takes a key out of its segment, whose bytes there are dead from now on.
    fn detach(&mut self, key: u32) {
        let (at, _) = std::mem::replace(&mut self.place[key as usize], (NONE, 0));
        let (len, size) = (self.log_len(key), self.size(key));
        let segment = &mut self.all[at as usize];
        segment.dead += len;
        self.live[number(segment.queue)] -= size;
    }

    /// Takes a key out of the cache.
    fn remove(&mut self, key: u32) {
        self.detach(key);
        self.items -= 1;
        self.large_bytes -= self.large_len(key);
    }

    fn make_room(&mut self, bytes: usize, position: usize) {
        while self.used() + bytes > self.capacity {
            if self.compact_one() {
                continue;
            }
            let held = Held { probation_bytes: self.live[0], main_bytes: self.live[1], items: self.items };
            let wished = self.policy.next_queue(held);
            let slot = [number(wished), 1 - number(wished)].into_iter().find(|slot| !self.sealed[*slot].is_empty());
            let Some(slot) = slot else {
                self.seal(0);
                self.seal(1);
                continue;
            };
            let queue = if slot == 0 { Queue::Probation } else { Queue::Main };
            if let Some(victim) = self.sealed[slot].pop_front() {
                self.give_up(queue, victim, bytes, position);
            }
        }
    }

    /// Judges a segment's items; stops early when evicting large values has made room enough.
    fn give_up(&mut self, queue: Queue, victim: u32, bytes: usize, position: usize) {
        while let Some(&key) = self.all[victim as usize].items.get(self.all[victim as usize].judged) {
            let judged = self.all[victim as usize].judged;
            self.all[victim as usize].judged += 1;
            if self.place[key as usize] != (victim, judged as u32) {
                continue;
            }
            let ttl_left_s = (self.expires[key as usize] != usize::MAX)
                .then(|| ((self.expires[key as usize] - position) / self.trace.requests_per_s as usize) as u32);
            let candidate =
                Candidate { hash: hash(key), size: self.size(key), uses: self.uses[key as usize], ttl_left_s };
            match self.policy.judge(queue, candidate) {
                Verdict::Keep { uses } => {
                    self.detach(key);
                    self.append(Queue::Main, key);
                    self.uses[key as usize] = uses;
                    self.effort.copied += self.log_len(key) as u64;
                }
                Verdict::Evict => {
                    self.remove(key);
                    if self.is_large(key) && self.used() + bytes <= self.capacity {
                        self.sealed[number(queue)].push_front(victim);
                        return;
                    }
                }
            }
        }
        self.release(victim);
    }

    fn release(&mut self, segment: u32) {
        self.all[segment as usize].items = Vec::new();
        self.free.push(segment);
        self.in_use -= 1;
    }

    /// Copies the live items of the sealed segment with the most dead bytes together, if that is worth it.
    fn compact_one(&mut self) -> bool {
        if self.wheel.is_empty() {
            return false;
        }
        let worst = self.sealed.iter().flatten().copied().max_by_key(|at| self.all[*at as usize].dead);
        let Some(worst) = worst.filter(|at| self.all[*at as usize].dead * DEAD_PART >= self.segment_len) else {
            return false;
        };
        let queue = self.all[worst as usize].queue;
        self.sealed[number(queue)].retain(|at| *at != worst);
        for (at, key) in std::mem::take(&mut self.all[worst as usize].items).into_iter().enumerate() {
            if self.place[key as usize] == (worst, at as u32) {
                self.detach(key);
                self.append(queue, key);
                self.effort.copied += self.log_len(key) as u64;
            }
        }
        self.release(worst);
        true
    }

    fn expire(&mut self, position: usize) {
        let now = position / self.trace.requests_per_s as usize;
        while self.second < now {
            self.second += 1;
            for key in std::mem::take(&mut self.wheel[self.second]) {
                if self.place[key as usize].0 != NONE && self.expires[key as usize] <= position {
                    self.remove(key);
                }
            }
        }
    }
}

/// As the store's keyed hash.
fn hash(key: u32) -> u64 {
    mix(u64::from(key) ^ 0x5bd1_e995_97f4_a7c1)
}

impl Cache for Segments<'_> {
    fn request(&mut self, position: usize, key: u32) -> bool {
        if !self.wheel.is_empty() {
            self.expire(position);
        }
        if self.place[key as usize].0 != NONE {
            if self.expires[key as usize] > position {
                self.uses[key as usize] = (self.uses[key as usize] + 1).min(3);
                return true;
            }
            self.remove(key);
        }
        self.insert(position, key);
        false
    }
}
