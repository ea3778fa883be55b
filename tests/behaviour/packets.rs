//! Packets of the binary protocol in transcripts: a line of words to the bytes in the notation of `>|` and `<|` lines.
//!
//! ```text
//! b> set key=a flags=5 exp=0 value=xyz     connection 1 sends this packet; so `2b>`
//! b< set ok cas={u}                        and must then receive this one
//! ```
//! The first word is the opcode by its name in small letters, with a `q` for the quiet form, or its number (`0x1b`).
//! Of a request `key`, `value`, `opaque`, `cas` (0 unless given), and what the opcode has for extras: `flags`, `exp`,
//! `delta`, `initial`; `extras=` gives others. Of a response the second word is the status; `cas` is 0 unless given,
//! `cas={u}` is a number that is remembered, `cas={*}` any; an error carries its text unless a `key` or `value` is
//! given; `number=5` is a value of eight bytes.

use ringcached::protocol::binary::{OPCODES, Status, Verb};

use crate::transcript::{Piece, pieces};

/// The packet that a line of `b>` describes.
pub(crate) fn request(line: &str) -> String {
    let fields = Fields::new(line);
    let (opcode, verb) = fields.opcode();
    let extras = fields.get("extras").map_or_else(|| request_extras(&fields, verb), str::to_owned);
    let header = format!("\\x80{}", byte(opcode));
    packet(&header, [0, 0], &fields, [&extras, fields.or_empty("key"), fields.or_empty("value")])
}

/// The packet that a line of `b<` describes.
pub(crate) fn response(line: &str) -> String {
    let fields = Fields::new(line);
    let (opcode, _) = fields.opcode();
    let status = fields.status();
    let extras = fields.number("flags").map_or(String::new(), |flags| big_endian(flags, 4));
    let number = fields.number("number").map(|number| big_endian(number, 8));
    let is_error = fields.get("key").is_none() && fields.get("value").is_none() && number.is_none();
    let value = if is_error { status.text() } else { number.as_deref().unwrap_or(fields.or_empty("value")) };
    let header = format!("\\x81{}", byte(opcode));
    packet(&header, status.code().to_be_bytes(), &fields, [&extras, fields.or_empty("key"), value])
}

fn request_extras(fields: &Fields<'_>, verb: Option<Verb>) -> String {
    let number = |name, len| big_endian(fields.number(name).unwrap_or(0), len);
    match verb {
        Some(Verb::Set | Verb::Add | Verb::Replace) => number("flags", 4) + &number("exp", 4),
        Some(Verb::Increment | Verb::Decrement) => number("delta", 8) + &number("initial", 8) + &number("exp", 4),
        Some(Verb::Touch | Verb::Gat | Verb::GatK) => number("exp", 4),
        Some(Verb::Flush) if fields.get("exp").is_some() => number("exp", 4),
        _ => String::new(),
    }
}

/// A packet: magic and opcode, lengths, opaque, CAS unique and the parts (extras, key, value).
fn packet(begin: &str, status: [u8; 2], fields: &Fields<'_>, parts: [&str; 3]) -> String {
    let [extras_len, key_len, value_len] = parts.map(len);
    let cas = match fields.get("cas") {
        Some(name) if name.starts_with('{') => name.replace('}', ":8}"),
        Some(number) => big_endian(number.parse().expect("cas=NUMBER or cas={name}"), 8),
        None => big_endian(0, 8),
    };
    let opaque = big_endian(fields.number("opaque").unwrap_or(0), 4);
    let status = byte(status[0]) + &byte(status[1]);
    let lens = big_endian(key_len, 2) + &big_endian(extras_len, 1) + "\\0";
    let body_len = big_endian(extras_len + key_len + value_len, 4);
    let [extras, key, value] = parts;
    format!("{begin}{lens}{status}{body_len}{opaque}{cas}{extras}{key}{value}")
}

/// The words of a line.
struct Fields<'a>(Vec<&'a str>);

impl<'a> Fields<'a> {
    fn new(line: &'a str) -> Self {
        Self(line.split_whitespace().collect())
    }

    fn opcode(&self) -> (u8, Option<Verb>) {
        let name = self.0[0];
        if let Some(number) = name.strip_prefix("0x") {
            return (u8::from_str_radix(number, 16).expect("an opcode"), None);
        }
        let known = OPCODES.iter().find(|(_, verb, quiet)| {
            let quiet = if *quiet { "q" } else { "" };
            format!("{verb:?}{quiet}").to_lowercase() == name
        });
        let (byte, verb, _) = known.unwrap_or_else(|| panic!("not an opcode: {name}"));
        (*byte, Some(*verb))
    }

    fn status(&self) -> Status {
        match self.0[1] {
            "ok" => Status::Ok,
            "not-found" => Status::NotFound,
            "exists" => Status::Exists,
            "too-large" => Status::TooLarge,
            "invalid" => Status::Invalid,
            "not-stored" => Status::NotStored,
            "non-numeric" => Status::NonNumeric,
            "auth-failure" => Status::AuthFailure,
            "unknown" => Status::Unknown,
            "out-of-memory" => Status::OutOfMemory,
            other => panic!("not a status: {other}"),
        }
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    fn or_empty(&self, name: &str) -> &'a str {
        self.get(name).unwrap_or_default()
    }

    /// `never` is the exptime with which nothing is created.
    fn number(&self, name: &str) -> Option<u64> {
        self.get(name).map(|text| if text == "never" { 0xffff_ffff } else { text.parse().expect("a number") })
    }
}

fn len(text: &str) -> u64 {
    let len: usize = pieces(text)
        .iter()
        .map(|piece| match piece {
            Piece::Bytes(bytes) => bytes.len(),
            _ => panic!("a part of a packet has a length: {text:?}"),
        })
        .sum();
    len as u64
}

fn big_endian(number: u64, len: usize) -> String {
    number.to_be_bytes()[8 - len..].iter().map(|&part| byte(part)).collect()
}

fn byte(byte: u8) -> String {
    format!("\\x{byte:02x}")
}
