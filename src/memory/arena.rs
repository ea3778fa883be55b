//! Memory that one owner reads and writes by offset.
#![allow(unsafe_code, reason = "slices of a mapping that only this owner has; each block argues")]

use std::io;

use super::PAGE_LEN;
use super::mapping::Mapping;

/// Address space of one owner. Whatever lies in it is initialised: it reads as zeros until it is written.
#[derive(Debug)]
pub struct Arena {
    mapping: Mapping,
}

impl Arena {
    /// Address space of `wanted` bytes, or fewer down to `least` where the kernel refuses more.
    pub fn reserve(wanted: usize, least: usize, huge_pages: bool) -> io::Result<Self> {
        Mapping::reserve(wanted, least, huge_pages).map(|mapping| Self { mapping })
    }

    /// Bytes of address space.
    #[expect(clippy::len_without_is_empty, reason = "an arena is never empty")]
    pub const fn len(&self) -> usize {
        self.mapping.len()
    }

    /// The `len` bytes from `at`.
    ///
    /// # Panics
    ///
    /// If they do not lie within the arena.
    #[inline]
    pub fn bytes(&self, at: usize, len: usize) -> &[u8] {
        self.check(at, len);
        // SAFETY: the range lies within the mapping, which is initialised, lives as long as `self`, and is written only
        // through `&mut self`.
        unsafe { std::slice::from_raw_parts(self.mapping.address(at), len) }
    }

    /// The `len` bytes from `at`, to be changed.
    ///
    /// # Panics
    ///
    /// If they do not lie within the arena.
    #[inline]
    pub fn bytes_mut(&mut self, at: usize, len: usize) -> &mut [u8] {
        self.check(at, len);
        // SAFETY: as in `bytes`; `&mut self` keeps every other reference away.
        unsafe { std::slice::from_raw_parts_mut(self.mapping.address(at), len) }
    }

    /// Copies `len` bytes from one place to another.
    ///
    /// # Panics
    ///
    /// If either does not lie within the arena.
    pub fn copy(&mut self, from: usize, to: usize, len: usize) {
        self.check(from, len);
        self.check(to, len);
        // SAFETY: both ranges lie within the mapping, and `&mut self` keeps every reference away; they may overlap.
        unsafe { self.mapping.address(from).copy_to(self.mapping.address(to), len) };
    }

    /// Gives the memory of a range of whole pages back to the kernel; it reads as zeros afterwards.
    ///
    /// # Panics
    ///
    /// If the range is not whole pages within the arena.
    pub fn discard(&mut self, at: usize, len: usize) {
        assert!(len.is_multiple_of(PAGE_LEN), "{len} bytes are not whole pages");
        // SAFETY: `&mut self` keeps every reference away.
        unsafe { self.mapping.discard(at, len) };
    }

    /// Asks the CPU to bring the line at `at` near. Changes nothing, whatever `at` is.
    #[inline]
    pub fn prefetch(&self, at: usize) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        if at < self.len() {
            // SAFETY: a prefetch reads nothing that the program could see, and the address lies in the mapping.
            unsafe {
                core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(
                    self.mapping.address(at).cast::<i8>(),
                );
            }
        }
        #[cfg(any(not(target_arch = "x86_64"), miri))]
        let _ = at;
    }

    #[inline]
    fn check(&self, at: usize, len: usize) {
        assert!(at.checked_add(len).is_some_and(|end| end <= self.len()), "{len} bytes at {at} are outside the arena");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_until_it_is_discarded() {
        let mut arena = Arena::reserve(10 * PAGE_LEN, PAGE_LEN, false).unwrap();
        assert_eq!(arena.bytes(PAGE_LEN, 3), [0; 3]);
        arena.bytes_mut(PAGE_LEN - 1, 3).copy_from_slice(b"abc");
        arena.copy(PAGE_LEN - 1, 5 * PAGE_LEN, 3);
        arena.prefetch(5 * PAGE_LEN);
        arena.prefetch(usize::MAX);
        arena.discard(0, PAGE_LEN);
        assert_eq!((arena.bytes(PAGE_LEN - 1, 3), arena.bytes(5 * PAGE_LEN, 3)), (&b"\0bc"[..], &b"abc"[..]));
        arena.copy(5 * PAGE_LEN, 5 * PAGE_LEN + 1, 3);
        assert_eq!(arena.bytes(5 * PAGE_LEN, 4), b"aabc");
    }

    #[test]
    #[should_panic(expected = "outside the arena")]
    fn nothing_is_read_behind_the_end() {
        let arena = Arena::reserve(PAGE_LEN, PAGE_LEN, false).unwrap();
        arena.bytes(arena.len() - 1, 2);
    }

    #[test]
    #[cfg(not(miri))]
    fn less_is_taken_where_the_kernel_refuses_more() {
        let arena = Arena::reserve(1 << 50, 1 << 20, false).unwrap();
        assert!(arena.len() >= 1 << 20 && arena.len() < 1 << 50);
        assert!(Arena::reserve(1 << 50, 1 << 50, false).is_err());
    }
}
