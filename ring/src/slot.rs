//! What is known of one connection.

use std::os::fd::{AsFd, OwnedFd};

use crate::ids::ConnId;
use crate::sys;

/// Invariant: the socket of a slot is open while `receiving` or `sending` says that the kernel has an operation on it.
pub(crate) struct Slot {
    pub(crate) generation: u32,
    pub(crate) socket: Option<OwnedFd>,
    pub(crate) receiving: Receiving,
    pub(crate) sending: Sending,
    pub(crate) reading: Reading,
    /// Listed in `starved`, whether it still needs to be or not.
    pub(crate) is_listed: bool,
    pub(crate) closing: bool,
    pub(crate) shutdown_after_send: bool,
}

/// What is wanted of the peer's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Stopped,
    Wanted,
    /// They are over.
    Ended,
}

/// What the kernel does about the peer's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiving {
    Idle,
    Armed,
    /// Armed, and asked to end.
    Cancelling,
    /// To be armed again when there is a buffer.
    Starved,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    Idle,
    /// Tried once, by the next call that submits.
    Soft,
    /// Waits in the kernel for room.
    Waiting,
}

impl Slot {
    pub(crate) fn new() -> Slot {
        Slot {
            generation: 0,
            socket: None,
            receiving: Receiving::Idle,
            sending: Sending::Idle,
            reading: Reading::Stopped,
            is_listed: false,
            closing: false,
            shutdown_after_send: false,
        }
    }

    pub(crate) fn is(&self, id: ConnId) -> bool {
        self.generation == id.generation() && self.socket.is_some()
    }

    pub(crate) fn shutdown_write(&mut self) {
        self.shutdown_after_send = false;
        if let Some(socket) = &self.socket {
            // It fails only when the connection is gone, which a receive or a send reports better.
            let _ = sys::shutdown_write(socket.as_fd());
        }
    }
}
