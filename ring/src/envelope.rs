//! Datagrams: how their addresses are written for the kernel and read back, and what is lent to it meanwhile.
#![allow(unsafe_code, reason = "zeroed msghdrs; the addresses made here are lent under kernel.rs's rule")]

use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::types::{Fd, RecvMsgOut};
use io_uring::{opcode, squeue};

/// A `sockaddr_in6`, the longest address that is used here.
const NAME_LEN: usize = size_of::<libc::sockaddr_in6>();

/// What the kernel is told about the space for a datagram that comes in: room for the sender's address before it.
pub(crate) struct Inbox(Box<libc::msghdr>);

impl Inbox {
    pub(crate) fn new() -> Inbox {
        let mut header = Box::new(no_header());
        header.msg_namelen = libc::socklen_t::try_from(NAME_LEN).unwrap_or_default();
        Inbox(header)
    }

    /// Receives datagrams one after the other, each into a buffer of `group`. The entry holds the address of this
    /// value's heap memory, which the kernel only reads.
    pub(crate) fn operation(&self, fd: BorrowedFd<'_>, group: u16) -> squeue::Entry {
        opcode::RecvMsgMulti::new(Fd(fd.as_raw_fd()), &raw const *self.0, group).build()
    }

    /// Sender and contents of what the kernel has put into `buffer`; nothing if it did not fit, or the sender's address
    /// is of no family known here.
    pub(crate) fn open<'a>(&self, buffer: &'a [u8]) -> Option<(SocketAddr, &'a [u8])> {
        let out = RecvMsgOut::parse(buffer, &self.0).ok()?;
        if out.is_payload_truncated() || out.is_name_data_truncated() {
            return None;
        }
        let len = buffer.len() - size_of_headers();
        let start = buffer.len() - len;
        debug_assert_eq!(out.payload_data().len(), len);
        Some((read_name(out.name_data())?, &buffer[start..]))
    }
}

/// What stands before the contents of a datagram in its buffer.
fn size_of_headers() -> usize {
    // The kernel's four words, then the address.
    16 + NAME_LEN
}

/// One datagram on its way out. Boxed: the kernel reads the header and the address where they stand.
pub(crate) struct Letter {
    header: libc::msghdr,
    vector: libc::iovec,
    name: [u8; NAME_LEN],
    name_len: usize,
    bytes: Vec<u8>,
}

impl Letter {
    pub(crate) fn new(to: SocketAddr, bytes: Vec<u8>) -> Box<Letter> {
        let (name, name_len) = write_name(to);
        let vector = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Box::new(Letter { header: no_header(), vector, name, name_len, bytes })
    }

    /// The operation that sends it, at once or not at all. The entry holds the addresses of this box's memory; the
    /// caller keeps the box whole and untouched until its completion.
    pub(crate) fn operation(&mut self, fd: BorrowedFd<'_>, flags: i32) -> squeue::Entry {
        self.vector = libc::iovec { iov_base: self.bytes.as_mut_ptr().cast(), iov_len: self.bytes.len() };
        self.header.msg_iov = &raw mut self.vector;
        self.header.msg_iovlen = 1;
        self.header.msg_name = self.name.as_mut_ptr().cast();
        self.header.msg_namelen = libc::socklen_t::try_from(self.name_len).unwrap_or_default();
        opcode::SendMsg::new(Fd(fd.as_raw_fd()), &raw const self.header).flags(flags.cast_unsigned()).build()
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

fn no_header() -> libc::msghdr {
    // SAFETY: msghdr is a C struct of integers and raw pointers, for which all zeroes is a value.
    unsafe { mem::zeroed() }
}

const FAMILY_V4: libc::sa_family_t = family(libc::AF_INET);
const FAMILY_V6: libc::sa_family_t = family(libc::AF_INET6);

#[expect(clippy::cast_possible_truncation, reason = "families are numbered below 50")]
const fn family(number: i32) -> libc::sa_family_t {
    number.cast_unsigned() as libc::sa_family_t
}

/// A `sockaddr_in` (family, port, address, eight zeroes) or a `sockaddr_in6` (family, port, flow, address, scope).
fn write_name(address: SocketAddr) -> ([u8; NAME_LEN], usize) {
    let mut name = [0; NAME_LEN];
    name[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            name[..2].copy_from_slice(&FAMILY_V4.to_ne_bytes());
            name[4..8].copy_from_slice(&v4.ip().octets());
            (name, size_of::<libc::sockaddr_in>())
        }
        SocketAddr::V6(v6) => {
            name[..2].copy_from_slice(&FAMILY_V6.to_ne_bytes());
            name[4..8].copy_from_slice(&v6.flowinfo().to_be_bytes());
            name[8..24].copy_from_slice(&v6.ip().octets());
            name[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
            (name, NAME_LEN)
        }
    }
}

fn read_name(name: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*name.first_chunk()?);
    let port = u16::from_be_bytes(*name.get(2..)?.first_chunk()?);
    match family {
        FAMILY_V4 => {
            let octets: [u8; 4] = *name.get(4..)?.first_chunk()?;
            Some((IpAddr::V4(Ipv4Addr::from(octets)), port).into())
        }
        FAMILY_V6 => {
            let flow = u32::from_be_bytes(*name.get(4..)?.first_chunk()?);
            let octets: [u8; 16] = *name.get(8..)?.first_chunk()?;
            let scope = u32::from_ne_bytes(*name.get(24..)?.first_chunk()?);
            Some(SocketAddrV6::new(Ipv6Addr::from(octets), port, flow, scope).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back_as_it_was_written() {
        for text in ["127.0.0.1:11211", "255.1.2.3:65535", "[::1]:1", "[fe80::1%7]:80", "0.0.0.0:0"] {
            let address: SocketAddr = text.parse().unwrap();
            let (name, len) = write_name(address);
            assert_eq!(read_name(&name[..len]), Some(address), "{text}");
        }
        assert_eq!(read_name(&[]), None);
        assert_eq!(read_name(&[0; NAME_LEN]), None);
        let (name, len) = write_name("[::1]:1".parse().unwrap());
        assert_eq!(read_name(&name[..len - 1]), None, "cut short");
    }
}
