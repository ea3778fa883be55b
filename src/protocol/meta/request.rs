//! Meta request lines, in and out.

use super::{decode_key, write_encoded};
use crate::limits::{KEY_LEN_MAX, META_OPAQUE_LEN_MAX, META_TOKENS_MAX, VALUE_LEN_ANNOUNCED_MAX};
use crate::protocol::tokens::{
    Tokens, find_key_end, parse_exptime_32, parse_flags, parse_u64, split_long_token, split_token, trim_blanks,
};
use crate::protocol::{Parsed, ProtocolError, Request};
use crate::terms::{Arithmetic, CasUnique, Exptime, Flags, Key, StoreMode};

/// Which meta request. `mn` has no key and no flags, and is none of these.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verb {
    /// `mg`
    Get,
    /// `ms`
    Set,
    /// `md`
    Delete,
    /// `ma`
    Arithmetic,
    /// `me`
    Debug,
}

impl Verb {
    /// The second letter of the command.
    pub const fn letter(self) -> u8 {
        match self {
            Self::Get => b'g',
            Self::Set => b's',
            Self::Delete => b'd',
            Self::Arithmetic => b'a',
            Self::Debug => b'e',
        }
    }
}

/// A set of flag letters.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash, Debug)]
pub struct FlagSet(u64);

impl FlagSet {
    /// All letters that are flags of some meta request (PROTOCOL §4: the alphabet is shared).
    const KNOWN: Self = Self::of(b"bkOqPLvcfsthluCTNRMFIDJEx");
    /// The letters whose argument is looked at.
    const WITH_ARGUMENT: Self = Self::of(b"bTNRCEFJDOM");

    /// These letters.
    pub const fn of(letters: &[u8]) -> Self {
        let mut set = 0;
        let mut index = 0;
        while index < letters.len() {
            set |= bit(letters[index]);
            index += 1;
        }
        Self(set)
    }

    /// Whether the letter is in it.
    #[inline]
    pub const fn has(self, letter: u8) -> bool {
        self.0 & bit(letter) != 0
    }

    /// Whether any of these letters is in it.
    #[inline]
    pub const fn has_any_of(self, letters: Self) -> bool {
        self.0 & letters.0 != 0
    }
}

/// The place of a letter in a [`FlagSet`]. Only letters have one of their own.
const fn bit(letter: u8) -> u64 {
    1 << (letter.wrapping_sub(b'A') & 63)
}

/// One flag: its letter and what is glued to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flag<'a> {
    /// The letter.
    pub letter: u8,
    /// The argument; often empty.
    pub argument: &'a [u8],
}

/// The flags of a request, checked, in their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MetaFlags<'a> {
    text: &'a [u8],
    set: FlagSet,
}

impl<'a> MetaFlags<'a> {
    /// Flags that have been checked before, from their text and letters; as they travel between cores.
    pub const fn from_parts(text: &'a [u8], set: FlagSet) -> Self {
        Self { text, set }
    }

    /// The words of the line.
    pub const fn text(self) -> &'a [u8] {
        self.text
    }

    /// The letters.
    pub const fn set(self) -> FlagSet {
        self.set
    }

    /// Whether the flag is there.
    #[inline]
    pub const fn has(self, letter: u8) -> bool {
        self.set.has(letter)
    }

    /// The flags in their order.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = Flag<'a>> {
        Tokens(self.text).filter_map(|token| {
            let (&letter, argument) = token.split_first()?;
            Some(Flag { letter, argument })
        })
    }

    /// The argument of a flag, if it is there.
    pub fn argument(self, letter: u8) -> Option<&'a [u8]> {
        if !self.has(letter) {
            return None;
        }
        self.iter().find(|flag| flag.letter == letter).map(|flag| flag.argument)
    }

    /// The number of a flag, if it is there.
    pub fn number(self, letter: u8) -> Option<u64> {
        self.argument(letter).and_then(parse_u64)
    }

    /// The version of a flag, if it is there.
    pub fn cas(self, letter: u8) -> Option<CasUnique> {
        self.number(letter).map(CasUnique)
    }

    /// The client's flags (`F`).
    pub fn client_flags(self) -> Option<Flags> {
        self.argument(b'F').and_then(parse_flags)
    }

    /// The exptime of a flag, if it is there.
    pub fn exptime(self, letter: u8) -> Option<Exptime> {
        self.argument(letter).and_then(parse_exptime_32)
    }

    /// How `ms` treats what is there.
    pub fn store_mode(self) -> StoreMode {
        self.argument(b'M').and_then(store_mode).unwrap_or(StoreMode::Set)
    }

    /// Which way `ma` counts.
    pub fn direction(self) -> Arithmetic {
        self.argument(b'M').and_then(direction).unwrap_or(Arithmetic::Increment)
    }
}

