//! What one thread owns, and lends to others while it sleeps.
//!
//! A core that sleeps has no use for its shard, and waking it costs more than most of what it would be woken for. So it
//! lends the shard for that time ([`Owned::lend_while`]); a core with letters for it may borrow and serve them itself
//! ([`Borrower::borrow`]). Nobody ever waits for a loan but the owner that wakes up meanwhile.
#![allow(unsafe_code, reason = "who may use the value when is more than the compiler can see; each block argues")]

mod sleep;

use std::cell::{Cell, UnsafeCell};
use std::fmt::{self, Debug, Formatter};
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::ops::{Deref, DerefMut};
use std::process;
use std::sync::Arc;

pub use self::sleep::GaveBack;
use self::sleep::Sleep;

/// What `sleep.rs` uses; its model test puts others in their place.
mod atomic {
    pub(super) use std::hint::spin_loop;
    pub(super) use std::sync::atomic::{AtomicU8, Ordering, fence};

    pub(super) use crate::limits::LOAN_LOOKS_MAX;
}

struct Shared<T> {
    sleep: Sleep,
    /// There as long as its owner is.
    value: UnsafeCell<ManuallyDrop<T>>,
}

/// Ends the process if it is dropped, that is on the way of a panic out of what must not be left half done.
struct Abort;

impl Drop for Abort {
    fn drop(&mut self) {
        process::abort();
    }
}

// SAFETY: the value is reached by one thread at a time: by the owner's while `sleep` says that it holds it, by one
// borrower's otherwise, and `sleep` orders what the one does before what the next does. So it travels between threads and is
// never shared, for which `Send` is enough.
unsafe impl<T: Send> Sync for Shared<T> {}

/// A value and the right to use it whenever it is not lent. Its owner is one thread at a time.
pub struct Owned<T> {
    shared: Arc<Shared<T>>,
    /// Two threads with a reference each would use the value at the same time.
    not_sync: PhantomData<Cell<()>>,
}

impl<T> Owned<T> {
    /// Not lent.
    pub fn new(value: T) -> Self {
        let shared = Arc::new(Shared { sleep: Sleep::new(), value: UnsafeCell::new(ManuallyDrop::new(value)) });
        Self { shared, not_sync: PhantomData }
    }

    /// For those who shall borrow.
    pub fn borrower(&self) -> Borrower<T> {
        Borrower(Arc::clone(&self.shared))
    }

    /// Lends the value while `during` runs, which goes to sleep unless it finds a letter. Returns once all is given back;
    /// `wait` is called as long as it is not, and should wait for [`GaveBack::Wake`]; the process ends if it panics.
    pub fn lend_while<R>(&mut self, during: impl FnOnce() -> R, wait: impl FnMut()) -> R {
        /// Has the value given back even if `during` unwinds. If `wait` does, the value cannot be had.
        struct Lent<'a, W: FnMut()>(&'a Sleep, W);
        impl<W: FnMut()> Drop for Lent<'_, W> {
            fn drop(&mut self) {
                let abort = Abort;
                self.0.end(&mut self.1);
                mem::forget(abort);
            }
        }
        self.shared.sleep.begin();
        let _lent = Lent(&self.shared.sleep, wait);
        during()
    }
}

impl<T> Deref for Owned<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: only `lend_while` lends, and it holds `self` exclusively until all is given back. So nobody has borrowed
        // while there is any other reference to `self`, and the references made here live no longer than that.
        unsafe { &*self.shared.value.get() }
    }
}

impl<T> DerefMut for Owned<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`; and `self` is borrowed exclusively.
        unsafe { &mut *self.shared.value.get() }
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: it is not lent, as for `deref`, and never will be again. Nobody but borrowers and this owner can reach it.
        unsafe { ManuallyDrop::drop(&mut *self.shared.value.get()) };
    }
}

impl<T: Debug> Debug for Owned<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Owned").field(&**self).finish()
    }
}

/// May borrow from the owner when that sleeps.
pub struct Borrower<T>(Arc<Shared<T>>);

impl<T> Borrower<T> {
    /// The value, if its owner sleeps and nobody else has borrowed it.
    pub fn borrow(&self) -> Option<Loan<'_, T>> {
        self.0.sleep.borrow().then(|| Loan { shared: &self.0, not_sync: PhantomData, dropped: Abort })
    }

    /// Whether the owner's doorbell must be rung for what was sent to it before this call. Only one of many senders is
    /// told so.
    pub fn must_ring(&self) -> bool {
        self.0.sleep.must_ring()
    }
}

impl<T> Clone for Borrower<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Debug for Borrower<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Borrower").field("sleep", &self.0.sleep).finish_non_exhaustive()
    }
}

/// A borrowed value. [Give it back](Loan::give_back) soon: the owner may wait. The process ends if it is dropped instead, for
/// the owner would wait for ever.
#[must_use = "it must be given back"]
pub struct Loan<'a, T> {
    shared: &'a Shared<T>,
    not_sync: PhantomData<Cell<()>>,
    dropped: Abort,
}

impl<T> Loan<'_, T> {
    /// Whether the owner should have it back as soon as can be.
    pub fn is_wanted(&self) -> bool {
        self.shared.sleep.is_wanted()
    }

    /// Ends the loan. Who has to be told?
    pub fn give_back(self) -> GaveBack {
        let Self { shared, dropped, .. } = self;
        mem::forget(dropped);
        shared.sleep.give_back()
    }
}

impl<T> Deref for Loan<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `Sleep` has let this loan alone in, and lets nobody else in before it is given back, which ends it.
        unsafe { &*self.shared.value.get() }
    }
}

impl<T> DerefMut for Loan<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`; and `self` is borrowed exclusively.
        unsafe { &mut *self.shared.value.get() }
    }
}

impl<T> Debug for Loan<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan").finish_non_exhaustive()
    }
}
