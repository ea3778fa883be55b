//! Packets to requests and requests to packets.
//!
//! Framing is not done here: the session waits until a packet's head (header, extras and key) is there, and for the
//! value behind it. How a packet is refused, and what becomes of the connection then, follows PROTOCOL §7.

use super::{HEADER_LEN, Header, Opcode, REQUEST_MAGIC, Status, Tag, Verb};
use crate::limits::{KEY_LEN_MAX, PACKET_BODY_LEN_MAX};
use crate::protocol::Unstorable;
use crate::terms::{Arithmetic, CasUnique, Exptime, Flags, StoreMode};

/// The exptime with which `incr` and `decr` create nothing.
const CREATE_NOTHING: u32 = u32::MAX;

/// What a packet asks for, with what its extras and its header say about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// `Get`, `GetK`, `Touch`, `GAT`, `GATK`.
    Retrieve {
        /// The new expiry of a hit.
        touch: Option<Exptime>,
    },
    /// `Set`, `Add`, `Replace`.
    Store {
        /// How the present item is treated.
        mode: StoreMode,
        /// The client's flags.
        flags: Flags,
        /// When the new item dies.
        exptime: Exptime,
    },
    /// `Append`, `Prepend`.
    Join(StoreMode),
    /// `Delete`.
    Delete,
    /// `Increment`, `Decrement`.
    Arithmetic {
        /// Up or down.
        direction: Arithmetic,
        /// By how much.
        delta: u64,
        /// What to store where there is nothing, and when that dies; `None` to store nothing.
        create: Option<(u64, Exptime)>,
    },
    /// `Flush`, with or without an exptime.
    Flush(Option<Exptime>),
    /// `No-op`.
    Noop,
    /// `Version`.
    Version,
    /// `Stat`; its key is the argument.
    Stat,
    /// `Quit`.
    Quit,
    /// Which mechanisms of authentication there are.
    SaslList,
    /// A first step of authentication: the key is the mechanism, the value is its business.
    SaslAuth,
    /// A further step.
    SaslStep,
}

/// A packet's head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request<'a> {
    /// What the response repeats.
    pub tag: Tag,
    /// What the opcode means.
    pub opcode: Opcode,
    /// What is asked for.
    pub command: Command,
    /// The version that the present item must have; `None` if the header has 0.
    pub compare: Option<CasUnique>,
    /// The key; empty where the opcode has none, else at most 250 bytes.
    pub key: &'a [u8],
    /// Bytes of header, extras and key.
    pub head_len: usize,
    /// Bytes of the value that follows them.
    pub value_len: usize,
}

/// What a packet asks about one item. It holds no borrowed bytes, so that it travels between cores as it is; key and
/// value travel beside it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ItemRequest {
    /// What the response repeats.
    pub tag: Tag,
    /// What the opcode means.
    pub opcode: Opcode,
    /// What is asked for: one of the commands that have a key, except those of statistics and authentication.
    pub command: Command,
    /// The version that the present item must have.
    pub compare: Option<CasUnique>,
    /// Why there is no value, and nothing is stored.
    pub unstorable: Option<Unstorable>,
}

/// What becomes of the connection after a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum After {
    /// So many bytes, from the packet's first, are skipped; what follows is the next packet.
    Skip(usize),
    /// The lengths cannot be trusted: it is closed.
    Close,
}

/// What the input begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed<'a> {
    /// The head of a legal packet.
    Request(Request<'a>),
    /// A head that is not there as a whole: it takes so many bytes.
    Incomplete(usize),
    /// A packet that is not executed.
    Refused {
        /// What the response repeats.
        tag: Tag,
        /// Why.
        status: Status,
        /// What follows.
        after: After,
    },
    /// No packet: the connection closes without a word.
    Foreign,
}

