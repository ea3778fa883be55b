//! What is lent, between real threads. Every interleaving of few steps is `sleep_loom.rs`'s.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ringcached::lending::{GaveBack, Owned};

#[test]
fn is_lent_while_its_owner_sleeps_and_only_then() {
    let mut owned = Owned::new(vec![1]);
    let borrower = owned.borrower();
    assert!(borrower.borrow().is_none() && !borrower.must_ring());
    owned.push(2);
    owned.lend_while(
        || {
            let mut loan = borrower.borrow().unwrap();
            assert!(borrower.borrow().is_none(), "lent twice");
            loan.push(3);
            assert_eq!(loan.give_back(), GaveBack::Quietly);
            let loan = borrower.borrow().unwrap();
            assert!(!loan.is_wanted());
            assert!(!borrower.must_ring(), "the borrower rings");
            assert!(loan.is_wanted() && !borrower.must_ring());
            assert_eq!(loan.give_back(), GaveBack::Ring);
            let loan = borrower.borrow().unwrap();
            assert!(!loan.is_wanted() && !borrower.must_ring(), "the owner has been rung and is on its way");
            assert_eq!(loan.give_back(), GaveBack::Quietly);
        },
        || panic!("nobody has borrowed"),
    );
    assert!(borrower.borrow().is_none());
    assert_eq!(*owned, [1, 2, 3]);
    owned.lend_while(|| assert!(borrower.must_ring() && !borrower.must_ring()), || panic!("nobody has borrowed"));
}

#[test]
fn the_owner_waits_for_what_is_lent() {
    let mut owned = Owned::new(0_u64);
    let borrower = owned.borrower();
    let (taken, waits) = (AtomicBool::new(false), AtomicBool::new(false));
    let owner = thread::current();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut loan = loop {
                match borrower.borrow() {
                    Some(loan) => break loan,
                    None => thread::yield_now(),
                }
            };
            taken.store(true, Ordering::Release);
            while !waits.load(Ordering::Acquire) {
                thread::yield_now();
            }
            assert!(loan.is_wanted());
            *loan = 7;
            assert_eq!(loan.give_back(), GaveBack::Wake);
            owner.unpark();
        });
        owned.lend_while(
            || {
                while !taken.load(Ordering::Acquire) {
                    thread::yield_now();
                }
            },
            || {
                waits.store(true, Ordering::Release);
                thread::park();
            },
        );
        assert_eq!(*owned, 7);
    });
}

#[test]
fn many_borrowers_and_an_owner_never_meet() {
    const ROUNDS: u64 = 20_000;
    let mut owned = Owned::new((0_u64, 0_u64));
    let borrower = owned.borrower();
    let over = AtomicBool::new(false);
    let owner = thread::current();
    let mut sum = 0;
    thread::scope(|scope| {
        let borrowers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut changes = 0;
                    while !over.load(Ordering::Acquire) {
                        let Some(mut loan) = borrower.borrow() else {
                            thread::yield_now();
                            continue;
                        };
                        loan.0 += 1;
                        loan.1 += 1;
                        changes += 1;
                        if loan.give_back() == GaveBack::Wake {
                            owner.unpark();
                        }
                    }
                    changes
                })
            })
            .collect();
        for _ in 0..ROUNDS {
            owned.0 += 1;
            owned.1 += 1;
            owned.lend_while(thread::yield_now, thread::park);
        }
        over.store(true, Ordering::Release);
        sum = borrowers.into_iter().map(|borrower| borrower.join().unwrap()).sum();
    });
    assert_eq!(*owned, (ROUNDS + sum, ROUNDS + sum));
}
