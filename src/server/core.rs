//! What one core owns and the loop it runs: the whole data plane on one page.
//!
//! Each turn of the loop waits once in the core's own io_uring, tells the engine what happened, takes letters from the
//! other cores, and queues what is to be sent; the next wait submits it. A core with nothing to do waits in that same
//! ring, and never by a pending future: the executor may go to sleep although a task is ready (ARCHITECTURE, waiting).

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use glommio::executor;
use nix::sys::socket::MsgFlags;
use ringcached_ring::{ConnId, DoorbellId, Event, ListenerId, Received, Ring, Wait};
use socket2::SockRef;

use super::mesh::MeshEnd;
use super::{Clock, Shared};
use crate::engine::{Effect, Engine, EngineConfig, Outgoing, Peer};
use crate::protocol::Chunk;
use crate::protocol::admin::TimeShift;
use crate::protocol::text::response::TOO_MANY_CONNECTIONS;
use crate::session::letter::ConnectionId;
use crate::terms::Now;

/// Longest wait in the ring before background work has its turn.
const WAIT_MAX: Duration = Duration::from_millis(25);
/// How often the engine's background work runs, at the most.
const TICK_MS: u64 = 10;
/// How long a stopping server waits for its replies to be taken.
const STOP_MAX_MS: u64 = 800;

/// A socket of this core.
#[derive(Clone, Copy, Debug)]
struct Socket {
    id: ConnId,
    /// Whether its receive is armed.
    reading: bool,
    /// Whether the client has ended its side.
    ended: bool,
    /// Whether its conversation is over and only the client's end of it is waited for.
    lingering: bool,
}

/// How far the stop has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Serving,
    /// Stopping since this many milliseconds of the clock; `quiet` once reported.
    Stopping {
        since_ms: u64,
        quiet: bool,
    },
}

/// One core.
pub(super) struct Core {
    engine: Engine,
    ring: Ring,
    mesh: MeshEnd,
    /// The doorbells of the other cores, as this core's ring knows them.
    doorbells: Vec<DoorbellId>,
    clock: Clock,
    shared: Arc<Shared>,
    sockets: Vec<Option<Socket>>,
    open_sockets: usize,
    /// Addresses of the listeners.
    locals: Vec<(ListenerId, SocketAddr)>,
    next_tick_ms: u64,
    /// Whether the background work of the last turn was not finished.
    ticks_again: bool,
    phase: Phase,
}

impl Core {
    /// Sets up a core on the thread that will run it.
    pub(super) fn new(
        mut config: EngineConfig,
        listeners: Vec<OwnedFd>,
        mesh: MeshEnd,
        mut clock: Clock,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let mut ring = Ring::new(&shared.ring_options)?;
        let mut locals = Vec::new();
        for listener in listeners {
            let descriptor = listener.as_raw_fd();
            let local = local_address(&SockRef::from(&listener))?;
            config.listeners.push((descriptor, local));
            locals.push((ring.listen(listener)?, local));
        }
        let mut doorbells = Vec::new();
        for bell in mesh.bells().iter() {
            doorbells.push(ring.add_doorbell(bell.event()?)?);
        }
        ring.watch_doorbell(mesh.bells()[mesh.id().index()].event()?)?;
        let engine = Engine::new(config, clock.now())?;
        Ok(Self {
            engine,
            ring,
            mesh,
            doorbells,
            clock,
            shared,
            sockets: Vec::new(),
            open_sockets: 0,
            locals,
            next_tick_ms: 0,
            ticks_again: false,
            phase: Phase::Serving,
        })
    }