/// A meta request, its value apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MetaRequest<'a> {
    /// Which.
    pub verb: Verb,
    /// The key as it stands in the line: in base64 if there is a flag `b`.
    pub token: &'a [u8],
    /// Its flags.
    pub flags: MetaFlags<'a>,
}

impl<'a> MetaRequest<'a> {
    /// The key itself; decoded into `buffer` if need be. A parsed request has one.
    #[inline]
    pub fn key<'b>(&self, buffer: &'b mut [u8; KEY_LEN_MAX]) -> Option<Key<'b>>
    where
        'a: 'b,
    {
        if self.flags.has(b'b') { decode_key(self.token, buffer) } else { Key::new(self.token) }
    }
}

/// What a `get` in the meta dialect begins with.
pub(crate) const GET: &[u8] = b"mg ";

/// Understands the `mg` that most are, given what follows [`GET`]: a key, one blank before each flag, flags without
/// arguments, and the line's end. Gives its length, too, the end included. `None` leaves it to [`parse`], which knows all
/// of them and what is wrong with one.
#[inline(always)]
pub(crate) fn parse_plain_get(input: &[u8]) -> Option<(MetaRequest<'_>, usize)> {
    const PLAIN: FlagSet = FlagSet(FlagSet::KNOWN.0 & !FlagSet::WITH_ARGUMENT.0);
    let key_end = find_key_end(input)?;
    let token = &input[..key_end];
    Key::new(token)?;
    let mut set = FlagSet::default();
    let mut rest = &input[key_end..];
    let end = loop {
        match *rest {
            [b' ', letter, ..] if letter.is_ascii_alphabetic() && PLAIN.has(letter) && !set.has(letter) => {
                set.0 |= bit(letter);
                rest = &rest[2..];
            }
            [b'\r', b'\n', ..] => break 2,
            [b'\n', ..] => break 1,
            _ => return None,
        }
    };
    let text = &input[key_end..input.len() - rest.len()];
    let request = MetaRequest { verb: Verb::Get, token, flags: MetaFlags { text, set } };
    Some((request, key_end + text.len() + end))
}

/// Understands what follows `m` and `letter`; `None` if that is no command.
pub(crate) fn parse(letter: u8, rest: &[u8]) -> Option<Parsed<'_>> {
    let verb = match letter {
        b'g' => Verb::Get,
        b's' => return Some(parse_set(rest)),
        b'd' => Verb::Delete,
        b'a' => Verb::Arithmetic,
        b'e' => Verb::Debug,
        b'n' => return Some(Parsed::Request(Request::MetaNoop)),
        _ => return None,
    };
    let (token, flags) = split_long_token(trim_blanks(rest));
    Some(match parse_flags_of(verb, token, flags, 2) {
        Ok(flags) => Parsed::Request(Request::Meta(MetaRequest { verb, token, flags })),
        Err(error) => Parsed::Refused { error, noreply: false },
    })
}

fn parse_set(rest: &[u8]) -> Parsed<'_> {
    let (token, rest) = split_long_token(trim_blanks(rest));
    let (len, flags) = split_token(trim_blanks(rest));
    // Only a legal length tells how much follows; without one nothing can be skipped (PROTOCOL §4.4).
    let value_len = parse_u64(len).filter(|&len| len <= VALUE_LEN_ANNOUNCED_MAX).and_then(|len| len.try_into().ok());
    let Some(value_len) = value_len else {
        return Parsed::Refused { error: ProtocolError::BadLine, noreply: false };
    };
    match parse_flags_of(Verb::Set, token, flags, 3) {
        Ok(flags) => {
            let request = MetaRequest { verb: Verb::Set, token, flags };
            Parsed::Request(Request::MetaStore { request, value_len })
        }
        Err(error) => Parsed::Skip { bytes: value_len + 2, error, noreply: false },
    }
}

