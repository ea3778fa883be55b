//! Words and numbers of a text line, as all text dialects read them (PROTOCOL §1, §2).

use memchr::memchr;

use crate::limits::KEY_LEN_MAX;
use crate::terms::{Exptime, Flags};

/// The tokens of a line: runs of anything but blanks. Its field is what is still unread.
#[derive(Clone, Debug)]
pub(crate) struct Tokens<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (token, rest) = split_token(trim_blanks(self.0));
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }
}

/// What follows the blanks at the beginning.
#[inline]
pub(crate) fn trim_blanks(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|&byte| byte != b' ').unwrap_or(bytes.len());
    &bytes[start..]
}

/// The same as [`split_token`], quicker where the token is long, as keys are.
#[inline]
pub(crate) fn split_long_token(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(memchr(b' ', bytes).unwrap_or(bytes.len()))
}

/// Where the first byte is that may end a key: a blank, or less than one. `None` if all that a key and its end can take
/// is without one. Most keys end within the first words of 8 bytes, and then a call of `memchr` costs more.
#[inline]
pub(crate) fn find_key_end(bytes: &[u8]) -> Option<usize> {
    const WORDS_MAX: usize = KEY_LEN_MAX / 8 + 1;
    const ONES: u64 = u64::MAX / 0xff;
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().take(WORDS_MAX).enumerate() {
        let word = u64::from_le_bytes(*word);
        // The lowest byte that is less than 0x21 gets its highest bit here; those above it may be wrong.
        let ends = word.wrapping_sub(ONES * 0x21) & !word & (ONES << 7);
        if ends != 0 {
            return Some(index * 8 + ends.trailing_zeros() as usize / 8);
        }
    }
    let end = rest.iter().position(|&byte| byte <= b' ')?;
    (words.len() < WORDS_MAX).then_some(words.len() * 8 + end)
}

/// Where the first blank is, or the end. As `memchr`, but quicker where that is near, as behind keys.
#[inline]
pub(crate) fn find_blank(bytes: &[u8]) -> usize {
    match find_key_end(bytes) {
        Some(end) if bytes[end] == b' ' => end,
        // A byte that is less than a blank, or a word too long to be a key.
        _ => memchr(b' ', bytes).unwrap_or(bytes.len()),
    }
}

/// What stands before the first blank, and the rest from that blank on.
#[inline]
pub(crate) fn split_token(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|&byte| byte == b' ').unwrap_or(bytes.len());
    bytes.split_at(end)
}

/// The first token; empty if there is none.
pub(crate) fn first_token(bytes: &[u8]) -> &[u8] {
    split_token(trim_blanks(bytes)).0
}

/// The last token; empty if there is none.
pub(crate) fn last_token(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
    let start = bytes[..end].iter().rposition(|&byte| byte == b' ').map_or(0, |blank| blank + 1);
    &bytes[start..end]
}

/// Whether the last token is `noreply`.
pub(crate) fn ends_in_noreply(rest: &[u8]) -> bool {
    !rest.is_empty() && last_token(rest) == b"noreply"
}

/// Decimal digits only, at most 64 bits.
#[inline]
pub(crate) fn parse_u64(token: &[u8]) -> Option<u64> {
    if token.is_empty() || token.len() > 20 {
        return None;
    }
    token.iter().try_fold(0_u64, |number, &byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Client flags: a number of 32 bits.
pub(crate) fn parse_flags(token: &[u8]) -> Option<Flags> {
    parse_u64(token).and_then(|flags| u32::try_from(flags).ok()).map(Flags)
}

/// The exptime of a storage line: beyond 32 bits it is clamped to the far future or past, not truncated.
pub(crate) fn parse_exptime(token: &[u8]) -> Option<Exptime> {
    let (negative, digits) = match token.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, token),
    };
    // By far the most are 0.
    if token == b"0" {
        return Some(Exptime(0));
    }
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude = parse_u64(digits).and_then(|number| i64::try_from(number).ok()).unwrap_or(i64::MAX);
    Some(Exptime(if negative { -magnitude } else { magnitude }))
}

/// The exptime of `touch`, `gat` and `flush_all`: beyond 32 bits it is refused (PROTOCOL §2).
pub(crate) fn parse_exptime_32(token: &[u8]) -> Option<Exptime> {
    parse_exptime(token).filter(|exptime| i32::try_from(exptime.0).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_is_found_wherever_it_stands_and_whatever_stands_before() {
        // Lengths around words of 8 bytes and the longest key; bytes that are less than a blank, or have the highest bit.
        for len in (0..40).chain(245..270) {
            for other in [b'k', b'!', 0x1f, b'\t', 0, 0x80, 0xff] {
                let mut bytes = vec![b'k'; len];
                if let Some(byte) = bytes.get_mut(len / 3) {
                    *byte = other;
                }
                assert_eq!(find_blank(&bytes), len);
                for at in 0..len {
                    let mut bytes = bytes.clone();
                    bytes[at] = b' ';
                    assert_eq!(find_blank(&bytes), at, "{len} bytes with {other}");
                }
            }
        }
    }
}
