//! The words every floor shares: keys, flags, expiry, CAS uniques, shards and time. Plain values, no behaviour beyond
//! the rules that belong to the word itself.

use crate::limits::{EXPTIME_RELATIVE_MAX_S, KEY_LEN_MAX};

/// An item's key: 1 to 250 bytes (PROTOCOL §2). The protocol keeps blanks and line ends out; the type keeps the length.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key<'a>(&'a [u8]);

impl<'a> Key<'a> {
    /// The key in `bytes`, or `None` if it is empty or longer than 250 bytes.
    pub const fn new(bytes: &'a [u8]) -> Option<Self> {
        if bytes.is_empty() || bytes.len() > KEY_LEN_MAX { None } else { Some(Self(bytes)) }
    }

    /// The bytes of the key.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

/// The keyed hash of a key, computed once per request by the shard that owns it. It never decides the owner: that
/// hash is public (`routing.rs`), and a client must not be able to choose keys that collide in an index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyHash(pub u64);

/// The 32 bits a client stores beside a value.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Flags(pub u32);

/// The version of an item: unique within the process, strictly increasing per key. 0 is no item's version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct CasUnique(pub u64);

/// What the protocol remembers of an item besides its value (PROTOCOL §4).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Marks {
    /// It was invalidated: to be fetched anew by whoever wins.
    pub stale: bool,
    /// The win was handed out: nobody else gets it until a new value is stored.
    pub won: bool,
    /// Its key was given in base64.
    pub key_is_binary: bool,
}

/// The number of a shard, which is the number of the core that owns it: `0..shards`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard as an index into a table of all shards.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a storage request treats what is already there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreMode {
    /// Store whatever is there.
    Set,
    /// Store only if there is no item.
    Add,
    /// Store only if there is an item.
    Replace,
    /// Put the value after the present one; flags and expiry stay.
    Append,
    /// Put the value before the present one; flags and expiry stay.
    Prepend,
    /// Store only if the present item has this CAS unique.
    Cas(CasUnique),
}

/// Which way `incr` and `decr` go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arithmetic {
    /// Add; wraps at 2^64.
    Increment,
    /// Subtract; stops at 0.
    Decrement,
}

/// One moment as a core sees it. Read once per ring wait by the driver and passed down, so that every decision of a
/// turn uses the same moment and tests choose their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// Milliseconds of the monotonic clock since a moment shortly before the process started.
    pub monotonic_ms: u64,
    /// Milliseconds since the Unix epoch at the same moment.
    pub unix_ms: u64,
}

/// An expiry as the client sent it, in seconds (PROTOCOL §2): 0 never, negative already over, up to 30 days relative,
/// above that a Unix time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exptime(pub i64);

/// When an item dies: tenths of a second on the monotonic clock, rounded up, so that an item never vanishes before
/// its time and is gone at most 0.1 s of clock after it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Deadline(u32);

impl Deadline {
    /// Longer than any other: the item does not expire.
    pub const NEVER: Self = Self(u32::MAX);
    /// Over since before the process started.
    pub const PAST: Self = Self(0);
    /// The last moment that is not "never": 13.6 years after the start.
    const LAST: u64 = u32::MAX as u64 - 1;

    /// Turns what the client sent into a moment, by the clock of the owner.
    pub const fn from_exptime(exptime: Exptime, now: Now) -> Self {
        match exptime.0 {
            0 => Self::NEVER,
            i64::MIN..0 => Self::PAST,
            relative @ 1..=EXPTIME_RELATIVE_MAX_S => Self::after_ms(now, relative.unsigned_abs() * 1000),
            absolute => {
                let unix_ms = absolute.unsigned_abs().saturating_mul(1000);
                if unix_ms <= now.unix_ms { Self::PAST } else { Self::after_ms(now, unix_ms - now.unix_ms) }
            }
        }
    }

    const fn after_ms(now: Now, ms: u64) -> Self {
        let tenths = now.monotonic_ms.saturating_add(ms).div_ceil(100);
        #[expect(clippy::cast_possible_truncation, reason = "clamped to LAST, which fits")]
        Self(if tenths > Self::LAST { Self::LAST } else { tenths } as u32)
    }

    /// Whether the time has come.
    pub const fn is_over(self, now: Now) -> bool {
        self.0 != u32::MAX && self.0 as u64 * 100 <= now.monotonic_ms
    }

    /// Whole seconds left, rounded up; `None` if the item never expires. What rounding up to a tenth added is taken
    /// off again, so that an item stored for 30 s has 30 s left and not 31.
    pub const fn seconds_left(self, now: Now) -> Option<u64> {
        if self.0 == u32::MAX {
            return None;
        }
        if self.is_over(now) {
            return Some(0);
        }
        let seconds = (self.0 as u64 * 100).saturating_sub(now.monotonic_ms + 99).div_ceil(1000);
        Some(if seconds == 0 { 1 } else { seconds })
    }

    /// The moment in tenths of a second of the monotonic clock; `u32::MAX` for never.
    pub const fn as_tenths(self) -> u32 {
        self.0
    }

    /// The inverse of [`Deadline::as_tenths`].
    pub const fn from_tenths(tenths: u32) -> Self {
        Self(tenths)
    }
}

/// A `flush_all` in the order that shard 0 gave it (ARCHITECTURE, flush). All shards apply the same orders and so end
/// alike, whichever arrives first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlushOrder {
    /// The place in the order of all flushes of the process, from 1.
    pub epoch: u64,
    /// When everything last written before dies: milliseconds of the monotonic clock, `None` for at once.
    pub at_monotonic_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now { monotonic_ms: 10_050, unix_ms: 1_800_000_000_050 };

    #[test]
    fn a_key_has_1_to_250_bytes() {
        assert!(Key::new(b"").is_none());
        assert!(Key::new(&[b'k'; 250]).is_some());
        assert!(Key::new(&[b'k'; 251]).is_none());
    }

    #[test]
    fn an_item_never_dies_early_and_at_most_a_tenth_late() {
        for start in 10_000..10_200 {
            let now = Now { monotonic_ms: start, ..NOW };
            let deadline = Deadline::from_exptime(Exptime(1), now);
            let after = |ms| Now { monotonic_ms: start + ms, ..NOW };
            assert!(!deadline.is_over(after(999)), "started at {start}");
            assert!(deadline.is_over(after(1100)), "started at {start}");
        }
    }

    #[test]
    fn thirty_days_divide_relative_from_absolute() {
        let relative = Deadline::from_exptime(Exptime(2_592_000), NOW);
        assert_eq!(relative.seconds_left(NOW), Some(2_592_000));
        assert_eq!(Deadline::from_exptime(Exptime(2_592_001), NOW), Deadline::PAST);
        let absolute = Deadline::from_exptime(Exptime(1_800_000_010), NOW);
        assert_eq!(absolute.seconds_left(NOW), Some(10));
    }

    #[test]
    fn never_past_and_beyond_the_clock() {
        assert_eq!(Deadline::from_exptime(Exptime(0), NOW), Deadline::NEVER);
        assert_eq!(Deadline::from_exptime(Exptime(-1), NOW), Deadline::PAST);
        assert!(Deadline::PAST.is_over(Now { monotonic_ms: 0, unix_ms: 0 }));
        let far = Deadline::from_exptime(Exptime(i64::MAX), NOW);
        assert!(far < Deadline::NEVER && !far.is_over(NOW));
        assert_eq!(Deadline::NEVER.seconds_left(NOW), None);
    }
}
