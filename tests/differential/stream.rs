//! Streams of requests from a seed: most of them legal, some of them nearly.

use std::fmt;

use ringcached::protocol::binary::request::write_raw;
use ringcached::protocol::binary::{OPCODES, Opcode, Tag, Verb};

use crate::cluster::Random;

/// What a stream is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialect {
    Text,
    Meta,
    Binary,
}

/// Items that are there before each stream.
pub(crate) const STAGE: [(&str, &str); 3] = [("a", "5"), ("b", "value"), ("staged", "18446744073709551610")];

/// A piece of a request.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Bytes(Vec<u8>),
    /// The CAS unique that an item of the stage had at the beginning, as a number.
    UniqueDecimal(&'static str),
    /// The same as eight bytes.
    UniqueBytes(&'static str),
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) parts: Vec<Part>,
    /// Of text, the words of its line.
    pub(crate) words: Vec<String>,
    /// Of a packet, its header's opcode and whether it has a body.
    pub(crate) packet: Option<(u8, bool)>,
    /// Whether it stores an empty value.
    pub(crate) is_empty: bool,
}

impl Request {
    /// Whether a number is changed.
    fn counts(&self) -> bool {
        matches!(self.words.first().map(String::as_str), Some("incr" | "decr" | "ma"))
            || matches!(self.verb(), Some(Verb::Increment | Verb::Decrement))
    }

    /// Whether something is put to the end or the front of an item.
    fn joins(&self) -> bool {
        self.words.iter().any(|word| matches!(word.as_str(), "append" | "prepend" | "MA" | "MP"))
            || matches!(self.verb(), Some(Verb::Append | Verb::Prepend))
    }

    /// Whether an item is shown.
    fn reads(&self) -> bool {
        matches!(self.words.first().map(String::as_str), Some("get" | "gets" | "gat" | "gats" | "mg"))
            || matches!(self.verb(), Some(Verb::Get | Verb::GetK | Verb::Gat | Verb::GatK | Verb::Touch))
    }

    fn verb(&self) -> Option<Verb> {
        self.packet.and_then(|(opcode, _)| Opcode::of(opcode)).map(|opcode| opcode.verb)
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Bytes(bytes) if bytes.len() > 400 => {
                    write!(f, "{} ... {} bytes", bytes[..100].escape_ascii(), bytes.len())?;
                }
                Part::Bytes(bytes) => write!(f, "{}", bytes.escape_ascii())?,
                Part::UniqueDecimal(key) | Part::UniqueBytes(key) => write!(f, "{{cas of {key}}}")?,
            }
        }
        Ok(())
    }
}

/// What each stream ends with.
pub(crate) fn the_end(dialect: Dialect) -> Vec<u8> {
    match dialect {
        Dialect::Text | Dialect::Meta => b"mg the-end k Othe-end\r\n".to_vec(),
        Dialect::Binary => {
            let mut bytes = Vec::new();
            write_raw(Tag { opcode: 0x0c, opaque: *b"end." }, 0, [b"", b"the-end", b""], &mut bytes);
            bytes
        }
    }
}

/// What the reply to the end ends with.
pub(crate) fn end_mark(dialect: Dialect) -> Vec<u8> {
    match dialect {
        Dialect::Text | Dialect::Meta => b"EN kthe-end Othe-end\r\n".to_vec(),
        Dialect::Binary => b"the-end".to_vec(),
    }
}

/// What a stream may hold. memcached changes a number in place, padded with blanks, unless a reply that shows it still
/// waits to be sent; then it makes a new item, without blanks and with nothing remembered. When replies are sent depends
/// on how the stream is cut, so numbers are changed where nothing is read before the end. Joining makes a new item too,
/// so meta does not ask what is remembered where something is joined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flavour {
    Reading,
    Joining,
    Counting,
}

