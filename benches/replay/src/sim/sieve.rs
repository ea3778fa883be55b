//! SIEVE: Zhang et al., "SIEVE is simpler than LRU", NSDI 2024. One queue, one visited bit, a hand that stays where it
//! evicted.

use super::{Cache, KeyList, NONE, OVERHEAD};
use crate::workload::Trace;

pub(crate) struct Sieve<'a> {
    trace: &'a Trace,
    capacity: usize,
    used: usize,
    list: KeyList,
    hand: u32,
    visited: Vec<bool>,
    expires: Vec<usize>,
}

impl<'a> Sieve<'a> {
    pub(crate) fn new(trace: &'a Trace, capacity: usize) -> Self {
        let keys = trace.keys.len();
        Self {
            trace,
            capacity,
            used: 0,
            list: KeyList::new(keys),
            hand: NONE,
            visited: vec![false; keys],
            expires: vec![0; keys],
        }
    }

    fn size(&self, key: u32) -> usize {
        self.trace.keys[key as usize].payload() + OVERHEAD
    }

    fn remove(&mut self, key: u32) {
        if self.hand == key {
            self.hand = self.list.towards_front(key);
        }
        self.list.remove(key);
        self.expires[key as usize] = 0;
        self.used -= self.size(key);
    }

    fn evict_one(&mut self) {
        loop {
            let key = if self.hand == NONE { self.list.back } else { self.hand };
            self.hand = key;
            if !self.visited[key as usize] {
                return self.remove(key);
            }
            self.visited[key as usize] = false;
            self.hand = self.list.towards_front(key);
        }
    }
}

impl Cache for Sieve<'_> {
    fn request(&mut self, position: usize, key: u32) -> bool {
        let expires = self.expires[key as usize];
        if expires > position {
            self.visited[key as usize] = true;
            return true;
        }
        if expires > 0 {
            self.remove(key);
        }
        while self.used + self.size(key) > self.capacity {
            self.evict_one();
        }
        self.list.push_front(key);
        self.visited[key as usize] = false;
        self.used += self.size(key);
        self.expires[key as usize] = self.trace.expiry(position, key);
        false
    }
}
