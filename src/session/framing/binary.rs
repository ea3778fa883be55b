//! Where one packet of the binary dialect ends and the next begins.

use super::Frame;
use super::arriving::Arriving;
use crate::limits::{AUTH_TOKEN_LEN_MAX, SHARED_VALUE_LEN_MIN};
use crate::memory::{LargeMemory, LargeValue};
use crate::protocol::Unstorable;
use crate::protocol::binary::request::{After, Command, Parsed, Request, parse};
use crate::protocol::binary::{Opcode, Status, Tag, Verb};
use crate::terms::{CasUnique, Key};

/// One whole thing a client of the binary dialect said.
#[derive(Debug)]
pub enum Packet<'a> {
    /// A packet that stands in the input.
    Whole {
        /// Header, extras and key.
        head: Request<'a>,
        /// The value.
        value: &'a [u8],
    },
    /// A packet whose value has arrived in memory of its own.
    Large(Box<LargePacket>),
    /// A packet whose value has been skipped.
    Unstored(Unstorable, Box<LargePacket>),
    /// A packet that is not executed; it has been skipped, or the connection closes.
    Refused {
        /// What the response repeats.
        tag: Tag,
        /// Why.
        status: Status,
        /// Whether the connection closes.
        close: bool,
    },
}

/// A packet that does not stand in the input as a whole.
#[derive(Debug)]
pub struct LargePacket {
    /// What the response repeats.
    pub tag: Tag,
    /// What the opcode means.
    pub opcode: Opcode,
    /// What is asked for.
    pub command: Command,
    /// The version that the present item must have.
    pub compare: Option<CasUnique>,
    key: Box<[u8]>,
    value: Arriving,
}

impl LargePacket {
    /// The key.
    pub fn key(&self) -> Option<Key<'_>> {
        Key::new(&self.key)
    }

    /// The value; afterwards it is gone from here.
    pub fn take_value(&mut self) -> Option<LargeValue> {
        self.value.take_value()
    }

    fn new(head: &Request<'_>) -> Self {
        Self {
            tag: head.tag,
            opcode: head.opcode,
            command: head.command,
            compare: head.compare,
            key: head.key.into(),
            value: Arriving::new(head.value_len, 0),
        }
    }
}

#[derive(Debug)]
enum State {
    /// At the start of a packet.
    Head,
    /// Within a large value.
    Value(Box<LargePacket>),
    /// Within something that is not wanted; then the packet follows.
    Skip { bytes: usize, then: AfterSkip },
    /// Nothing is read any more.
    Closed,
}

#[derive(Debug)]
enum AfterSkip {
    Refuse { tag: Tag, status: Status },
    Unstored(Unstorable, Box<LargePacket>),
}

/// Cuts the input of a connection of the binary dialect into packets.
#[derive(Debug)]
pub(super) struct PacketFraming {
    state: State,
    /// Whether the client has to authenticate before anything else.
    pub(super) locked: bool,
}

impl PacketFraming {
    pub(super) const fn new(locked: bool) -> Self {
        Self { state: State::Head, locked }
    }

    pub(super) const fn is_between_requests(&self) -> bool {
        matches!(self.state, State::Head | State::Closed)
    }

    /// The value in progress.
    pub(super) fn arriving(&self) -> Option<&Arriving> {
        match &self.state {
            State::Value(large) => Some(&large.value),
            _ => None,
        }
    }

    /// As [`super::Framing::give_up`].
    pub(super) fn give_up(&mut self) {
        if let State::Value(large) = &mut self.state {
            large.take_value();
            let bytes = large.value.missing();
            if let State::Value(large) = std::mem::replace(&mut self.state, State::Head) {
                self.state = State::Skip { bytes, then: AfterSkip::Unstored(Unstorable::OutOfMemory, large) };
            }
        }
    }

