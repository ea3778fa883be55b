//! A request changes a shard and writes its reply. Every change of a shard by a client passes through here, on the
//! shard's own core, whether the request was made there or came by letter.
//!
//! What all dialects do alike, and what is counted of it, are the steps (`Executor::look_up` and those below it). A
//! dialect decides which step a request takes and writes what came of it: the classic text dialect in this file,
//! the binary one in `execute/binary.rs`.

mod binary;

pub mod meta;
pub mod observe;

use self::observe::{Event, GetStatus, Observe};
use crate::metrics::Counters;
use crate::protocol::text::response::{self, After};
use crate::protocol::{Op, Output, Retrieval, Unstorable};
use crate::store::{
    ArithmeticOutcome, ArithmeticRequest, Incoming, Item, Lookup, Search, Shard, Sought, StoreOutcome, StoreRequest,
    Value,
};
use crate::terms::{CasUnique, Deadline, Exptime, Key, KeyHash, Now, StoreMode};

/// A shard with all that a request on it needs.
#[derive(Debug)]
pub struct Executor<'a> {
    /// The items.
    pub shard: &'a mut Shard,
    /// What is counted of the requests.
    pub counters: &'a mut Counters,
    /// The moment that decides about expiry.
    pub now: Now,
    /// Who is told what happens, if anybody wants to know.
    pub observer: Option<&'a mut dyn Observe>,
}

