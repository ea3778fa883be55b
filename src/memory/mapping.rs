//! Address space from the kernel.
#![allow(unsafe_code, reason = "mmap, munmap and madvise; each block argues")]

use std::io;
use std::ptr::NonNull;

use super::PAGE_LEN;

/// A range of address space, readable and writable, all zeros at first. Memory stands behind a page from its first use
/// until it is discarded.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping is memory and nothing else; who may touch which part of it when is for its users to argue.
unsafe impl Send for Mapping {}
// SAFETY: as above; the methods here read and write nothing.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// A range of `wanted` bytes, or of half as many and so on down to `least`, if the kernel refuses more (a limit of
    /// address space, or `vm.overcommit_memory=2`). Both are rounded up to pages.
    pub(super) fn reserve(wanted: usize, least: usize, huge_pages: bool) -> io::Result<Self> {
        let least = least.max(1).next_multiple_of(PAGE_LEN);
        let mut len = wanted.next_multiple_of(PAGE_LEN).max(least);
        loop {
            match Self::map(len) {
                Ok(mapping) => {
                    mapping.choose_pages(huge_pages);
                    return Ok(mapping);
                }
                Err(error) if len == least => return Err(error),
                Err(_) => len = (len / 2).next_multiple_of(PAGE_LEN).max(least),
            }
        }
    }

    /// Bytes of the range.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The address of the byte at `at`, which must not lie behind the end.
    pub(super) fn address(&self, at: usize) -> *mut u8 {
        debug_assert!(at <= self.len, "{at} lies behind the end of a mapping of {}", self.len);
        self.base.as_ptr().wrapping_add(at)
    }

    #[cfg(not(miri))]
    fn map(len: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory there is.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(base.cast()).map(|base| Self { base, len }).ok_or_else(io::Error::last_os_error)
    }

    /// Whether the kernel is to use huge pages. Where it is not it must not: one small item on a huge page would cost
    /// 2 MiB.
    #[cfg(not(miri))]
    fn choose_pages(&self, huge_pages: bool) {
        let advice = if huge_pages { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
        // SAFETY: the range is this mapping's; the advice changes no contents. A kernel without huge pages refuses it,
        // which is as good.
        unsafe { libc::madvise(self.base.as_ptr().cast(), self.len, advice) };
    }

    /// Gives the memory of whole pages back to the kernel; they read as zeros afterwards.
    ///
    /// # Safety
    ///
    /// Nobody may hold a reference into the range or write to it meanwhile.
    #[cfg(not(miri))]
    pub(super) unsafe fn discard(&self, at: usize, len: usize) {
        assert!(at.is_multiple_of(PAGE_LEN) && at + len <= self.len, "whole pages within the mapping");
        // SAFETY: the range lies within this mapping, and the caller promises that nobody looks at it.
        unsafe { libc::madvise(self.address(at).cast(), len, libc::MADV_DONTNEED) };
    }

    #[cfg(miri)]
    fn map(len: usize) -> io::Result<Self> {
        // SAFETY: the layout has a size above 0.
        let base = unsafe { std::alloc::alloc_zeroed(Self::layout(len)) };
        NonNull::new(base).map(|base| Self { base, len }).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    #[cfg(miri)]
    fn choose_pages(&self, _huge_pages: bool) {}

    /// # Safety
    ///
    /// As above.
    #[cfg(miri)]
    pub(super) unsafe fn discard(&self, at: usize, len: usize) {
        // SAFETY: the range lies within this mapping, and the caller promises that nobody looks at it.
        unsafe { self.address(at).write_bytes(0, len) };
    }

    #[cfg(miri)]
    fn layout(len: usize) -> std::alloc::Layout {
        std::alloc::Layout::from_size_align(len, PAGE_LEN).expect("a mapping is below half of the address space")
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this length, and who held it has let go.
        #[cfg(not(miri))]
        unsafe {
            libc::munmap(self.base.as_ptr().cast(), self.len)
        };
        // SAFETY: as above.
        #[cfg(miri)]
        unsafe {
            std::alloc::dealloc(self.base.as_ptr(), Self::layout(self.len))
        };
    }
}
