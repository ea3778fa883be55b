//! The dialects of memcached: how a request is written and how the head of a reply is read. Pure: bytes in, words out.

mod binary;
mod meta;
mod text;

use crate::workload::keyspace::Keyspace;
use crate::workload::source::Request;

/// As in `--dialect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Dialect {
    /// The classic text commands
    Text,
    /// The meta commands: mg ms md ma
    Meta,
    /// The binary protocol
    Binary,
}

/// How a request is to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writing<'a> {
    /// The number the reply brings back, of the first command if there are several; the text dialect has none.
    pub(crate) opaque: u32,
    /// Say nothing if all is well (and nothing of a miss).
    pub(crate) quiet: bool,
    /// All keys of a multi-get.
    pub(crate) keys: &'a [u64],
}

/// What the head of a reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// A value follows.
    Value,
    /// The end of a retrieval, or of a quiet batch.
    End,
    Stored,
    Deleted,
    Touched,
    /// Done, in a dialect that has one word for it.
    Done,
    /// A counter's new value.
    Number,
    /// No such key, in a retrieval.
    Miss,
    NotFound,
    NotStored,
    Exists,
    /// The server could not, and says so.
    Refused,
}

/// The head of a reply. Its body, if any, follows on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub(crate) word: Word,
    /// How many bytes of it, those of the body not among them.
    pub(crate) len: usize,
    /// Bytes that follow.
    pub(crate) body_len: usize,
    /// Whether a line end follows the body.
    pub(crate) has_line_end: bool,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) unique: u64,
    pub(crate) opaque: Option<u32>,
}

impl<'a> Head<'a> {
    fn word(word: Word, len: usize) -> Head<'a> {
        Head { word, len, body_len: 0, has_line_end: false, key: None, unique: 0, opaque: None }
    }
}

/// What stands at the begin of the bytes that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading<'a> {
    Head(Head<'a>),
    /// Not all of it has come yet.
    Incomplete,
    /// No reply of this dialect: so many bytes of it to show.
    Nonsense(usize),
}

impl Dialect {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Dialect::Text => "text",
            Dialect::Meta => "meta",
            Dialect::Binary => "binary",
        }
    }

    /// Whether replies bring back a number, and quiet requests exist.
    pub(crate) fn has_opaque(self) -> bool {
        self != Dialect::Text
    }

    /// Writes a request; tells how many commands it became, each with the next opaque number.
    pub(crate) fn write(self, request: &Request, writing: Writing<'_>, keyspace: &Keyspace, out: &mut Vec<u8>) -> u32 {
        match self {
            Dialect::Text => text::write(request, writing.keys, keyspace, out),
            Dialect::Meta => meta::write(request, writing, keyspace, out),
            Dialect::Binary => binary::write(request, writing, keyspace, out),
        }
    }

    /// Writes what a server always answers, after all that it has to say of what went before. Not in the text dialect.
    pub(crate) fn write_fence(self, opaque: u32, out: &mut Vec<u8>) {
        match self {
            Dialect::Text | Dialect::Meta => out.extend_from_slice(b"mn\r\n"),
            Dialect::Binary => binary::write_no_op(opaque, out),
        }
    }

    /// Reads the head of a reply at the begin of `bytes`.
    pub(crate) fn read(self, bytes: &[u8]) -> Reading<'_> {
        match self {
            Dialect::Text => text::read(bytes),
            Dialect::Meta => meta::read(bytes),
            Dialect::Binary => binary::read(bytes),
        }
    }

    /// How an error looks: to know an honest refusal.
    pub(crate) fn longest_head(self) -> usize {
        match self {
            // `VALUE`, a key of 250 bytes and three numbers; an error's text is no longer.
            Dialect::Text | Dialect::Meta => 1024,
            Dialect::Binary => 24 + 255 + 250,
        }
    }
}

/// A line's content and its length with the line end; `None` if it has not come whole.
fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr::memchr(b'\n', bytes)?;
    Some((&bytes[..end], end + 1))
}

/// A decimal number, digits only.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(digit.into()) }
    })
}

fn push_number(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10).to_le_bytes()[0];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for wrong in [&b""[..], b"-1", b"+1", b"1 ", b"18446744073709551616", b"1a"] {
            assert_eq!(number(wrong), None);
        }
        for number in [0, 9, 10, 1234, u64::MAX] {
            let mut out = Vec::new();
            push_number(number, &mut out);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }
}
