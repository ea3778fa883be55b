//! What a request asks for, whatever dialect it was written in.

use memchr::memrchr;

use crate::limits::KEY_LEN_MAX;
use crate::protocol::ProtocolError;
use crate::protocol::admin::Admin;
use crate::protocol::meta::MetaRequest;
use crate::protocol::tokens::find_blank;
use crate::terms::{Arithmetic, Exptime, Flags, Key, StoreMode};

/// What a request does to one key. It holds no borrowed bytes, so that it travels between cores as it is; key and
/// value travel beside it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// `get`, `gets`, `gat`, `gats`.
    Retrieve(Retrieval),
    /// `set`, `add`, `replace`, `append`, `prepend`, `cas`.
    Store {
        /// How the present item is treated.
        mode: StoreMode,
        /// The client's flags.
        flags: Flags,
        /// When the new item dies.
        exptime: Exptime,
    },
    /// A `set` whose value was not kept: the old item goes (PROTOCOL §2).
    Refuse(Unstorable),
    /// `delete`.
    Delete,
    /// `incr`, `decr`.
    Arithmetic {
        /// Up or down.
        direction: Arithmetic,
        /// By how much.
        delta: u64,
    },
    /// `touch`.
    Touch {
        /// When the item is to die now.
        exptime: Exptime,
    },
}

/// Why a value that was announced is not stored, whatever stands under its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unstorable {
    /// It is larger than any item may be.
    TooLarge,
    /// There was no memory for it while it arrived.
    OutOfMemory,
}

/// How keys are looked up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retrieval {
    /// Whether the reply shows CAS uniques.
    pub with_cas: bool,
    /// The new expiry of every hit (`gat`, `gats`).
    pub touch: Option<Exptime>,
}

/// One request; keys borrow from the input.
#[derive(Clone, Debug)]
pub enum Request<'a> {
    /// Look up one key or many.
    Retrieve(Retrieval, Keys<'a>),
    /// Change one item, without a value.
    Change {
        /// What to do.
        op: Op,
        /// To which item.
        key: Key<'a>,
        /// Whether the client wants no reply.
        noreply: bool,
    },
    /// A storage request: `value_len` bytes and CRLF follow the line.
    Store(StoreHead<'a>),
    /// A meta request without a value: `mg`, `md`, `ma`, `me`.
    Meta(MetaRequest<'a>),
    /// `ms`: `value_len` bytes and CRLF follow the line.
    MetaStore {
        /// The line.
        request: MetaRequest<'a>,
        /// Length of the value, without the CRLF that follows it.
        value_len: usize,
    },
    /// `mn`: answered when everything before it has been carried out.
    MetaNoop,
    /// `flush_all`: everything last written before `delay` has passed dies.
    FlushAll {
        /// 0 or negative: at once.
        delay: Exptime,
        /// Whether the client wants no reply.
        noreply: bool,
    },
    /// `version`.
    Version,
    /// `verbosity`.
    Verbosity {
        /// The level asked for.
        level: u32,
        /// Whether the client wants no reply.
        noreply: bool,
    },
    /// `stats` and its arguments.
    Stats(StatsReport),
    /// `cache_memlimit`, in MiB.
    CacheMemoryLimit {
        /// The new limit in MiB.
        megabytes: u64,
        /// Whether the client wants no reply.
        noreply: bool,
    },
    /// What only who looks after a server asks.
    Admin(Admin),
    /// `shutdown`.
    Shutdown(ShutdownMode),
    /// `quit`.
    Quit,
}

/// The line of a storage request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreHead<'a> {
    /// What to do with the value.
    pub op: Op,
    /// Under which key.
    pub key: Key<'a>,
    /// Length of the value, without the CRLF that follows it.
    pub value_len: usize,
    /// Whether the client wants no reply.
    pub noreply: bool,
}

/// Which statistics are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatsReport {
    /// `stats`.
    General,
    /// `stats settings`.
    Settings,
    /// `stats conns`.
    Connections,
    /// `stats reset`.
    Reset,
    /// `stats items`: by size class.
    Items,
    /// `stats slabs`: by size class.
    Slabs,
    /// `stats sizes`: how many items of which size.
    Sizes,
    /// `stats extstore`: about a part that is not here.
    Nothing,
}

