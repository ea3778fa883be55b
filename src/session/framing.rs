//! Where one request ends and the next begins.
//!
//! [`Framing::next`] is given all input that is not consumed yet and says how much of it it has used up. It keeps no
//! copy of lines and small values (they stay in the caller's input until they are whole); a large value moves into
//! memory of its own as it arrives, which becomes the item's. Whatever way the input is cut into reads, the frames are
//! the same (`tests/split.rs`).

mod arriving;
mod binary;
mod locked;

use memchr::memchr;

use crate::limits::{GET_LINE_LEN_MAX, LINE_LEN_MAX, SHARED_VALUE_LEN_MIN};
use crate::memory::{LargeMemory, LargeValue};
use crate::protocol::binary::REQUEST_MAGIC;
use crate::protocol::meta::{FlagSet, MetaFlags, MetaRequest, Verb};
use crate::protocol::{Dialect, Op, Parsed, ProtocolError, Request, StoreHead, Unstorable, text};
use crate::terms::Key;

use arriving::Arriving;
pub use arriving::Lack;
use binary::PacketFraming;
pub use binary::{LargePacket, Packet};
use locked::LockedFraming;

/// One whole thing the client said.
#[derive(Debug)]
pub enum Frame<'a> {
    /// A request without a value.
    Request(Request<'a>),
    /// A storage request whose value stands in the input.
    Store {
        /// The line.
        head: Head<'a>,
        /// The value.
        value: &'a [u8],
    },
    /// A storage request whose value has arrived in memory of its own.
    StoreLarge(Box<LargeStore>),
    /// A storage request whose value has been skipped.
    Unstored(Unstorable, Box<LargeStore>),
    /// Something refused.
    Refused {
        /// Why.
        error: ProtocolError,
        /// Whether the client wants no reply, not even this one.
        noreply: bool,
    },
    /// Something of the binary dialect.
    Packet(Packet<'a>),
    /// Who does not know the password yet has sent this for one: name and password.
    Credentials(&'a [u8]),
    /// The conversation is over, without a word.
    Close,
}

/// A storage request that does not stand in the input as a whole.
#[derive(Debug)]
pub struct LargeStore {
    head: OwnedHead,
    value: Arriving,
}

/// The line of a storage request.
#[derive(Clone, Copy, Debug)]
pub enum Head<'a> {
    /// Of the classic dialect.
    Classic(StoreHead<'a>),
    /// `ms`, and the length of its value.
    Meta(MetaRequest<'a>, usize),
}

impl Head<'_> {
    const fn value_len(&self) -> usize {
        match self {
            Self::Classic(head) => head.value_len,
            Self::Meta(_, value_len) => *value_len,
        }
    }

    /// Whether the client wants no reply, not even an error.
    const fn noreply(&self) -> bool {
        matches!(self, Self::Classic(StoreHead { noreply: true, .. }))
    }
}

/// A line that outlives the input it stood in.
#[derive(Debug)]
enum OwnedHead {
    Classic { op: Op, key: Box<[u8]>, value_len: usize, noreply: bool },
    Meta { token: Box<[u8]>, flags: Box<[u8]>, set: FlagSet, value_len: usize },
}

impl OwnedHead {
    fn new(head: Head<'_>) -> Self {
        match head {
            Head::Classic(StoreHead { op, key, value_len, noreply }) => {
                Self::Classic { op, key: key.as_bytes().into(), value_len, noreply }
            }
            Head::Meta(MetaRequest { token, flags, .. }, value_len) => {
                Self::Meta { token: token.into(), flags: flags.text().into(), set: flags.set(), value_len }
            }
        }
    }

    fn head(&self) -> Option<Head<'_>> {
        Some(match self {
            Self::Classic { op, key, value_len, noreply } => {
                let (op, value_len, noreply) = (*op, *value_len, *noreply);
                Head::Classic(StoreHead { op, key: Key::new(key)?, value_len, noreply })
            }
            Self::Meta { token, flags, set, value_len } => {
                let flags = MetaFlags::from_parts(flags, *set);
                Head::Meta(MetaRequest { verb: Verb::Set, token, flags }, *value_len)
            }
        })
    }
}

impl LargeStore {
    /// The line that announced it.
    pub fn head(&self) -> Option<Head<'_>> {
        self.head.head()
    }

    /// Whether the client wants no reply, not even an error.
    pub fn noreply(&self) -> bool {
        self.head().is_some_and(|head| head.noreply())
    }

    /// The value; afterwards it is gone from here.
    pub fn take_value(&mut self) -> Option<LargeValue> {
        self.value.take_value()
    }

    fn new(head: Head<'_>) -> Self {
        Self { head: OwnedHead::new(head), value: Arriving::new(head.value_len(), 2) }
    }
}

