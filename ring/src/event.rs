//! What a turn can report, and what can be sent.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::Bytes;

use crate::buffers::Filled;
use crate::ids::{ConnId, DatagramSocketId, ListenerId};

/// A piece of a reply.
#[derive(Debug)]
pub enum Chunk {
    /// Bytes made for this reply; the memory comes back to [`Ring::take_buffer`](crate::Ring::take_buffer).
    Owned(Vec<u8>),
    /// Bytes somebody else holds as well, sent without a copy; let go when they are in the kernel.
    Shared(Bytes),
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        match self {
            Chunk::Owned(bytes) => bytes,
            Chunk::Shared(bytes) => bytes,
        }
    }
}

/// How long a turn may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: report what is there.
    Poll,
    /// Until there is something to report, at most this long.
    UpTo(Duration),
}

/// Something that happened. Reports about sends come before the other reports of a turn, so whoever takes the events
/// in order never meets a connection's input while its finished send still counts as under way.
#[derive(Debug)]
pub enum Event {
    /// A peer connected. The socket belongs to whoever takes the event: [`Ring::add`](crate::Ring::add) it, or drop it.
    Accepted {
        /// Where.
        listener: ListenerId,
        /// The new connection.
        socket: OwnedFd,
    },
    /// Nobody could be accepted, most likely for want of file descriptors or memory. The driver tries again by itself
    /// after a pause of 50 ms.
    AcceptFailed {
        /// Where.
        listener: ListenerId,
        /// Why.
        error: io::Error,
    },
    /// Bytes came in. Look at them with [`Ring::bytes`](crate::Ring::bytes), then give the buffer back with
    /// [`Ring::release`](crate::Ring::release).
    Received(Received),
    /// Nothing more will be received: the peer is done (no error) or the connection failed. Sending may still work.
    Ended {
        /// The connection.
        id: ConnId,
        /// `None` when the peer finished its side in good order.
        error: Option<io::Error>,
    },
    /// All that was given to the last send is in the kernel; the next send may be given.
    Sent {
        /// The connection.
        id: ConnId,
    },
    /// The last send failed, after any part of it may have left.
    SendFailed {
        /// The connection.
        id: ConnId,
        /// Why.
        error: io::Error,
    },
    /// A datagram came in. Look at it with [`Ring::datagram`](crate::Ring::datagram), then give its buffer back with
    /// [`Ring::release_datagram`](crate::Ring::release_datagram).
    Datagram(Datagram),
    /// A datagram given to [`Ring::send_datagram`](crate::Ring::send_datagram) was not sent.
    DatagramLost,
    /// Another thread rang the watched doorbell, once or several times.
    Doorbell,
    /// A connection given to [`Ring::close`](crate::Ring::close) is gone: its socket is closed and its slot free.
    Closed {
        /// The connection's former name.
        id: ConnId,
    },
}

/// Bytes that came in on one connection, in one of the ring's buffers. The ring runs dry if these are not released.
#[derive(Debug)]
#[must_use = "the buffer is lost to the ring until it is released"]
pub struct Received {
    pub(crate) id: ConnId,
    pub(crate) filled: Filled,
}

impl Received {
    /// The connection they came from.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// How many bytes; never none.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty: the end is an event of its own")]
    pub fn len(&self) -> usize {
        self.filled.len()
    }
}

/// A datagram in one of the ring's buffers. Nothing more comes in when all buffers are out: the kernel keeps what it has
/// room for, and drops the rest.
#[derive(Debug)]
#[must_use = "the buffer is lost to the ring until it is released"]
pub struct Datagram {
    pub(crate) socket: DatagramSocketId,
    pub(crate) filled: Filled,
}

impl Datagram {
    /// Where it came in.
    pub fn socket(&self) -> DatagramSocketId {
        self.socket
    }
}
