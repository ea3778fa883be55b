//! How an item lies in a segment.
//!
//! 8 bytes that every item has, then what only some have, in this order, then key and value:
//!
//! | bytes | what | when |
//! |---|---|---|
//! | 2 | marks, uses, and which of the optional parts there are | always |
//! | 1 | length of the key | always |
//! | 1 | low 8 bits of the value's length | always |
//! | 2 | birth: writes of the shard since the segment was opened | always |
//! | 2 | moment of the last access in seconds, modulo 2^16 | always |
//! | 2 | high 16 bits of the value's length | `LONG` |
//! | 4 | the client's flags | `FLAGS` |
//! | 4 | deadline in tenths of a second | `DEADLINE` |
//! | 4 | bits 16 to 47 of the birth, which then counts from the shard's start | `WIDE_BIRTH` |
//! | 8 | CAS unique given by the client | `EXPLICIT_CAS` |
//!
//! An item begins at an even offset. A value of its own memory is a number of 4 bytes here, `LARGE`.

#![expect(clippy::cast_possible_truncation, reason = "stamps are kept modulo 2^16, and lengths in bytes that fit them")]

use crate::terms::{CasUnique, Deadline, Flags, Key, Marks, Now};

/// Bytes that every item has.
pub(super) const FIXED_LEN: usize = 8;
/// Bytes of the reference to a large value.
pub(super) const LARGE_REFERENCE_LEN: usize = 4;

const LONG: u16 = 1;
const FLAGS: u16 = 1 << 1;
const DEADLINE: u16 = 1 << 2;
const WIDE_BIRTH: u16 = 1 << 3;
const EXPLICIT_CAS: u16 = 1 << 4;
const OPTIONS: u16 = LONG | FLAGS | DEADLINE | WIDE_BIRTH | EXPLICIT_CAS;
const LARGE: u16 = 1 << 5;
const DEAD: u16 = 1 << 6;
const KEY_IS_BINARY: u16 = 1 << 7;
const STALE: u16 = 1 << 8;
const WON: u16 = 1 << 9;
const FETCHED: u16 = 1 << 10;
const USES_SHIFT: u16 = 11;
const USES: u16 = 3 << USES_SHIFT;
/// The last access is told in units of [`COARSE_UNIT_S`], for items that nobody has touched for hours.
const COARSE: u16 = 1 << 13;

/// Most uses that are told apart.
pub(super) const USES_MAX: u8 = 3;
/// Seconds of an access stamp that is coarse: 2^16 of them are 194 days.
const COARSE_UNIT_S: u64 = 256;
/// A stamp this old is made coarse, well before the fine one comes round.
const COARSE_AFTER_S: u16 = 1 << 15;

/// Lengths of the optional parts together, by the low 5 bits of the marks.
const OPTIONAL_LENS: [u8; 32] = {
    let mut lens = [0; 32];
    let mut options = 0;
    while options < 32 {
        let mut option = 0;
        while option < 5 {
            if options >> option & 1 == 1 {
                lens[options] += [2, 4, 4, 4, 8][option];
            }
            option += 1;
        }
        options += 1;
    }
    lens
};

/// What every item has, as it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    info: u16,
    key_len: u8,
    value_len_low: u8,
    birth_low: u16,
    access: u16,
}

impl Header {
    /// The header that `bytes` begins with.
    #[inline]
    pub(super) fn read(bytes: &[u8]) -> Self {
        let word = u64::from_le_bytes(take(bytes, 0));
        Self {
            info: (word & 0xffff) as u16,
            key_len: (word >> 16 & 0xff) as u8,
            value_len_low: (word >> 24 & 0xff) as u8,
            birth_low: (word >> 32 & 0xffff) as u16,
            access: (word >> 48) as u16,
        }
    }

    #[inline]
    pub(super) fn write(self, bytes: &mut [u8]) {
        let word = u64::from(self.info)
            | u64::from(self.key_len) << 16
            | u64::from(self.value_len_low) << 24
            | u64::from(self.birth_low) << 32
            | u64::from(self.access) << 48;
        bytes[..FIXED_LEN].copy_from_slice(&word.to_le_bytes());
    }

    /// Length of header and optional parts.
    #[inline]
    pub(super) const fn head_len(self) -> usize {
        FIXED_LEN + OPTIONAL_LENS[(self.info & OPTIONS) as usize] as usize
    }

