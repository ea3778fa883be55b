//! One conversation: which replies are due, and whether they came, byte by byte. Pure: bytes in, verdicts out.

mod body;
mod expected;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt::Write;

use crate::dialect::{Dialect, Head, Reading, Word, Writing};
use crate::workload::Operation;
use crate::workload::keyspace::{Family, Keyspace};
use crate::workload::source::Request;
use body::{Body, Check};
use expected::{Asked, Expected};

/// What all conversations of a run have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) dialect: Dialect,
    /// Check keys and values, not only the form of replies.
    pub(crate) verify: bool,
    /// Ask the server to say only what must be said.
    pub(crate) quiet: bool,
    /// Keep the requests of what was not found.
    pub(crate) wants_misses: bool,
}

/// A reply came, in its place, and was right or an honest refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) request: Request,
    /// What was given with the request.
    pub(crate) at: u64,
    pub(crate) hits: u32,
    pub(crate) misses: u32,
    /// Of the value, if the reply had one.
    pub(crate) unique: u64,
    pub(crate) is_refused: bool,
}

/// A reply that must not be. Nothing after it on its connection means anything.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// It answers no request.
    Extra(String),
    /// It is not what the request asked for.
    Wrong(String),
}

/// A request that waits for its reply.
struct Pending {
    request: Request,
    at: u64,
    opaque: u32,
    /// Commands on the wire, and so many opaque numbers from `opaque` on.
    commands: u32,
    /// Keys of a multi-get that the reply has not passed; they stand in `keys`.
    keys_left: usize,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Loud,
    /// No reply may be its reply.
    Quiet,
    /// Nobody's request: it flushes out the replies before it.
    Fence,
}

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Hit,
    Miss,
    Refused,
    /// As the values before it said.
    Counted,
}

/// The requests of one connection that wait for replies, and where in the reply to the first of them we are.
///
/// Invariant: `keys` holds, in the order asked, the keys of all multi-gets in `due`, less those that the reply to the
/// first of them has passed already.
pub(crate) struct Conversation {
    manner: Manner,
    due: VecDeque<Pending>,
    fences: usize,
    keys: VecDeque<u64>,
    hits: u32,
    misses: u32,
    unique: u64,
    next_opaque: u32,
    /// The begin of a reply's head whose rest has not come yet.
    carry: Vec<u8>,
    body: Option<Body>,
    expected: Expected,
    /// A key as it should be.
    name: Vec<u8>,
    /// What was not found, if anybody wants to know.
    pub(crate) missed: Vec<Request>,
}

impl Conversation {
    pub(crate) fn new(manner: Manner) -> Conversation {
        Conversation {
            manner,
            due: VecDeque::new(),
            fences: 0,
            keys: VecDeque::new(),
            hits: 0,
            misses: 0,
            unique: 0,
            next_opaque: 0,
            carry: Vec::new(),
            body: None,
            expected: Expected::default(),
            name: Vec::new(),
            missed: Vec::new(),
        }
    }

    /// How many requests wait for their replies.
    pub(crate) fn outstanding(&self) -> usize {
        self.due.len() - self.fences
    }

    /// Writes a request and expects its reply. `keys` are those of a multi-get; `at` comes back with the reply.
    pub(crate) fn ask(&mut self, request: &Request, keys: &[u64], at: u64, keyspace: &Keyspace, out: &mut Vec<u8>) {
        let is_multiget = request.operation == Operation::MultiGet;
        // A compare-and-swap needs the unique that the reply to its gets has: misses may be silent, hits never are.
        let quiet = self.manner.quiet && self.manner.dialect.has_opaque();
        let opaque = self.next_opaque;
        let writing = Writing { opaque, quiet, keys };
        let commands = self.manner.dialect.write(request, writing, keyspace, out);
        self.next_opaque = opaque.wrapping_add(commands);
        let keys_left = if is_multiget { keys.len() } else { 0 };
        if is_multiget {
            self.keys.extend(keys);
        }
        // A multi-get ends in a fence of its own, which is never silent.
        let kind = if quiet && !is_multiget { Kind::Quiet } else { Kind::Loud };
        self.due.push_back(Pending { request: *request, at, opaque, commands, keys_left, kind });
    }

    /// Writes what ends a batch of quiet requests, if there may be silent ones.
    pub(crate) fn end_batch(&mut self, out: &mut Vec<u8>) {
        let Some(last) = self.due.back().filter(|last| last.kind == Kind::Quiet) else { return };
        let (request, at, opaque) = (last.request, last.at, self.next_opaque);
        self.manner.dialect.write_fence(opaque, out);
        self.next_opaque = opaque.wrapping_add(1);
        self.fences += 1;
        self.due.push_back(Pending { request, at, opaque, commands: 1, keys_left: 0, kind: Kind::Fence });
    }

