//! TLS on a core's own sockets: bytes received go through the connection's machine before the engine sees them, what
//! the engine answers goes through it before it is sent. No thread, no socket and no buffer but the core's own.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, Write as _};
use std::sync::Arc;

use ringcached_ring::{ConnId, Ring};
use rustls::{HandshakeKind, ServerConfig, ServerConnection};

use crate::config::ClientCertificate;
use crate::engine::Outgoing;
use crate::limits::{TLS_HANDSHAKE_MS_MAX, TLS_OUTPUT_MAX};
use crate::metrics::Counters;
use crate::protocol::Chunk;
use crate::terms::Now;

/// What new connections are made from: keys and certificates, for each way of asking the client for its own. Made by
/// the control plane.
#[derive(Clone, Debug)]
pub struct TlsContexts {
    /// For clients that are not asked.
    pub never: Arc<ServerConfig>,
    /// For clients that are asked, and for those that must answer; only where there is something to check against.
    pub clients: Option<ClientContexts>,
}

/// What connections are made from whose clients are asked for a certificate.
#[derive(Clone, Debug)]
pub struct ClientContexts {
    /// They may have none.
    pub asked: Arc<ServerConfig>,
    /// They must have one.
    pub required: Arc<ServerConfig>,
}

impl TlsContexts {
    fn get(&self, client: ClientCertificate) -> Option<&Arc<ServerConfig>> {
        match client {
            ClientCertificate::Never => Some(&self.never),
            ClientCertificate::Asked => self.clients.as_ref().map(|clients| &clients.asked),
            ClientCertificate::Required => self.clients.as_ref().map(|clients| &clients.required),
        }
    }
}

/// One connection.
struct Connection {
    id: ConnId,
    /// Holds what is not a whole record yet, and what it has to say of itself.
    machine: ServerConnection,
    /// Replies that are not encrypted yet, and how much of the first one is.
    waiting: VecDeque<Chunk>,
    offset: usize,
    /// Whether the engine waits to hear that its output has been sent.
    owes_sent: bool,
    peer_closed: bool,
}

/// How a reception ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reception {
    /// Well; more may come.
    Open,
    /// Well, and the client has said that no more will come.
    Ended,
    /// The connection cannot go on. An alert may be waiting to be sent.
    Failed,
}

/// All connections of a core that speak TLS, by the ring's index.
pub(super) struct Tls {
    contexts: Option<Arc<TlsContexts>>,
    connections: Vec<Option<Box<Connection>>>,
    /// Connections whose handshake was under way when they came, and when it must be over; the oldest first.
    handshakes: VecDeque<(u64, ConnId)>,
    /// What was decrypted.
    plain: Vec<u8>,
}

impl Tls {
    pub(super) fn new(contexts: Option<Arc<TlsContexts>>) -> Self {
        Self { contexts, connections: Vec::new(), handshakes: VecDeque::new(), plain: Vec::new() }
    }

    /// From now on new connections are made from these.
    pub(super) fn renew(&mut self, contexts: Arc<TlsContexts>) {
        self.contexts = Some(contexts);
    }

    /// Speaks TLS on a connection from its first byte on. Whether that is possible.
    pub(super) fn open(&mut self, id: ConnId, client: ClientCertificate, now: Now) -> bool {
        let context = self.contexts.as_ref().and_then(|contexts| contexts.get(client));
        let Some(mut machine) = context.and_then(|context| ServerConnection::new(Arc::clone(context)).ok()) else {
            return false;
        };
        // What is given to it has a limit of its own.
        machine.set_buffer_limit(None);
        let index = id.index();
        if self.connections.len() <= index {
            self.connections.resize_with(index + 1, || None);
        }
        self.connections[index] = Some(Box::new(Connection {
            id,
            machine,
            waiting: VecDeque::new(),
            offset: 0,
            owes_sent: false,
            peer_closed: false,
        }));
        self.handshakes.push_back((now.monotonic_ms + TLS_HANDSHAKE_MS_MAX, id));
        true
    }

    /// Whether a connection speaks TLS.
    pub(super) fn has(&self, id: ConnId) -> bool {
        matches!(self.connections.get(id.index()), Some(Some(connection)) if connection.id == id)
    }

    pub(super) fn close(&mut self, id: ConnId) {
        if self.has(id) {
            self.connections[id.index()] = None;
        }
    }

    /// Decrypts what has come; the plaintext is then in [`Tls::plain`]. Answers of the handshake wait to be
    /// [flushed](Tls::flush).
    pub(super) fn receive(&mut self, id: ConnId, ciphertext: &[u8], counters: &mut Counters) -> Reception {
        self.plain.clear();
        let Self { connections, plain, .. } = self;
        let Some(connection) = find(connections, id) else { return Reception::Failed };
        let was_handshaking = connection.machine.is_handshaking();
        let outcome = connection.receive(ciphertext, plain);
        if was_handshaking && !connection.machine.is_handshaking() {
            counters.ssl_handshakes += 1;
            if connection.machine.handshake_kind() == Some(HandshakeKind::Resumed) {
                counters.ssl_resumed += 1;
            } else {
                counters.ssl_new_sessions += 1;
            }
        }
        match outcome {
            Ok(()) if connection.peer_closed => Reception::Ended,
            Ok(()) => Reception::Open,
            Err(why) => {
                tracing::debug!("TLS: {why}");
                if connection.machine.is_handshaking() {
                    counters.ssl_handshake_errors += 1;
                } else {
                    counters.ssl_proto_errors += 1;
                }
                Reception::Failed
            }
        }
    }

