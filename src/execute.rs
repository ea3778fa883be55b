//! A request changes a shard and writes its reply. Every change of a shard by a client passes through here, on the
//! shard's own core, whether the request was made there or came by letter.

pub mod meta;
pub mod observe;

use self::observe::{Event, GetStatus, Observe};
use crate::metrics::Counters;
use crate::protocol::text::response;
use crate::protocol::{Op, Output, Retrieval};
use crate::store::{
    ArithmeticOutcome, ArithmeticRequest, Incoming, Item, Lookup, Shard, StoreOutcome, StoreRequest, Value,
};
use crate::terms::{Arithmetic, Deadline, Key, KeyHash, Now, StoreMode};

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
            Op::Retrieve(retrieval) => {
                self.retrieve(retrieval, key, hash, out);
                out.put(response::END);
            }
            Op::Store { mode, flags, exptime } => {
                let deadline = Deadline::from_exptime(exptime, self.now);
                let sent = (deadline, value.as_slice().len());
                let request = StoreRequest::new(mode, key, hash, flags, deadline, value);
                let outcome = self.shard.store(request, self.now);
                self.observe_store(command_of(mode), key, hash, outcome, sent);
                out.put(self.stored(mode, outcome));
            }
            Op::RefuseTooLarge => {
                self.counters.store_too_large += 1;
                self.shard.refuse_too_large(key, hash, self.now);
                self.observe_store("set", key, hash, StoreOutcome::TooLarge, (Deadline::NEVER, 0));
                out.put(response::TOO_LARGE);
            }
            Op::Delete => {
                let before = self.look_if_observed(key, hash);
                let is_hit = self.shard.delete(key, hash, self.now);
                self.observe_delete("delete", key, is_hit, before);
                if is_hit {
                    self.counters.delete_hits += 1;
                    out.put(response::DELETED);
                } else {
                    self.counters.delete_misses += 1;
                    out.put(response::NOT_FOUND);
                }
            }
            Op::Arithmetic { direction, delta } => {
                let request = ArithmeticRequest::new(key, hash, direction, delta);
                let outcome = self.shard.arithmetic(request, self.now);
                self.computed(direction, outcome, out);
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
    pub fn retrieve(&mut self, retrieval: Retrieval, key: Key<'_>, hash: KeyHash, out: &mut Output) {
        let counters = &mut *self.counters;
        let (lookup, hits, misses) = match retrieval.touch {
            None => {
                counters.cmd_get += 1;
                (self.shard.get(key, hash, self.now), &mut counters.get_hits, &mut counters.get_misses)
            }
            Some(exptime) => {
                counters.cmd_touch += 1;
                let deadline = Deadline::from_exptime(exptime, self.now);
                let lookup = self.shard.get_and_touch(key, hash, deadline, self.now);
                (lookup, &mut counters.touch_hits, &mut counters.touch_misses)
            }
        };
        let status = match lookup {
            Lookup::Hit(item) => {
                *hits += 1;
                if let Some(observer) = &mut self.observer {
                    let (status, class, size) = (GetStatus::Found, item.class, item.value.len());
                    observer.observe(&Event::Get { key, status, class, size }, self.now);
                }
                write_item(key, &item, retrieval.with_cas, out);
                return;
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
        self.observe_miss(key, status);
    }

    /// Counts a storage request and gives its reply.
    fn stored(&mut self, mode: StoreMode, outcome: StoreOutcome) -> &'static [u8] {
        self.count_store(matches!(mode, StoreMode::Cas(_)), outcome);
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

    /// Counts an `incr` or `decr` and writes its reply.
    fn computed(&mut self, direction: Arithmetic, outcome: ArithmeticOutcome, out: &mut Output) {
        let (hits, misses) = self.arithmetic_counters(direction);
        match outcome {
            ArithmeticOutcome::Value { number, .. } | ArithmeticOutcome::Created { number, .. } => {
                *hits += 1;
                out.write(|buffer| response::write_number(buffer, number));
            }
            // Neither a version nor a first value is asked for here, so there is always one of the other answers.
            ArithmeticOutcome::NotFound | ArithmeticOutcome::Exists => {
                *misses += 1;
                out.put(response::NOT_FOUND);
            }
            ArithmeticOutcome::NonNumeric => out.put(response::NON_NUMERIC),
            ArithmeticOutcome::OutOfMemory => {
                self.counters.store_no_memory += 1;
                out.put(response::OUT_OF_MEMORY);
            }
        }
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
fn write_item(key: Key<'_>, item: &Item<'_>, with_cas: bool, out: &mut Output) {
    let cas = with_cas.then_some(item.cas);
    match item.value {
        Value::Inline(value) => out.write(|buffer| {
            response::write_value_line(buffer, key, item.flags, value.len(), cas);
            buffer.extend_from_slice(value);
            buffer.extend_from_slice(response::CRLF);
        }),
        Value::Shared(value) => {
            out.write(|buffer| response::write_value_line(buffer, key, item.flags, value.len(), cas));
            out.put_shared(value.clone());
            out.put(response::CRLF);
        }
    }
}