/// Checks key and flags. `before` is the number of words before the flags.
fn parse_flags_of<'a>(verb: Verb, token: &[u8], text: &'a [u8], before: usize) -> Result<MetaFlags<'a>, ProtocolError> {
    if Key::new(token).is_none() {
        return Err(ProtocolError::BadLine);
    }
    if verb == Verb::Debug {
        // It knows this one flag only and minds no other.
        let is_binary = Tokens(text).any(|flag| flag == b"b");
        if is_binary && decode_key(token, &mut [0; KEY_LEN_MAX]).is_none() {
            return Err(ProtocolError::KeyNotDecodable);
        }
        return Ok(MetaFlags { text, set: if is_binary { FlagSet::of(b"b") } else { FlagSet::default() } });
    }
    let mut set = FlagSet::default();
    let mut count = before;
    // Something wrong with an argument; an unknown or repeated letter behind it decides all the same.
    let mut fault = None;
    for flag in Tokens(text) {
        let letter = flag[0];
        count += 1;
        if !(letter.is_ascii_alphabetic() && FlagSet::KNOWN.has(letter)) || set.has(letter) {
            return Err(refuse_letter(verb, letter, set, text, before));
        }
        set.0 |= bit(letter);
        if FlagSet::WITH_ARGUMENT.has(letter)
            && let Some(error) = check_argument(verb, token, letter, &flag[1..])
        {
            fault = Some(later_fault(fault, error));
        }
    }
    if count > META_TOKENS_MAX {
        return Err(ProtocolError::FlagsTooLong);
    }
    match fault {
        None => Ok(MetaFlags { text, set }),
        Some(error) if verb == Verb::Arithmetic && !is_late(error) => Err(ProtocolError::InvalidOrDuplicateFlag),
        Some(error) => Err(error),
    }
}

#[cold]
fn refuse_letter(verb: Verb, letter: u8, seen: FlagSet, text: &[u8], before: usize) -> ProtocolError {
    if before + Tokens(text).count() > META_TOKENS_MAX {
        return ProtocolError::FlagsTooLong;
    }
    if verb == Verb::Arithmetic {
        return ProtocolError::InvalidOrDuplicateFlag;
    }
    if !letter.is_ascii_alphanumeric() {
        ProtocolError::BadLine
    } else if letter.is_ascii_alphabetic() && seen.has(letter) {
        ProtocolError::DuplicateFlag
    } else {
        ProtocolError::InvalidFlag
    }
}

/// What is wrong with the argument of a flag, if anything is.
fn check_argument(verb: Verb, token: &[u8], letter: u8, argument: &[u8]) -> Option<ProtocolError> {
    let (is_good, error) = match letter {
        b'b' => (decode_key(token, &mut [0; KEY_LEN_MAX]).is_some(), ProtocolError::KeyNotDecodable),
        b'T' | b'N' | b'R' => (parse_exptime_32(argument).is_some(), ProtocolError::BadToken),
        b'C' | b'E' => (parse_u64(argument).is_some(), ProtocolError::BadToken),
        b'F' => (parse_flags(argument).is_some(), ProtocolError::BadLine),
        b'J' => (parse_u64(argument).is_some(), ProtocolError::InvalidInitialValue),
        b'D' => (parse_u64(argument).is_some(), ProtocolError::InvalidDeltaValue),
        b'O' => (argument.len() <= META_OPAQUE_LEN_MAX, ProtocolError::OpaqueTooLong),
        b'M' if verb == Verb::Set => (store_mode(argument).is_some(), ProtocolError::InvalidStoreMode),
        b'M' if verb == Verb::Arithmetic => (direction(argument).is_some(), ProtocolError::InvalidArithmeticMode),
        _ => return None,
    };
    (!is_good).then_some(error)
}

/// memcached looks at opaque and mode only once all else is in order, and says so under `ma` too.
const fn is_late(error: ProtocolError) -> bool {
    matches!(
        error,
        ProtocolError::OpaqueTooLong | ProtocolError::InvalidStoreMode | ProtocolError::InvalidArithmeticMode
    )
}

/// Which of two faults is told: the later one. But those that are looked for last, and bad client flags, which have no
/// words of their own, are told only if there is no other.
const fn later_fault(before: Option<ProtocolError>, now: ProtocolError) -> ProtocolError {
    match before {
        Some(before) if matches!(now, ProtocolError::BadLine) && !is_late(before) => before,
        Some(before) if is_late(now) && (!is_late(before) || matches!(before, ProtocolError::OpaqueTooLong)) => before,
        _ => now,
    }
}

/// Only the first letter of a mode counts (PROTOCOL §4.4).
const fn store_mode(argument: &[u8]) -> Option<StoreMode> {
    match argument {
        [b'S', ..] => Some(StoreMode::Set),
        [b'E', ..] => Some(StoreMode::Add),
        [b'A', ..] => Some(StoreMode::Append),
        [b'P', ..] => Some(StoreMode::Prepend),
        [b'R', ..] => Some(StoreMode::Replace),
        _ => None,
    }
}

