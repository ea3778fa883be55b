//! How a core that goes to sleep misses no letter, and how what it owns is lent to others in the meantime.
//!
//! The sleeper says that it sleeps, then looks into its inbound rings once more; a sender puts its letter into the ring,
//! then looks at the state. Each has a sequentially consistent fence between its two steps, so at least one of them sees
//! the other: either the sleeper finds the letter and stays awake, or the sender finds it asleep and rings.
//!
//! While the owner sleeps, one other core at a time may borrow; who wants the owner awake in that time leaves word with
//! the borrower. The owner itself waits, once awake, until all is given back: the only wait there is, and never one of
//! the borrower. `tests/sleep_loom.rs` checks every interleaving
//! of up to three forced switches of thread.

use super::atomic::{AtomicU8, LOAN_LOOKS_MAX, Ordering, fence, spin_loop};

/// The owner is awake.
const HELD: u8 = 0;
/// The owner sleeps.
const FREE: u8 = 1;
/// The owner sleeps, and has been rung: it is on its way.
const CALLED: u8 = 2;
/// The owner sleeps, and another core has borrowed.
const LENT: u8 = 3;
/// The same, and the owner must be rung: a letter has come.
const TO_CALL: u8 = 4;
/// Lent by an owner that has been rung.
const LENT_CALLED: u8 = 5;
/// Lent, and the owner is awake and waits.
const AWAITED: u8 = 6;

/// Whom a borrower has to tell that it gave back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "or the owner may sleep on although it has a letter"]
pub enum GaveBack {
    /// Nobody: the owner sleeps on.
    Quietly,
    /// Ring the owner's doorbell: it has a letter.
    Ring,
    /// Wake the owner, which waits for this.
    Wake,
}

/// Whether the owner of something sleeps, and who has it then.
#[derive(Debug)]
// Others look at it: what lies beside it shall not travel along. Two lines, since processors fetch them in pairs.
#[repr(align(128))]
pub(super) struct Sleep {
    state: AtomicU8,
}

impl Sleep {
    /// The owner is awake.
    pub(super) fn new() -> Self {
        Self { state: AtomicU8::new(HELD) }
    }

    /// Owner: from here on others may borrow. It must look for letters after this and may sleep only if there is none.
    pub(super) fn begin(&self) {
        self.state.store(FREE, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// Owner: awake again, or not asleep after all. Returns once nobody has borrowed; `wait` is called as long as
    /// somebody has, and should wait for [`GaveBack::Wake`].
    pub(super) fn end(&self, mut wait: impl FnMut()) {
        let mut looks = 0;
        loop {
            // Acquire: what the last borrower did comes before what the owner does next.
            let state = self.state.load(Ordering::Acquire);
            match state {
                HELD => return,
                FREE | CALLED if self.change(state, HELD, Ordering::Acquire) => return,
                LENT | TO_CALL | LENT_CALLED => {
                    self.change(state, AWAITED, Ordering::Relaxed);
                }
                AWAITED if looks < LOAN_LOOKS_MAX => {
                    looks += 1;
                    spin_loop();
                }
                AWAITED => wait(),
                _ => {}
            }
        }
    }

    /// Sender: whether the doorbell must be rung for what was put into the ring before this call. Only one of many
    /// senders is told so.
    pub(super) fn must_ring(&self) -> bool {
        fence(Ordering::SeqCst);
        loop {
            match self.state.load(Ordering::Relaxed) {
                FREE if self.change(FREE, CALLED, Ordering::Relaxed) => return true,
                LENT if self.change(LENT, TO_CALL, Ordering::Relaxed) => return false,
                FREE | LENT => {}
                _ => return false,
            }
        }
    }

    /// Borrower: whether it has what the owner owns, from now until [`Sleep::give_back`]. Only if the owner sleeps.
    pub(super) fn borrow(&self) -> bool {
        loop {
            // Acquire: what the owner and the last borrower did comes before what this one does.
            match self.state.load(Ordering::Relaxed) {
                FREE if self.change(FREE, LENT, Ordering::Acquire) => return true,
                CALLED if self.change(CALLED, LENT_CALLED, Ordering::Acquire) => return true,
                FREE | CALLED => {}
                _ => return false,
            }
        }
    }

    /// Borrower: whether it should give back soon, since the owner waits for that, or has a letter.
    pub(super) fn is_wanted(&self) -> bool {
        matches!(self.state.load(Ordering::Relaxed), TO_CALL | AWAITED)
    }

    /// Borrower: the owner's again.
    pub(super) fn give_back(&self) -> GaveBack {
        loop {
            let state = self.state.load(Ordering::Relaxed);
            // Release: what the borrower did comes before what the next or the owner does.
            let (next, gave_back) = match state {
                LENT => (FREE, GaveBack::Quietly),
                LENT_CALLED => (CALLED, GaveBack::Quietly),
                TO_CALL => (CALLED, GaveBack::Ring),
                // Straight into the owner's hands, or the next borrower might be faster.
                _ => (HELD, GaveBack::Wake),
            };
            debug_assert!(state >= LENT, "what was not borrowed is given back");
            if self.change(state, next, Ordering::Release) {
                return gave_back;
            }
        }
    }

    fn change(&self, from: u8, to: u8, order: Ordering) -> bool {
        self.state.compare_exchange(from, to, order, Ordering::Relaxed).is_ok()
    }
}
