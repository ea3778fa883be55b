//! A retrieval of many keys whose owners are not all this core.
//!
//! Keys are looked up in windows: at most [`MULTIGET_WINDOW_KEYS`] keys are asked for at a time, split by owner, one
//! letter each, and joined in the order asked. An owner stops at its share of the output limit and leaves the rest
//! unasked; they are asked again once the client has read. So a multi-get of any length holds one window of keys and
//! about one output limit of values (ARCHITECTURE, multi-get).

use crate::limits::{MULTIGET_WINDOW_KEYS, OUTPUT_BACKLOG_MAX};
use crate::protocol::{Keys, Output, Retrieval};
use crate::session::letter::{Letter, Task};
use crate::session::slots::SlotNumber;
use crate::terms::{Key, ShardId};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// To be asked, again or for the first time.
    Unasked,
    /// In a letter under way.
    Asked,
    /// In `letters[letter]`, with so many bytes.
    Answered { letter: usize, len: usize },
}

/// One key of the window.
#[derive(Debug)]
struct Entry {
    start: usize,
    len: usize,
    owner: ShardId,
    state: State,
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
    /// Letters that came home with answers not handed on yet.
    letters: Vec<Box<Letter>>,
    /// Letters under way.
    under_way: usize,
}

impl MultiGet {
    /// Looks up `keys`, and answers in `slot`.
    pub fn new(retrieval: Retrieval, keys: &Keys<'_>, slot: SlotNumber) -> Box<Self> {
        Box::new(Self {
            retrieval,
            slot,
            keys: keys.as_bytes().to_vec(),
            cursor: 0,
            window: Vec::new(),
            joined: 0,
            letters: Vec::new(),
            under_way: 0,
        })
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
    pub fn next_window(&mut self, owner: impl Fn(Key<'_>) -> ShardId) {
        self.window.clear();
        self.joined = 0;
        while self.window.len() < MULTIGET_WINDOW_KEYS {
            let Some((start, end)) = self.next_token() else { break };
            self.cursor = end;
            if let Some(key) = Key::new(&self.keys[start..end]) {
                self.window.push(Entry { start, len: end - start, owner: owner(key), state: State::Unasked });
            }
        }
    }

    /// Puts all keys to be asked into letters, one for each owner, made by `letter`; sends none.
    pub fn ask(&mut self, mut letter: impl FnMut(ShardId) -> Box<Letter>) -> Vec<Box<Letter>> {
        let mut letters: Vec<Box<Letter>> = Vec::new();
        for entry in self.window.iter_mut().filter(|entry| entry.state == State::Unasked) {
            let index = letters.iter().position(|letter| letter.to == entry.owner).unwrap_or_else(|| {
                letters.push(letter(entry.owner));
                letters.len() - 1
            });
            if let Some(key) = Key::new(&self.keys[entry.start..entry.start + entry.len]) {
                letters[index].push_key(key);
            }
            entry.state = State::Asked;
        }
        let reply_len_max = OUTPUT_BACKLOG_MAX / letters.len().max(1);
        for letter in &mut letters {
            letter.slot = Some(self.slot);
            letter.task = Task::Many { retrieval: self.retrieval, reply_len_max };
        }
        self.under_way += letters.len();
        letters
    }

    /// Takes a letter that came home: its keys are answered, or left over and to be asked again.
    pub fn take_home(&mut self, letter: Box<Letter>) {
        self.under_way -= 1;
        let index = self.letters.len();
        let mut pieces = letter.pieces.iter();
        let asked = self.window.iter_mut().filter(|entry| entry.owner == letter.to && entry.state == State::Asked);
        for entry in asked {
            entry.state = pieces.next().map_or(State::Unasked, |&len| State::Answered { letter: index, len });
        }
        self.letters.push(letter);
    }

    /// Moves the answers that are next in order to `out`. Letters that are used up go to `used`.
    pub fn join(&mut self, out: &mut Output, mut used: impl FnMut(Box<Letter>)) {
        while let Some(Entry { state: State::Answered { letter, len }, .. }) = self.window.get(self.joined) {
            self.letters[*letter].reply.move_front(*len, out);
            self.joined += 1;
        }
        if self.window_is_done() {
            self.letters.drain(..).for_each(&mut used);
        }
    }

    /// Whether a key of the window is left over by its owner or not asked for yet.
    pub fn has_unasked(&self) -> bool {
        self.window[self.joined..].iter().any(|entry| entry.state == State::Unasked)
    }

    /// Reply bytes held that are not handed on yet.
    pub fn held(&self) -> usize {
        self.letters.iter().map(|letter| letter.reply.len()).sum()
    }

    fn next_token(&self) -> Option<(usize, usize)> {
        let rest = &self.keys[self.cursor..];
        let start = rest.iter().position(|&byte| byte != b' ')?;
        let len = rest[start..].iter().position(|&byte| byte == b' ').unwrap_or(rest.len() - start);
        Some((self.cursor + start, self.cursor + start + len))
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

    #[test]
    fn answers_are_joined_in_the_order_asked_whatever_each_owner_leaves_over() {
        let line: Vec<String> = (0..200).map(|number| format!("key{number}")).collect();
        let line = line.join(" ");
        for keys_max in [1, 2, 5, 100] {
            let mut multiget = MultiGet::new(RETRIEVAL, &Keys::parse(line.as_bytes()).unwrap(), 0);
            let mut out = Output::default();
            let mut recycled = 0;
            while multiget.has_more_keys() || !multiget.window_is_done() {
                if multiget.window_is_done() {
                    multiget.next_window(owner);
                }
                let mut letters = multiget.ask(|to| {
                    let mut letter = Letter::new(ShardId(0));
                    letter.to = to;
                    letter
                });
                assert!(letters.len() <= 3 && !letters.is_empty());
                // Home in another order than sent.
                while let Some(mut letter) = letters.pop() {
                    answer(&mut letter, keys_max);
                    multiget.take_home(letter);
                    multiget.join(&mut out, |_| recycled += 1);
                }
                assert!(!multiget.is_waiting());
            }
            assert_eq!(out.to_vec(), (line.replace(' ', ";") + ";").as_bytes());
            assert!(recycled >= 4 * 3 && multiget.held() == 0);
        }
    }
}