const fn direction(argument: &[u8]) -> Option<Arithmetic> {
    match argument {
        [b'I' | b'+', ..] => Some(Arithmetic::Increment),
        [b'D' | b'-', ..] => Some(Arithmetic::Decrement),
        _ => None,
    }
}

/// A request line in the making. The key is written in base64 and marked so if it holds what a line cannot.
#[derive(Debug)]
#[must_use = "a line must be ended"]
pub struct Line<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Line<'a> {
    /// Begins a line. `value_len` is for [`Verb::Set`].
    pub fn new(out: &'a mut Vec<u8>, verb: Verb, key: Key<'_>, value_len: Option<usize>) -> Self {
        out.extend_from_slice(&[b'm', verb.letter(), b' ']);
        let is_plain = key.as_bytes().iter().all(u8::is_ascii_graphic);
        if is_plain {
            out.extend_from_slice(key.as_bytes());
        } else {
            write_encoded(out, key);
        }
        let line = Self { out };
        let line = match value_len {
            Some(len) => line.word(b' ', len as u64),
            None => line,
        };
        if is_plain { line } else { line.flag(b'b') }
    }

    /// A flag without an argument.
    pub fn flag(self, letter: u8) -> Self {
        self.out.extend_from_slice(&[b' ', letter]);
        self
    }

    /// A flag with a number.
    pub fn number(self, letter: u8, number: u64) -> Self {
        self.out.push(b' ');
        self.word(letter, number)
    }

    /// A flag with an exptime.
    pub fn exptime(self, letter: u8, exptime: Exptime) -> Self {
        let line = self.flag(letter);
        line.out.extend_from_slice(itoa::Buffer::new().format(exptime.0).as_bytes());
        line
    }

    /// A flag with a text: an opaque, a mode.
    pub fn text(self, letter: u8, text: &[u8]) -> Self {
        let line = self.flag(letter);
        line.out.extend_from_slice(text);
        line
    }

    /// Ends the line; the value of `ms` and its CRLF come after.
    pub fn end(self) {
        self.out.extend_from_slice(b"\r\n");
    }

    fn word(self, first: u8, number: u64) -> Self {
        self.out.push(first);
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        self
    }
}