    /// Length of the key.
    #[inline]
    pub(super) const fn key_len(self) -> usize {
        self.key_len as usize
    }

    /// Whether the value lies in memory of its own.
    #[inline]
    pub(super) const fn is_large(self) -> bool {
        self.info & LARGE != 0
    }

    /// Whether the item is one no more: its bytes are waste.
    #[inline]
    pub(super) const fn is_dead(self) -> bool {
        self.info & DEAD != 0
    }

    /// Whether somebody has fetched it since it was stored.
    #[inline]
    pub(super) const fn is_fetched(self) -> bool {
        self.info & FETCHED != 0
    }

    /// How often it was used, as far as that is counted.
    pub(super) const fn uses(self) -> u8 {
        ((self.info & USES) >> USES_SHIFT) as u8
    }

    /// The header of the same item with so many uses.
    pub(super) const fn with_uses(self, uses: u8) -> Self {
        Self { info: self.info & !USES | (uses as u16) << USES_SHIFT, ..self }
    }

    /// The header of an item that is none any more.
    pub(super) const fn as_dead(self) -> Self {
        Self { info: self.info | DEAD, ..self }
    }

    /// The header after a use.
    #[inline]
    pub(super) const fn as_used(self, now: Now) -> Self {
        let uses = if self.info & USES == USES { 0 } else { 1 << USES_SHIFT };
        Self { info: (self.info + uses) & !COARSE | FETCHED, access: stamp(now), ..self }
    }

    /// The header with a last access that stays right although nobody touches the item, or `None` if it does anyway.
    pub(super) const fn aged(self, now: Now) -> Option<Self> {
        if self.info & COARSE != 0 || stamp(now).wrapping_sub(self.access) < COARSE_AFTER_S {
            return None;
        }
        let accessed_s = now.monotonic_ms / 1000 - self.idle_s(now) as u64;
        Some(Self { info: self.info | COARSE, access: (accessed_s / COARSE_UNIT_S) as u16, ..self })
    }

    /// Seconds since the last access.
    #[inline]
    pub(super) const fn idle_s(self, now: Now) -> u32 {
        if self.info & COARSE != 0 {
            let units = ((now.monotonic_ms / 1000 / COARSE_UNIT_S) as u16).wrapping_sub(self.access);
            return units as u32 * COARSE_UNIT_S as u32;
        }
        stamp(now).wrapping_sub(self.access) as u32
    }

    /// What the protocol remembers of the item.
    #[inline]
    pub(super) const fn marks(self) -> Marks {
        Marks {
            stale: self.info & STALE != 0,
            won: self.info & WON != 0,
            key_is_binary: self.info & KEY_IS_BINARY != 0,
        }
    }

    #[inline]
    const fn has(self, option: u16) -> bool {
        self.info & option != 0
    }

    /// Where an optional part begins, whether there is one or not.
    #[inline]
    const fn offset_of(self, option: u16) -> usize {
        FIXED_LEN + OPTIONAL_LENS[(self.info & OPTIONS & (option - 1)) as usize] as usize
    }
}

const fn marks_info(marks: Marks) -> u16 {
    let stale = if marks.stale { STALE } else { 0 };
    let won = if marks.won { WON } else { 0 };
    let binary = if marks.key_is_binary { KEY_IS_BINARY } else { 0 };
    stale | won | binary
}

const fn stamp(now: Now) -> u16 {
    (now.monotonic_ms / 1000) as u16
}

/// An item in a segment, to be read. `bytes` begins with the item and may go on behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ItemView<'a> {
    bytes: &'a [u8],
    header: Header,
}

