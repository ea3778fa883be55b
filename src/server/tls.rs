//! TLS on a core's own sockets: bytes received go through the connection's machine before the engine sees them, what
//! the engine answers goes through it before it is sent. No thread, no socket and no buffer but the core's own.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use ringcached_ring::{ConnId, Ring};
use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};

use crate::config::ClientCertificate;
use crate::engine::Outgoing;
use crate::limits::{TLS_HANDSHAKE_MS_MAX, TLS_INPUT_MAX, TLS_OUTPUT_MAX};
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

/// Room that a record takes beyond its contents: header, nonce, content type and tag, at the most.
const RECORD_OVERHEAD: usize = 32;
/// Contents of a whole record.
const RECORD_LEN_MAX: usize = 16 << 10;

/// One connection.
struct Connection {
    id: ConnId,
    machine: UnbufferedServerConnection,
    /// Ciphertext that is not a whole record yet.
    input: Vec<u8>,
    /// Ciphertext to send.
    output: Vec<u8>,
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
    /// Where ciphertext is decrypted.
    scratch: Vec<u8>,
    /// What was decrypted.
    plain: Vec<u8>,
}

impl Tls {
    pub(super) fn new(contexts: Option<Arc<TlsContexts>>) -> Self {
        Self { contexts, connections: Vec::new(), handshakes: VecDeque::new(), scratch: Vec::new(), plain: Vec::new() }
    }

    /// From now on new connections are made from these.
    pub(super) fn renew(&mut self, contexts: Arc<TlsContexts>) {
        self.contexts = Some(contexts);
    }