/// Writes `mn`.
pub fn write_noop(out: &mut Vec<u8>) {
    out.extend_from_slice(b"mn\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Parsed<'_> {
        parse(line.as_bytes()[1], &line.as_bytes()[2..]).unwrap()
    }

    fn error_of(line: &str) -> ProtocolError {
        match parse_line(line) {
            Parsed::Refused { error, noreply: false } | Parsed::Skip { error, noreply: false, .. } => error,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_plain_get_is_understood_as_any_other() {
        let keys = ["k", "a\tb", "", "longer:than:a:word", &"k".repeat(250), &"k".repeat(251)];
        let flags = ["", " v", " v t f k", " v v", " b", " O1", "  v", " v ", " V", " z", " 1", " v\r t", " vt", " M"];
        let (mut plain, mut other) = (0, 0);
        for key in keys {
            for flags in flags {
                for end in ["\n", "\r\n"] {
                    let line = format!("{key}{flags}{end}mg next v\r\n");
                    let Some((request, len)) = parse_plain_get(line.as_bytes()) else {
                        other += 1;
                        continue;
                    };
                    plain += 1;
                    assert_eq!(len, line.find('\n').unwrap() + 1);
                    let text = format!("{key}{flags}");
                    let expected = parse(b'g', text.as_bytes());
                    let is_same = matches!(expected, Some(Parsed::Request(Request::Meta(other))) if other == request);
                    assert!(is_same, "{line:?}");
                }
            }
        }
        assert_eq!((plain, other), (3 * 3 * 2, keys.len() * flags.len() * 2 - 3 * 3 * 2));
        assert!(parse_plain_get(b"key v").is_none() && parse_plain_get(b"key v\r").is_none());
    }

    #[test]
    fn flags_keep_their_order_and_their_arguments() {
        let Parsed::Request(Request::Meta(request)) = parse_line("mg foo  T30 v Oabc   k ") else { panic!() };
        assert_eq!((request.verb, request.token), (Verb::Get, b"foo".as_slice()));
        let flags: Vec<_> = request.flags.iter().map(|flag| (flag.letter, flag.argument)).collect();
        assert_eq!(flags, [(b'T', b"30".as_slice()), (b'v', b""), (b'O', b"abc"), (b'k', b"")]);
        assert_eq!(request.flags.exptime(b'T'), Some(Exptime(30)));
        assert!(request.flags.has(b'k') && !request.flags.has(b'K') && !request.flags.has(b't'));
        assert_eq!(request.flags.exptime(b'N'), None);
    }

    #[test]
    fn each_letter_has_a_place_of_its_own() {
        let letters: Vec<u8> = (b'A'..=b'Z').chain(b'a'..=b'z').collect();
        let bits = letters.iter().fold(0, |bits, &letter| bits | bit(letter));
        assert_eq!(bits.count_ones(), 52);
    }

    #[test]
    fn what_is_wrong_is_told_by_memcacheds_words() {
        let long = format!("mg {}", "k".repeat(251));
        let opaque = format!("mg k O{}", "o".repeat(32));
        let many = "mg k b k Oq P L v c f s t h l u C1 T1 N1 R1 MS F1";
        for (line, error) in [
            ("mg", ProtocolError::BadLine),
            (long.as_str(), ProtocolError::BadLine),
            ("mg k v v", ProtocolError::DuplicateFlag),
            ("mg k z", ProtocolError::InvalidFlag),
            ("mg k S1", ProtocolError::InvalidFlag),
            ("mg k 1", ProtocolError::InvalidFlag),
            ("mg k !", ProtocolError::BadLine),
            ("mg k T", ProtocolError::BadToken),
            ("mg k T1x", ProtocolError::BadToken),
            ("mg k T2147483648", ProtocolError::BadToken),
            ("mg k C-1", ProtocolError::BadToken),
            ("md k F4294967296", ProtocolError::BadLine),
            ("mg k J", ProtocolError::InvalidInitialValue),
            ("mg k Dx", ProtocolError::InvalidDeltaValue),
            ("mg k T1x Fx", ProtocolError::BadToken),
            ("mg k Fx T1x", ProtocolError::BadToken),
            ("mg k T1x Jx", ProtocolError::InvalidInitialValue),
            ("mg k T1x z", ProtocolError::InvalidFlag),
            (opaque.as_str(), ProtocolError::OpaqueTooLong),
            ("mg k b", ProtocolError::KeyNotDecodable),
            (many, ProtocolError::FlagsTooLong),
            ("ms k", ProtocolError::BadLine),
            ("ms k x", ProtocolError::BadLine),
            ("ms k -1", ProtocolError::BadLine),
            ("ms k 2147483646", ProtocolError::BadLine),
            ("ms k 2 Mset", ProtocolError::InvalidStoreMode),
            ("ms k 2 M", ProtocolError::InvalidStoreMode),
            ("ms k 2 Mx T", ProtocolError::BadToken),
            ("ma k MX", ProtocolError::InvalidArithmeticMode),
            ("ma k z", ProtocolError::InvalidOrDuplicateFlag),
            ("ma k v v", ProtocolError::InvalidOrDuplicateFlag),
            ("ma k D", ProtocolError::InvalidOrDuplicateFlag),
            ("ma k b", ProtocolError::InvalidOrDuplicateFlag),
        ] {
            assert_eq!(error_of(line), error, "{line}");
        }
        assert!(matches!(parse_line("ms k 7 z"), Parsed::Skip { bytes: 9, .. }));
        assert!(matches!(parse_line("mn with words"), Parsed::Request(Request::MetaNoop)));
        assert!(matches!(parse_line("me k q z"), Parsed::Request(Request::Meta(_))));
        assert!(parse(b'x', b" k").is_none());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let binary = Key::new(b"a b\n\xff").unwrap();
        for key in [Key::new(b"plain").unwrap(), binary] {
            let mut line = Vec::new();
            Line::new(&mut line, Verb::Set, key, Some(5))
                .flag(b'q')
                .exptime(b'T', Exptime(-1))
                .number(b'C', u64::MAX)
                .text(b'M', b"E")
                .end();
            let text = String::from_utf8(line).unwrap();
            let Parsed::Request(Request::MetaStore { request, value_len: 5 }) = parse_line(text.trim_end()) else {
                panic!("{text}")
            };
            assert_eq!(request.key(&mut [0; KEY_LEN_MAX]), Some(key));
            assert_eq!(request.flags.cas(b'C'), Some(CasUnique(u64::MAX)));
            assert_eq!(request.flags.exptime(b'T'), Some(Exptime(-1)));
            assert_eq!((request.flags.store_mode(), request.flags.has(b'q')), (StoreMode::Add, true));
            assert_eq!(request.flags.has(b'b'), key == binary);
        }
    }
}