/// A stream of `len` requests.
pub(crate) fn generate(random: &mut Random, dialect: Dialect, len: usize) -> Vec<Request> {
    let flavour = [Flavour::Reading, Flavour::Joining, Flavour::Counting][random.below(3)];
    // Long values come where every length is right: a long line of text ends the connection, and memcached drops the
    // replies before it then.
    let long = random.once(4);
    let mut requests = Vec::new();
    while requests.len() < len {
        let request = match dialect {
            Dialect::Text => text(random, long),
            Dialect::Meta if random.once(3) => text(random, long),
            Dialect::Meta => meta(random, flavour, long),
            Dialect::Binary => packet(random),
        };
        let fits = match flavour {
            Flavour::Reading => !request.counts() && !request.joins(),
            Flavour::Joining => !request.counts(),
            // memcached looks at the version of an empty value only after it has found that it is no number.
            Flavour::Counting => !request.reads() && !request.joins() && !request.is_empty,
        };
        if fits {
            requests.push(request);
        }
    }
    if flavour == Flavour::Counting {
        let show = |key: &&str| match dialect {
            Dialect::Text => line(vec!["gets".to_owned(), (*key).to_owned()], None, None, "\r\n"),
            Dialect::Meta => {
                let words = ["mg", key, "s", "f", "t", "c", "v"].map(str::to_owned);
                line(words.to_vec(), None, None, "\r\n")
            }
            Dialect::Binary => {
                let mut bytes = Vec::new();
                write_raw(Tag { opcode: 0x0c, opaque: *b"show" }, 0, [b"", key.as_bytes(), b""], &mut bytes);
                Request {
                    parts: vec![Part::Bytes(bytes)],
                    words: Vec::new(),
                    packet: Some((0x0c, true)),
                    is_empty: false,
                }
            }
        };
        requests.extend(KEYS.iter().map(show));
    }
    if dialect == Dialect::Binary && random.once(4) {
        requests.push(broken_packet(random));
    }
    requests
}

const KEYS: [&str; 8] = ["a", "a", "b", "b", "staged", "c", "d", "none"];

fn key(random: &mut Random) -> String {
    match random.below(60) {
        0 => "k".repeat(250),
        1 => "k".repeat(251),
        2 => "\u{1}\t\u{7f}".to_owned(),
        _ => KEYS[random.below(KEYS.len())].to_owned(),
    }
}

/// No minus among them: memcached takes a number above 2^63 for none if there is one anywhere behind it in memory.
fn value(random: &mut Random, long: bool) -> Vec<u8> {
    let number = ["0", "5", "99", "100", "18446744073709551615", "18446744073709551616", "007", "+1", "12"];
    match random.below(40) {
        0 => vec![b'v'; 300],
        1 if long => vec![b'w'; 5000],
        2 if long => vec![b'x'; 16_383 + random.below(3)],
        // Not alone: memcached reads a number behind the end of a value of blanks.
        3 => b"a\r\n".to_vec(),
        4 => Vec::new(),
        5..20 => number[random.below(number.len())].into(),
        _ => (0..random.below(20)).map(|_| b'a' + u8::try_from(random.below(26)).unwrap()).collect(),
    }
}

fn exptime(random: &mut Random) -> &'static str {
    let legal = ["0", "0", "0", "0", "100", "1000", "-1", "2592000", "4000000000"];
    let any = ["x", "", "1x", "99999999999", "0.5"];
    if random.once(30) { any[random.below(any.len())] } else { legal[random.below(legal.len())] }
}

fn number(random: &mut Random) -> &'static str {
    let legal = ["0", "1", "1", "5", "95", "18446744073709551615"];
    let any = ["x", "-1", "", "18446744073709551616", "1x"];
    if random.once(20) { any[random.below(any.len())] } else { legal[random.below(legal.len())] }
}

fn flags(random: &mut Random) -> &'static str {
    let legal = ["0", "0", "7", "4294967295"];
    let any = ["x", "-1", "4294967296"];
    if random.once(30) { any[random.below(any.len())] } else { legal[random.below(legal.len())] }
}

