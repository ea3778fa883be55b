//! Every interleaving of a core going to sleep and a letter being sent to it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicBool, Ordering, fence};
}

#[path = "../src/server/sleep.rs"]
mod sleep;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};

use crate::sleep::Sleep;

/// Letters are a counter that goes up; the doorbell is another.
fn check(senders: usize) {
    // Without a bound two senders take minutes; three forced switches of thread are more than the protocol has steps
    // to go wrong in.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let sleep = Arc::new(Sleep::new());
        let letters = Arc::new(AtomicUsize::new(0));
        let rings = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..senders)
            .map(|_| {
                let (sleep, letters, rings) = (sleep.clone(), letters.clone(), rings.clone());
                loom::thread::spawn(move || {
                    letters.fetch_add(1, Ordering::Release);
                    if sleep.must_ring() {
                        rings.fetch_add(1, Ordering::Release);
                    }
                })
            })
            .collect();
        sleep.prepare();
        let asleep = letters.load(Ordering::Acquire) == 0;
        if !asleep {
            sleep.awake();
        }
        for thread in threads {
            thread.join().unwrap();
        }
        // All letters are sent. If the core went to sleep without seeing one, its doorbell has been rung.
        assert!(!asleep || rings.load(Ordering::Acquire) >= 1, "asleep with a letter in the ring");
    });
}

#[test]
fn a_sleeper_never_misses_the_letter_of_one_sender() {
    check(1);
}

#[test]
fn a_sleeper_never_misses_the_letters_of_two_senders() {
    check(2);
}
