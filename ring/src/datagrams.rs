//! The rules for datagram sockets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use crate::buffers::Filled;
use crate::envelope::Letter;
use crate::event::{Datagram, Event};
use crate::ids::{DatagramSocketId, Op, Token};
use crate::ring::Ring;
use crate::sys;

/// A datagram socket and whether the kernel receives on it.
pub(crate) struct DatagramSocket {
    socket: OwnedFd,
    receiving: bool,
    stopped: bool,
}

impl Ring {
    /// Receives datagrams on a bound socket from the next turn on.
    pub fn bind_datagrams(&mut self, socket: OwnedFd) -> io::Result<DatagramSocketId> {
        sys::set_blocking(socket.as_fd())?;
        self.kernel.prepare_datagrams(self.options.datagram_buffers)?;
        let index = u32::try_from(self.datagram_sockets.len()).map_err(io::Error::other)?;
        self.datagram_sockets.push(DatagramSocket { socket, receiving: false, stopped: false });
        self.receive_datagrams();
        Ok(DatagramSocketId(index))
    }

    /// Sender and contents of an event of this ring; nothing if the datagram was cut off.
    ///
    /// # Panics
    /// If another ring received it.
    pub fn datagram<'a>(&'a self, datagram: &'a Datagram) -> Option<(SocketAddr, &'a [u8])> {
        self.kernel.open_datagram(&datagram.filled)
    }

    /// Gives the buffer of an event of this ring back; from the next turn on it receives again.
    ///
    /// # Panics
    /// If it is another ring's.
    pub fn release_datagram(&mut self, datagram: Datagram) {
        if let Some(buffers) = self.kernel.datagram_buffers() {
            buffers.give_back(datagram.filled);
        }
    }

    /// Memory for the next datagram, out of those sent before.
    pub fn take_datagram_buffer(&mut self) -> Vec<u8> {
        let mut buffer = self.kernel.take_letter_buffer();
        buffer.clear();
        buffer
    }

    /// Sends one datagram with the next turn, or loses it where the socket has no room or the network no way.
    pub fn send_datagram(&mut self, socket: DatagramSocketId, to: SocketAddr, bytes: Vec<u8>) {
        if let Some(socket) = self.datagram_sockets.get(socket.0 as usize) {
            self.kernel.send_to(socket.socket.as_fd(), Letter::new(to, bytes));
        }
    }

    /// Receives no further datagrams; those in the kernel's hands may still be reported. Sending goes on.
    pub fn stop_datagrams(&mut self) {
        for (index, socket) in (0..).zip(&mut self.datagram_sockets) {
            if socket.receiving && !socket.stopped {
                self.kernel.cancel(Token::plain(Op::ReceiveFrom, index));
            }
            socket.stopped = true;
        }
    }

    /// Arms every receive that is not, as long as there are buffers.
    pub(crate) fn receive_datagrams(&mut self) {
        for (index, socket) in (0..).zip(&mut self.datagram_sockets) {
            let has_buffers = self.kernel.datagram_buffers().is_some_and(|buffers| buffers.available() > 0);
            if !socket.receiving && !socket.stopped && has_buffers {
                socket.receiving = true;
                self.kernel.receive_from(index, socket.socket.as_fd());
            }
        }
    }

    /// A receive has reported. When it ends, for want of buffers or by an error of the network that came in for an
    /// earlier datagram, the next turn arms it again.
    pub(crate) fn datagram_received(&mut self, index: u32, filled: Option<Filled>, result: i32, more: bool) {
        if let (Some(state), false) = (self.datagram_sockets.get_mut(index as usize), more) {
            state.receiving = false;
        }
        let Some(filled) = filled else { return };
        let datagram = Datagram { socket: DatagramSocketId(index), filled };
        if result < 0 {
            self.release_datagram(datagram);
        } else {
            self.events.push_back(Event::Datagram(datagram));
        }
    }
}