#[derive(Debug)]
enum State {
    /// Before the first byte, which decides about the dialect.
    Start,
    /// In the binary dialect.
    Packets(PacketFraming),
    /// In the text dialect, before the client has authenticated.
    Locked(LockedFraming),
    /// At the start of a line.
    Line,
    /// Within a large value.
    Value(Box<LargeStore>),
    /// Within a value that is not wanted; then the frame follows.
    Skip { bytes: usize, then: AfterSkip },
    /// Within a line that is not wanted; it has been answered already.
    SkipLine,
    /// Nothing is read any more.
    Closed,
}

#[derive(Debug)]
enum AfterSkip {
    Refuse { error: ProtocolError, noreply: bool },
    Unstored(Unstorable, Box<LargeStore>),
}

/// Cuts the input into frames.
#[derive(Debug)]
pub struct Framing {
    state: State,
    /// So much of the input has been searched for a line's end without finding one.
    scanned: usize,
    item_size_max: usize,
}

impl Framing {
    /// Values above `item_size_max` bytes are skipped. The first byte decides about the dialect.
    pub const fn new(item_size_max: usize) -> Self {
        Self { state: State::Start, scanned: 0, item_size_max }
    }

    /// Input of one dialect, whatever it begins with. If it is `locked`, nothing but authentication gets through until
    /// [`Framing::unlock`].
    pub const fn of_dialect(item_size_max: usize, dialect: Dialect, locked: bool) -> Self {
        let state = match dialect {
            Dialect::Text if locked => State::Locked(LockedFraming::new()),
            Dialect::Text => State::Line,
            Dialect::Binary => State::Packets(PacketFraming::new(locked)),
        };
        Self { state, scanned: 0, item_size_max }
    }

    /// The client has authenticated.
    pub fn unlock(&mut self) {
        match &mut self.state {
            State::Locked(_) => self.state = State::Line,
            State::Packets(packets) => packets.locked = false,
            _ => {}
        }
    }

    /// The client has to authenticate anew: it has tried to become somebody else. (The text dialect knows no such way.)
    pub const fn lock(&mut self) {
        if let State::Packets(packets) = &mut self.state {
            packets.locked = true;
        }
    }