/// How the server is to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShutdownMode {
    /// As SIGINT.
    Normal,
    /// As SIGUSR1.
    Graceful,
}

/// What a command line turned out to be.
#[derive(Clone, Debug)]
pub enum Parsed<'a> {
    /// A legal request.
    Request(Request<'a>),
    /// A refused one; nothing follows the line.
    Refused {
        /// Why.
        error: ProtocolError,
        /// Whether the client wants no reply, not even this one.
        noreply: bool,
    },
    /// A refused one whose value follows all the same: `bytes` are to be skipped before the error is told.
    Skip {
        /// Bytes to skip, the final CRLF included.
        bytes: usize,
        /// Why.
        error: ProtocolError,
        /// Whether the client wants no reply, not even this one.
        noreply: bool,
    },
    /// Not our protocol: close without a word.
    Close,
}

/// The keys of a retrieval line: one or more, each legal, separated by blanks.
#[derive(Clone, Debug)]
pub struct Keys<'a> {
    rest: &'a [u8],
}

impl<'a> Keys<'a> {
    /// The keys in `rest`, or `None` if there is none or one is longer than a key may be.
    pub fn parse(rest: &'a [u8]) -> Option<Self> {
        rest.iter().position(|&byte| byte != b' ')?;
        // No key is too long if there is a blank wherever one could end at the latest: few of them need to be looked for.
        let mut unchecked = rest;
        while unchecked.len() > KEY_LEN_MAX {
            let blank = memrchr(b' ', &unchecked[..=KEY_LEN_MAX])?;
            unchecked = &unchecked[blank + 1..];
        }
        Some(Self { rest })
    }

    /// Takes the first key, which somebody has found before: it has `len` bytes and stands behind `before` blanks.
    #[inline]
    pub fn take(&mut self, before: usize, len: usize) -> Option<Key<'a>> {
        let (key, rest) = self.rest.get(before..)?.split_at_checked(len)?;
        self.rest = rest;
        Key::new(key)
    }

    /// The bytes the keys stand in.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Keys<'a> {
    type Item = Key<'a>;

    fn next(&mut self) -> Option<Key<'a>> {
        let start = self.rest.iter().position(|&byte| byte != b' ')?;
        let rest = &self.rest[start..];
        let (token, rest) = rest.split_at(find_blank(rest));
        self.rest = rest;
        Key::new(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_split_at_blanks_and_checked_as_a_whole() {
        let keys = Keys::parse(b" a  bb c ").unwrap();
        let found: Vec<_> = keys.map(Key::as_bytes).collect();
        assert_eq!(found, [b"a".as_slice(), b"bb", b"c"]);
        assert!(Keys::parse(b"   ").is_none());
        let long = [b"ok ".as_slice(), &[b'k'; 251]].concat();
        assert!(Keys::parse(&long).is_none(), "one key too long refuses them all");
        // However long the keys are and wherever they stand, the first that is too long decides.
        for lens in [[250, 250, 250], [1, 250, 249], [100, 200, 251], [251, 1, 1], [250, 251, 1], [1, 1, 1]] {
            for blanks in [1, 2, 300] {
                let keys = lens.map(|len| "k".repeat(len)).join(&" ".repeat(blanks));
                for line in [keys.clone(), format!(" {keys}"), format!("{keys} ")] {
                    let found = Keys::parse(line.as_bytes()).map(|keys| keys.map(|key| key.as_bytes().len()).collect());
                    let expected: Option<Vec<usize>> = (!lens.contains(&251)).then(|| lens.to_vec());
                    assert_eq!(found, expected, "{lens:?} {blanks}");
                }
            }
        }
    }
}