impl Executor<'_> {
    /// Runs one request and writes its whole reply to `out`. `hash` is what [`Shard::hash`] gives for `key`; `value` is
    /// empty except for storage requests.
    pub fn execute(&mut self, op: Op, key: Key<'_>, hash: KeyHash, value: Incoming<'_>, out: &mut Output) {
        match op {
            Op::Retrieve(retrieval) => self.retrieve_one(retrieval, key, hash.into(), out),
            Op::Store { mode, flags, exptime } => {
                let deadline = Deadline::from_exptime(exptime, self.now);
                let request = StoreRequest::new(mode, key, hash, flags, deadline, value);
                out.put(stored(mode, self.store(request)));
            }
            Op::Refuse(why) => {
                self.refuse_value(why, key, hash);
                out.put(response::unstorable(why));
            }
            Op::Delete => out.put(match self.delete(key, hash, None) {
                Deleted::Done => response::DELETED,
                Deleted::NotFound | Deleted::Exists => response::NOT_FOUND,
            }),
            Op::Arithmetic { direction, delta } => {
                let outcome = self.compute(ArithmeticRequest::new(key, hash, direction, delta));
                computed(outcome, out);
            }
            Op::Touch { exptime } => {
                self.counters.cmd_touch += 1;
                if self.shard.touch(key, hash, Deadline::from_exptime(exptime, self.now), self.now) {
                    self.observe_touch(key, hash);
                    self.counters.touch_hits += 1;
                    out.put(response::TOUCHED);
                } else {
                    self.observe_miss(key, GetStatus::NotFound);
                    self.counters.touch_misses += 1;
                    out.put(response::NOT_FOUND);
                }
            }
        }
    }

    /// Looks up one key and writes its part of the reply: the value's line, the value and its end, or nothing.
    #[inline]
    pub fn retrieve(&mut self, retrieval: Retrieval, key: Key<'_>, hash: Sought, out: &mut Output) {
        if self.retrieve_inline(retrieval, key, hash, After::More, out) {
            return;
        }
        let show = |item: &Item<'_>| write_item(key, item, retrieval.with_cas, After::More, out);
        self.look_up(retrieval.touch, key, hash, show);
    }

    /// Looks up the only key of a retrieval and writes the whole reply.
    #[inline]
    pub fn retrieve_one(&mut self, retrieval: Retrieval, key: Key<'_>, hash: Sought, out: &mut Output) {
        if self.retrieve_inline(retrieval, key, hash, After::End, out) {
            return;
        }
        let show = |item: &Item<'_>| write_item(key, item, retrieval.with_cas, After::End, out);
        if !self.look_up(retrieval.touch, key, hash, show) {
            out.put(response::END);
        }
    }

    /// Carries out a retrieval of the plainest kind: no CAS unique, no touch, nobody who watches, and a hit where the
    /// look-ahead has seen it. Of any other does nothing, and returns `false`.
    #[expect(clippy::inline_always, reason = "measured: 60 instructions less per key of a multi-get")]
    #[inline(always)]
    fn retrieve_inline(
        &mut self,
        retrieval: Retrieval,
        key: Key<'_>,
        sought: Sought,
        after: After,
        out: &mut Output,
    ) -> bool {
        if retrieval.with_cas || retrieval.touch.is_some() || self.observer.is_some() {
            return false;
        }
        let Some((flags, value)) = self.shard.get_inline(key, sought, self.now) else { return false };
        self.counters.cmd_get += 1;
        self.counters.get_hits += 1;
        out.write(|buffer| response::write_value(buffer, key, flags, value, None, after));
        true
    }

    /// Looks up one key, gives a hit a new expiry if there is one, and shows it. Whether it is a hit.
    #[inline]
    fn look_up(&mut self, touch: Option<Exptime>, key: Key<'_>, sought: Sought, show: impl FnOnce(&Item<'_>)) -> bool {
        let Self { shard, counters, now, observer } = self;
        let (lookup, hits, misses) = match touch {
            None => {
                counters.cmd_get += 1;
                (shard.get_sought(key, sought, *now), &mut counters.get_hits, &mut counters.get_misses)
            }
            Some(exptime) => {
                counters.cmd_touch += 1;
                let lookup = shard.get_and_touch(key, sought.hash(), Deadline::from_exptime(exptime, *now), *now);
                (lookup, &mut counters.touch_hits, &mut counters.touch_misses)
            }
        };
        let status = match lookup {
            Lookup::Hit(item) => {
                *hits += 1;
                if let Some(observer) = observer {
                    let (status, class, size) = (GetStatus::Found, item.class, item.value.len());
                    observer.observe(&Event::Get { key, status, class, size }, *now);
                }
                show(&item);
                return true;
            }
            Lookup::Miss => GetStatus::NotFound,
            Lookup::Expired => {
                counters.get_expired += 1;
                GetStatus::Expired
            }
            Lookup::Flushed => {
                counters.get_flushed += 1;
                GetStatus::Flushed
            }
        };
        *misses += 1;
        if let Some(observer) = observer {
            observer.observe(&Event::Get { key, status, class: 0, size: 0 }, *now);
        }
        false
    }

    fn store(&mut self, request: StoreRequest<'_>) -> StoreOutcome {
        let StoreRequest { mode, key, hash, deadline, .. } = request;
        let sent = (deadline, request.value.as_slice().len());
        let outcome = self.shard.store(request, self.now);
        self.observe_store(command_of(mode), key, hash, outcome, sent);
        self.count_store(matches!(mode, StoreMode::Cas(_)), outcome);
        outcome
    }

    /// Counts a storage request, which compared versions or not.
    fn count_store(&mut self, is_cas: bool, outcome: StoreOutcome) {
        let counters = &mut *self.counters;
        counters.cmd_set += 1;
        match outcome {
            StoreOutcome::Stored { .. } if is_cas => counters.cas_hits += 1,
            StoreOutcome::Exists if is_cas => counters.cas_badval += 1,
            StoreOutcome::NotFound if is_cas => counters.cas_misses += 1,
            StoreOutcome::TooLarge => counters.store_too_large += 1,
            StoreOutcome::OutOfMemory => counters.store_no_memory += 1,
            _ => {}
        }
    }

    /// The value that a `set` announced was not kept: the old item goes (PROTOCOL §2).
    fn refuse_value(&mut self, why: Unstorable, key: Key<'_>, hash: KeyHash) {
        count_unstorable(self.counters, why);
        self.shard.refuse_value(key, hash, self.now);
        let outcome = match why {
            Unstorable::TooLarge => StoreOutcome::TooLarge,
            Unstorable::OutOfMemory => StoreOutcome::OutOfMemory,
        };
        self.observe_store("set", key, hash, outcome, (Deadline::NEVER, 0));
    }

    /// Deletes an item, of this version if one is given.
    fn delete(&mut self, key: Key<'_>, hash: KeyHash, compare: Option<CasUnique>) -> Deleted {
        let before = self.look_if_observed(key, hash);
        let is_deleted = match compare {
            None => self.shard.delete(key, hash, self.now),
            Some(wanted) => match self.shard.find(key, hash, self.now) {
                Search::Hit(found) if self.shard.item(found, self.now).cas == wanted => {
                    self.shard.remove(found);
                    true
                }
                Search::Hit(_) => return Deleted::Exists,
                _ => false,
            },
        };
        self.observe_delete("delete", key, is_deleted, before);
        if is_deleted {
            self.counters.delete_hits += 1;
            Deleted::Done
        } else {
            self.counters.delete_misses += 1;
            Deleted::NotFound
        }
    }

    fn compute(&mut self, request: ArithmeticRequest<'_>) -> ArithmeticOutcome {
        let direction = request.direction;
        let outcome = self.shard.arithmetic(request, self.now);
        let (hits, misses) = self.arithmetic_counters(direction);
        match outcome {
            ArithmeticOutcome::Value { .. } => *hits += 1,
            ArithmeticOutcome::NotFound => *misses += 1,
            ArithmeticOutcome::OutOfMemory => self.counters.store_no_memory += 1,
            // memcached counts none of these either.
            ArithmeticOutcome::Created { .. } | ArithmeticOutcome::Exists | ArithmeticOutcome::NonNumeric => {}
        }
        outcome
    }
}

