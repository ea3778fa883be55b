//! Datagrams: each is a very short conversation with the engine. It is opened, told the payload and that no more will
//! come; what it has answered when it ends goes out as one message.
//!
//! A sender's address may be forged, so the reply to one datagram is limited, and none goes where no client can be.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use ringcached_ring::{Datagram, DatagramSocketId, Ring};

use super::listener::Door;
use crate::engine::{Address, Engine, Outgoing, Peer};
use crate::limits::{UDP_CONVERSATION_MS_MAX, UDP_CONVERSATIONS_MAX};
use crate::protocol::{Dialect, udp};
use crate::session::letter::ConnectionId;
use crate::terms::Now;

/// A socket of this core.
#[derive(Debug)]
struct Socket {
    id: DatagramSocketId,
    descriptor: i32,
    local: SocketAddr,
    dialect: Option<Dialect>,
}

/// A datagram that is being answered.
#[derive(Debug)]
struct Conversation {
    socket: DatagramSocketId,
    client: SocketAddr,
    since_ms: u64,
    reply: udp::Reply,
}

/// One place for a conversation. A place is used again and again, its name is not: the generation changes.
#[derive(Debug, Default)]
struct Place {
    generation: u32,
    conversation: Option<Conversation>,
}

/// All datagrams of a core. Its conversations have the first names of the engine's table: 0 to
/// [`names`](Datagrams::names).
#[derive(Debug)]
pub(super) struct Datagrams {
    sockets: Vec<Socket>,
    places: Vec<Place>,
    free: Vec<usize>,
    /// Not looked at yet, for want of a place.
    waiting: VecDeque<Datagram>,
    reply_max: usize,
}

impl Datagrams {
    /// Without sockets.
    pub(super) fn new(reply_max: usize) -> Self {
        Self { sockets: Vec::new(), places: Vec::new(), free: Vec::new(), waiting: VecDeque::new(), reply_max }
    }

    /// Receives on a bound socket.
    pub(super) fn add(&mut self, door: Door, local: SocketAddr, ring: &mut Ring) -> io::Result<()> {
        let descriptor = door.socket.as_raw_fd();
        let dialect = door.manner.dialect;
        self.sockets.push(Socket { id: ring.bind_datagrams(door.socket)?, descriptor, local, dialect });
        self.places.resize_with(UDP_CONVERSATIONS_MAX, Place::default);
        self.free = (0..self.places.len()).rev().collect();
        Ok(())
    }

    /// How many names in the engine's table are taken.
    pub(super) fn names(&self) -> u32 {
        u32::try_from(self.places.len()).unwrap_or_default()
    }

    /// A datagram has come.
    pub(super) fn arrived(&mut self, datagram: Datagram) {
        self.waiting.push_back(datagram);
    }

    /// Opens conversations for the datagrams that wait, as far as there are places.
    pub(super) fn open(&mut self, ring: &mut Ring, engine: &mut Engine, now: Now) {
        while let (Some(&place), Some(datagram)) = (self.free.last(), self.waiting.front()) {
            if let Some((socket, client, frame)) = self.readable(datagram, ring) {
                let id = self.name(place);
                let conversation = Conversation {
                    socket: socket.id,
                    client,
                    since_ms: now.monotonic_ms,
                    reply: udp::Reply::new(frame.request_id, self.reply_max),
                };
                let (remote, local) = (Address::Udp(client), Address::Udp(socket.local));
                engine.open(id, Peer { descriptor: socket.descriptor, remote, local, dialect: socket.dialect }, now);
                engine.receive(id, frame.payload, now);
                engine.end_of_input(id, now);
                engine.counters_mut().udp_requests += 1;
                self.places[place].conversation = Some(conversation);
                self.free.pop();
            } else {
                engine.counters_mut().udp_ignored += 1;
            }
            if let Some(datagram) = self.waiting.pop_front() {
                ring.release_datagram(datagram);
            }
        }
    }

    /// Drops what waits: the server stops.
    pub(super) fn drop_waiting(&mut self, ring: &mut Ring) {
        for datagram in self.waiting.drain(..) {
            ring.release_datagram(datagram);
        }
    }

