//! Least recently used, exact.

use super::{Cache, KeyList};
use crate::workload::Trace;

/// LRU over bytes, with this overhead per item.
pub(crate) struct Lru<'a> {
    trace: &'a Trace,
    overhead: usize,
    capacity: usize,
    used: usize,
    list: KeyList,
    /// Where in the trace the item expires; 0 if it is not there.
    expires: Vec<usize>,
}

impl<'a> Lru<'a> {
    pub(crate) fn new(trace: &'a Trace, capacity: usize, overhead: usize) -> Self {
        let keys = trace.keys.len();
        Self { trace, overhead, capacity, used: 0, list: KeyList::new(keys), expires: vec![0; keys] }
    }

    fn size(&self, key: u32) -> usize {
        self.trace.keys[key as usize].payload() + self.overhead
    }

    fn remove(&mut self, key: u32) {
        self.list.remove(key);
        self.expires[key as usize] = 0;
        self.used -= self.size(key);
    }
}

impl Cache for Lru<'_> {
    fn request(&mut self, position: usize, key: u32) -> bool {
        let expires = self.expires[key as usize];
        if expires > position {
            self.list.remove(key);
            self.list.push_front(key);
            return true;
        }
        if expires > 0 {
            self.remove(key);
        }
        while self.used + self.size(key) > self.capacity {
            self.remove(self.list.back);
        }
        self.list.push_front(key);
        self.used += self.size(key);
        self.expires[key as usize] = self.trace.expiry(position, key);
        false
    }
}