impl<'a> ItemView<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, header: Header::read(bytes) }
    }

    #[inline]
    pub(super) const fn header(self) -> Header {
        self.header
    }

    /// The key.
    #[inline]
    pub(super) fn key(self) -> &'a [u8] {
        let start = self.header.head_len();
        &self.bytes[start..start + self.header.key_len()]
    }

    /// Length of the value, or of the reference to it.
    #[inline]
    pub(super) fn stored_value_len(self) -> usize {
        let high = if self.header.has(LONG) { u16::from_le_bytes(take(self.bytes, FIXED_LEN)) } else { 0 };
        usize::from(self.header.value_len_low) | usize::from(high) << 8
    }

    /// The value, or the reference to it.
    #[inline]
    pub(super) fn stored_value(self) -> &'a [u8] {
        let start = self.header.head_len() + self.header.key_len();
        &self.bytes[start..start + self.stored_value_len()]
    }

    /// Where the value's own memory is listed.
    #[inline]
    pub(super) fn large_number(self) -> Option<u32> {
        self.header.is_large().then(|| u32::from_le_bytes(take(self.stored_value(), 0)))
    }

    /// Bytes of the item, to the even offset where the next may begin.
    #[inline]
    pub(super) fn len(self) -> usize {
        (self.header.head_len() + self.header.key_len() + self.stored_value_len()).next_multiple_of(2)
    }

    /// The client's flags.
    #[inline]
    pub(super) fn flags(self) -> Flags {
        if !self.header.has(FLAGS) {
            return Flags(0);
        }
        Flags(u32::from_le_bytes(take(self.bytes, self.header.offset_of(FLAGS))))
    }

    /// When the item dies.
    #[inline]
    pub(super) fn deadline(self) -> Deadline {
        if !self.header.has(DEADLINE) {
            return Deadline::NEVER;
        }
        Deadline::from_tenths(u32::from_le_bytes(take(self.bytes, self.header.offset_of(DEADLINE))))
    }

    /// The shard's count of writes when it was written; `base` is the segment's.
    #[inline]
    pub(super) fn birth(self, base: u64) -> u64 {
        let low = u64::from(self.header.birth_low);
        if !self.header.has(WIDE_BIRTH) {
            return base + low;
        }
        low | u64::from(u32::from_le_bytes(take(self.bytes, self.header.offset_of(WIDE_BIRTH)))) << 16
    }

    /// The CAS unique that the client gave it.
    #[inline]
    pub(super) fn explicit_cas(self) -> Option<CasUnique> {
        let offset = self.header.offset_of(EXPLICIT_CAS);
        self.header.has(EXPLICIT_CAS).then(|| CasUnique(u64::from_le_bytes(take(self.bytes, offset))))
    }

    /// What the item consists of but its value and birth.
    pub(super) fn traits(self) -> Traits {
        Traits {
            flags: self.flags(),
            deadline: self.deadline(),
            cas: self.explicit_cas(),
            marks: self.header.marks(),
            fetched: self.header.is_fetched(),
            uses: self.header.uses(),
            access: Access { stamp: self.header.access, coarse: self.header.has(COARSE) },
        }
    }
}

/// The moment of an item's last access, as it is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Access {
    stamp: u16,
    coarse: bool,
}

impl Access {
    pub(super) const fn at(now: Now) -> Self {
        Self { stamp: stamp(now), coarse: false }
    }
}

/// What is known of an item besides key, value and birth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    pub(super) flags: Flags,
    pub(super) deadline: Deadline,
    /// A CAS unique that the client gave; otherwise it follows from the birth.
    pub(super) cas: Option<CasUnique>,
    pub(super) marks: Marks,
    pub(super) fetched: bool,
    pub(super) uses: u8,
    pub(super) access: Access,
}

/// An item about to be written: its parts, and how long they are together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    header: Header,
    traits: Traits,
    birth: u64,
    value_len: usize,
}

impl Plan {
    /// An item born as the shard's `birth`-th write, for a segment opened at `base`. `value_len` is the length of what
    /// will lie in the segment.
    pub(super) fn new(key: Key<'_>, value_len: usize, is_large: bool, traits: Traits, birth: u64, base: u64) -> Self {
        let mut info = marks_info(traits.marks) | u16::from(traits.uses) << USES_SHIFT;
        for (wanted, bit) in [
            (value_len > 0xff, LONG),
            (traits.flags != Flags(0), FLAGS),
            (traits.deadline != Deadline::NEVER, DEADLINE),
            (birth.checked_sub(base).is_none_or(|delta| delta > 0xffff), WIDE_BIRTH),
            (traits.cas.is_some(), EXPLICIT_CAS),
            (is_large, LARGE),
            (traits.fetched, FETCHED),
            (traits.access.coarse, COARSE),
        ] {
            if wanted {
                info |= bit;
            }
        }
        let birth_low = if info & WIDE_BIRTH == 0 { birth - base } else { birth };
        let header = Header {
            info,
            key_len: (key.as_bytes().len() & 0xff) as u8,
            value_len_low: (value_len & 0xff) as u8,
            birth_low: (birth_low & 0xffff) as u16,
            access: traits.access.stamp,
        };
        Self { header, traits, birth, value_len }
    }