/// A line of these words, and what follows it.
fn line(words: Vec<String>, unique: Option<&'static str>, data: Option<Vec<u8>>, end: &str) -> Request {
    let is_empty = data.as_ref().is_some_and(Vec::is_empty);
    let mut parts = Vec::new();
    let mut bytes = Vec::new();
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            bytes.push(b' ');
        }
        match word.split_once("{unique}") {
            Some((before, after)) => {
                bytes.extend_from_slice(before.as_bytes());
                parts.push(Part::Bytes(std::mem::take(&mut bytes)));
                parts.push(Part::UniqueDecimal(unique.unwrap()));
                bytes.extend_from_slice(after.as_bytes());
            }
            None => bytes.extend_from_slice(word.as_bytes()),
        }
    }
    bytes.extend_from_slice(end.as_bytes());
    if let Some(data) = data {
        bytes.extend_from_slice(&data);
        bytes.extend_from_slice(b"\r\n");
    }
    parts.push(Part::Bytes(bytes));
    Request { parts, is_empty, words: words.into_iter().filter(|word| !word.is_empty()).collect(), packet: None }
}

fn end(random: &mut Random) -> &'static str {
    if random.once(20) { "\n" } else { "\r\n" }
}

/// The length that a line announces for `data`: sometimes not the one it has.
fn announced(random: &mut Random, data: &[u8], long: bool) -> String {
    if long {
        return data.len().to_string();
    }
    match random.below(60) {
        0 => (data.len() + 1 + random.below(3)).to_string(),
        1 => data.len().saturating_sub(1).to_string(),
        2 => "x".to_owned(),
        3 => "-1".to_owned(),
        _ => data.len().to_string(),
    }
}

/// Which unique a request compares with: mostly that of an item of the stage, else none that any server has.
fn unique(random: &mut Random) -> (Option<&'static str>, String) {
    match random.below(6) {
        0 => (None, "9000000000000000000".to_owned()),
        1 => (None, "0".to_owned()),
        _ => (Some(STAGE[random.below(STAGE.len())].0), "{unique}".to_owned()),
    }
}

fn text(random: &mut Random, long: bool) -> Request {
    let mut words: Vec<String> = Vec::new();
    let mut data = None;
    let mut compared = None;
    let mut takes_noreply = true;
    match random.below(16) {
        0..4 => {
            let verb = ["set", "set", "add", "replace", "append", "prepend"][random.below(6)];
            let bytes = value(random, long);
            let (flags, exptime, len) = (flags(random), exptime(random), announced(random, &bytes, long));
            words.extend([verb.to_owned(), key(random), flags.to_owned(), exptime.to_owned(), len]);
            data = Some(bytes);
        }
        4 => {
            let bytes = value(random, long);
            let (flags, exptime, len) = (flags(random), exptime(random), announced(random, &bytes, long));
            let (item, text) = unique(random);
            let key = item.map_or_else(|| key(random), str::to_owned);
            words.extend(["cas".to_owned(), key, flags.to_owned(), exptime.to_owned(), len, text]);
            (compared, data) = (item, Some(bytes));
        }
        5..8 => {
            takes_noreply = false;
            words.push(["get", "gets"][random.below(2)].to_owned());
            let most = if random.once(20) { 40 } else { 4 };
            (0..random.below(most)).for_each(|_| words.push(key(random)));
        }
        8 => {
            takes_noreply = false;
            words.extend([["gat", "gats"][random.below(2)].to_owned(), exptime(random).to_owned()]);
            (0..random.below(4)).for_each(|_| words.push(key(random)));
        }
        9 => words.extend(["touch".to_owned(), key(random), exptime(random).to_owned()]),
        10 => words.extend(["delete".to_owned(), key(random)]),
        11..14 => {
            let verb = ["incr", "decr"][random.below(2)];
            words.extend([verb.to_owned(), key(random), number(random).to_owned()]);
        }
        14 if random.once(4) => {
            words.push("flush_all".to_owned());
            if random.once(2) {
                words.push(["0", "-1", "100", "x"][random.below(4)].to_owned());
            }
        }
        14 => {
            takes_noreply = false;
            words.push(["version", "mn", "bogus", "GET", "me", "verbosity"][random.below(6)].to_owned());
        }
        _ => words.extend(["verbosity".to_owned(), "0".to_owned()]),
    }
    if long {
        words.iter_mut().filter(|word| word.is_empty()).for_each(|word| word.push('0'));
    }
    if random.once(30) && words.len() > 1 && (data.is_none() || !long) {
        words.pop();
    }
    if takes_noreply && random.once(5) {
        words.push("noreply".to_owned());
    }
    let end = end(random);
    line(words, compared, data, end)
}

