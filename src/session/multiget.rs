//! A retrieval of many keys whose owners are not all this core.
//!
//! Keys are looked up in windows: at most [`MULTIGET_WINDOW_KEYS`] keys are asked for at a time, split by owner, one
//! letter each, and joined in the order asked. An owner stops at its share of the output limit and leaves the rest
//! unasked; they are asked again once the client has read. So a multi-get of any length holds one window of keys and
//! about one output limit of values (ARCHITECTURE, multi-get).

use memchr::memchr;

use crate::limits::{MULTIGET_WINDOW_KEYS, OUTPUT_BACKLOG_MAX};
use crate::protocol::{Keys, Output, Retrieval};
use crate::session::letter::{Letter, Task};
use crate::session::slots::SlotNumber;
use crate::terms::{Key, ShardId};

/// One key of the window.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where it stands in the keys.
    start: usize,
    len: u8,
    /// The number of its owner's share.
    share: u8,
}

/// The keys of the window that one core owns. They are answered in order, and other than in a batch not always by one
/// letter: an owner may leave some over.
#[derive(Debug)]
struct Share {
    owner: ShardId,
    /// Whether it is this core, which looks its keys up when it is their turn, without a letter.
    is_own: bool,
    /// The letter that came home, with the answers to the first of those that were asked.
    letter: Option<Box<Letter>>,
    is_under_way: bool,
    /// Answers of the letter that have been handed on.
    joined: usize,
}

impl Share {
    /// Length of the answer to hand on next, if it is here.
    fn next(&self) -> Option<usize> {
        self.letter.as_ref()?.pieces.get(self.joined).copied()
    }
}

/// The state of a multi-get between its letters.
#[derive(Debug)]
pub struct MultiGet {
    /// How keys are looked up.
    pub retrieval: Retrieval,
    /// Where the reply goes.
    pub slot: SlotNumber,
    keys: Vec<u8>,
    /// Keys before this offset have been taken into a window.
    cursor: usize,
    window: Vec<Entry>,
    /// Entries of the window whose answers have been handed on.
    joined: usize,
    shares: Vec<Share>,
    /// Letters under way.
    under_way: usize,
}

impl MultiGet {
    /// Nothing to look up yet.
    pub const fn new() -> Self {
        Self {
            retrieval: Retrieval { with_cas: false, touch: None },
            slot: 0,
            keys: Vec::new(),
            cursor: 0,
            window: Vec::new(),
            joined: 0,
            shares: Vec::new(),
            under_way: 0,
        }
    }

    /// Looks up `keys`, and answers in `slot`.
    pub fn begin(&mut self, retrieval: Retrieval, keys: &Keys<'_>, slot: SlotNumber) {
        (self.retrieval, self.slot) = (retrieval, slot);
        self.keys.extend_from_slice(keys.as_bytes());
    }

    /// Whether a letter is under way.
    pub const fn is_waiting(&self) -> bool {
        self.under_way > 0
    }

    /// Whether every key taken into the window has been answered and handed on.
    pub const fn window_is_done(&self) -> bool {
        self.joined == self.window.len()
    }