    /// The plan with the optional parts that `present` has, too, where they can say that there is nothing: what was
    /// there once need not be moved to be gone.
    pub(super) fn over(self, present: ItemView<'_>) -> Self {
        let info = self.header.info | present.header().info & (FLAGS | DEADLINE | WIDE_BIRTH);
        let birth_low = if info & WIDE_BIRTH == 0 { self.header.birth_low } else { (self.birth & 0xffff) as u16 };
        Self { header: Header { info, birth_low, ..self.header }, ..self }
    }

    /// Bytes the item will take.
    pub(super) const fn len(&self) -> usize {
        (self.header.head_len() + self.header.key_len() + self.value_len).next_multiple_of(2)
    }

    /// Writes the item but for its value, whose place is returned.
    pub(super) fn write<'a>(&self, key: Key<'_>, bytes: &'a mut [u8]) -> &'a mut [u8] {
        self.write_head(bytes);
        let start = self.header.head_len();
        let end = start + self.header.key_len();
        bytes[start..end].copy_from_slice(key.as_bytes());
        &mut bytes[end..end + self.value_len]
    }

    /// Writes the header and the optional parts only.
    pub(super) fn write_head(&self, bytes: &mut [u8]) {
        self.header.write(bytes);
        let mut put = |option: u16, part: &[u8]| {
            if self.header.has(option) {
                let at = self.header.offset_of(option);
                bytes[at..at + part.len()].copy_from_slice(part);
            }
        };
        put(LONG, &((self.value_len >> 8 & 0xffff) as u16).to_le_bytes());
        put(FLAGS, &self.traits.flags.0.to_le_bytes());
        put(DEADLINE, &self.traits.deadline.as_tenths().to_le_bytes());
        put(WIDE_BIRTH, &((self.birth >> 16 & 0xffff_ffff) as u32).to_le_bytes());
        put(EXPLICIT_CAS, &self.traits.cas.unwrap_or_default().0.to_le_bytes());
    }

    /// Whether the item may be written over `present` without moving anything: all its parts lie where they lay, and
    /// the value's place has the length it had, to the byte that makes it even.
    pub(super) fn fits_over(&self, present: ItemView<'_>) -> bool {
        const PARTS: u16 = OPTIONS | LARGE;
        self.header.info & PARTS == present.header().info & PARTS && self.len() == present.len()
    }
}

#[inline]
fn take<const LEN: usize>(bytes: &[u8], at: usize) -> [u8; LEN] {
    let mut part = [0; LEN];
    part.copy_from_slice(&bytes[at..at + LEN]);
    part
}

