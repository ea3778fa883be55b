//! The bytes of a value as they come in.

use super::Outcome;
use crate::workload::keyspace::{Keyspace, VERSION_LEN};

/// What the bytes must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// The value of a key, in the version that it names itself.
    Value {
        key: u64,
    },
    /// A number, blanks behind it.
    Digits,
    Nothing,
}

/// A value, or the text of an error, under way.
pub(super) struct Body {
    check: Check,
    len: usize,
    /// How much of it has come, the line end included.
    at: usize,
    line_end: &'static [u8],
    version: u32,
    /// What it means for the request when it has come; nothing if the reply goes on.
    pub(super) outcome: Option<Outcome>,
}

pub(super) struct Verdict {
    pub(super) taken: usize,
    pub(super) fault: Option<String>,
}

impl Body {
    pub(super) fn new(len: usize, has_line_end: bool, check: Check, outcome: Option<Outcome>) -> Body {
        let line_end: &[u8] = if has_line_end { b"\r\n" } else { b"" };
        Body { check, len, at: 0, line_end, version: 0, outcome }
    }

    pub(super) fn is_over(&self) -> bool {
        self.at == self.len + self.line_end.len()
    }

    pub(super) fn key(&self) -> u64 {
        if let Check::Value { key } = self.check { key } else { 0 }
    }

    /// Takes of `bytes` what belongs to the body.
    pub(super) fn take(&mut self, bytes: &[u8], keyspace: &Keyspace) -> Verdict {
        let begin = self.at;
        let value = &bytes[..bytes.len().min(self.len.saturating_sub(begin))];
        let fault = match self.check {
            Check::Value { key } => self.compare(key, value, keyspace),
            Check::Digits => {
                let is_number = value.iter().all(|byte| byte.is_ascii_digit() || *byte == b' ');
                (!is_number).then(|| "not a number".to_string())
            }
            Check::Nothing => None,
        };
        self.at = begin + value.len();
        let rest = &bytes[value.len()..];
        let due = self.at.checked_sub(self.len).map_or(&[][..], |past| &self.line_end[past..]);
        let due = &due[..due.len().min(rest.len())];
        self.at += due.len();
        let fault = fault.or_else(|| (!rest.starts_with(due)).then(|| "no line end after it".to_string()));
        Verdict { taken: self.at - begin, fault }
    }

    fn compare(&mut self, key: u64, mut value: &[u8], keyspace: &Keyspace) -> Option<String> {
        let mut at = self.at;
        if Keyspace::is_versioned(self.len) {
            while at < VERSION_LEN && !value.is_empty() {
                self.version |= u32::from(value[0]) << (8 * at);
                value = &value[1..];
                at += 1;
            }
        }
        while !value.is_empty() {
            let piece = keyspace.piece(key, self.version, at, self.len);
            let (came, rest) = value.split_at(piece.len().min(value.len()));
            let piece = &piece[..came.len()];
            if came != piece {
                let place = at + came.iter().zip(piece).take_while(|(came, due)| came == due).count();
                return Some(format!("differs at byte {place} (if it is version {})", self.version));
            }
            at += came.len();
            value = rest;
        }
        None
    }
}