/// Understands the head of the packet that `input` begins with.
#[inline]
pub fn parse(input: &[u8]) -> Parsed<'_> {
    let Some(header) = input.first_chunk::<HEADER_LEN>() else {
        return match input.first() {
            Some(&magic) if magic != REQUEST_MAGIC => Parsed::Foreign,
            _ => Parsed::Incomplete(HEADER_LEN),
        };
    };
    let header = Header::read(header);
    if header.magic != REQUEST_MAGIC {
        return Parsed::Foreign;
    }
    let tag = header.tag;
    let (key_len, extras_len) = (usize::from(header.key_len), usize::from(header.extras_len));
    let body_len = header.body_len as usize;
    if body_len > PACKET_BODY_LEN_MAX {
        return Parsed::Refused { tag, status: Status::Invalid, after: After::Close };
    }
    let Some(value_len) = body_len.checked_sub(key_len + extras_len) else {
        return Parsed::Refused { tag, status: Status::Unknown, after: After::Close };
    };
    if key_len > KEY_LEN_MAX {
        return Parsed::Refused { tag, status: Status::Invalid, after: After::Close };
    }
    let Some(opcode) = Opcode::of(tag.opcode) else {
        return Parsed::Refused { tag, status: Status::Unknown, after: After::Skip(HEADER_LEN + body_len) };
    };
    if !is_legal(opcode.verb, extras_len, key_len, value_len) {
        return Parsed::Refused { tag, status: Status::Invalid, after: After::Close };
    }
    let head_len = HEADER_LEN + extras_len + key_len;
    let Some(head) = input.get(..head_len) else {
        return Parsed::Incomplete(head_len);
    };
    let (extras, key) = head[HEADER_LEN..].split_at(extras_len);
    let compare = (header.cas != 0).then_some(CasUnique(header.cas));
    let command = command(opcode.verb, Extras(extras));
    Parsed::Request(Request { tag, opcode, command, compare, key, head_len, value_len })
}

/// Whether a packet has the parts that its opcode takes.
#[inline]
const fn is_legal(verb: Verb, extras_len: usize, key_len: usize, value_len: usize) -> bool {
    match verb {
        Verb::Get | Verb::GetK | Verb::Delete => extras_len == 0 && key_len > 0 && value_len == 0,
        Verb::Set | Verb::Add | Verb::Replace => extras_len == 8 && key_len > 0,
        Verb::Append | Verb::Prepend | Verb::SaslAuth | Verb::SaslStep => extras_len == 0 && key_len > 0,
        Verb::Increment | Verb::Decrement => extras_len == 20 && key_len > 0 && value_len == 0,
        Verb::Touch | Verb::Gat | Verb::GatK => extras_len == 4 && key_len > 0 && value_len == 0,
        Verb::Flush => (extras_len == 0 || extras_len == 4) && key_len == 0 && value_len == 0,
        Verb::Stat => extras_len == 0 && value_len == 0,
        Verb::Noop | Verb::Version | Verb::Quit | Verb::SaslList => extras_len == 0 && key_len == 0 && value_len == 0,
    }
}

/// What a verb with these extras, whose length is right, asks for.
#[inline]
fn command(verb: Verb, mut extras: Extras<'_>) -> Command {
    match verb {
        Verb::Get | Verb::GetK => Command::Retrieve { touch: None },
        Verb::Touch | Verb::Gat | Verb::GatK => Command::Retrieve { touch: Some(exptime(extras.u32())) },
        Verb::Set => store(StoreMode::Set, extras),
        Verb::Add => store(StoreMode::Add, extras),
        Verb::Replace => store(StoreMode::Replace, extras),
        Verb::Append => Command::Join(StoreMode::Append),
        Verb::Prepend => Command::Join(StoreMode::Prepend),
        Verb::Delete => Command::Delete,
        Verb::Increment => arithmetic(Arithmetic::Increment, extras),
        Verb::Decrement => arithmetic(Arithmetic::Decrement, extras),
        Verb::Flush if extras.0.is_empty() => Command::Flush(None),
        Verb::Flush => Command::Flush(Some(exptime(extras.u32()))),
        Verb::Noop => Command::Noop,
        Verb::Version => Command::Version,
        Verb::Stat => Command::Stat,
        Verb::Quit => Command::Quit,
        Verb::SaslList => Command::SaslList,
        Verb::SaslAuth => Command::SaslAuth,
        Verb::SaslStep => Command::SaslStep,
    }
}

