//! What memory costs: the allocator's rounding, and values that are no longer items but still in a reader's hands.

use super::item::Payload;

/// What a request for `len` bytes takes from the allocator: glibc's header of 8 bytes, rounded up to 16, at least 32;
/// from 128 KiB on whole pages with a header of 16.
pub(super) const fn allocated(len: usize) -> usize {
    const MAPPED_LEN_MIN: usize = 128 << 10;
    const PAGE_LEN: usize = 4096;
    if len == 0 {
        0
    } else if len >= MAPPED_LEN_MIN {
        (len + 16).next_multiple_of(PAGE_LEN)
    } else if len <= 24 {
        32
    } else {
        (len + 8).next_multiple_of(16)
    }
}

/// Values that were deleted, replaced or evicted while a reader held them. They count against the limit until the
/// last reader lets go.
#[derive(Debug, Default)]
pub(super) struct Pinned {
    payloads: Vec<Payload>,
    bytes: usize,
    cursor: usize,
}

impl Pinned {
    /// Bytes that only readers keep from being free.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Charges `payload` until its readers let go.
    pub(super) fn pin(&mut self, mut payload: Payload) {
        // The key's memory is given back but stays charged: it pays for the entry in this list.
        self.bytes += payload.charge();
        payload.charge_key_elsewhere();
        self.payloads.push(payload);
    }

    /// Looks at up to `looks` values and frees those whose readers have gone. Whether any had.
    pub(super) fn release(&mut self, looks: usize) -> bool {
        let bytes_before = self.bytes;
        for _ in 0..looks.min(self.payloads.len()) {
            if self.cursor >= self.payloads.len() {
                self.cursor = 0;
            }
            if self.payloads[self.cursor].is_held() {
                self.cursor += 1;
            } else {
                self.bytes -= self.payloads.swap_remove(self.cursor).charge();
            }
        }
        self.bytes < bytes_before
    }

    /// Asserts that the sum is the sum.
    pub(super) fn verify(&self) {
        assert_eq!(self.bytes, self.payloads.iter().map(Payload::charge).sum::<usize>(), "bytes of pinned values");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allocation_costs_at_least_what_was_asked_and_never_less_than_a_smaller_one() {
        let mut previous = 0;
        for len in (0..2000).chain((130_000..140_000).step_by(7)) {
            let cost = allocated(len);
            assert!(cost >= len && cost >= previous, "{len} costs {cost}");
            previous = cost;
        }
        assert_eq!((allocated(1), allocated(24), allocated(25), allocated(40)), (32, 32, 48, 48));
    }
}