/// The number that a value spells, as memcached reads it (PROTOCOL §3): decimal digits, at most 20, with blanks around
/// them.
pub(super) fn parse_number(text: &[u8]) -> Option<u64> {
    let digits = text.trim_ascii();
    let digits = digits.strip_prefix(b"+").unwrap_or(digits);
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::at;

    const PLAIN: Traits = Traits {
        flags: Flags(0),
        deadline: Deadline::NEVER,
        cas: None,
        marks: Marks { stale: false, won: false, key_is_binary: false },
        fetched: false,
        uses: 0,
        access: Access { stamp: 7, coarse: false },
    };

    fn written(plan: &Plan, key: Key<'_>, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xee; plan.len() + 10];
        plan.write(key, &mut bytes).copy_from_slice(value);
        assert!(bytes[plan.len()..].iter().all(|&byte| byte == 0xee), "nothing is written behind the item");
        bytes
    }

    #[test]
    fn a_small_item_has_eight_bytes_beside_key_and_value() {
        let key = Key::new(b"0123456789").unwrap();
        assert_eq!(Plan::new(key, 32, false, PLAIN, 70_000, 70_000 - 0xffff).len(), 10 + 32 + 8);
        let expiring = Traits { deadline: Deadline::PAST, ..PLAIN };
        assert_eq!(Plan::new(key, 32, false, expiring, 5, 5).len(), 10 + 32 + 12);
    }

    #[test]
    fn every_choice_of_parts_is_read_as_written() {
        let key = Key::new(b"key").unwrap();
        for choice in 0..64_u64 {
            let chosen = |bit: u64| choice >> bit & 1 == 1;
            let traits = Traits {
                flags: Flags(if chosen(0) { 0xdead_beef } else { 0 }),
                deadline: if chosen(1) { Deadline::from_tenths(123_456_789) } else { Deadline::NEVER },
                cas: chosen(2).then_some(CasUnique(u64::MAX)),
                marks: Marks { stale: chosen(3), won: chosen(4), key_is_binary: chosen(5) },
                fetched: chosen(3),
                uses: (choice & 3) as u8,
                access: Access { stamp: 9, coarse: chosen(4) },
            };
            for (birth, base) in [(77_u64, 70_u64), (70, 77), (1 << 40, 1 << 20)] {
                for len in [0, 1, 255, 256, 10_000] {
                    let value = vec![b'v'; len];
                    let plan = Plan::new(key, len, chosen(0), traits, birth, base);
                    let bytes = written(&plan, key, &value);
                    let item = ItemView::new(&bytes);
                    assert_eq!((item.len(), item.key(), item.stored_value()), (plan.len(), &b"key"[..], &value[..]));
                    assert_eq!((item.birth(base), item.header().is_large()), (birth, chosen(0)));
                    let read = item.traits();
                    assert_eq!((read.flags, read.deadline, read.cas), (traits.flags, traits.deadline, traits.cas));
                    assert_eq!((read.marks, read.fetched, read.uses), (traits.marks, traits.fetched, traits.uses));
                    assert_eq!(read.access, traits.access);
                    assert!(plan.fits_over(item) && !item.header().is_dead());
                }
            }
        }
    }

    #[test]
    fn a_part_that_is_there_may_say_that_there_is_nothing() {
        let key = Key::new(b"key").unwrap();
        let traits = Traits { flags: Flags(7), deadline: Deadline::from_tenths(99), ..PLAIN };
        let mut bytes = written(&Plan::new(key, 1, false, traits, 1 << 40, 5), key, b"v");
        let plan = Plan::new(key, 1, false, PLAIN, 6, 5).over(ItemView::new(&bytes));
        assert!(plan.fits_over(ItemView::new(&bytes)));
        plan.write_head(&mut bytes);
        let item = ItemView::new(&bytes);
        assert_eq!((item.flags(), item.deadline(), item.birth(5)), (Flags(0), Deadline::NEVER, 6));
        assert_eq!((item.key(), item.stored_value()), (&b"key"[..], &b"v"[..]));
    }

    #[test]
    fn uses_are_counted_to_three() {
        let key = Key::new(b"key").unwrap();
        let bytes = written(&Plan::new(key, 1, false, PLAIN, 1, 0), key, b"v");
        let mut header = Header::read(&bytes);
        for uses in [1, 2, 3, 3] {
            header = header.as_used(at(5000));
            assert_eq!((header.uses(), header.is_fetched(), header.is_dead()), (uses, true, false));
        }
        assert_eq!((header.with_uses(1).uses(), header.as_dead().is_dead()), (1, true));
    }

    #[test]
    fn the_last_access_is_told_right_for_months() {
        let key = Key::new(b"key").unwrap();
        for start_s in [0, 1, 65_535, 65_536, 1_000_003] {
            let accessed = at(start_s * 1000);
            let traits = Traits { access: Access::at(accessed), ..PLAIN };
            let mut header = Header::read(&written(&Plan::new(key, 1, false, traits, 1, 0), key, b"v"));
            assert_eq!(header.idle_s(accessed), 0);
            // Something looks at every item at least every four hours.
            for hours in (4..2400).step_by(4) {
                let now = at((start_s + hours * 3600) * 1000);
                if let Some(aged) = header.aged(now) {
                    header = aged;
                }
                let off = i64::from(header.idle_s(now)) - (hours * 3600).cast_signed();
                assert!(off.abs() < 256, "{off} s off after {hours} hours");
            }
            let again = at((start_s + 10_000_000) * 1000);
            assert_eq!(header.as_used(again).idle_s(at((start_s + 10_000_005) * 1000)), 5);
        }
    }

    #[test]
    fn numbers_as_memcached_reads_them() {
        for (text, number) in
            [("0", 0), ("99 ", 99), (" 7", 7), ("+5", 5), ("007", 7), ("18446744073709551615", u64::MAX)]
        {
            assert_eq!(parse_number(text.as_bytes()), Some(number), "{text:?}");
        }
        let too_long = "000000000000000000001";
        for text in ["", " ", "+", "-1", "1 2", "1x", "+ 1", "++1", "18446744073709551616", too_long] {
            assert_eq!(parse_number(text.as_bytes()), None, "{text:?}");
        }
    }
}