    /// Takes what a conversation has answered; sends it once that is all.
    pub(super) fn apply(&mut self, id: ConnectionId, ring: &mut Ring, engine: &mut Engine, now: Now) {
        let Some(place) = self.places.get_mut(id.index as usize).filter(|place| place.generation == id.generation)
        else {
            return;
        };
        let Some(conversation) = &mut place.conversation else { return };
        let wants = engine.wants(id);
        if wants.send {
            let (has_room, buffer) = match engine.take_output(id) {
                Some(Outgoing::Single(bytes)) => (conversation.reply.add(&bytes), Some(bytes)),
                Some(Outgoing::Chunks(chunks)) => {
                    (chunks.iter().all(|chunk| conversation.reply.add(chunk.as_bytes())), None)
                }
                None => (true, None),
            };
            if !has_room {
                self.finish(id, ring, engine);
                return;
            }
            engine.sent(id, buffer, now);
        }
        if engine.wants(id).close {
            self.finish(id, ring, engine);
        }
    }

    /// Gives up on conversations that are not over in time.
    pub(super) fn tick(&mut self, engine: &mut Engine, now: Now) {
        if self.free.len() == self.places.len() {
            return;
        }
        for index in 0..self.places.len() {
            let since_ms = self.places[index].conversation.as_ref().map(|conversation| conversation.since_ms);
            if since_ms.is_some_and(|since_ms| now.monotonic_ms > since_ms + UDP_CONVERSATION_MS_MAX) {
                engine.close(self.name(index));
                engine.counters_mut().udp_ignored += 1;
                self.leave(index);
            }
        }
    }

    fn finish(&mut self, id: ConnectionId, ring: &mut Ring, engine: &mut Engine) {
        engine.close(id);
        let index = id.index as usize;
        if let Some(conversation) = self.leave(index) {
            for frame in conversation.reply.datagrams() {
                let mut datagram = ring.take_datagram_buffer();
                frame.write(&mut datagram);
                ring.send_datagram(conversation.socket, conversation.client, datagram);
            }
        }
    }

    fn leave(&mut self, index: usize) -> Option<Conversation> {
        let place = &mut self.places[index];
        place.generation = place.generation.wrapping_add(1);
        self.free.push(index);
        place.conversation.take()
    }

    fn name(&self, place: usize) -> ConnectionId {
        let index = u32::try_from(place).unwrap_or_default();
        ConnectionId { index, generation: self.places[place].generation }
    }

    /// A request from somebody who may be answered.
    fn readable<'a>(&self, datagram: &'a Datagram, ring: &'a Ring) -> Option<(&Socket, SocketAddr, udp::Frame<'a>)> {
        let socket = self.sockets.iter().find(|socket| socket.id == datagram.socket())?;
        let (client, bytes) = ring.datagram(datagram)?;
        let frame = udp::parse_request(bytes)?;
        may_answer(client, socket.local).then_some((socket, client, frame))
    }
}

/// Whether a client can be at `client`. From the port that a server itself listens on no client asks: two servers whose
/// datagrams were forged to come from each other would answer each other's answers for ever.
fn may_answer(client: SocketAddr, local: SocketAddr) -> bool {
    let is_of_many = match client.ip() {
        IpAddr::V4(ip) => ip.is_broadcast() || ip.is_multicast() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_multicast() || ip.is_unspecified(),
    };
    client.port() != 0 && client.port() != local.port() && !is_of_many
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_answered_where_no_client_can_be() {
        let local = "10.0.0.1:11211".parse().unwrap();
        for (client, may) in [
            ("10.0.0.2:40000", true),
            ("[2001:db8::1]:40000", true),
            ("10.0.0.2:0", false),
            ("10.0.0.2:11211", false),
            ("255.255.255.255:40000", false),
            ("224.0.0.1:40000", false),
            ("0.0.0.0:40000", false),
            ("[ff02::1]:40000", false),
        ] {
            assert_eq!(may_answer(client.parse().unwrap(), local), may, "{client}");
        }
    }
}
