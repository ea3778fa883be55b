//! The system calls that have no ring operation worth using. Each takes descriptors that are open by their type.
#![allow(unsafe_code, reason = "libc calls; each block says why its arguments are valid")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Takes `O_NONBLOCK` off a socket: on such a file the kernel answers "try again" instead of waiting in the ring.
pub(crate) fn set_blocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    change_flags(fd, |flags| flags & !libc::O_NONBLOCK)
}

/// Puts `O_NONBLOCK` on an eventfd: without it the kernel leaves a write, which never blocks, to a worker thread.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    change_flags(fd, |flags| flags | libc::O_NONBLOCK)
}

fn change_flags(fd: BorrowedFd<'_>, change: impl Fn(i32) -> i32) -> io::Result<()> {
    // SAFETY: fcntl with F_GETFL takes no pointer.
    let flags = checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    if change(flags) != flags {
        // SAFETY: fcntl with F_SETFL takes an integer and no pointer.
        checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, change(flags)) })?;
    }
    Ok(())
}

/// Tells the peer that nothing more will be sent.
pub(crate) fn shutdown_write(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: shutdown takes no pointer.
    checked(unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_WR) }).map(|_| ())
}

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
