//! The memory limit of the process, which all shards take from.

use super::PAGE_LEN;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One limit for all shards, in bytes. Shards take memory as they need it and give it back, so that it goes where it is
/// used. Changed only where segments, tables or large values come and go, never on the path of a small request.
///
/// Invariant: what is taken by [`Budget::take`] and [`Budget::take_for_value`] never brings the sum above the limit.
#[derive(Debug)]
pub struct Budget {
    limit: AtomicUsize,
    taken: AtomicUsize,
    wanted: AtomicUsize,
}

impl Budget {
    /// A limit of `bytes`, of which nothing is taken.
    pub const fn new(bytes: usize) -> Self {
        Self { limit: AtomicUsize::new(bytes), taken: AtomicUsize::new(0), wanted: AtomicUsize::new(0) }
    }

    /// The limit.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Changes the limit. What is taken beyond it is for the shards to give back.
    pub fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// What is taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, unless that goes beyond the limit or into what somebody waits for. Whether it did.
    pub fn take(&self, bytes: usize) -> bool {
        self.take_within(bytes, self.limit().saturating_sub(self.wanted()))
    }

    /// Takes `bytes` for a value that arrives, unless that goes beyond the limit. Whether it did. That much less is
    /// wanted then.
    pub fn take_for_value(&self, bytes: usize) -> bool {
        let is_taken = self.take_within(bytes, self.limit());
        if is_taken && self.wanted() > 0 {
            let less =
                |wanted: usize| Some(wanted.saturating_sub(bytes)).map(|left| if left < PAGE_LEN { 0 } else { left });
            let _ = self.wanted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
        is_taken
    }

    /// Whether `bytes` could be taken for a value that arrives.
    pub fn has(&self, bytes: usize) -> bool {
        self.taken().saturating_add(bytes) <= self.limit()
    }

    /// Takes `bytes` whatever the limit says: for what cannot be refused.
    pub fn take_anyway(&self, bytes: usize) {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives `bytes` back that were taken.
    pub fn give(&self, bytes: usize) {
        let before = self.taken.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "{bytes} bytes given back of {before}");
    }

    /// What is taken beyond the limit.
    pub fn excess(&self) -> usize {
        self.taken().saturating_sub(self.limit())
    }

    /// Asks all shards for `bytes` for a value that is arriving and has none left; 0 takes the wish back. One wish
    /// stands at a time: the largest.
    pub fn want(&self, bytes: usize) {
        if bytes == 0 {
            self.wanted.store(0, Ordering::Relaxed);
        } else {
            self.wanted.fetch_max(bytes, Ordering::Relaxed);
        }
    }

    /// What is wanted and not there.
    pub fn wanted(&self) -> usize {
        self.wanted.load(Ordering::Relaxed)
    }

    /// What the shards together are to give back: for the limit, and for whoever waits.
    pub fn shortage(&self) -> usize {
        (self.taken() + self.wanted()).saturating_sub(self.limit())
    }

    fn take_within(&self, bytes: usize, limit: usize) -> bool {
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                taken.checked_add(bytes).filter(|&sum| sum <= limit)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_beyond_the_limit_or_what_another_waits_for() {
        let budget = Budget::new(100);
        assert!(budget.take(60) && !budget.take(41) && budget.take(30));
        budget.want(20);
        assert!(!budget.take(1), "10 are left and 20 wanted");
        assert_eq!(budget.shortage(), 10);
        budget.give(15);
        assert!(budget.take_for_value(20));
        budget.want(0);
        assert!(budget.take(5) && !budget.take(1));
        budget.set_limit(50);
        assert_eq!((budget.excess(), budget.shortage()), (50, 50));
    }
}