    /// What the last reception brought.
    pub(super) fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// Whether the engine's next output may be taken for this connection.
    pub(super) fn may_take(&self, id: ConnId) -> bool {
        matches!(self.connections.get(id.index()), Some(Some(connection)) if connection.id == id && !connection.owes_sent)
    }

    /// Takes replies to encrypt and send.
    pub(super) fn take(&mut self, id: ConnId, outgoing: Outgoing) {
        let Some(connection) = find(&mut self.connections, id) else { return };
        connection.owes_sent = true;
        match outgoing {
            Outgoing::Single(bytes) => connection.waiting.push_back(Chunk::Owned(bytes)),
            Outgoing::Chunks(chunks) => connection.waiting.extend(chunks),
        }
    }

    /// Sends what there is to send, unless a send is under way. Whether the connection can go on.
    pub(super) fn flush(&mut self, id: ConnId, ring: &mut Ring) -> bool {
        let Some(connection) = find(&mut self.connections, id) else { return true };
        if ring.is_sending(id) {
            return true;
        }
        if connection.waiting.is_empty() && !connection.machine.wants_write() {
            return true;
        }
        let mut output = ring.take_buffer();
        let is_well = connection.encrypt(&mut output, |buffer| ring.give_buffer(buffer)).is_ok();
        if output.is_empty() {
            ring.give_buffer(output);
        } else {
            ring.send(id, output);
        }
        is_well
    }

    /// The last send is over. Whether the engine is to hear of it: all that it gave is sent.
    pub(super) fn sent(&mut self, id: ConnId) -> bool {
        let Some(connection) = find(&mut self.connections, id) else { return false };
        let is_all = connection.owes_sent && connection.waiting.is_empty();
        connection.owes_sent &= !is_all;
        is_all
    }

    /// Tells the client that no more will come, as far as the socket has room, and forgets the connection.
    pub(super) fn end(&mut self, id: ConnId, ring: &mut Ring) {
        if let Some(connection) = find(&mut self.connections, id) {
            connection.machine.send_close_notify();
            self.flush(id, ring);
            self.close(id);
        }
    }

    /// A connection whose handshake has taken too long.
    pub(super) fn next_late(&mut self, now: Now) -> Option<ConnId> {
        while let Some(&(deadline, id)) = self.handshakes.front()
            && deadline <= now.monotonic_ms
        {
            self.handshakes.pop_front();
            if find(&mut self.connections, id).is_some_and(|connection| connection.machine.is_handshaking()) {
                return Some(id);
            }
        }
        None
    }
}

fn find(connections: &mut [Option<Box<Connection>>], id: ConnId) -> Option<&mut Connection> {
    connections.get_mut(id.index())?.as_deref_mut().filter(|connection| connection.id == id)
}

impl Connection {
    /// Runs the machine over what has come. What it decrypts goes to `plain`, what it answers waits in it.
    fn receive(&mut self, mut ciphertext: &[u8], plain: &mut Vec<u8>) -> Result<(), rustls::Error> {
        while !ciphertext.is_empty() {
            // It takes a part at a time, and would fail only if what it has were left there.
            if !matches!(self.machine.read_tls(&mut ciphertext), Ok(1..)) {
                return Err(rustls::Error::General("a message is too long".to_owned()));
            }
            let state = self.machine.process_new_packets()?;
            self.peer_closed |= state.peer_has_closed();
            let mut reader = self.machine.reader();
            while let Ok(bytes @ [_, ..]) = reader.fill_buf() {
                plain.extend_from_slice(bytes);
                let len = bytes.len();
                reader.consume(len);
            }
            if self.peer_closed {
                break;
            }
        }
        Ok(())
    }

    /// Encrypts as much of the replies as goes out at a time; `spent` takes their memory. What results, and what the
    /// machine has to say of itself, goes to `output`.
    fn encrypt(&mut self, output: &mut Vec<u8>, mut spent: impl FnMut(Vec<u8>)) -> io::Result<()> {
        self.write(output)?;
        let mut room = TLS_OUTPUT_MAX;
        while let (Some(chunk), true) = (self.waiting.front(), room > 0) {
            let rest = &chunk.as_bytes()[self.offset..];
            let piece = &rest[..rest.len().min(room)];
            self.machine.writer().write_all(piece)?;
            room -= piece.len();
            if piece.len() < rest.len() {
                self.offset += piece.len();
            } else {
                self.offset = 0;
                if let Some(Chunk::Owned(buffer)) = self.waiting.pop_front() {
                    spent(buffer);
                }
            }
        }
        self.write(output)
    }

    fn write(&mut self, output: &mut Vec<u8>) -> io::Result<()> {
        while self.machine.wants_write() {
            self.machine.write_tls(output)?;
        }
        Ok(())
    }
}
