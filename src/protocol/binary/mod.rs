//! The binary dialect (PROTOCOL §7): packets of a header of 24 bytes, extras, a key and a value. All numbers are big
//! endian.

mod header;
pub mod request;
pub mod response;
pub mod sasl;

pub use header::{HEADER_LEN, Header, REQUEST_MAGIC, RESPONSE_MAGIC, Tag};

/// What a packet asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are the protocol's (PROTOCOL §7)")]
pub enum Verb {
    Get,
    GetK,
    Gat,
    GatK,
    Touch,
    Set,
    Add,
    Replace,
    Append,
    Prepend,
    Delete,
    Increment,
    Decrement,
    Flush,
    Noop,
    Version,
    Stat,
    Quit,
    SaslList,
    SaslAuth,
    SaslStep,
}

/// A legal opcode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opcode {
    /// What it asks for.
    pub verb: Verb,
    /// Whether the usual outcome goes without a reply: a miss of a retrieval, the success of anything else.
    pub quiet: bool,
}

/// Every opcode that is spoken: its byte, what it asks for, and whether it is the quiet form.
pub const OPCODES: [(u8, Verb, bool); 35] = [
    (0x00, Verb::Get, false),
    (0x01, Verb::Set, false),
    (0x02, Verb::Add, false),
    (0x03, Verb::Replace, false),
    (0x04, Verb::Delete, false),
    (0x05, Verb::Increment, false),
    (0x06, Verb::Decrement, false),
    (0x07, Verb::Quit, false),
    (0x08, Verb::Flush, false),
    (0x09, Verb::Get, true),
    (0x0a, Verb::Noop, false),
    (0x0b, Verb::Version, false),
    (0x0c, Verb::GetK, false),
    (0x0d, Verb::GetK, true),
    (0x0e, Verb::Append, false),
    (0x0f, Verb::Prepend, false),
    (0x10, Verb::Stat, false),
    (0x11, Verb::Set, true),
    (0x12, Verb::Add, true),
    (0x13, Verb::Replace, true),
    (0x14, Verb::Delete, true),
    (0x15, Verb::Increment, true),
    (0x16, Verb::Decrement, true),
    (0x17, Verb::Quit, true),
    (0x18, Verb::Flush, true),
    (0x19, Verb::Append, true),
    (0x1a, Verb::Prepend, true),
    (0x1c, Verb::Touch, false),
    (0x1d, Verb::Gat, false),
    (0x1e, Verb::Gat, true),
    (0x20, Verb::SaslList, false),
    (0x21, Verb::SaslAuth, false),
    (0x22, Verb::SaslStep, false),
    (0x23, Verb::GatK, false),
    (0x24, Verb::GatK, true),
];

/// The opcode of each byte.
const BY_BYTE: [Option<Opcode>; 256] = {
    let mut table = [None; 256];
    let mut index = 0;
    while index < OPCODES.len() {
        let (byte, verb, quiet) = OPCODES[index];
        table[byte as usize] = Some(Opcode { verb, quiet });
        index += 1;
    }
    table
};

impl Opcode {
    /// What this byte means; `None` if it is not spoken (range operations and `verbosity` among them).
    pub const fn of(byte: u8) -> Option<Self> {
        BY_BYTE[byte as usize]
    }

    /// The byte of an opcode; `None` if there is no quiet form.
    pub fn byte(self) -> Option<u8> {
        OPCODES.iter().find(|(_, verb, quiet)| *verb == self.verb && *quiet == self.quiet).map(|&(byte, ..)| byte)
    }
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Done, or found.
    Ok,
    /// There is no such item.
    NotFound,
    /// There is an item, or it has another CAS unique.
    Exists,
    /// The value is larger than any item may be.
    TooLarge,
    /// A packet whose parts are not those of its opcode.
    Invalid,
    /// There was nothing to append or prepend to.
    NotStored,
    /// The item is no number.
    NonNumeric,
    /// Not authenticated, or not allowed.
    AuthFailure,
    /// The authentication takes another step.
    AuthContinue,
    /// An opcode that is not spoken.
    Unknown,
    /// No memory, and nothing may be evicted for it.
    OutOfMemory,
}

/// Each status: its number, and the text that an error carries as its value.
const STATUSES: [(Status, u16, &str); 11] = [
    (Status::Ok, 0x00, ""),
    (Status::NotFound, 0x01, "Not found"),
    (Status::Exists, 0x02, "Data exists for key."),
    (Status::TooLarge, 0x03, "Too large."),
    (Status::Invalid, 0x04, "Invalid arguments"),
    (Status::NotStored, 0x05, "Not stored."),
    (Status::NonNumeric, 0x06, "Non-numeric server-side value for incr or decr"),
    (Status::AuthFailure, 0x20, "Auth failure."),
    (Status::AuthContinue, 0x21, ""),
    (Status::Unknown, 0x81, "Unknown command"),
    (Status::OutOfMemory, 0x82, "Out of memory"),
];

impl Status {
    /// The number in the header.
    pub const fn code(self) -> u16 {
        STATUSES[self as usize].1
    }

    /// The status of a number.
    pub fn of(code: u16) -> Option<Self> {
        STATUSES.iter().find(|(_, number, _)| *number == code).map(|&(status, ..)| status)
    }

    /// What an error of this status says.
    pub const fn text(self) -> &'static str {
        STATUSES[self as usize].2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_opcodes_are_one_to_one() {
        for byte in 0..=u8::MAX {
            if let Some(opcode) = Opcode::of(byte) {
                assert_eq!(opcode.byte(), Some(byte));
            }
        }
        let spoken = (0..=u8::MAX).filter(|&byte| Opcode::of(byte).is_some()).count();
        assert_eq!(spoken, OPCODES.len());
        assert_eq!(Opcode { verb: Verb::Noop, quiet: true }.byte(), None);
        // Verbosity, and the range operations from 0x30 on.
        assert!(Opcode::of(0x1b).is_none() && Opcode::of(0x30).is_none());
    }

    #[test]
    fn the_table_of_statuses_stands_in_their_order() {
        for (index, &(status, code, _)) in STATUSES.iter().enumerate() {
            assert_eq!(status as usize, index);
            assert_eq!(Status::of(code), Some(status));
        }
    }
}