    /// As [`super::Framing::next`].
    #[inline]
    pub(super) fn next<'a>(
        &mut self,
        input: &'a [u8],
        item_size_max: usize,
        memory: &mut LargeMemory,
    ) -> (usize, Option<Frame<'a>>) {
        match &mut self.state {
            State::Head => self.head(input, item_size_max, memory),
            State::Closed => (input.len(), None),
            State::Value(large) => {
                let used = large.value.take(input, memory);
                (used, large.value.is_whole().then(|| self.finish()))
            }
            State::Skip { .. } => self.skip_on(input),
        }
    }

    fn head<'a>(
        &mut self,
        input: &'a [u8],
        item_size_max: usize,
        memory: &mut LargeMemory,
    ) -> (usize, Option<Frame<'a>>) {
        let head = match parse(input) {
            Parsed::Request(head) if self.locked && !is_open(head.opcode) => return self.forbid(head.tag, input),
            Parsed::Request(head) => head,
            Parsed::Incomplete(_) => return (0, None),
            Parsed::Foreign => return self.close(input, Frame::Close),
            Parsed::Refused { tag, status, after: After::Close } => return self.close_refused(tag, status, input),
            Parsed::Refused { tag, .. } if self.locked => return self.forbid(tag, input),
            Parsed::Refused { tag, status, after: After::Skip(bytes) } => {
                return self.skip(bytes, AfterSkip::Refuse { tag, status }, input);
            }
        };
        let end = head.head_len + head.value_len;
        let is_auth = matches!(head.opcode.verb, Verb::SaslAuth | Verb::SaslStep);
        if is_auth && head.value_len > AUTH_TOKEN_LEN_MAX {
            let then = AfterSkip::Refuse { tag: head.tag, status: Status::AuthFailure };
            return self.skip(end, then, input);
        }
        if !is_auth && head.value_len > item_size_max {
            let then = AfterSkip::Unstored(Unstorable::TooLarge, Box::new(LargePacket::new(&head)));
            return self.skip(end, then, input);
        }
        if let Some(value) = input.get(head.head_len..end) {
            return (end, Some(Frame::Packet(Packet::Whole { head, value })));
        }
        if head.value_len < SHARED_VALUE_LEN_MIN || is_auth {
            return (0, None);
        }
        self.state = State::Value(Box::new(LargePacket::new(&head)));
        let (used, frame) = self.next(&input[head.head_len..], item_size_max, memory);
        (head.head_len + used, frame)
    }

    fn skip<'a>(&mut self, bytes: usize, then: AfterSkip, input: &'a [u8]) -> (usize, Option<Frame<'a>>) {
        self.state = State::Skip { bytes, then };
        self.skip_on(input)
    }

    fn skip_on<'a>(&mut self, input: &'a [u8]) -> (usize, Option<Frame<'a>>) {
        let State::Skip { bytes, .. } = &mut self.state else { return (0, None) };
        let used = (*bytes).min(input.len());
        *bytes -= used;
        (used, (*bytes == 0).then(|| self.finish()))
    }

    fn finish<'a>(&mut self) -> Frame<'a> {
        Frame::Packet(match std::mem::replace(&mut self.state, State::Head) {
            State::Value(large) => Packet::Large(large),
            State::Skip { then: AfterSkip::Unstored(why, large), .. } => Packet::Unstored(why, large),
            State::Skip { then: AfterSkip::Refuse { tag, status }, .. } => {
                Packet::Refused { tag, status, close: false }
            }
            State::Head | State::Closed => return Frame::Close,
        })
    }

    /// Nothing but authentication is answered before it has succeeded (PROTOCOL §9).
    fn forbid<'a>(&mut self, tag: Tag, input: &'a [u8]) -> (usize, Option<Frame<'a>>) {
        self.close_refused(tag, Status::AuthFailure, input)
    }

    fn close_refused<'a>(&mut self, tag: Tag, status: Status, input: &'a [u8]) -> (usize, Option<Frame<'a>>) {
        self.close(input, Frame::Packet(Packet::Refused { tag, status, close: true }))
    }

    fn close<'a>(&mut self, input: &[u8], frame: Frame<'a>) -> (usize, Option<Frame<'a>>) {
        self.state = State::Closed;
        (input.len(), Some(frame))
    }
}