    /// The next key that is in no window yet, if `owned` says so; otherwise it stays.
    pub fn take_key_if(&mut self, owned: impl Fn(Key<'_>) -> bool) -> Option<Key<'_>> {
        let (start, end) = self.next_token()?;
        let key = Key::new(&self.keys[start..end])?;
        if !owned(key) {
            return None;
        }
        self.cursor = end;
        Key::new(&self.keys[start..end])
    }

    /// Whether there are keys in no window yet.
    pub fn has_more_keys(&self) -> bool {
        self.next_token().is_some()
    }

    /// Takes the next keys into the window, which must be done.
    pub fn next_window(&mut self, here: ShardId, owner: impl Fn(Key<'_>) -> ShardId) {
        self.window.clear();
        self.shares.clear();
        self.joined = 0;
        while self.window.len() < MULTIGET_WINDOW_KEYS {
            let Some((start, end)) = self.next_token() else { break };
            self.cursor = end;
            let Some(key) = Key::new(&self.keys[start..end]) else { continue };
            let owner = owner(key);
            let share = self.shares.iter().position(|share| share.owner == owner).unwrap_or_else(|| {
                let is_own = owner == here;
                self.shares.push(Share { owner, is_own, letter: None, is_under_way: false, joined: 0 });
                self.shares.len() - 1
            });
            #[expect(clippy::cast_possible_truncation, reason = "a key has at most 250 bytes, a window fewer owners")]
            self.window.push(Entry { start, len: (end - start) as u8, share: share as u8 });
        }
    }

    /// The keys of the window that are this core's and have not been looked up.
    pub fn own_keys(&self) -> impl Iterator<Item = Key<'_>> {
        let rest = self.window.get(self.joined..).unwrap_or_default().iter();
        rest.filter(|entry| self.shares[usize::from(entry.share)].is_own).filter_map(|entry| self.key(*entry))
    }

    fn key(&self, entry: Entry) -> Option<Key<'_>> {
        Key::new(&self.keys[entry.start..entry.start + usize::from(entry.len)])
    }

    /// Puts the keys that come next into letters made by `letter`, one for each other core that holds no answers; sends none.
    /// Letters that are used up go to `used`.
    pub fn ask(
        &mut self,
        mut letter: impl FnMut(ShardId) -> Box<Letter>,
        mut used: impl FnMut(Box<Letter>),
    ) -> Vec<Box<Letter>> {
        for share in self.shares.iter_mut().filter(|share| !share.is_own && share.next().is_none()) {
            share.letter.take().into_iter().for_each(&mut used);
            share.joined = 0;
        }
        let reply_len_max = OUTPUT_BACKLOG_MAX / self.shares.len().max(1);
        for entry in &self.window[self.joined..] {
            let share = &mut self.shares[usize::from(entry.share)];
            if share.letter.is_none() && !share.is_own {
                let mut letter = letter(share.owner);
                letter.slot = Some(self.slot);
                letter.task = Task::Many { retrieval: self.retrieval, reply_len_max };
                share.letter = Some(letter);
                share.is_under_way = true;
            }
            if share.is_under_way
                && let Some(letter) = &mut share.letter
                && let Some(key) = Key::new(&self.keys[entry.start..entry.start + usize::from(entry.len)])
            {
                letter.push_key(key);
            }
        }
        let asked = self.shares.iter_mut().filter(|share| share.is_under_way);
        let letters: Vec<_> = asked.filter_map(|share| share.letter.take()).collect();
        self.under_way += letters.len();
        letters
    }

    /// Takes a letter that came home: its keys are answered, or left over and to be asked again.
    pub fn take_home(&mut self, letter: Box<Letter>) {
        self.under_way -= 1;
        if let Some(share) = self.shares.iter_mut().find(|share| share.owner == letter.to) {
            share.letter = Some(letter);
            share.is_under_way = false;
        }
    }

    /// Moves the answers that are next in order to `out`; `look_up` writes those of this core's keys, until there are `room`
    /// bytes more in `out`. Letters go to `used` when the window is done.
    pub fn join(
        &mut self,
        out: &mut Output,
        room: usize,
        mut look_up: impl FnMut(Key<'_>, &mut Output),
        mut used: impl FnMut(Box<Letter>),
    ) {
        let full = out.len() + room;
        while let Some(&entry) = self.window.get(self.joined) {
            let share = &mut self.shares[usize::from(entry.share)];
            if !share.is_own {
                let Some(len) = share.next() else { return };
                if let Some(letter) = &mut share.letter {
                    letter.reply.move_front(len, out);
                }
                share.joined += 1;
            } else if out.len() >= full {
                return;
            } else if let Some(key) = self.key(entry) {
                look_up(key, out);
            }
            self.joined += 1;
        }
        self.shares.drain(..).filter_map(|share| share.letter).for_each(&mut used);
    }

    /// Whether the key that is next in order is left over by its owner or not asked for yet.
    pub fn has_unasked(&self) -> bool {
        let next = self.window.get(self.joined).map(|entry| &self.shares[usize::from(entry.share)]);
        next.is_some_and(|share| !share.is_own && !share.is_under_way && share.next().is_none())
    }

    /// Reply bytes held that are not handed on yet.
    pub fn held(&self) -> usize {
        self.shares.iter().filter_map(|share| share.letter.as_ref()).map(|letter| letter.reply.len()).sum()
    }

    /// Forgets everything and keeps memory as far as it is of a usual size. Letters go to `used`.
    pub fn recycle(&mut self, used: impl FnMut(Box<Letter>)) {
        const KEYS_KEPT_MAX: usize = 16 << 10;
        self.shares.drain(..).filter_map(|share| share.letter).for_each(used);
        self.window.clear();
        self.keys.clear();
        self.keys.shrink_to(KEYS_KEPT_MAX);
        (self.cursor, self.joined, self.under_way) = (0, 0, 0);
    }

    fn next_token(&self) -> Option<(usize, usize)> {
        let rest = &self.keys[self.cursor..];
        let start = rest.iter().position(|&byte| byte != b' ')?;
        let len = memchr(b' ', &rest[start..]).unwrap_or(rest.len() - start);
        Some((self.cursor + start, self.cursor + start + len))
    }
}

impl Default for MultiGet {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::letter::PackedKeys;

    const RETRIEVAL: Retrieval = Retrieval { with_cas: false, touch: None };

    /// The owner in these tests: the key's last digit, of three shards.
    fn owner(key: Key<'_>) -> ShardId {
        ShardId(u16::from(key.as_bytes().last().map_or(0, |byte| byte % 3)))
    }

    /// Answers a letter with `key;` for each key, leaving all behind the first `keys_max` unanswered.
    fn answer(letter: &mut Letter, keys_max: usize) {
        let data = letter.data.clone();
        for key in PackedKeys(&data).take(keys_max) {
            letter.reply.put(key.as_bytes());
            letter.reply.put(b";");
            letter.pieces.push(key.as_bytes().len() + 1);
        }
    }

    fn look_up(key: Key<'_>, out: &mut Output) {
        out.put(key.as_bytes());
        out.put(b";");
    }

    #[test]
    fn answers_are_joined_in_the_order_asked_whatever_each_owner_leaves_over() {
        let line: Vec<String> = (0..200).map(|number| format!("key{number}")).collect();
        let line = line.join(" ");
        let mut multiget = MultiGet::new();
        for keys_max in [1, 2, 5, 100] {
            multiget.begin(RETRIEVAL, &Keys::parse(line.as_bytes()).unwrap(), 0);
            let mut out = Output::default();
            let mut recycled = 0;
            while multiget.has_more_keys() || !multiget.window_is_done() {
                if multiget.window_is_done() {
                    multiget.next_window(ShardId(0), owner);
                }
                let letter = |to| {
                    let mut letter = Letter::new(ShardId(0));
                    letter.to = to;
                    letter
                };
                let mut letters = multiget.ask(letter, |_| recycled += 1);
                assert!(letters.len() <= 2 && letters.iter().all(|letter| letter.to != ShardId(0)));
                // Home in another order than sent.
                while let Some(mut letter) = letters.pop() {
                    answer(&mut letter, keys_max);
                    multiget.take_home(letter);
                    multiget.join(&mut out, 100, look_up, |_| recycled += 1);
                }
                multiget.join(&mut out, 100, look_up, |_| recycled += 1);
                assert!(!multiget.is_waiting());
            }
            assert_eq!(out.to_vec(), (line.replace(' ', ";") + ";").as_bytes());
            assert!(recycled >= 4 * 2 && multiget.held() == 0);
            multiget.recycle(|_| unreachable!("all are used up"));
        }
    }
}
