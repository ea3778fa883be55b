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

/// Lets the kernel ask the network card for so many microseconds before it waits for something on this socket.
pub fn set_busy_poll(fd: BorrowedFd<'_>, us: i32) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of_val(&us)).map_err(io::Error::other)?;
    // SAFETY: the option is an integer, which the kernel copies.
    let result =
        unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_BUSY_POLL, (&raw const us).cast(), len) };
    checked(result).map(|_| ())
}

/// What `IORING_REGISTER_NAPI` takes: `struct io_uring_napi` of the kernel.
#[repr(C)]
struct Napi {
    busy_poll_us: u32,
    prefer_busy_poll: u8,
    operation: u8,
    padding: [u8; 2],
    parameter: u32,
    reserved: u32,
}

/// Lets a ring ask the network cards of its sockets for so many microseconds before it waits. Linux 6.9 or newer.
pub(crate) fn register_napi(ring: BorrowedFd<'_>, us: u32) -> io::Result<()> {
    const IORING_REGISTER_NAPI: libc::c_uint = 27;
    let mut napi =
        Napi { busy_poll_us: us, prefer_busy_poll: 0, operation: 0, padding: [0; 2], parameter: 0, reserved: 0 };
    // SAFETY: the structure is the one the call takes; the kernel reads it and writes the former values back.
    let result =
        unsafe { libc::syscall(libc::SYS_io_uring_register, ring.as_raw_fd(), IORING_REGISTER_NAPI, &raw mut napi, 1) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