    /// Serves until the server stops.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let mut unfinished = false;
        while !self.is_over() {
            let wait = if unfinished || !self.mesh.may_sleep() { Wait::Poll } else { Wait::UpTo(WAIT_MAX) };
            let events = self.ring.turn(wait)?;
            self.mesh.awake();
            if events == 0 && wait != Wait::Poll && self.mesh.has_letters() {
                self.engine.counters_mut().mesh_late_wakeups += 1;
            }
            unfinished = self.turn();
            executor().yield_if_needed().await;
        }
        Ok(())
    }

    /// Handles what has come, and queues what is to be done about it. Whether connections wait for another turn.
    fn turn(&mut self) -> bool {
        let now = self.clock.now();
        while let Some(event) = self.ring.next_event() {
            self.event(event, now);
        }
        let Self { mesh, engine, .. } = self;
        mesh.receive(|letter| engine.deliver(letter, now));
        let unfinished = self.engine.run(now);
        if self.ticks_again || now.monotonic_ms >= self.next_tick_ms {
            self.next_tick_ms = now.monotonic_ms + TICK_MS;
            self.ticks_again = self.engine.tick(now);
        }
        self.stop_if_told(now);
        for effect in self.engine.take_effects() {
            self.effect(effect);
        }
        while let Some(id) = self.engine.next_changed() {
            self.apply(id);
        }
        self.post();
        unfinished || self.ticks_again
    }

    fn event(&mut self, event: Event, now: Now) {
        match event {
            Event::Received(received) => self.received(received, now),
            Event::Sent { id } => {
                let buffer = self.ring.take_buffer();
                self.engine.sent(connection(id), Some(buffer), now);
            }
            Event::Accepted { listener, socket } => self.accepted(listener, socket, now),
            Event::Ended { id, error: None } => {
                let Some(socket) = self.socket(id) else { return };
                if socket.lingering {
                    self.close(id);
                } else {
                    self.keep(Socket { reading: false, ended: true, ..socket });
                    self.engine.end_of_input(connection(id), now);
                }
            }
            Event::Ended { id, error: Some(error) } | Event::SendFailed { id, error } => {
                tracing::debug!("connection lost: {error}");
                self.close(id);
            }
            Event::AcceptFailed { error, .. } => {
                self.engine.counters_mut().listen_disabled_num += 1;
                tracing::warn!("cannot accept a connection: {error}; trying again in 50 ms");
            }
            Event::Doorbell | Event::Closed { .. } => {}
        }
    }

    fn received(&mut self, received: Received, now: Now) {
        let id = received.id();
        self.engine.receive(connection(id), self.ring.bytes(&received), now);
        self.ring.release(received);
    }

    fn accepted(&mut self, listener: ListenerId, socket: OwnedFd, now: Now) {
        if self.shared.connections.fetch_add(1, Ordering::Relaxed) >= self.shared.connection_limit {
            self.shared.connections.fetch_sub(1, Ordering::Relaxed);
            self.engine.refused();
            // Room for one line is there in a socket that has just been opened; if not, closing says enough.
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            let _ = nix::sys::socket::send(socket.as_raw_fd(), TOO_MANY_CONNECTIONS, flags);
            return;
        }
        let address = SockRef::from(&socket).peer_addr().ok().and_then(|address| address.as_socket());
        let local = self.locals.iter().find(|(id, _)| *id == listener).map(|&(_, local)| local);
        let descriptor = socket.as_raw_fd();
        let (Some(remote), Some(local), Ok(id)) = (address, local, self.ring.add(socket)) else {
            // The client has gone already.
            self.shared.connections.fetch_sub(1, Ordering::Relaxed);
            return;
        };
        self.keep(Socket { id, reading: false, ended: false, lingering: false });
        self.engine.open(connection(id), Peer { descriptor, remote, local }, now);
        if self.phase != Phase::Serving {
            self.end(id);
        }
    }

    /// Does what the engine wants done with a connection.
    fn apply(&mut self, id: ConnectionId) {
        let Some(socket) = self.sockets.get(id.index as usize).copied().flatten() else { return };
        if connection(socket.id) != id {
            return;
        }
        let wants = self.engine.wants(id);
        if wants.send && !self.ring.is_sending(socket.id) {
            match self.engine.take_output(id) {
                Some(Outgoing::Single(bytes)) => self.ring.send(socket.id, bytes),
                Some(Outgoing::Chunks(chunks)) => {
                    let chunks = chunks.into_iter().map(into_ring_chunk).collect();
                    self.ring.send_chunks(socket.id, chunks);
                }
                None => {}
            }
        }
        if wants.close {
            self.end(socket.id);
        } else if wants.read != socket.reading {
            if wants.read {
                self.ring.read(socket.id);
            } else {
                self.ring.stop_reading(socket.id);
            }
            self.keep(Socket { reading: wants.read, ..socket });
        }
    }

    /// Ends a conversation in good order. While the server stops, the client's end is waited for: a socket closed with
    /// input unread would reset the connection, and the client might lose its last replies.
    fn end(&mut self, id: ConnId) {
        let ended = self.socket(id).is_some_and(|socket| socket.ended);
        if self.phase == Phase::Serving || ended {
            self.close(id);
            return;
        }
        self.engine.close(connection(id));
        self.ring.shutdown_write(id);
        self.ring.read(id);
        self.keep(Socket { id, reading: true, ended: false, lingering: true });
    }

    fn close(&mut self, id: ConnId) {
        let Some(entry) = self.sockets.get_mut(id.index()) else { return };
        if entry.is_some_and(|socket| socket.id == id) {
            *entry = None;
            self.open_sockets -= 1;
            self.engine.close(connection(id));
            self.ring.close(id);
            self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn keep(&mut self, socket: Socket) {
        let index = socket.id.index();
        if self.sockets.len() <= index {
            self.sockets.resize(index + 1, None);
        }
        if self.sockets[index].replace(socket).is_none() {
            self.open_sockets += 1;
        }
    }

    fn socket(&self, id: ConnId) -> Option<Socket> {
        self.sockets.get(id.index()).copied().flatten().filter(|socket| socket.id == id)
    }

    /// Hands the turn's letters to the mesh, a batch to each core.
    fn post(&mut self) {
        for (to, &doorbell) in self.doorbells.iter().enumerate() {
            if to == self.mesh.id().index() {
                continue;
            }
            let outbox = self.engine.outbox(crate::terms::ShardId(u16::try_from(to).unwrap_or(u16::MAX)));
            if !outbox.is_empty() && self.mesh.send(to, outbox) {
                self.ring.ring_doorbell(doorbell);
            }
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Shutdown(mode) => (self.shared.hooks.stop)(mode),
            Effect::ShiftTime(shift) => self.clock.shift(shift),
            Effect::Verbosity(level) => {
                let level = (self.shared.hooks.set_verbosity)(level);
                self.shared.verbosity.store(level, Ordering::Relaxed);
            }
        }
    }

    fn stop_if_told(&mut self, now: Now) {
        match &mut self.phase {
            Phase::Serving if self.shared.stopping.load(Ordering::Acquire) => {
                // Or a clock that a test has stopped would never let the stop end.
                self.clock.shift(TimeShift::Resume);
                self.phase = Phase::Stopping { since_ms: now.monotonic_ms, quiet: false };
                self.ring.stop_accepting();
                self.empty_backlogs(now);
                self.engine.stop();
            }
            Phase::Stopping { quiet, .. } if !*quiet && self.engine.is_quiet() => {
                *quiet = true;
                self.shared.quiet_cores.fetch_add(1, Ordering::AcqRel);
            }
            _ => {}
        }
    }

    /// Accepts and ends what waits to be accepted: closing a listener resets its backlog.
    fn empty_backlogs(&mut self, now: Now) {
        for index in 0..self.locals.len() {
            let (listener, _) = self.locals[index];
            while let Some(socket) = self.ring.listener(listener).and_then(accept_waiting) {
                self.accepted(listener, socket, now);
            }
        }
    }

    /// Whether this core may leave: no core has a letter or a reply under way, and every client has seen the end; or
    /// the time for that is up.
    fn is_over(&mut self) -> bool {
        let Phase::Stopping { since_ms, .. } = self.phase else { return false };
        let cores = self.mesh.bells().len();
        let all_quiet = self.shared.quiet_cores.load(Ordering::Acquire) >= cores;
        (all_quiet && self.open_sockets == 0) || self.clock.now().monotonic_ms >= since_ms + STOP_MAX_MS
    }
}

/// Accepts one connection if one waits.
fn accept_waiting(listener: std::os::fd::BorrowedFd<'_>) -> Option<OwnedFd> {
    let listener = SockRef::from(&listener);
    listener.set_nonblocking(true).ok()?;
    listener.accept().ok().map(|(socket, _)| socket.into())
}

fn local_address(socket: &SockRef<'_>) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("a listener without an internet address"))
}

/// The driver's name of a connection as the engine knows it.
fn connection(id: ConnId) -> ConnectionId {
    ConnectionId { index: u32::try_from(id.index()).unwrap_or(u32::MAX), generation: id.generation() }
}

fn into_ring_chunk(chunk: Chunk) -> ringcached_ring::Chunk {
    match chunk {
        Chunk::Owned(bytes) => ringcached_ring::Chunk::Owned(bytes),
        Chunk::Shared(bytes) => ringcached_ring::Chunk::Shared(bytes),
    }
}