    /// Sets the mark of the last `count` things expected.
    pub(crate) fn mark_last(&mut self, count: usize, at: u64) {
        for pending in self.due.iter_mut().rev().take(count) {
            pending.at = at;
        }
    }

    /// Requests, and fences, that wait.
    pub(crate) fn expected(&self) -> usize {
        self.due.len()
    }

    /// Takes bytes of the server; calls `on_reply` for every reply that they complete.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        keyspace: &Keyspace,
        on_reply: &mut impl FnMut(Reply),
    ) -> Result<(), Violation> {
        if self.carry.is_empty() {
            return self.receive_all(bytes, keyspace, on_reply);
        }
        let mut carry = std::mem::take(&mut self.carry);
        carry.extend_from_slice(bytes);
        self.receive_all(&carry, keyspace, on_reply)
    }

    fn receive_all(
        &mut self,
        mut bytes: &[u8],
        keyspace: &Keyspace,
        on_reply: &mut impl FnMut(Reply),
    ) -> Result<(), Violation> {
        loop {
            if let Some(mut body) = self.body.take() {
                let verdict = body.take(bytes, keyspace);
                bytes = &bytes[verdict.taken..];
                if let Some(fault) = verdict.fault {
                    return Err(Violation::Wrong(format!("the value of {}: {fault}", name_of(body.key(), keyspace))));
                }
                if !body.is_over() {
                    self.body = Some(body);
                    return Ok(());
                }
                if let Some(outcome) = body.outcome {
                    self.complete(outcome, on_reply);
                }
            }
            bytes = &bytes[self.take_expected(bytes, keyspace, on_reply)..];
            if bytes.is_empty() {
                return Ok(());
            }
            match self.manner.dialect.read(bytes) {
                Reading::Head(head) => {
                    let raw = &bytes[..head.len];
                    bytes = &bytes[head.len..];
                    self.receive_head(&head, raw, keyspace, on_reply)?;
                }
                Reading::Incomplete if bytes.len() <= self.manner.dialect.longest_head() => {
                    self.carry.extend_from_slice(bytes);
                    return Ok(());
                }
                Reading::Incomplete => return Err(self.wrong(bytes, keyspace)),
                Reading::Nonsense(len) if self.due.is_empty() => return Err(extra(&bytes[..len])),
                Reading::Nonsense(len) => return Err(self.wrong(&bytes[..len], keyspace)),
            }
        }
    }

    /// Takes the replies at the begin of `bytes` that are just what was expected; tells how many bytes they are.
    fn take_expected(&mut self, bytes: &[u8], keyspace: &Keyspace, on_reply: &mut impl FnMut(Reply)) -> usize {
        let mut taken = 0;
        // Nothing has come of the reply to the first of them.
        while self.hits == 0
            && let Some(pending) = self.due.front().filter(|pending| pending.request.operation == Operation::Get)
            && !self.manner.dialect.has_opaque()
        {
            let key = pending.request.key;
            let rest = &bytes[taken..];
            let len = if self.manner.verify {
                let name = if let Some(name) = keyspace.encoded_name(Family::Item, key) {
                    name
                } else {
                    self.name.clear();
                    keyspace.push_key(Family::Item, key, &mut self.name);
                    &self.name
                };
                self.expected.len_of_reply(rest, Some(&Asked { key, name }), keyspace)
            } else {
                self.expected.len_of_reply(rest, None, keyspace)
            };
            let Some(len) = len else { break };
            taken += len;
            self.complete(Outcome::Hit, on_reply);
        }
        taken
    }

    /// A whole head: the request it answers, and what that means for it.
    fn receive_head(
        &mut self,
        head: &Head<'_>,
        raw: &[u8],
        keyspace: &Keyspace,
        on_reply: &mut impl FnMut(Reply),
    ) -> Result<(), Violation> {
        self.pass_silent(head, on_reply);
        let Some(pending) = self.due.front() else { return Err(extra(raw)) };
        let distance = head.opaque.map(|opaque| opaque.wrapping_sub(pending.opaque));
        if distance.is_some_and(|distance| distance >= pending.commands) {
            return Err(self.wrong(raw, keyspace));
        }
        let (operation, is_text) = (pending.request.operation, !self.manner.dialect.has_opaque());
        let key = pending.request.key;
        match (pending.kind, operation, head.word) {
            (Kind::Fence, _, Word::End) => {
                self.due.pop_front();
                self.fences -= 1;
            }
            (Kind::Fence, ..) => return Err(self.wrong(raw, keyspace)),
            (_, Operation::MultiGet, Word::Value) => {
                let key = self.pass_to_value(head, raw, distance, keyspace)?;
                self.begin_body(head, Family::Item, key, None, keyspace)?;
                self.hits += 1;
            }
            (_, Operation::MultiGet, Word::End) => {
                self.pass_keys(self.due.front().map_or(0, |pending| pending.keys_left));
                self.complete(Outcome::Counted, on_reply);
            }
            // Of one key among many, in a dialect that goes on after it.
            (_, Operation::MultiGet, Word::Refused) if !is_text => self.begin_skip(head, None, on_reply),
            (_, Operation::Get | Operation::Gets | Operation::Gat, Word::Value) => {
                let outcome = (!is_text).then_some(Outcome::Hit);
                if is_text && (self.hits > 0 || !self.is_named(head, key, keyspace)) {
                    return Err(self.wrong(raw, keyspace));
                }
                self.unique = head.unique;
                if operation == Operation::Get && is_text {
                    self.expected.learn(head, raw);
                }
                self.begin_body(head, Family::Item, key, outcome, keyspace)?;
                self.hits += u32::from(is_text);
            }
            (_, Operation::Get | Operation::Gets | Operation::Gat, Word::End) if is_text => {
                let outcome = if self.hits > 0 { Outcome::Counted } else { Outcome::Miss };
                self.complete(outcome, on_reply);
            }
            (_, Operation::Incr, Word::Value) if !is_text => {
                self.begin_body(head, Family::Counter, key, Some(Outcome::Hit), keyspace)?;
            }
            (_, operation, word) => match outcome_of(operation, word) {
                Some(outcome) => self.begin_skip(head, Some(outcome), on_reply),
                None => return Err(self.wrong(raw, keyspace)),
            },
        }
        Ok(())
    }

    /// Ends the quiet requests before the one that this reply belongs to: that nothing came says that all was well, or
    /// of a retrieval that nothing is there.
    fn pass_silent(&mut self, head: &Head<'_>, on_reply: &mut impl FnMut(Reply)) {
        while let Some(pending) = self.due.front().filter(|pending| pending.kind == Kind::Quiet) {
            let is_later = match head.opaque {
                Some(opaque) => {
                    let distance = opaque.wrapping_sub(pending.opaque);
                    distance >= pending.commands && distance < 1 << 31
                }
                None => head.word == Word::End,
            };
            if !is_later {
                break;
            }
            let outcome = match pending.request.operation {
                Operation::Get | Operation::Gets | Operation::Gat | Operation::Touch => Outcome::Miss,
                _ => Outcome::Hit,
            };
            self.complete(outcome, on_reply);
        }
    }

    /// The key of a multi-get that a value belongs to; those before it are misses.
    fn pass_to_value(
        &mut self,
        head: &Head<'_>,
        raw: &[u8],
        distance: Option<u32>,
        keyspace: &Keyspace,
    ) -> Result<u64, Violation> {
        let Some(pending) = self.due.front() else { return Err(extra(b"a value")) };
        let keys_left = pending.keys_left;
        let passed = match distance {
            Some(distance) => {
                // The last command is the fence.
                let keys = pending.commands as usize - 1;
                (distance as usize).checked_sub(keys - keys_left).filter(|passed| *passed < keys_left)
            }
            None => (0..keys_left).find(|passed| self.is_named(head, self.keys[*passed], keyspace)),
        };
        let Some(passed) = passed else { return Err(self.wrong(raw, keyspace)) };
        self.pass_keys(passed);
        let key = self.keys.pop_front().unwrap_or(0);
        if let Some(pending) = self.due.front_mut() {
            pending.keys_left -= 1;
        }
        Ok(key)
    }

    /// The next keys of the multi-get under way are not there.
    fn pass_keys(&mut self, count: usize) {
        let Some(pending) = self.due.front_mut() else { return };
        pending.keys_left -= count;
        self.misses += u32::try_from(count).unwrap_or(u32::MAX);
        let request = pending.request;
        for key in self.keys.drain(..count) {
            if self.manner.wants_misses {
                self.missed.push(Request { key, ..request });
            }
        }
    }

    /// Whether a value's head has the name of this key; not looked at without verification.
    fn is_named(&mut self, head: &Head<'_>, key: u64, keyspace: &Keyspace) -> bool {
        if !self.manner.verify {
            return true;
        }
        self.name.clear();
        keyspace.push_key(Family::Item, key, &mut self.name);
        head.key.is_none_or(|name| name == self.name.as_slice())
    }

    fn begin_body(
        &mut self,
        head: &Head<'_>,
        family: Family,
        key: u64,
        outcome: Option<Outcome>,
        keyspace: &Keyspace,
    ) -> Result<(), Violation> {
        let check = match (self.manner.verify, family) {
            (true, Family::Item) => Check::Value { key },
            (true, Family::Counter) => Check::Digits,
            _ => Check::Nothing,
        };
        if let (Check::Value { key }, Some(due)) = (check, keyspace.expected_len(key))
            && head.body_len != due
        {
            let name = name_of(key, keyspace);
            return Err(Violation::Wrong(format!("the value of {name} is {} bytes long, not {due}", head.body_len)));
        }
        self.body = Some(Body::new(head.body_len, head.has_line_end, check, outcome));
        Ok(())
    }

    /// The request ends behind what follows this head, which is of no interest.
    fn begin_skip(&mut self, head: &Head<'_>, outcome: Option<Outcome>, on_reply: &mut impl FnMut(Reply)) {
        if head.body_len > 0 || head.has_line_end {
            self.body = Some(Body::new(head.body_len, head.has_line_end, Check::Nothing, outcome));
        } else if let Some(outcome) = outcome {
            self.complete(outcome, on_reply);
        }
    }

    #[inline]
    fn complete(&mut self, outcome: Outcome, on_reply: &mut impl FnMut(Reply)) {
        let Some(pending) = self.due.pop_front() else { return };
        // A multi-get that was refused as a whole.
        if pending.keys_left > 0 {
            self.keys.drain(..pending.keys_left);
        }
        let (hits, misses) = match outcome {
            Outcome::Hit => (1, 0),
            Outcome::Miss => (0, 1),
            Outcome::Refused => (0, 0),
            Outcome::Counted => (self.hits, self.misses),
        };
        if outcome == Outcome::Miss && self.manner.wants_misses {
            self.missed.push(pending.request);
        }
        let is_refused = outcome == Outcome::Refused;
        on_reply(Reply { request: pending.request, at: pending.at, hits, misses, unique: self.unique, is_refused });
        (self.hits, self.misses, self.unique) = (0, 0, 0);
    }

    fn wrong(&self, came: &[u8], keyspace: &Keyspace) -> Violation {
        let asked = match self.due.front() {
            Some(pending) if pending.kind == Kind::Fence => "the end of a quiet batch".to_string(),
            Some(pending) => {
                let key = if pending.keys_left > 0 { self.keys.front().copied() } else { None };
                let mut name = Vec::new();
                keyspace.push_key(pending.request.family, key.unwrap_or(pending.request.key), &mut name);
                let name = String::from_utf8_lossy(&name).into_owned();
                format!("{} {name}", pending.request.operation.name())
            }
            None => "nothing".to_string(),
        };
        Violation::Wrong(format!("to {asked} came {}", quote(came)))
    }
}

