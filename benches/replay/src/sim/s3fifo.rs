//! S3-FIFO as published: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023. A tenth of the bytes
//! is the small queue; ghosts are as many as the main queue has items.

use std::collections::VecDeque;

use super::{Cache, OVERHEAD};
use crate::workload::Trace;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    Small,
    Main,
}

pub(crate) struct S3Fifo<'a> {
    trace: &'a Trace,
    capacity: usize,
    small: VecDeque<u32>,
    main: VecDeque<u32>,
    small_bytes: usize,
    main_bytes: usize,
    /// For each key the number of the eviction that left its ghost.
    ghost: Vec<u64>,
    evictions: u64,
    place: Vec<Place>,
    uses: Vec<u8>,
    expires: Vec<usize>,
}

impl<'a> S3Fifo<'a> {
    pub(crate) fn new(trace: &'a Trace, capacity: usize) -> Self {
        let keys = trace.keys.len();
        Self {
            trace,
            capacity,
            small: VecDeque::new(),
            main: VecDeque::new(),
            small_bytes: 0,
            main_bytes: 0,
            ghost: vec![0; keys],
            evictions: 0,
            place: vec![Place::Nowhere; keys],
            uses: vec![0; keys],
            expires: vec![0; keys],
        }
    }

    fn size(&self, key: u32) -> usize {
        self.trace.keys[key as usize].payload() + OVERHEAD
    }

    fn evict_one(&mut self) {
        if self.small_bytes * 10 > self.capacity || self.main.is_empty() {
            let Some(key) = self.small.pop_front() else { return };
            self.small_bytes -= self.size(key);
            if self.uses[key as usize] > 1 {
                self.push_main(key);
            } else {
                self.place[key as usize] = Place::Nowhere;
                self.evictions += 1;
                self.ghost[key as usize] = self.evictions;
            }
            return;
        }
        while let Some(key) = self.main.pop_front() {
            self.main_bytes -= self.size(key);
            if self.uses[key as usize] == 0 {
                self.place[key as usize] = Place::Nowhere;
                return;
            }
            self.uses[key as usize] -= 1;
            self.main.push_back(key);
            self.main_bytes += self.size(key);
        }
    }

    fn push_main(&mut self, key: u32) {
        self.place[key as usize] = Place::Main;
        self.uses[key as usize] = 0;
        self.main.push_back(key);
        self.main_bytes += self.size(key);
    }
}

impl Cache for S3Fifo<'_> {
    fn request(&mut self, position: usize, key: u32) -> bool {
        let index = key as usize;
        if self.place[index] != Place::Nowhere {
            self.uses[index] = (self.uses[index] + 1).min(3);
            if self.expires[index] > position {
                return true;
            }
            // Expired: the new value takes the old one's place in the queue.
            self.expires[index] = self.trace.expiry(position, key);
            return false;
        }
        while self.small_bytes + self.main_bytes + self.size(key) > self.capacity {
            self.evict_one();
        }
        let ghost = self.ghost[index];
        if ghost > 0 && self.evictions - ghost < self.main.len() as u64 {
            self.push_main(key);
        } else {
            self.place[index] = Place::Small;
            self.uses[index] = 0;
            self.small.push_back(key);
            self.small_bytes += self.size(key);
        }
        self.ghost[index] = 0;
        self.expires[index] = self.trace.expiry(position, key);
        false
    }
}
