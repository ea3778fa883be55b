//! SipHash-1-3 of a whole key at once. Keys are short, and what a hasher keeps between two writes of which there is only
//! one costs as much as their hash.

/// The four words of the state.
struct Sip(u64, u64, u64, u64);

impl Sip {
    #[inline]
    const fn round(self) -> Self {
        let Self(v0, v1, v2, v3) = self;
        let (v0, v2) = (v0.wrapping_add(v1), v2.wrapping_add(v3));
        let (v1, v3) = (v1.rotate_left(13) ^ v0, v3.rotate_left(16) ^ v2);
        let (v0, v2) = (v0.rotate_left(32).wrapping_add(v3), v2.wrapping_add(v1));
        let (v1, v3) = (v1.rotate_left(17) ^ v2, v3.rotate_left(21) ^ v0);
        Self(v0, v1, v2.rotate_left(32), v3)
    }

    #[inline]
    const fn with(self, word: u64) -> Self {
        let Self(v0, v1, v2, v3) = self;
        let Self(v0, v1, v2, v3) = Self(v0, v1, v2, v3 ^ word).round();
        Self(v0 ^ word, v1, v2, v3)
    }
}

/// The hash of `bytes` under a key of two words.
#[inline]
pub(super) fn siphash13([key_low, key_high]: [u64; 2], bytes: &[u8]) -> u64 {
    // "somepseudorandomlygeneratedbytes", as the algorithm says.
    let mut sip = Sip(
        key_low ^ 0x736f_6d65_7073_6575,
        key_high ^ 0x646f_7261_6e64_6f6d,
        key_low ^ 0x6c79_6765_6e65_7261,
        key_high ^ 0x7465_6462_7974_6573,
    );
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        sip = sip.with(u64::from_le_bytes(*word));
    }
    let last = match bytes.last_chunk::<8>() {
        _ if rest.is_empty() => 0,
        // The last eight bytes without those that have been taken in.
        Some(last) => u64::from_le_bytes(*last) >> (64 - 8 * rest.len()),
        None => rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    };
    let Sip(v0, v1, v2, v3) = sip.with((bytes.len() as u64) << 56 | last);
    let Sip(v0, v1, v2, v3) = Sip(v0, v1, v2 ^ 0xff, v3).round().round().round();
    v0 ^ v1 ^ v2 ^ v3
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use siphasher::sip::SipHasher13;

    use super::*;

    #[test]
    fn it_is_siphash_1_3_of_any_length() {
        let bytes: Vec<u8> = (0..=250).collect();
        for keys in [[0, 0], [7, 11], [u64::MAX, 0x0123_4567_89ab_cdef]] {
            for len in 0..=bytes.len() {
                let mut hasher = SipHasher13::new_with_keys(keys[0], keys[1]);
                hasher.write(&bytes[..len]);
                assert_eq!(siphash13(keys, &bytes[..len]), hasher.finish(), "{len} bytes");
            }
        }
    }
}