fn meta(random: &mut Random, flavour: Flavour, long: bool) -> Request {
    const VERBS: [&str; 8] = ["mg", "mg", "mg", "ms", "ms", "md", "ma", "mn"];
    let verb = VERBS[random.below(VERBS.len())];
    if verb == "mn" {
        return line(vec!["mn".to_owned()], None, None, "\r\n");
    }
    let base64 = random.once(8);
    let key = if base64 { ["YQ==", "Yg==", "AAEC", "c3RhZ2Vk", "YQ"][random.below(5)].to_owned() } else { key(random) };
    let mut words = vec![verb.to_owned(), key];
    let data = (verb == "ms").then(|| value(random, long));
    if let Some(data) = &data {
        words.push(announced(random, data, long));
    }
    let (mut compared, text) = unique(random);
    let choices: &[&str] = match verb {
        "mg" if flavour == Flavour::Joining => &["v", "v", "f", "s", "t", "c", "k", "O7", "q", "l", "u", "T100", "T0"],
        "mg" => {
            &["v", "v", "f", "s", "t", "c", "k", "O7", "q", "h", "l", "u", "T100", "T0", "N30", "R30", "R2000", "P1"]
        }
        "ms" => &["F5", "F0", "T100", "T0", "MS", "ME", "MA", "MP", "MR", "C", "c", "k", "Oabc", "q", "L1"],
        // Whether a changed number is a new item decides whether it is still stale.
        "md" if flavour != Flavour::Reading => &["C", "q", "k", "Oabc", "P1"],
        "md" => &["C", "q", "k", "Oabc", "I", "T30", "P1"],
        _ => &["D1", "D95", "MI", "M+", "MD", "M-", "N0", "N100", "J7", "C", "T100", "t", "c", "v", "k", "O1", "q"],
    };
    if base64 {
        words.push("b".to_owned());
    }
    for _ in 0..random.below(6) {
        let choice = choices[random.below(choices.len())];
        let is_there = words.iter().any(|word| word.starts_with(&choice[..1]) && word.len() < 6);
        if choice == "C" && !is_there {
            words.push(format!("C{text}"));
        } else if !is_there || random.once(40) {
            words.push(choice.to_owned());
        }
    }
    if !words.iter().any(|word| word.contains("{unique}")) {
        compared = None;
    }
    if random.once(40) {
        words.push(
            ["!", "z", "Tx", "Nx", "Dx", "Cx", "Oxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"][random.below(7)].to_owned(),
        );
    }
    let end = end(random);
    line(words, compared, data, end)
}

