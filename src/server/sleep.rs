//! How a core that goes to sleep does not miss a letter.
//!
//! The sleeper raises its flag, then looks into its inbound rings once more; a sender puts its letter into the ring,
//! then looks at the flag. Each has a sequentially consistent fence between its two steps, so at least one of them
//! sees the other: either the sleeper finds the letter and stays awake, or the sender finds the flag and rings.
//! `tests/sleep_loom.rs` checks every interleaving of the two.

use super::atomic::{AtomicBool, Ordering, fence};

/// The flag of one core, shared with all who send to it.
#[derive(Debug)]
pub(super) struct Sleep {
    flag: AtomicBool,
}

impl Sleep {
    /// A core that is awake.
    pub(super) fn new() -> Self {
        Self { flag: AtomicBool::new(false) }
    }

    /// Sleeper: say so. It must look for letters after this and may sleep only if there is none.
    pub(super) fn prepare(&self) {
        self.flag.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Sleeper: awake again, or not asleep after all.
    pub(super) fn awake(&self) {
        self.flag.store(false, Ordering::Relaxed);
    }

    /// Sender: whether the doorbell must be rung for what was put into the ring before this call. Only one of many
    /// senders is told so.
    pub(super) fn must_ring(&self) -> bool {
        fence(Ordering::SeqCst);
        self.flag.load(Ordering::Relaxed) && self.flag.swap(false, Ordering::Relaxed)
    }
}