fn store(mode: StoreMode, mut extras: Extras<'_>) -> Command {
    Command::Store { mode, flags: Flags(extras.u32()), exptime: exptime(extras.u32()) }
}

fn arithmetic(direction: Arithmetic, mut extras: Extras<'_>) -> Command {
    let (delta, initial, expires) = (extras.u64(), extras.u64(), extras.u32());
    let create = (expires != CREATE_NOTHING).then(|| (initial, exptime(expires)));
    Command::Arithmetic { direction, delta, create }
}

/// The exptime of a packet is unsigned: there is none that is over from the start.
fn exptime(seconds: u32) -> Exptime {
    Exptime(i64::from(seconds))
}

/// Numbers of the extras, in their order. What is not there reads as 0.
struct Extras<'a>(&'a [u8]);

impl Extras<'_> {
    fn take<const LEN: usize>(&mut self) -> [u8; LEN] {
        let (bytes, rest) = self.0.split_first_chunk::<LEN>().unwrap_or((&[0; LEN], &[]));
        self.0 = rest;
        *bytes
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.take())
    }
}

impl Request<'_> {
    /// Writes the packet with this value, as a client does. The lengths in `self` are not looked at; the opcode is the
    /// tag's, and an exptime is cut to the 32 bits that it has in a packet.
    pub fn write(&self, value: &[u8], out: &mut Vec<u8>) {
        let mut extras = Vec::new();
        match self.command {
            Command::Store { flags, exptime, .. } => {
                extras.extend_from_slice(&flags.0.to_be_bytes());
                extras.extend_from_slice(&seconds(exptime));
            }
            Command::Retrieve { touch: Some(exptime) } | Command::Flush(Some(exptime)) => {
                extras.extend_from_slice(&seconds(exptime));
            }
            Command::Arithmetic { delta, create, .. } => {
                let nothing = (0, CREATE_NOTHING.to_be_bytes());
                let (initial, expires) = create.map_or(nothing, |(initial, exptime)| (initial, seconds(exptime)));
                extras.extend_from_slice(&delta.to_be_bytes());
                extras.extend_from_slice(&initial.to_be_bytes());
                extras.extend_from_slice(&expires);
            }
            _ => {}
        }
        write_raw(self.tag, self.compare.map_or(0, |unique| unique.0), [&extras, self.key, value], out);
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a packet has room for 32 bits")]
const fn seconds(exptime: Exptime) -> [u8; 4] {
    (exptime.0 as u32).to_be_bytes()
}

/// Writes a packet of these parts (extras, key, value), whatever its opcode makes of them. Parts longer than their
/// field in the header are written whole, with the length cut: a test may want that.
pub fn write_raw(tag: Tag, cas: u64, parts: [&[u8]; 3], out: &mut Vec<u8>) {
    let [extras, key, value] = parts;
    #[expect(clippy::cast_possible_truncation, reason = "as said above")]
    let header = Header {
        magic: REQUEST_MAGIC,
        tag,
        key_len: key.len() as u16,
        extras_len: extras.len() as u8,
        data_type: 0,
        status: 0,
        body_len: (extras.len() + key.len() + value.len()) as u32,
        cas,
    };
    header.write(out);
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::super::OPCODES;
    use super::*;

    const TAG: Tag = Tag { opcode: 0, opaque: [1, 2, 3, 4] };

    fn packet(opcode: u8, cas: u64, parts: [&[u8]; 3]) -> Vec<u8> {
        let mut out = Vec::new();
        write_raw(Tag { opcode, ..TAG }, cas, parts, &mut out);
        out
    }

    /// Legal extras of a verb.
    fn extras(verb: Verb) -> Vec<u8> {
        let len = (0..=20).find(|&len| is_legal(verb, len, 1, 0) || is_legal(verb, len, 0, 0)).unwrap();
        (1..=u8::try_from(len).unwrap()).collect()
    }

    #[test]
    fn what_is_read_is_written() {
        for (byte, verb, quiet) in OPCODES {
            let extras = extras(verb);
            let key: &[u8] = if is_legal(verb, extras.len(), 3, 0) { b"key" } else { b"" };
            let value: &[u8] = if is_legal(verb, extras.len(), key.len(), 5) { b"value" } else { b"" };
            let bytes = packet(byte, 77, [&extras, key, value]);
            let Parsed::Request(request) = parse(&bytes) else { panic!("{verb:?}: {:?}", parse(&bytes)) };
            assert_eq!((request.opcode, request.key), (Opcode { verb, quiet }, key));
            assert_eq!((request.head_len + request.value_len, request.value_len), (bytes.len(), value.len()));
            let mut written = Vec::new();
            request.write(value, &mut written);
            assert_eq!(written, bytes, "{verb:?}");
            // Any cut within the head asks for more, and never for more than the head.
            for cut in 0..request.head_len {
                let Parsed::Incomplete(needed) = parse(&bytes[..cut]) else { panic!("{verb:?} cut at {cut}") };
                assert!(cut < needed && needed <= request.head_len);
            }
        }
    }

    #[test]
    fn extras_are_numbers() {
        let bytes = packet(0x01, 0, [&[0, 0, 0, 7, 0, 0, 0, 9], b"k", b""]);
        let Parsed::Request(request) = parse(&bytes) else { panic!() };
        let expected = Command::Store { mode: StoreMode::Set, flags: Flags(7), exptime: Exptime(9) };
        assert_eq!((request.command, request.compare), (expected, None));
        let mut extras = [0; 20];
        extras[7] = 1;
        extras[15] = 2;
        let create = |bytes: &[u8]| match parse(bytes) {
            Parsed::Request(Request { command: Command::Arithmetic { delta: 1, create, .. }, .. }) => create,
            other => panic!("{other:?}"),
        };
        assert_eq!(create(&packet(0x05, 5, [&extras, b"k", b""])), Some((2, Exptime(0))));
        extras[16..].fill(0xff);
        assert_eq!(create(&packet(0x05, 5, [&extras, b"k", b""])), None);
    }

    #[test]
    fn refusals_say_what_becomes_of_the_connection() {
        let refused = |bytes: &[u8]| match parse(bytes) {
            Parsed::Refused { tag, status, after } => {
                assert_eq!(tag.opaque, TAG.opaque);
                (status, after)
            }
            other => panic!("{other:?}"),
        };
        let invalid = (Status::Invalid, After::Close);
        // Key, extras or value where there may be none, and none where there must be some.
        for (opcode, extras, key, value) in [
            (0x00, 0, 0, 0),
            (0x00, 0, 1, 1),
            (0x00, 4, 1, 0),
            (0x01, 4, 1, 0),
            (0x01, 8, 0, 1),
            (0x05, 0, 1, 0),
            (0x05, 20, 1, 1),
            (0x08, 8, 0, 0),
            (0x08, 0, 1, 0),
            (0x0a, 0, 1, 0),
            (0x0b, 0, 0, 1),
            (0x0e, 8, 1, 1),
            (0x10, 1, 0, 0),
            (0x1c, 0, 1, 0),
        ] {
            let bytes = packet(opcode, 0, [&vec![0; extras], &vec![b'k'; key], &vec![b'v'; value]]);
            assert_eq!(refused(&bytes), invalid, "{opcode:#x} {extras} {key} {value}");
        }
        assert_eq!(refused(&packet(0x00, 0, [b"", &[b'k'; 251], b""])), invalid);
        // An opcode that is not spoken is stepped over as a whole.
        let unknown = packet(0x1b, 0, [&[0; 4], b"key", b"value"]);
        assert_eq!(refused(&unknown), (Status::Unknown, After::Skip(unknown.len())));
        let mut lying = packet(0x00, 0, [b"", b"key", b""]);
        lying[11] = 2;
        assert_eq!(refused(&lying), (Status::Unknown, After::Close));
        lying[8] = 0x40;
        assert_eq!(refused(&lying), invalid);
        lying[0] = 0x81;
        assert_eq!(parse(&lying), Parsed::Foreign);
        assert_eq!(parse(b"get k\r\n"), Parsed::Foreign);
    }
}
