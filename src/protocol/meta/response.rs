//! Meta replies, out and in.

use super::request::Flag;
use super::{MetaFlags, write_encoded};
use crate::protocol::tokens::{Tokens, parse_u64, split_token};
use crate::terms::{CasUnique, Deadline, Flags, Key, Now};

/// `MN`
pub const NOOP: &[u8] = b"MN\r\n";

/// The code that a reply begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    /// `VA`: a value of this length follows.
    Value(usize),
    /// `HD`: done, or there, without a value.
    Done,
    /// `EN`: not there.
    Miss,
    /// `NS`: not stored.
    NotStored,
    /// `EX`: another version.
    Exists,
    /// `NF`: not there, for those who wanted to change it.
    NotFound,
}

/// Writes a code.
#[inline]
pub fn write_code(out: &mut Vec<u8>, code: Code) {
    let letters: &[u8; 2] = match code {
        Code::Value(len) => {
            out.extend_from_slice(b"VA ");
            return write_number(out, len as u64);
        }
        Code::Done => b"HD",
        Code::Miss => b"EN",
        Code::NotStored => b"NS",
        Code::Exists => b"EX",
        Code::NotFound => b"NF",
    };
    out.extend_from_slice(letters);
}

/// Writes a number behind a flag's letter: ` <letter><number>`.
#[inline]
pub fn write_flag_number(out: &mut Vec<u8>, letter: u8, number: u64) {
    out.extend_from_slice(&[b' ', letter]);
    write_number(out, number);
}

/// Writes a CAS unique: ` c<unique>`.
pub fn write_cas(out: &mut Vec<u8>, cas: CasUnique) {
    write_flag_number(out, b'c', cas.0);
}

/// Writes client flags: ` f<flags>`.
pub fn write_client_flags(out: &mut Vec<u8>, flags: Flags) {
    write_flag_number(out, b'f', u64::from(flags.0));
}

/// Writes what is left of an item's time, in seconds rounded up: ` t<seconds>`, -1 for no end.
pub fn write_time_left(out: &mut Vec<u8>, deadline: Deadline, now: Now) {
    match deadline.seconds_left(now) {
        Some(seconds) => write_flag_number(out, b't', seconds),
        None => out.extend_from_slice(b" t-1"),
    }
}

/// Writes the key: ` k<key>`, in base64 with ` b` behind it if it is binary.
pub fn write_key(out: &mut Vec<u8>, key: Key<'_>, is_binary: bool) {
    out.extend_from_slice(b" k");
    if is_binary {
        write_encoded(out, key);
        out.extend_from_slice(b" b");
    } else {
        out.extend_from_slice(key.as_bytes());
    }
}

/// Echoes a flag as it was sent: ` <letter><argument>`.
pub fn write_echo(out: &mut Vec<u8>, flag: Flag<'_>) {
    out.extend_from_slice(&[b' ', flag.letter]);
    out.extend_from_slice(flag.argument);
}

