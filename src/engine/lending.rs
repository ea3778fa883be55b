//! A core that sleeps lends its shard, and who has letters for it serves them: see `lending`.

use std::mem;

use crate::engine::Engine;
use crate::engine::node::Node;
use crate::lending::{Borrower, GaveBack, Loan};
use crate::limits::LOOK_AHEAD_KEYS;
use crate::session::letter::Letter;
use crate::terms::Now;

/// A core's shard as others see it.
#[derive(Clone, Debug)]
pub struct Desk(Borrower<Node>);

/// The shard of a core that sleeps, in the hands of another, who must [give it back](LentDesk::give_back).
#[derive(Debug)]
#[must_use = "it must be given back"]
pub struct LentDesk<'a>(Loan<'a, Node>);

impl Desk {
    /// Whether the core must be woken for letters that were sent to it before this call. Only one of many senders is told
    /// so.
    pub fn must_ring(&self) -> bool {
        self.0.must_ring()
    }

    /// The desk, if its core sleeps and nobody else has borrowed it.
    pub fn borrow(&self) -> Option<LentDesk<'_>> {
        self.0.borrow().map(LentDesk)
    }
}

impl LentDesk<'_> {
    /// Serves letters for this core from the first on, as its core would have, until somebody wants the core awake or a letter
    /// asks for more than the shard. How many are served.
    pub fn serve(&mut self, letters: &mut [Box<Letter>], now: Now) -> usize {
        let Self(node) = self;
        // The borrower's turn may have begun before the last one of the owner.
        if now.monotonic_ms > node.now.monotonic_ms {
            node.now = now;
        }
        let mut served = 0;
        'letters: for letters in letters.chunks_mut(LOOK_AHEAD_KEYS) {
            node.look_ahead_over_letters(letters);
            for letter in letters {
                if node.is_wanted() || !letter.is_about_items() {
                    break 'letters;
                }
                node.serve(letter);
                served += 1;
            }
        }
        node.ahead.reset();
        node.counters.mesh_letters_lent += served as u64;
        served
    }

    /// Ends the loan. Who has to be told?
    pub fn give_back(self) -> GaveBack {
        self.0.give_back()
    }
}

impl Engine {
    /// Whether keys of a retrieval were posted since this was asked last.
    pub fn take_posted_many(&mut self) -> bool {
        mem::take(&mut self.node.has_posted_many)
    }

    /// What others borrow.
    pub fn desk(&self) -> Desk {
        Desk(self.node.borrower())
    }

    /// Lends the shard while `during` runs, which goes to sleep unless it finds a letter. `wait` is called as long as the
    /// shard is not given back, and should wait for [`GaveBack::Wake`].
    pub fn lend_while<R>(&mut self, during: impl FnOnce() -> R, wait: impl FnMut()) -> R {
        self.node.lend_while(during, wait)
    }
}