/// What a word says about a request that no value answers; `None` if it is no reply to it.
fn outcome_of(operation: Operation, word: Word) -> Option<Outcome> {
    Some(match (operation, word) {
        (_, Word::Refused) => Outcome::Refused,
        (
            Operation::Set | Operation::Fill | Operation::Add | Operation::Cas | Operation::Append,
            Word::Stored | Word::Done,
        )
        | (Operation::Touch, Word::Touched | Word::Done)
        | (Operation::Delete, Word::Deleted | Word::Done)
        | (Operation::Incr, Word::Number) => Outcome::Hit,
        // The binary dialect says of an add that the key exists; a counter is made by adding it.
        (Operation::Add | Operation::Fill, Word::NotStored | Word::Exists)
        | (Operation::Append, Word::NotStored | Word::NotFound)
        | (Operation::Cas, Word::Exists | Word::NotFound)
        | (Operation::Touch, Word::NotFound | Word::Miss)
        | (Operation::Delete | Operation::Incr, Word::NotFound)
        | (Operation::Get | Operation::Gets | Operation::Gat, Word::Miss) => Outcome::Miss,
        _ => return None,
    })
}

fn extra(came: &[u8]) -> Violation {
    Violation::Extra(format!("nothing was asked, yet {} came", quote(came)))
}

fn name_of(key: u64, keyspace: &Keyspace) -> String {
    let mut name = Vec::new();
    keyspace.push_key(Family::Item, key, &mut name);
    String::from_utf8_lossy(&name).into_owned()
}

fn quote(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes.iter().take(120) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}", byte.escape_ascii());
    }
    text.push_str(if bytes.len() > 120 { "\"..." } else { "\"" });
    text
}