/// Whether a client may ask this before it has authenticated.
const fn is_open(opcode: Opcode) -> bool {
    matches!(opcode.verb, Verb::SaslList | Verb::SaslAuth | Verb::SaslStep | Verb::Version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::binary::OPCODES;
    use crate::protocol::binary::request::write_raw;
    use crate::session::framing::Framing;
    use crate::session::framing::tests::memory;

    const ITEM_SIZE_MAX: usize = 100_000;

    /// Frames of `input` shown in reads of `step` bytes, each as a short text.
    fn frames(mut framing: Framing, input: &[u8], step: usize) -> Vec<String> {
        let (mut memory, _) = memory(1 << 20);
        let mut pending = Vec::new();
        let mut seen = Vec::new();
        for read in input.chunks(step) {
            pending.extend_from_slice(read);
            loop {
                let (used, frame) = framing.next(&pending, &mut memory);
                let text = frame.map(|frame| match frame {
                    Frame::Packet(Packet::Whole { head, value }) => format!("{:?} {}", head.opcode.verb, value.len()),
                    Frame::Packet(Packet::Large(mut large)) => {
                        let value = large.take_value().unwrap();
                        format!("{:?} {}", large.opcode.verb, value.len())
                    }
                    Frame::Packet(Packet::Unstored(why, large)) => format!("{:?} {why:?}", large.opcode.verb),
                    Frame::Packet(Packet::Refused { status, close, .. }) => format!("{status:?} {close}"),
                    other => format!("{other:?}"),
                });
                pending.drain(..used);
                match text {
                    Some(text) => seen.push(text),
                    None => break,
                }
            }
        }
        seen
    }

    fn packet(opcode: u8, parts: [&[u8]; 3]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_raw(Tag { opcode, opaque: *b"abcd" }, 0, parts, &mut bytes);
        bytes
    }

    fn set(value_len: usize) -> Vec<u8> {
        packet(0x01, [&[0; 8], b"key", &vec![b'v'; value_len]])
    }

    #[test]
    fn the_cut_does_not_matter() {
        let lying = packet(0x00, [b"", b"", b"no key"]);
        let input = [
            set(3),
            packet(0x1b, [&[0; 4], b"key", b"value"]),
            packet(0x0d, [b"", b"key", b""]),
            set(20_000),
            set(ITEM_SIZE_MAX),
            set(ITEM_SIZE_MAX + 1),
            packet(0x21, [b"", b"PLAIN", &vec![b'x'; AUTH_TOKEN_LEN_MAX + 1]]),
            packet(0x0a, [b"", b"", b""]),
            lying,
            set(1),
        ]
        .concat();
        let expected = [
            "Set 3",
            "Unknown false",
            "GetK 0",
            "Set 20000",
            "Set 100000",
            "Set TooLarge",
            "AuthFailure false",
            "Noop 0",
            "Invalid true",
        ];
        for step in [1, 7, 100, 4096, 20_001, input.len()] {
            assert_eq!(frames(Framing::new(ITEM_SIZE_MAX), &input, step), expected, "in reads of {step}");
        }
    }

    #[test]
    fn a_foreign_byte_closes() {
        let input = [set(1), b"get a\r\n".to_vec()].concat();
        for step in [1, input.len()] {
            assert_eq!(frames(Framing::new(ITEM_SIZE_MAX), &input, step), ["Set 1", "Close"]);
        }
        let forced = || Framing::of_dialect(ITEM_SIZE_MAX, crate::protocol::Dialect::Binary, false);
        assert_eq!(frames(forced(), b"get a\r\n", 1), ["Close"]);
    }

    #[test]
    fn before_authentication_only_its_packets_and_the_version_pass() {
        let locked = || Framing::of_dialect(ITEM_SIZE_MAX, crate::protocol::Dialect::Binary, true);
        let open = [packet(0x0b, [b"", b"", b""]), packet(0x21, [b"", b"PLAIN", b"x"])].concat();
        assert_eq!(frames(locked(), &open, 1), ["Version 0", "SaslAuth 1"]);
        for (opcode, verb, _) in OPCODES {
            let len = (0..=20).find(|&len| {
                let head = packet(opcode, [&vec![0; len], b"key", b""]);
                matches!(parse(&head), Parsed::Request(_))
            });
            let is_sasl = matches!(verb, Verb::SaslAuth | Verb::SaslStep);
            if let (Some(len), false) = (len, is_sasl) {
                let input = packet(opcode, [&vec![0; len], b"key", b""]);
                assert_eq!(frames(locked(), &input, 1), ["AuthFailure true"], "{verb:?}");
            }
        }
        // Nothing of a large value is kept.
        let mut framing = locked();
        framing.next(&set(50_000)[..30_000], &mut memory(1 << 20).0);
        assert_eq!(framing.held(), 0);
        let unknown = packet(0x99, [b"", b"", b""]);
        assert_eq!(frames(locked(), &unknown, 1), ["AuthFailure true"]);
    }
}