/// A packet with the parts that its opcode takes.
fn packet(random: &mut Random) -> Request {
    let (opcode, verb, _) = loop {
        let choice = OPCODES[random.below(OPCODES.len())];
        // Quit ends the stream, statistics differ in all their names, and without SASL memcached is out of step behind it.
        let is_left_out = matches!(choice.1, Verb::Quit | Verb::Stat | Verb::SaslAuth | Verb::SaslStep);
        if !is_left_out && (choice.1 != Verb::Flush || random.once(4)) {
            break choice;
        }
    };
    let exp: u32 = [0, 0, 0, 100, 1000, 2_592_000, 4_000_000_000, u32::MAX][random.below(8)];
    let long = |number: u64| number.to_be_bytes();
    let (mut extras, mut data) = (Vec::new(), Vec::new());
    match verb {
        Verb::Set | Verb::Add | Verb::Replace => {
            extras.extend_from_slice(&[0_u32, 7, u32::MAX][random.below(3)].to_be_bytes());
            extras.extend_from_slice(&exp.to_be_bytes());
            data = value(random, true);
        }
        Verb::Append | Verb::Prepend => data = value(random, true),
        Verb::Increment | Verb::Decrement => {
            extras.extend_from_slice(&long([0, 1, 95, u64::MAX][random.below(4)]));
            extras.extend_from_slice(&long([0, 7, u64::MAX][random.below(3)]));
            extras.extend_from_slice(&exp.to_be_bytes());
        }
        Verb::Touch | Verb::Gat | Verb::GatK => extras.extend_from_slice(&exp.to_be_bytes()),
        Verb::Flush if random.once(2) => extras.extend_from_slice(&[0_u32, 100][random.below(2)].to_be_bytes()),
        _ => {}
    }
    let has_key = !matches!(verb, Verb::Flush | Verb::Noop | Verb::Version | Verb::SaslList);
    let key = if has_key { KEYS[random.below(KEYS.len())].to_owned() } else { String::new() };
    let opcode = if random.once(100) { [0x1b, 0x30, 0x25, 0xff][random.below(4)] } else { opcode };
    let tag = Tag { opcode, opaque: u32::try_from(random.below(1 << 20)).unwrap().to_be_bytes() };
    let has_body = extras.len() + key.len() + data.len() > 0;
    let mut bytes = Vec::new();
    write_raw(tag, 0, [&extras, key.as_bytes(), &data], &mut bytes);
    let compares = matches!(
        verb,
        Verb::Set
            | Verb::Add
            | Verb::Replace
            | Verb::Append
            | Verb::Prepend
            | Verb::Delete
            | Verb::Increment
            | Verb::Decrement
    );
    let parts = match STAGE.iter().find(|(staged, _)| *staged == key) {
        Some((staged, _)) if compares && random.once(3) => {
            let body = bytes.split_off(24);
            bytes.truncate(16);
            vec![Part::Bytes(bytes), Part::UniqueBytes(staged), Part::Bytes(body)]
        }
        _ if compares && random.once(20) => {
            bytes[16..24].copy_from_slice(&long(9_000_000_000_000_000_000));
            vec![Part::Bytes(bytes)]
        }
        _ => vec![Part::Bytes(bytes)],
    };
    let is_empty = data.is_empty() && matches!(verb, Verb::Set | Verb::Add | Verb::Replace);
    Request { parts, words: Vec::new(), packet: Some((opcode, has_body)), is_empty }
}

/// A packet after which the connection closes.
fn broken_packet(random: &mut Random) -> Request {
    let mut bytes = Vec::new();
    let tag = |opcode| Tag { opcode, opaque: *b"last" };
    match random.below(6) {
        0 => write_raw(tag(0x00), 0, [b"", b"", b""], &mut bytes),
        1 => write_raw(tag(0x01), 0, [b"", b"key", b"value"], &mut bytes),
        2 => write_raw(tag(0x05), 0, [&[0; 8], b"key", b""], &mut bytes),
        3 => write_raw(tag(0x0a), 0, [b"", b"key", b""], &mut bytes),
        4 => write_raw(tag(0x0d), 0, [b"", &[b'k'; 251], b""], &mut bytes),
        _ => write_raw(tag(if random.once(2) { 0x07 } else { 0x17 }), 0, [b"", b"", b""], &mut bytes),
    }
    Request { parts: vec![Part::Bytes(bytes)], words: Vec::new(), packet: Some((0, false)), is_empty: false }
}
