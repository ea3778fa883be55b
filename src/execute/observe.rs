//! What is told to who watches. Nobody does, usually: then each of these costs one branch that is always taken the
//! same way.

use std::fmt::Debug;

use super::Executor;
use crate::store::{Search, StoreOutcome};
use crate::terms::{Deadline, Key, KeyHash, Now};

/// Something that happened to an item.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A look-up.
    Get {
        /// Of this key.
        key: Key<'a>,
        /// How it ended.
        status: GetStatus,
        /// The item's size class; 0 without an item.
        class: u8,
        /// Its bytes.
        size: usize,
    },
    /// A storage request.
    Store {
        /// Of this key.
        key: Key<'a>,
        /// How it ended, in memcached's word.
        status: &'static str,
        /// Which command, in memcached's word.
        command: &'static str,
        /// When the item dies.
        deadline: Deadline,
        /// The item's size class; 0 without an item.
        class: u8,
        /// Bytes of the value.
        size: usize,
    },
    /// A delete.
    Delete {
        /// Of this key.
        key: Key<'a>,
        /// Which command.
        command: &'static str,
        /// Whether there was an item.
        is_hit: bool,
        /// Its size class.
        class: u8,
        /// Bytes of its value.
        size: usize,
    },
}

/// How a look-up ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GetStatus {
    /// There was an item.
    Found,
    /// There was none.
    NotFound,
    /// Its time had come.
    Expired,
    /// A `flush_all` had killed it.
    Flushed,
}

impl GetStatus {
    /// memcached's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::NotFound => "not_found",
            Self::Expired => "expired",
            Self::Flushed => "flushed",
        }
    }
}

/// Who is told.
pub trait Observe: Debug {
    /// Something has happened.
    fn observe(&mut self, event: &Event<'_>, now: Now);
}

impl Executor<'_> {
    /// Tells of a touched item.
    #[inline]
    pub(super) fn observe_touch(&mut self, key: Key<'_>, hash: KeyHash) {
        let (class, size) = self.look_if_observed(key, hash);
        if let Some(observer) = &mut self.observer {
            observer.observe(&Event::Get { key, status: GetStatus::Found, class, size }, self.now);
        }
    }

    /// Tells of a look-up that found nothing.
    #[inline]
    pub(super) fn observe_miss(&mut self, key: Key<'_>, status: GetStatus) {
        if let Some(observer) = &mut self.observer {
            observer.observe(&Event::Get { key, status, class: 0, size: 0 }, self.now);
        }
    }

    /// Tells of a storage request.
    #[inline]
    pub(super) fn observe_store(
        &mut self,
        command: &'static str,
        key: Key<'_>,
        hash: KeyHash,
        outcome: StoreOutcome,
        sent: (Deadline, usize),
    ) {
        if self.observer.is_some() {
            self.tell_store(command, key, hash, outcome, sent);
        }
    }

    #[cold]
    fn tell_store(
        &mut self,
        command: &'static str,
        key: Key<'_>,
        hash: KeyHash,
        outcome: StoreOutcome,
        (deadline, sent_len): (Deadline, usize),
    ) {
        let (status, size) = match outcome {
            StoreOutcome::Stored { len, .. } => ("stored", len),
            StoreOutcome::NotStored => ("not_stored", sent_len),
            StoreOutcome::Exists => ("exists", sent_len),
            StoreOutcome::NotFound => ("not_found", sent_len),
            StoreOutcome::TooLarge => ("too_large", sent_len),
            StoreOutcome::OutOfMemory => ("no_memory", sent_len),
        };
        // A look at an item that is over already would take it back, and the next client not find it expired.
        let class = if deadline.is_over(self.now) { 0 } else { self.class_and_len(key, hash).0 };
        if let Some(observer) = &mut self.observer {
            observer.observe(&Event::Store { key, status, command, deadline, class, size }, self.now);
        }
    }

    /// An item's class and the length of its value, if somebody wants to know.
    #[inline]
    pub(super) fn look_if_observed(&mut self, key: Key<'_>, hash: KeyHash) -> (u8, usize) {
        if self.observer.is_some() { self.class_and_len(key, hash) } else { (0, 0) }
    }

    /// Tells of a delete.
    #[inline]
    pub(super) fn observe_delete(
        &mut self,
        command: &'static str,
        key: Key<'_>,
        is_hit: bool,
        (class, size): (u8, usize),
    ) {
        if let Some(observer) = &mut self.observer {
            observer.observe(&Event::Delete { key, command, is_hit, class, size }, self.now);
        }
    }

    fn class_and_len(&mut self, key: Key<'_>, hash: KeyHash) -> (u8, usize) {
        match self.shard.find(key, hash, self.now) {
            Search::Hit(found) => {
                let item = self.shard.item(found, self.now);
                (item.class, item.value.len())
            }
            _ => (0, 0),
        }
    }
}