    /// Speaks TLS on a connection from its first byte on. Whether that is possible.
    pub(super) fn open(&mut self, id: ConnId, client: ClientCertificate, now: Now) -> bool {
        let context = self.contexts.as_ref().and_then(|contexts| contexts.get(client));
        let Some(machine) = context.and_then(|context| UnbufferedServerConnection::new(Arc::clone(context)).ok())
        else {
            return false;
        };
        let index = id.index();
        if self.connections.len() <= index {
            self.connections.resize_with(index + 1, || None);
        }
        self.connections[index] = Some(Box::new(Connection {
            id,
            machine,
            input: Vec::new(),
            output: Vec::new(),
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
        let Self { connections, scratch, plain, .. } = self;
        let Some(connection) = find(connections, id) else { return Reception::Failed };
        let was_handshaking = connection.machine.is_handshaking();
        let outcome = connection.receive(ciphertext, scratch, plain);
        if was_handshaking && !connection.machine.is_handshaking() {
            counters.ssl_handshakes += 1;
            if connection.machine.handshake_kind() == Some(rustls::HandshakeKind::Resumed) {
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
        if connection.output.capacity() == 0 && !(connection.output.is_empty() && connection.waiting.is_empty()) {
            connection.output = ring.take_buffer();
        }
        let is_well = connection.encrypt(|buffer| ring.give_buffer(buffer));
        if !connection.output.is_empty() {
            ring.send(id, mem::take(&mut connection.output));
        }
        is_well
    }

    /// The last send is over. Whether the engine is to hear of it: all that it gave is sent.
    pub(super) fn sent(&mut self, id: ConnId) -> bool {
        let Some(connection) = find(&mut self.connections, id) else { return false };
        let is_all = connection.owes_sent && connection.waiting.is_empty() && connection.output.is_empty();
        connection.owes_sent &= !is_all;
        is_all
    }

    /// Tells the client that no more will come, as far as the socket has room, and forgets the connection.
    pub(super) fn end(&mut self, id: ConnId, ring: &mut Ring) {
        if let Some(connection) = find(&mut self.connections, id) {
            connection.say_goodbye();
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

/// Why a connection cannot go on.
#[derive(Debug)]
enum Failure {
    Tls(rustls::Error),
    /// More of one message than there is room for.
    TooLong,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tls(error) => error.fmt(formatter),
            Self::TooLong => formatter.write_str("a message is too long"),
        }
    }
}

impl Connection {
    /// Runs the machine over what came before and what has come now. `scratch` is where it works if nothing came before,
    /// so that a connection between its records holds no memory for them.
    fn receive(&mut self, bytes: &[u8], scratch: &mut Vec<u8>, plain: &mut Vec<u8>) -> Result<(), Failure> {
        if self.input.is_empty() {
            scratch.clear();
            scratch.extend_from_slice(bytes);
            let used = self.run(scratch, plain)?;
            self.input.extend_from_slice(&scratch[used..]);
        } else {
            self.input.extend_from_slice(bytes);
            let mut input = mem::take(&mut self.input);
            let used = self.run(&mut input, plain)?;
            if used < input.len() {
                input.drain(..used);
                self.input = input;
            }
        }
        if self.input.len() > TLS_INPUT_MAX { Err(Failure::TooLong) } else { Ok(()) }
    }

    /// Runs the machine over `input` until it needs more. Tells how much is used up.
    fn run(&mut self, input: &mut [u8], plain: &mut Vec<u8>) -> Result<usize, Failure> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { mut discard, state } = self.machine.process_tls_records(&mut input[used..]);
            let is_over = match state {
                Ok(ConnectionState::ReadTraffic(mut records)) => {
                    while let Some(record) = records.next_record() {
                        let record = record.map_err(Failure::Tls)?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                    false
                }
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(data, &mut self.output);
                    false
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    false
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.peer_closed = true;
                    false
                }
                // Early data are not offered.
                Ok(_) => true,
                Err(error) => {
                    self.encode_alert();
                    return Err(Failure::Tls(error));
                }
            };
            used += discard;
            if is_over {
                return Ok(used);
            }
        }
    }

    /// What the machine wants to tell the client about a failure.
    fn encode_alert(&mut self) {
        while let Ok(ConnectionState::EncodeTlsData(data)) = self.machine.process_tls_records(&mut []).state {
            encode(data, &mut self.output);
        }
    }

    /// Encrypts as much of the replies as goes out at a time; `spent` takes their memory. Whether the connection can go
    /// on.
    fn encrypt(&mut self, mut spent: impl FnMut(Vec<u8>)) -> bool {
        let mut room = TLS_OUTPUT_MAX;
        while let (Some(chunk), true) = (self.waiting.front(), room > 0) {
            let rest = &chunk.as_bytes()[self.offset..];
            let piece = &rest[..rest.len().min(room)];
            if !write(&mut self.machine, &mut self.output, |mut traffic, output| seal(&mut traffic, piece, output)) {
                return false;
            }
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
        true
    }

    fn say_goodbye(&mut self) {
        write(&mut self.machine, &mut self.output, |mut traffic, output| {
            let mut needed = RECORD_OVERHEAD;
            loop {
                let start = output.len();
                output.resize(start + needed, 0);
                match traffic.queue_close_notify(&mut output[start..]) {
                    Ok(len) => return output.truncate(start + len),
                    Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size }))
                        if required_size > needed =>
                    {
                        output.truncate(start);
                        needed = required_size;
                    }
                    Err(_) => return output.truncate(start),
                }
            }
        });
    }
}

/// Lets `add` write traffic, behind what the machine itself has to say. Whether it may.
fn write(
    machine: &mut UnbufferedServerConnection,
    output: &mut Vec<u8>,
    add: impl FnOnce(WriteTraffic<'_, rustls::server::ServerConnectionData>, &mut Vec<u8>),
) -> bool {
    loop {
        match machine.process_tls_records(&mut []).state {
            Ok(ConnectionState::WriteTraffic(traffic)) => {
                add(traffic, output);
                return true;
            }
            Ok(ConnectionState::EncodeTlsData(data)) => encode(data, output),
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            Ok(ConnectionState::PeerClosed) => {}
            _ => return false,
        }
    }
}

fn seal(traffic: &mut WriteTraffic<'_, rustls::server::ServerConnectionData>, plain: &[u8], output: &mut Vec<u8>) {
    let start = output.len();
    let mut needed = plain.len() + (plain.len() / RECORD_LEN_MAX + 1) * RECORD_OVERHEAD;
    loop {
        output.resize(start + needed, 0);
        match traffic.encrypt(plain, &mut output[start..]) {
            Ok(len) => return output.truncate(start + len),
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) if required_size > needed => {
                needed = required_size;
            }
            // The keys are used up: after 2^24 records and more the machine renews them before it comes to that.
            Err(_) => return output.truncate(start),
        }
    }
}

fn encode(mut data: EncodeTlsData<'_, rustls::server::ServerConnectionData>, output: &mut Vec<u8>) {
    let start = output.len();
    if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) = data.encode(&mut []) {
        output.resize(start + required_size, 0);
        let len = data.encode(&mut output[start..]).unwrap_or(0);
        output.truncate(start + len);
    }
}
