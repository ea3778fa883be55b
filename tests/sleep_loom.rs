//! Every interleaving, of up to three forced switches of thread, of a core going to sleep, letters being sent to it, and others borrowing what it owns.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(unreachable_pub, reason = "it is public where it belongs")]

mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicU8, Ordering, fence};
    pub(crate) use loom::thread::yield_now as spin_loop;

    pub(crate) const LOAN_LOOKS_MAX: usize = 1;
}

#[path = "../src/lending/sleep.rs"]
mod sleep;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread::{self, JoinHandle, Thread};

use crate::sleep::{GaveBack, Sleep};

/// A core as others see it. Letters are a counter that goes up; the doorbell is another.
struct Core {
    sleep: Sleep,
    letters: AtomicUsize,
    rings: AtomicUsize,
    /// What is lent. Loom fails if two have it at a time, or one after the other without an order between them.
    shard: UnsafeCell<()>,
    owner: Thread,
}

impl Core {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            sleep: Sleep::new(),
            letters: AtomicUsize::new(0),
            rings: AtomicUsize::new(0),
            shard: UnsafeCell::new(()),
            owner: thread::current(),
        })
    }

    fn use_shard(&self) {
        self.shard.with_mut(|_| ());
    }

    fn send(&self) {
        self.letters.fetch_add(1, Ordering::Release);
        if self.sleep.must_ring() {
            self.rings.fetch_add(1, Ordering::Release);
        }
    }

    fn borrow(&self) {
        if !self.sleep.borrow() {
            return;
        }
        if !self.sleep.is_wanted() {
            self.use_shard();
        }
        match self.sleep.give_back() {
            GaveBack::Quietly => {}
            GaveBack::Ring => _ = self.rings.fetch_add(1, Ordering::Release),
            GaveBack::Wake => self.owner.unpark(),
        }
    }

    /// Goes to sleep unless there is a letter. How many there were.
    fn look_for_letters(&self) -> usize {
        self.sleep.begin();
        self.letters.load(Ordering::Acquire)
    }

    fn awake(&self) {
        self.sleep.end(thread::park);
        self.use_shard();
    }
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    check_with(3, model);
}

/// Without a bound three threads take minutes; three forced switches of thread are more than the protocol has steps to go
/// wrong in.
fn check_with(switches: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(switches);
    builder.check(model);
}

fn spawn(core: &Arc<Core>, what: fn(&Core)) -> JoinHandle<()> {
    let core = Arc::clone(core);
    thread::spawn(move || what(&core))
}

/// The owner sleeps until it is rung, which it must be if there was a letter it has not seen.
fn sleep_until_rung(senders: usize, borrowers: usize) {
    // With four threads the third switch costs a minute.
    check_with(if senders + borrowers < 3 { 3 } else { 2 }, move || {
        let core = Core::new();
        let mut others: Vec<_> = (0..senders).map(|_| spawn(&core, Core::send)).collect();
        others.extend((0..borrowers).map(|_| spawn(&core, Core::borrow)));
        let seen = core.look_for_letters();
        if seen > 0 {
            core.awake();
        }
        for other in others {
            other.join().unwrap();
        }
        let rings = core.rings.load(Ordering::Acquire);
        assert!(seen > 0 || rings == 1 || senders == 0, "asleep with a letter in the ring");
        assert!(rings <= 1, "rung twice for one sleep");
        if seen == 0 {
            core.awake();
        }
    });
}

#[test]
fn a_sleeper_never_misses_the_letter_of_one_sender() {
    sleep_until_rung(1, 0);
}

#[test]
fn a_sleeper_never_misses_the_letters_of_two_senders() {
    sleep_until_rung(2, 0);
}

#[test]
fn a_sleeper_never_misses_a_letter_while_its_shard_is_lent() {
    sleep_until_rung(1, 1);
}

#[test]
fn a_sleeper_never_misses_the_letters_of_two_senders_while_its_shard_is_lent() {
    sleep_until_rung(2, 1);
}

#[test]
fn no_two_have_a_shard_at_a_time_and_its_owner_gets_it_back() {
    // The owner wakes up by itself, whatever the others are doing, and sleeps again.
    check(|| {
        let core = Core::new();
        let borrowers: Vec<_> = (0..2).map(|_| spawn(&core, Core::borrow)).collect();
        for _ in 0..2 {
            core.look_for_letters();
            core.awake();
        }
        for borrower in borrowers {
            borrower.join().unwrap();
        }
    });
}

#[test]
fn a_letter_for_an_owner_that_wakes_up_by_itself_is_found_or_rung_for() {
    check(|| {
        let core = Core::new();
        let others = [spawn(&core, Core::send), spawn(&core, Core::borrow)];
        core.look_for_letters();
        core.awake();
        let seen = core.look_for_letters();
        for other in others {
            other.join().unwrap();
        }
        assert!(seen > 0 || core.rings.load(Ordering::Acquire) > 0, "asleep with a letter in the ring");
        core.awake();
    });
}
