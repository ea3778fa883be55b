//! Where memcached 1.6.18 is known to answer otherwise: requests that fall under one of these are not sent. Why, and who
//! is right, stands in `tests/behaviour/differences.rs` and docs/PROTOCOL.md §13.

use ringcached::protocol::binary::Opcode;

use crate::stream::{Part, Request};

/// A known difference: its reason, and which requests it touches.
type Known = (&'static str, fn(&Request) -> bool);

const KNOWN: &[Known] = &[
    ("the data of a refused storage line were read as commands", |request| {
        is_storage(request) && (is_long(request.word(1)) || !is_u32(request.word(2)) || !is_exptime(request.word(3)))
            || request.word(0) == "cas" && !is_unique(request.word(5))
            || request.word(0) == "ms" && (is_long(request.word(1)) || has_bad_flag(request))
    }),
    ("an exptime was cut to 32 bits", |request| {
        let exptime = match request.word(0) {
            "touch" => request.word(2),
            "gat" | "gats" => request.word(1),
            _ if is_storage(request) => request.word(3),
            _ => "",
        };
        exptime.parse::<i64>().is_ok_and(|seconds| i32::try_from(seconds).is_err())
    }),
    ("a get with a key too long drops the replies before it", |request| {
        matches!(request.word(0), "get" | "gets" | "gat" | "gats") && request.words.iter().any(|word| is_long(word))
    }),
    ("md told all errors of its flags by one line", |request| request.word(0) == "md" && has_bad_flag(request)),
    (
        "an unknown packet with a key or extras put the connection out of step",
        |request| matches!(request.packet, Some((opcode, true)) if Opcode::of(opcode).is_none()),
    ),
    ("a flag that is no letter was an unknown flag like others", |request| {
        matches!(request.word(0), "mg" | "ma") && request.words.iter().any(|word| word == "!")
    }),
    ("C0 compared with nothing", |request| {
        matches!(request.word(0), "ms" | "ma") && request.words.iter().any(|word| word == "C0")
    }),
    ("a flush to come brought back what one before it had killed", |request| {
        request.word(0) == "flush_all" && request.word(1) == "100" || request.is_flush_to_come()
    }),
    ("there was no shortest line", |request| request.word(0) == "mn" && request.is_bare()),
    ("ma forgot T where the number grew", |request| request.word(0) == "ma" && request.has_flag('T')),
    ("mg and ma with an opaque token too long were executed", |request| {
        matches!(request.word(0), "mg" | "ma")
            && request.words.iter().any(|word| word.starts_with('O') && word.len() > 32)
    }),
    ("ma was not quiet about a number that it made", |request| {
        request.word(0) == "ma" && request.has_flag('q') && request.has_flag('N')
    }),
    ("gat without a key was no error", |request| {
        matches!(request.word(0), "gat" | "gats") && request.word(2).is_empty()
    }),
];

impl Request {
    fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    fn is_flush_to_come(&self) -> bool {
        let is_flush = matches!(self.packet, Some((0x08 | 0x18, true)));
        is_flush && matches!(self.parts.first(), Some(Part::Bytes(bytes)) if bytes.ends_with(&[0, 0, 0, 100]))
    }

    fn has_flag(&self, letter: char) -> bool {
        self.words.iter().skip(2).any(|word| word.starts_with(letter))
    }

    /// Whether the line ends in LF alone.
    fn is_bare(&self) -> bool {
        matches!(self.parts.last(), Some(Part::Bytes(bytes)) if !bytes.ends_with(b"\r\n"))
    }
}

/// Whether a meta request has a flag twice, one that is none, or a key that is not base64 though it says so.
fn has_bad_flag(request: &Request) -> bool {
    let first_flag = if request.word(0) == "ms" { 3 } else { 2 };
    let flags = &request.words[first_flag.min(request.words.len())..];
    let first = |word: &String| word.chars().next();
    let is_known = |word: &String| {
        let rest = &word[1..];
        first(word).is_some_and(|letter| letter.is_ascii_alphabetic() && letter != 'z')
            && (!matches!(first(word), Some('T' | 'N' | 'R' | 'C' | 'D' | 'J')) || rest != "x")
            && word.len() <= 32
    };
    let is_repeated =
        flags.iter().enumerate().any(|(at, word)| flags[..at].iter().any(|other| first(other) == first(word)));
    let is_base64 = flags.iter().any(|word| word == "b");
    is_repeated || !flags.iter().all(is_known) || (is_base64 && !request.word(1).len().is_multiple_of(4))
}

fn is_storage(request: &Request) -> bool {
    matches!(request.word(0), "set" | "add" | "replace" | "append" | "prepend" | "cas")
}

fn is_long(key: &str) -> bool {
    key.len() > 250
}

fn is_u32(flags: &str) -> bool {
    flags.parse::<u32>().is_ok()
}

fn is_unique(unique: &str) -> bool {
    unique == "{unique}" || unique.parse::<u64>().is_ok()
}

fn is_exptime(exptime: &str) -> bool {
    exptime.parse::<i64>().is_ok()
}

/// Why a request is not sent.
pub(crate) fn difference(request: &Request) -> Option<&'static str> {
    KNOWN.iter().find(|(_, touches)| touches(request)).map(|&(reason, _)| reason)
}