/// Writes a reply that shows of the flags only key and opaque.
pub fn write_short(out: &mut Vec<u8>, code: Code, flags: MetaFlags<'_>, key: Key<'_>) {
    write_code(out, code);
    for flag in flags.iter() {
        match flag.letter {
            b'k' => write_key(out, key, flags.has(b'b')),
            b'O' => write_echo(out, flag),
            _ => {}
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// What `me` and the dumps of keys tell about an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ItemFacts {
    /// When it dies.
    pub deadline: Deadline,
    /// Seconds since its last use.
    pub idle_s: u32,
    /// Its version.
    pub cas: CasUnique,
    /// Whether it was fetched since it was stored.
    pub fetched: bool,
    /// Its size class.
    pub class: u8,
    /// Bytes of the whole item.
    pub size: usize,
    /// The client's flags.
    pub flags: Flags,
    /// Whether its key came in base64.
    pub key_is_binary: bool,
}

/// Writes the reply to `me`.
pub fn write_debug(out: &mut Vec<u8>, key: Key<'_>, facts: &ItemFacts, now: Now) {
    out.extend_from_slice(b"ME ");
    if facts.key_is_binary {
        write_encoded(out, key);
    } else {
        out.extend_from_slice(key.as_bytes());
    }
    out.extend_from_slice(b" exp=");
    match facts.deadline.seconds_left(now) {
        Some(seconds) => write_number(out, seconds),
        None => out.extend_from_slice(b"-1"),
    }
    out.extend_from_slice(b" la=");
    write_number(out, u64::from(facts.idle_s));
    out.extend_from_slice(b" cas=");
    write_number(out, facts.cas.0);
    write_common_facts(out, facts);
    out.extend_from_slice(b"\r\n");
}

/// Writes what `me` and `metadump` show alike: ` fetch=<yes|no> cls=<n> size=<n>`.
pub(crate) fn write_common_facts(out: &mut Vec<u8>, facts: &ItemFacts) {
    out.extend_from_slice(if facts.fetched { b" fetch=yes cls=" } else { b" fetch=no cls=" });
    write_number(out, u64::from(facts.class));
    out.extend_from_slice(b" size=");
    write_number(out, facts.size as u64);
}

#[inline]
fn write_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// The line of a reply, as a client reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply<'a> {
    /// A code and its flags.
    Coded(Code, ReplyFlags<'a>),
    /// `MN`
    Noop,
    /// `ME`: what there is to know about an item.
    Debug(&'a [u8]),
}

/// The flags of a reply in their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyFlags<'a>(&'a [u8]);

impl<'a> ReplyFlags<'a> {
    /// The flags.
    pub fn iter(self) -> impl Iterator<Item = Flag<'a>> {
        Tokens(self.0).filter_map(|token| token.split_first().map(|(&letter, argument)| Flag { letter, argument }))
    }

    /// The argument of a flag, if it is there.
    pub fn argument(self, letter: u8) -> Option<&'a [u8]> {
        self.iter().find(|flag| flag.letter == letter).map(|flag| flag.argument)
    }
}

/// Understands the line of a reply, without its end; `None` if it is none of the meta dialect, as error lines are not.
pub fn parse(line: &[u8]) -> Option<Reply<'_>> {
    let (code, rest) = split_token(line);
    let code = match code {
        b"VA" => {
            let (len, flags) = split_token(rest.strip_prefix(b" ")?);
            return Some(Reply::Coded(Code::Value(parse_u64(len)?.try_into().ok()?), ReplyFlags(flags)));
        }
        b"HD" => Code::Done,
        b"EN" => Code::Miss,
        b"NS" => Code::NotStored,
        b"EX" => Code::Exists,
        b"NF" => Code::NotFound,
        b"MN" => return Some(Reply::Noop),
        b"ME" => return Some(Reply::Debug(rest.strip_prefix(b" ")?)),
        _ => return None,
    };
    Some(Reply::Coded(code, ReplyFlags(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::meta::FlagSet;

    #[test]
    fn what_is_written_is_read_again() {
        let now = Now { monotonic_ms: 0, unix_ms: 0 };
        let mut line = Vec::new();
        write_code(&mut line, Code::Value(12));
        write_cas(&mut line, CasUnique(u64::MAX));
        write_client_flags(&mut line, Flags(7));
        write_time_left(&mut line, Deadline::NEVER, now);
        write_key(&mut line, Key::new(b"foo").unwrap(), true);
        write_echo(&mut line, Flag { letter: b'O', argument: b"xyz" });
        assert_eq!(line, b"VA 12 c18446744073709551615 f7 t-1 kZm9v b Oxyz");
        let Some(Reply::Coded(Code::Value(12), flags)) = parse(&line) else { panic!() };
        assert_eq!(flags.argument(b'O'), Some(b"xyz".as_slice()));
        assert_eq!(flags.argument(b'b'), Some(b"".as_slice()));
        assert_eq!(flags.argument(b'W'), None);
        for (code, letters) in [
            (Code::Done, "HD"),
            (Code::Miss, "EN"),
            (Code::NotStored, "NS"),
            (Code::Exists, "EX"),
            (Code::NotFound, "NF"),
        ] {
            let mut line = Vec::new();
            write_code(&mut line, code);
            assert_eq!(line, letters.as_bytes());
            assert!(matches!(parse(&line), Some(Reply::Coded(read, _)) if read == code));
        }
        assert_eq!(parse(b"MN"), Some(Reply::Noop));
        assert_eq!(parse(b"ME k exp=-1"), Some(Reply::Debug(b"k exp=-1")));
        for line in ["", "VA", "VA x", "ERROR", "CLIENT_ERROR bad"] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_short_reply_shows_key_and_opaque_in_their_order() {
        let flags = MetaFlags::from_parts(b"q Oabc v k T30", FlagSet::of(b"qOvkT"));
        let mut line = Vec::new();
        write_short(&mut line, Code::Miss, flags, Key::new(b"foo").unwrap());
        assert_eq!(line, b"EN Oabc kfoo\r\n");
    }
}
