//! Gets of one pipeline whose owners are not all this core.
//!
//! They travel in one letter for each owner instead of a letter each, and take one place in the order of replies: what a
//! letter costs there and home is more than all else of a get. Nothing waits for a batch but the replies behind it.

use crate::limits::BATCH_GETS_MAX;
use crate::protocol::Output;
use crate::session::letter::{Letter, Task};
use crate::session::slots::SlotNumber;
use crate::terms::ShardId;

/// Where a part of the joined reply comes from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// From this core, so many bytes.
    Here(usize),
    /// From the letter of this number, the next piece of its reply.
    Letter(u8),
}

/// The gets of one other core.
#[derive(Debug)]
struct Share {
    owner: ShardId,
    gets: u8,
    /// The letter before it is posted, and when it is home.
    letter: Option<Box<Letter>>,
    /// Pieces of its reply that have been joined.
    joined: usize,
}

/// Gets that are on their way, and the replies to those that are not.
#[derive(Debug, Default)]
pub struct Batch {
    sources: Vec<Source>,
    shares: Vec<Share>,
    /// Replies of this core's own.
    own: Output,
    /// Gets in letters.
    remote: usize,
    /// Whether the letters have been taken to be posted.
    is_closed: bool,
    /// Letters that are not home.
    under_way: usize,
}

impl Batch {
    /// Whether no further get may be added.
    pub const fn is_full(&self) -> bool {
        self.remote >= BATCH_GETS_MAX
    }

    /// Adds a get that this core answers itself.
    pub fn put(&mut self, write: impl FnOnce(&mut Output)) {
        let before = self.own.len();
        write(&mut self.own);
        let len = self.own.len() - before;
        match self.sources.last_mut() {
            Some(Source::Here(of_those_before)) => *of_those_before += len,
            _ => self.sources.push(Source::Here(len)),
        }
    }

    /// Adds a get of another core, by its whole line; `letter` makes one for an owner that has none yet.
    pub fn push(&mut self, owner: ShardId, line: &[u8], letter: impl FnOnce() -> Box<Letter>) {
        let number = self.shares.iter().position(|share| share.owner == owner).unwrap_or_else(|| {
            self.shares.push(Share { owner, gets: 0, letter: Some(letter()), joined: 0 });
            self.shares.len() - 1
        });
        let share = &mut self.shares[number];
        share.gets += 1;
        if let Some(letter) = &mut share.letter {
            letter.data.extend_from_slice(line);
        }
        self.remote += 1;
        #[expect(clippy::cast_possible_truncation, reason = "no more letters than gets, which fit (limits.rs)")]
        self.sources.push(Source::Letter(number as u8));
    }

    /// Takes the letters to be posted, and will take no further get.
    pub fn close(&mut self, slot: SlotNumber) -> impl Iterator<Item = Box<Letter>> {
        self.is_closed = true;
        self.under_way = self.shares.len();
        self.shares.iter_mut().filter_map(move |share| {
            let mut letter = share.letter.take()?;
            letter.slot = Some(slot);
            letter.task = Task::Gets { count: share.gets };
            Some(letter)
        })
    }

    /// Takes a letter that came home.
    pub fn take_home(&mut self, letter: Box<Letter>) {
        if let Some(share) = self.shares.iter_mut().find(|share| share.owner == letter.to) {
            debug_assert_eq!(letter.pieces.len(), usize::from(share.gets), "who owns them understands the same lines");
            share.letter = Some(letter);
            self.under_way -= 1;
        }
    }

    /// Whether every reply is here.
    pub const fn is_ready(&self) -> bool {
        self.is_closed && self.under_way == 0
    }

    /// Reply bytes of this core's own.
    pub const fn own_len(&self) -> usize {
        self.own.len()
    }

    /// Reply bytes that are here.
    pub fn held(&self) -> usize {
        let letters = self.shares.iter().filter_map(|share| share.letter.as_ref());
        self.own.len() + letters.map(|letter| letter.reply.len()).sum::<usize>()
    }

    /// Moves all replies to `out`, in the order asked. The batch must be ready.
    pub fn join(&mut self, out: &mut Output) {
        for source in self.sources.drain(..) {
            match source {
                Source::Here(len) => self.own.move_front(len, out),
                Source::Letter(number) => {
                    let share = &mut self.shares[usize::from(number)];
                    if let Some(letter) = &mut share.letter
                        && let Some(&len) = letter.pieces.get(share.joined)
                    {
                        letter.reply.move_front(len, out);
                        share.joined += 1;
                    }
                }
            }
        }
    }

    /// Empties the batch, and keeps its memory as far as that is of a usual size. Its letters go to `used`.
    pub fn recycle(&mut self, used: impl FnMut(Box<Letter>)) {
        const OWN_KEPT_MAX: usize = 16 << 10;
        self.shares.drain(..).filter_map(|share| share.letter).for_each(used);
        self.sources.clear();
        self.own.clear();
        self.own.shrink(OWN_KEPT_MAX);
        (self.remote, self.under_way, self.is_closed) = (0, 0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter_to(owner: ShardId) -> Box<Letter> {
        let mut letter = Letter::new(ShardId(0));
        letter.to = owner;
        letter
    }

    #[test]
    fn replies_are_joined_in_the_order_asked_whoever_is_home_first() {
        let mut batch = Batch::default();
        for _ in 0..2 {
            let mut asked = Vec::new();
            for number in 0..BATCH_GETS_MAX {
                assert!(!batch.is_full());
                let line = format!("get {number}\r\n");
                asked.extend_from_slice(line.as_bytes());
                match u16::try_from(number % 3).unwrap() {
                    0 => batch.put(|out| out.put(line.as_bytes())),
                    owner => batch.push(ShardId(owner), line.as_bytes(), || letter_to(ShardId(owner))),
                }
            }
            let mut letters: Vec<_> = batch.close(7).collect();
            assert_eq!(letters.len(), 2);
            assert!(!batch.is_ready());
            while let Some(mut letter) = letters.pop() {
                assert!(matches!(letter.task, Task::Gets { count: 21 }) && letter.slot == Some(7));
                for line in letter.data.split_inclusive(|&byte| byte == b'\n') {
                    letter.reply.put(line);
                    letter.pieces.push(line.len());
                }
                batch.take_home(letter);
            }
            assert!(batch.is_ready() && batch.held() == asked.len());
            let mut out = Output::default();
            batch.join(&mut out);
            assert_eq!(out.to_vec(), asked);
            let mut used = 0;
            batch.recycle(|_| used += 1);
            assert_eq!((used, batch.held()), (2, 0));
        }
    }

    #[test]
    fn a_batch_is_full_when_so_many_gets_travel() {
        let mut batch = Batch::default();
        for owner in 0..BATCH_GETS_MAX {
            let owner = ShardId(u16::try_from(owner).unwrap());
            batch.put(|out| out.put(b"END\r\n"));
            assert!(!batch.is_full());
            batch.push(owner, b"get k\r\n", || letter_to(owner));
        }
        assert!(batch.is_full());
    }
}