    /// The first frame of `input` and the bytes used up, which the caller must not show again. Without a frame more
    /// input is needed, or more of `memory`, see [`Framing::lack`].
    #[inline]
    pub fn next<'a>(&mut self, input: &'a [u8], memory: &mut LargeMemory) -> (usize, Option<Frame<'a>>) {
        if !matches!(self.state, State::Line) {
            self.decide(input);
            if !matches!(self.state, State::Line) {
                return self.unusual(input, memory);
            }
        }
        self.line(input, memory)
    }

    /// Whether the next byte begins a line of a client that may say anything.
    #[inline]
    pub const fn is_at_line(&self) -> bool {
        matches!(self.state, State::Line)
    }

    /// The caller has understood the line that comes next by itself, and does not show it.
    #[inline]
    pub const fn step_over_line(&mut self) {
        self.scanned = 0;
    }

    /// The first byte of all decides about the dialect.
    fn decide(&mut self, input: &[u8]) {
        if let (State::Start, Some(&first)) = (&self.state, input.first()) {
            self.state = match first {
                REQUEST_MAGIC => State::Packets(PacketFraming::new(false)),
                _ => State::Line,
            };
        }
    }

    /// Whether the input may end here without cutting a request in two.
    pub const fn is_between_requests(&self) -> bool {
        match &self.state {
            State::Start | State::Line | State::Closed => true,
            State::Packets(packets) => packets.is_between_requests(),
            State::Locked(locked) => locked.is_between_requests(),
            State::Value(_) | State::Skip { .. } | State::SkipLine => false,
        }
    }

    /// Bytes of memory held for a value in progress.
    pub fn held(&self) -> usize {
        self.arriving().map_or(0, Arriving::held)
    }

    /// What the value in progress has no memory for. It goes on where it stands with the next call of
    /// [`Framing::next`], unless [`Framing::give_up`] is called first.
    pub fn lack(&self) -> Option<Lack> {
        self.arriving().and_then(Arriving::lack)
    }

    /// The value in progress is not stored for want of memory: the rest of it is skipped.
    pub fn give_up(&mut self) {
        match &mut self.state {
            State::Packets(packets) => packets.give_up(),
            State::Value(_) => {
                if let State::Value(mut large) = std::mem::replace(&mut self.state, State::Line) {
                    large.take_value();
                    let bytes = large.value.missing();
                    self.skip(bytes, AfterSkip::Unstored(Unstorable::OutOfMemory, large));
                }
            }
            _ => {}
        }
    }

    fn arriving(&self) -> Option<&Arriving> {
        match &self.state {
            State::Value(large) => Some(&large.value),
            State::Packets(packets) => packets.arriving(),
            _ => None,
        }
    }

    fn line<'a>(&mut self, input: &'a [u8], memory: &mut LargeMemory) -> (usize, Option<Frame<'a>>) {
        let Some(found) = memchr(b'\n', &input[self.scanned..]) else {
            self.scanned = input.len();
            return self.line_without_end(input);
        };
        let line_len = self.scanned + found + 1;
        // Remembered in case the value behind the line is not there yet.
        self.scanned = line_len - 1;
        let line = &input[..line_len];
        if line_len > LINE_LEN_MAX {
            if !text::request::may_grow(line) {
                return self.close(input);
            }
            if line_len > GET_LINE_LEN_MAX {
                self.scanned = 0;
                return (line_len, Some(Frame::Refused { error: ProtocolError::LineTooLong, noreply: false }));
            }
        }
        match text::request::parse(line) {
            Parsed::Request(Request::Store(head)) => self.store(Head::Classic(head), line_len, input, memory),
            Parsed::Request(Request::MetaStore { request, value_len }) => {
                self.store(Head::Meta(request, value_len), line_len, input, memory)
            }
            Parsed::Request(request) => {
                self.scanned = 0;
                (line_len, Some(Frame::Request(request)))
            }
            Parsed::Refused { error, noreply } => {
                self.scanned = 0;
                (line_len, Some(Frame::Refused { error, noreply }))
            }
            Parsed::Skip { bytes, error, noreply } => {
                self.skip(bytes, AfterSkip::Refuse { error, noreply });
                self.rest(line_len, input, memory)
            }
            Parsed::Close => self.close(input),
        }
    }

    fn line_without_end<'a>(&mut self, input: &'a [u8]) -> (usize, Option<Frame<'a>>) {
        if input.len() < LINE_LEN_MAX {
            return (0, None);
        }
        if !text::request::may_grow(input) {
            return self.close(input);
        }
        if input.len() < GET_LINE_LEN_MAX {
            return (0, None);
        }
        self.state = State::SkipLine;
        self.scanned = 0;
        (input.len(), Some(Frame::Refused { error: ProtocolError::LineTooLong, noreply: false }))
    }

    fn store<'a>(
        &mut self,
        head: Head<'a>,
        line_len: usize,
        input: &'a [u8],
        memory: &mut LargeMemory,
    ) -> (usize, Option<Frame<'a>>) {
        let value_len = head.value_len();
        let end = line_len + value_len;
        if value_len > self.item_size_max {
            let large = Box::new(LargeStore::new(head));
            self.skip(value_len + 2, AfterSkip::Unstored(Unstorable::TooLarge, large));
            return self.rest(line_len, input, memory);
        }
        if let Some(terminator) = input.get(end..end + 2) {
            self.scanned = 0;
            let frame = if terminator == b"\r\n" {
                Frame::Store { head, value: &input[line_len..end] }
            } else {
                Frame::Refused { error: ProtocolError::BadDataChunk, noreply: head.noreply() }
            };
            return (end + 2, Some(frame));
        }
        if value_len < SHARED_VALUE_LEN_MIN {
            return (0, None);
        }
        self.state = State::Value(Box::new(LargeStore::new(head)));
        self.scanned = 0;
        self.rest(line_len, input, memory)
    }

    /// Goes on behind the line, in the state just entered.
    fn rest<'a>(&mut self, line_len: usize, input: &'a [u8], memory: &mut LargeMemory) -> (usize, Option<Frame<'a>>) {
        let (used, frame) = self.unusual(&input[line_len..], memory);
        (line_len + used, frame)
    }

    fn unusual<'a>(&mut self, input: &'a [u8], memory: &mut LargeMemory) -> (usize, Option<Frame<'a>>) {
        match &mut self.state {
            State::Packets(packets) => packets.next(input, self.item_size_max, memory),
            // There is no first byte yet; lines have been looked at before.
            State::Start | State::Line => (0, None),
            State::Locked(locked) => match locked.next(input) {
                (_, Some(Frame::Close)) => self.close(input),
                other => other,
            },
            State::Closed => (input.len(), None),
            State::SkipLine => match memchr(b'\n', input) {
                Some(end) => {
                    self.state = State::Line;
                    (end + 1, None)
                }
                None => (input.len(), None),
            },
            State::Value(large) => {
                let used = large.value.take(input, memory);
                (used, large.value.is_whole().then(|| self.finish_value()))
            }
            State::Skip { bytes, .. } => {
                let used = (*bytes).min(input.len());
                *bytes -= used;
                (used, (*bytes == 0).then(|| self.finish_skip()))
            }
        }
    }

    fn finish_value<'a>(&mut self) -> Frame<'a> {
        match std::mem::replace(&mut self.state, State::Line) {
            State::Value(large) if large.value.tail() == b"\r\n" => Frame::StoreLarge(large),
            State::Value(large) => Frame::Refused { error: ProtocolError::BadDataChunk, noreply: large.noreply() },
            _ => Frame::Close,
        }
    }

    fn finish_skip<'a>(&mut self) -> Frame<'a> {
        match std::mem::replace(&mut self.state, State::Line) {
            State::Skip { then: AfterSkip::Refuse { error, noreply }, .. } => Frame::Refused { error, noreply },
            State::Skip { then: AfterSkip::Unstored(why, large), .. } => Frame::Unstored(why, large),
            _ => Frame::Close,
        }
    }

    fn skip(&mut self, bytes: usize, then: AfterSkip) {
        self.state = State::Skip { bytes, then };
        self.scanned = 0;
    }

    fn close<'a>(&mut self, input: &[u8]) -> (usize, Option<Frame<'a>>) {
        self.state = State::Closed;
        (input.len(), Some(Frame::Close))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::memory::{Budget, NoMemory, PAGE_LEN};

    pub(super) fn memory(limit: usize) -> (LargeMemory, Arc<Budget>) {
        let budget = Arc::new(Budget::new(limit));
        (LargeMemory::reserve(Arc::clone(&budget), 64 << 20, 1 << 20).unwrap(), budget)
    }

    /// Frames of `input` shown in reads of `step` bytes, each as a short text.
    fn frames(input: &[u8], step: usize) -> Vec<String> {
        let mut framing = Framing::new(100_000);
        let (mut memory, _) = memory(1 << 20);
        let mut pending = Vec::new();
        let mut seen = Vec::new();
        for read in input.chunks(step) {
            pending.extend_from_slice(read);
            loop {
                let (used, frame) = framing.next(&pending, &mut memory);
                let Some(frame) = frame else {
                    pending.drain(..used);
                    // Skipping a line ends without a frame but leaves input to look at.
                    if used > 0 && !pending.is_empty() {
                        continue;
                    }
                    break;
                };
                seen.push(match frame {
                    Frame::Request(request) => format!("{request:?}").chars().take(12).collect(),
                    Frame::Store { value, .. } => format!("store {}", value.len()),
                    Frame::StoreLarge(mut large) => format!("store {}", large.take_value().unwrap().len()),
                    Frame::Unstored(why, large) => format!("{why:?} {:?}", large.noreply()),
                    Frame::Refused { error, .. } => format!("{error:?}"),
                    Frame::Packet(packet) => panic!("lines, and no {packet:?}"),
                    Frame::Credentials(_) => panic!("no password is needed"),
                    Frame::Close => "close".to_owned(),
                });
                pending.drain(..used);
            }
        }
        seen
    }

    #[test]
    fn the_cut_does_not_matter() {
        let mut input = b"set a 0 0 3\r\nabc\r\nget a\r\nset b 0 x 3\r\nxyz\r\nset c 0 0 3\r\nabcdeset".to_vec();
        input.extend_from_slice(b"\r\nset d 0 0 20000\r\n");
        input.extend(vec![b'v'; 20_000]);
        input.extend_from_slice(b"\r\nset e 0 0 100001 noreply\r\n");
        input.extend(vec![b'v'; 100_003]);
        input.extend_from_slice(b"quit\r\n");
        let whole = frames(&input, input.len());
        assert_eq!(
            whole,
            ["store 3", "Retrieve(Ret", "BadLine", "BadDataChunk", "BadLine", "store 20000", "TooLarge true", "Quit"]
        );
        for step in [1, 2, 3, 7, 100, 4096, 20_001] {
            assert_eq!(frames(&input, step), whole, "in reads of {step}");
        }
    }

    #[test]
    fn a_line_without_end_closes_unless_it_is_a_get() {
        let long = vec![b'x'; LINE_LEN_MAX];
        assert_eq!(frames(&long[1..], 100), [] as [&str; 0]);
        for step in [1, 100, 5000] {
            assert_eq!(frames(&long, step), ["close"]);
            let with_end = [&long[..], b"\r\n"].concat();
            assert_eq!(frames(&with_end, step), ["close"]);
        }
        let get = [b"get ", [b'k'; 200].as_slice(), &b" k".repeat(2000), b"\r\n"].concat();
        assert_eq!(frames(&get, 100), ["Retrieve(Ret"]);
    }

    #[test]
    fn a_get_beyond_its_limit_is_refused_once_and_skipped() {
        let get = [b"get ".as_slice(), &b" k".repeat(GET_LINE_LEN_MAX / 2), b"\r\nversion\r\n"].concat();
        for step in [65_536, get.len()] {
            assert_eq!(frames(&get, step), ["LineTooLong", "Version"]);
        }
    }

    #[test]
    fn an_announced_value_holds_the_pages_that_arrived() {
        let (mut memory, budget) = memory(64 << 20);
        let mut framing = Framing::new(1 << 30);
        framing.next(b"set k 0 0 30000000\r\n", &mut memory);
        assert_eq!((framing.held(), budget.taken()), (0, 0));
        let piece = vec![b'v'; 10_000];
        for arrived in 1..=2000_usize {
            assert_eq!(framing.next(&piece, &mut memory).0, piece.len());
            assert_eq!(framing.held(), (arrived * piece.len()).next_multiple_of(PAGE_LEN));
            assert_eq!(framing.held(), budget.taken());
        }
        drop(framing);
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn a_value_without_memory_waits_and_goes_on_or_is_skipped() {
        let value = vec![b'v'; 50_000];
        for gives_up in [false, true] {
            let (mut memory, budget) = memory(5 * PAGE_LEN);
            let mut framing = Framing::new(1 << 20);
            let head = b"set k 0 0 50000\r\n";
            assert_eq!(framing.next(&[head, &value[..20_000]].concat(), &mut memory).0, head.len() + 20_000);
            for _ in 0..2 {
                assert!(matches!(framing.next(&value[20_000..], &mut memory), (0, None)));
                let lack = Lack { why: NoMemory::Limit, arrived: 20_000, missing: 30_000 };
                assert_eq!(framing.lack(), Some(lack));
            }
            let rest = [&value[20_000..], b"\r\nget k\r\n"].concat();
            if gives_up {
                framing.give_up();
                assert_eq!((framing.held(), budget.taken()), (0, 0));
                assert!(matches!(
                    framing.next(&rest, &mut memory),
                    (30_002, Some(Frame::Unstored(Unstorable::OutOfMemory, _)))
                ));
            } else {
                budget.set_limit(1 << 20);
                let (used, Some(Frame::StoreLarge(mut large))) = framing.next(&rest, &mut memory) else {
                    panic!("memory is there")
                };
                assert_eq!((used, &large.take_value().unwrap().bytes()[..]), (30_002, &value[..]));
            }
            assert!(matches!(framing.next(b"get k\r\n", &mut memory), (7, Some(Frame::Request(_)))));
        }
    }
}