/// Counts a value that was announced and not kept.
pub const fn count_unstorable(counters: &mut Counters, why: Unstorable) {
    match why {
        Unstorable::TooLarge => counters.store_too_large += 1,
        Unstorable::OutOfMemory => counters.store_no_memory += 1,
    }
}

/// What became of a deletion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deleted {
    /// The item is gone.
    Done,
    /// There was none.
    NotFound,
    /// It has another version, and stays.
    Exists,
}

/// The reply to a storage request.
const fn stored(mode: StoreMode, outcome: StoreOutcome) -> &'static [u8] {
    match outcome {
        StoreOutcome::Stored { .. } => response::STORED,
        StoreOutcome::NotStored => response::NOT_STORED,
        StoreOutcome::Exists => response::EXISTS,
        StoreOutcome::NotFound => response::NOT_FOUND,
        StoreOutcome::TooLarge => match mode {
            // As memcached answers, which keeps the old value too.
            StoreMode::Append | StoreMode::Prepend => response::NOT_STORED,
            _ => response::TOO_LARGE,
        },
        StoreOutcome::OutOfMemory => response::OUT_OF_MEMORY,
    }
}

/// Writes the reply to `incr` or `decr`.
fn computed(outcome: ArithmeticOutcome, out: &mut Output) {
    match outcome {
        ArithmeticOutcome::Value { number, .. } | ArithmeticOutcome::Created { number, .. } => {
            out.write(|buffer| response::write_number(buffer, number));
        }
        // No version is asked for here, so there is none to differ.
        ArithmeticOutcome::NotFound | ArithmeticOutcome::Exists => out.put(response::NOT_FOUND),
        ArithmeticOutcome::NonNumeric => out.put(response::NON_NUMERIC),
        ArithmeticOutcome::OutOfMemory => out.put(response::OUT_OF_MEMORY),
    }
}

/// memcached's word for a storage request.
const fn command_of(mode: StoreMode) -> &'static str {
    match mode {
        StoreMode::Set => "set",
        StoreMode::Add => "add",
        StoreMode::Replace => "replace",
        StoreMode::Append => "append",
        StoreMode::Prepend => "prepend",
        StoreMode::Cas(_) => "cas",
    }
}

#[inline]
fn write_item(key: Key<'_>, item: &Item<'_>, with_cas: bool, after: After, out: &mut Output) {
    let cas = with_cas.then_some(item.cas);
    match item.value {
        Value::Inline(value) => {
            out.write(|buffer| response::write_value(buffer, key, item.flags, value, cas, after));
        }
        Value::Shared(value) => {
            out.write(|buffer| response::write_value_line(buffer, key, item.flags, value.len(), cas));
            out.put_shared(value.clone());
            out.put(response::CRLF);
            if after == After::End {
                out.put(response::END);
            }
        }
    }
}
