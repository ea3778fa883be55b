//! What one core owns and the loop it runs: the whole data plane on one page.
//!
//! Each turn of the loop waits once in the core's own io_uring, tells the engine what happened, takes letters from the
//! other cores, and queues what is to be sent; the next wait submits it. A core with nothing to do waits in that same
//! ring, and never by a pending future: the executor may go to sleep although a task is ready (ARCHITECTURE, waiting).

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Duration;
use std::{io, iter, thread};

use glommio::executor;
use nix::sys::socket::MsgFlags;
use ringcached_ring::{ConnId, DoorbellId, Event, ListenerId, Received, Ring, Wait};
use socket2::SockRef;

use super::mesh::MeshEnd;
use super::tls::{Reception, Tls};
use super::udp::Datagrams;
use super::{Clock, CoreParts, Order, Shared};
use crate::config::{Manner, Security};
use crate::engine::{Address, Effect, Engine, Outgoing, Peer};
use crate::limits::{ERRAND_ROUNDS_MAX, LOOK_AHEAD_KEYS};
use crate::protocol::Chunk;
use crate::protocol::admin::TimeShift;
use crate::protocol::text::response::{OK, TOO_MANY_CONNECTIONS};
use crate::session::letter::{ConnectionId, Letter};
use crate::terms::{Now, ShardId};

/// Longest wait in the ring before background work has its turn.
const WAIT_MAX: Duration = Duration::from_millis(25);
/// How often the engine's background work runs, at the most.
const TICK_MS: u64 = 10;
/// Where clients pipeline, input is looked at when it comes, and in advance only once in so many times.
const FORESIGHT_PAUSE: u8 = 15;
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

/// A listener of this core.
#[derive(Debug)]
struct Listener {
    id: ListenerId,
    address: Address,
    manner: Manner,
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
    tls: Tls,
    datagrams: Datagrams,
    /// What the control plane wants done.
    orders: Receiver<Order>,
    /// Conversations that wait for the files of TLS to be read again.
    asking: Vec<ConnectionId>,
    listeners: Vec<Listener>,
    next_tick_ms: u64,
    /// Since when there has been nothing to do; told only where cores spin.
    idle_since: Option<Duration>,
    /// What the mesh has just brought; empty between turns.
    letters: Vec<Box<Letter>>,
    /// So often nothing is looked at in advance.
    foresight_pause: u8,
    /// Whether the background work of the last turn was not finished.
    ticks_again: bool,
    phase: Phase,
}

impl Core {
    /// Sets up a core on the thread that will run it.
    pub(super) fn new(parts: CoreParts) -> io::Result<Self> {
        let CoreParts { engine: mut config, doors, end: mesh, mut clock, shared, tls, orders } = parts;
        let mut ring = Ring::new(&shared.ring_options())?;
        if let Some(us) = shared.tuning.busy_poll_us
            && let Err(error) = ring.busy_poll(us)
        {
            tracing::info!("--busy-poll: only for sockets, not for io_uring: {error}; it needs Linux 6.9 or newer");
        }
        let mut listeners = Vec::new();
        let mut datagrams = Datagrams::new(shared.udp_reply_max);
        for door in doors {
            config.listeners.push((door.socket.as_raw_fd(), door.address.clone()));
            let (address, manner) = (door.address.clone(), door.manner);
            match address {
                Address::Udp(local) => datagrams.add(door, local, &mut ring)?,
                Address::Unix(_) => {
                    listeners.push(Listener { id: ring.listen_shared(door.socket)?, address, manner });
                }
                Address::Tcp(_) => listeners.push(Listener { id: ring.listen(door.socket)?, address, manner }),
            }
        }
        let mut doorbells = Vec::new();
        for contact in mesh.contacts().iter() {
            doorbells.push(ring.add_doorbell(contact.event()?)?);
        }
        ring.watch_doorbell(mesh.contacts()[mesh.id().index()].event()?)?;
        let engine = Engine::new(config, clock.now())?;
        mesh.open_desk(engine.desk());
        Ok(Self {
            engine,
            ring,
            mesh,
            doorbells,
            clock,
            shared,
            sockets: Vec::new(),
            open_sockets: 0,
            tls: Tls::new(tls),
            datagrams,
            orders,
            asking: Vec::new(),
            listeners,
            next_tick_ms: 0,
            idle_since: None,
            letters: Vec::new(),
            foresight_pause: 0,
            ticks_again: false,
            phase: Phase::Serving,
        })
    }

    /// Serves until the server stops.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let mut unfinished = false;
        while !self.is_over() {
            let events = if unfinished || self.spins() { self.ring.turn(Wait::Poll)? } else { self.sleep()? };
            if events > 0 || self.mesh.has_letters() {
                self.idle_since = None;
            }
            unfinished = self.turn();
            executor().yield_if_needed().await;
        }
        Ok(())
    }

    /// Waits for something to do, unless there is a letter. Meanwhile others may use the shard. How many events there are.
    fn sleep(&mut self) -> io::Result<usize> {
        let Self { engine, ring, mesh, .. } = self;
        let wait = || {
            if mesh.has_letters() {
                return None;
            }
            let slept = ring.turn(Wait::UpTo(WAIT_MAX));
            Some(slept.map(|events| (events, events == 0 && mesh.has_letters())))
        };
        let Some(slept) = engine.lend_while(wait, thread::park) else { return ring.turn(Wait::Poll) };
        let (events, is_late) = slept?;
        engine.counters_mut().mesh_late_wakeups += u64::from(is_late);
        Ok(events)
    }

    /// Whether it is too soon to sleep (`--spin-us`).
    fn spins(&mut self) -> bool {
        let spin = self.shared.tuning.spin;
        if spin.is_zero() {
            return false;
        }
        let now = self.clock.precise();
        now.saturating_sub(*self.idle_since.get_or_insert(now)) < spin
    }

    /// Handles what has come, and queues what is to be done about it. Whether connections wait for another turn.
    fn turn(&mut self) -> bool {
        let now = self.clock.now();
        let mut foreseen = 0_usize;
        while let Some(event) = self.ring.next_event() {
            if let Event::Received(received) = &event {
                if foreseen == 0 {
                    foreseen = self.foresee(received);
                }
                foreseen -= 1;
            }
            self.event(event, now);
            // Answers to a retrieval are copied again when they come home: at once, while they are in the cache. But what was
            // foreseen would be forgotten.
            if !self.engine.has_foresight() && self.engine.take_posted_many() {
                self.run_errands(now);
            }
        }
        self.engine.end_foresight();
        self.datagrams.open(&mut self.ring, &mut self.engine, now);
        self.mesh.receive(&mut self.letters);
        self.engine.deliver_all(&mut self.letters, now);
        self.engine.run(now);
        if self.ticks_again || now.monotonic_ms >= self.next_tick_ms {
            self.next_tick_ms = now.monotonic_ms + TICK_MS;
            self.tick(now);
        }
        self.run_errands(now);
        self.stop_if_told(now);
        for effect in self.engine.take_effects() {
            self.effect(effect);
        }
        while let Some(id) = self.engine.next_changed() {
            self.apply(id, now);
        }
        self.post();
        self.engine.is_unfinished() || self.ticks_again
    }

    /// Lets the engine look at what was received, this and what follows. How many it has seen.
    fn foresee(&mut self, first: &Received) -> usize {
        let Self { ring, engine, tls, datagrams, foresight_pause, .. } = self;
        let received = || iter::once(first).chain(ring.upcoming()).take(LOOK_AHEAD_KEYS);
        let count = received().count();
        if *foresight_pause > 0 {
            *foresight_pause -= 1;
        } else if count > 1 {
            let plain = received().filter(|received| !tls.has(received.id()));
            let seen = engine.foresee(plain.map(|received| (name(received.id(), datagrams), ring.bytes(received))));
            *foresight_pause = if seen > 1 { 0 } else { FORESIGHT_PAUSE };
        }
        count
    }

    fn tick(&mut self, now: Now) {
        self.ticks_again = self.engine.tick(now);
        self.datagrams.tick(&mut self.engine, now);
        while let Some(id) = self.tls.next_late(now) {
            tracing::debug!("TLS: the handshake takes too long");
            self.engine.counters_mut().ssl_handshake_errors += 1;
            self.close(id);
        }
        self.take_orders(now);
    }

    /// Does what the control plane wants done.
    fn take_orders(&mut self, now: Now) {
        while let Ok(order) = self.orders.try_recv() {
            let line = match order {
                Order::Renew(contexts) => {
                    self.tls.renew(contexts);
                    continue;
                }
                Order::Answer(Ok(())) => OK.to_vec(),
                Order::Answer(Err(why)) => format!("SERVER_ERROR {why}\r\n").into_bytes(),
            };
            for id in std::mem::take(&mut self.asking) {
                self.engine.answer(id, &line, now);
            }
        }
    }

    fn event(&mut self, event: Event, now: Now) {
        match event {
            Event::Received(received) => self.received(received, now),
            Event::Sent { id } => {
                if self.tls.has(id) && !self.tls.sent(id) {
                    self.flush(id);
                } else {
                    let buffer = self.ring.take_buffer();
                    self.engine.sent(self.name(id), Some(buffer), now);
                }
            }
            Event::Datagram(datagram) => self.datagrams.arrived(datagram),
            Event::DatagramLost => self.engine.counters_mut().udp_lost += 1,
            Event::Accepted { listener, socket } => self.accepted(listener, socket, now),
            Event::Ended { id, error: None } => {
                let Some(socket) = self.socket(id) else { return };
                if socket.lingering {
                    self.close(id);
                } else {
                    self.keep(Socket { reading: false, ended: true, ..socket });
                    self.engine.end_of_input(self.name(id), now);
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
        let name = self.name(id);
        if !self.tls.has(id) {
            self.engine.receive(name, self.ring.bytes(&received), now);
            self.ring.release(received);
            return;
        }
        let outcome = self.tls.receive(id, self.ring.bytes(&received), self.engine.counters_mut());
        self.ring.release(received);
        if !self.tls.plain().is_empty() {
            self.engine.receive(name, self.tls.plain(), now);
        }
        if outcome == Reception::Ended {
            self.engine.end_of_input(name, now);
        }
        self.flush(id);
        if outcome == Reception::Failed {
            self.close(id);
        }
    }

    /// Sends what a TLS connection has to say.
    fn flush(&mut self, id: ConnId) {
        if !self.tls.flush(id, &mut self.ring) {
            self.close(id);
        }
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
        let listener = self.listeners.iter().find(|known| known.id == listener);
        let ends = listener.and_then(|listener| {
            let remote = match &listener.address {
                Address::Unix(path) => Address::Unix(Arc::clone(path)),
                _ => Address::Tcp(SockRef::from(&socket).peer_addr().ok()?.as_socket()?),
            };
            Some((remote, listener.address.clone(), listener.manner))
        });
        let descriptor = socket.as_raw_fd();
        let (Some((remote, local, manner)), Ok(id)) = (ends, self.ring.add(socket)) else {
            // The client has gone already.
            self.shared.connections.fetch_sub(1, Ordering::Relaxed);
            return;
        };
        self.keep(Socket { id, reading: false, ended: false, lingering: false });
        self.engine.open(self.name(id), Peer { descriptor, remote, local, dialect: manner.dialect }, now);
        if let Security::Tls(client) = manner.security {
            // Another core may have answered already that the files were read again.
            self.take_orders(now);
            if !self.tls.open(id, client, now) {
                self.close(id);
            }
        }
        if self.phase != Phase::Serving {
            self.end(id);
        }
    }

    /// Does what the engine wants done with a connection.
    fn apply(&mut self, id: ConnectionId, now: Now) {
        let Some(index) = id.index.checked_sub(self.datagrams.names()) else {
            return self.datagrams.apply(id, &mut self.ring, &mut self.engine, now);
        };
        let Some(socket) = self.sockets.get(index as usize).copied().flatten() else { return };
        if self.name(socket.id) != id {
            return;
        }
        let wants = self.engine.wants(id);
        if wants.send && self.tls.has(socket.id) {
            if self.tls.may_take(socket.id)
                && let Some(outgoing) = self.engine.take_output(id)
            {
                self.tls.take(socket.id, outgoing);
                self.flush(socket.id);
            }
        } else if wants.send && !self.ring.is_sending(socket.id) {
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
        self.tls.end(id, &mut self.ring);
        let ended = self.socket(id).is_some_and(|socket| socket.ended);
        if self.phase == Phase::Serving || ended {
            self.close(id);
            return;
        }
        self.engine.close(self.name(id));
        self.ring.shutdown_write(id);
        self.ring.read(id);
        self.keep(Socket { id, reading: true, ended: false, lingering: true });
    }

    fn close(&mut self, id: ConnId) {
        let Some(entry) = self.sockets.get_mut(id.index()) else { return };
        if entry.is_some_and(|socket| socket.id == id) {
            *entry = None;
            self.open_sockets -= 1;
            self.engine.close(self.name(id));
            self.tls.close(id);
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

    /// Serves letters for sleeping cores, at those cores' desks, rather than wake them.
    fn run_errands(&mut self, now: Now) {
        for _ in 0..ERRAND_ROUNDS_MAX {
            for to in 0..self.doorbells.len() {
                let outbox = self.engine.outbox(shard_id(to));
                if !outbox.is_empty() {
                    self.mesh.run_errand(to, outbox, &mut self.letters, now);
                }
            }
            if self.letters.is_empty() {
                return;
            }
            self.engine.deliver_all(&mut self.letters, now);
        }
    }

    /// Hands the turn's letters to the mesh, a batch to each core.
    fn post(&mut self) {
        for (to, &doorbell) in self.doorbells.iter().enumerate() {
            if to == self.mesh.id().index() {
                continue;
            }
            let outbox = self.engine.outbox(shard_id(to));
            if !outbox.is_empty() && self.mesh.send(to, outbox) {
                self.ring.ring_doorbell(doorbell);
            }
        }
    }

    fn name(&self, id: ConnId) -> ConnectionId {
        name(id, &self.datagrams)
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::RefreshCertificates(id) => {
                self.asking.push(id);
                (self.shared.hooks.refresh)();
            }
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
                self.ring.stop_datagrams();
                self.datagrams.drop_waiting(&mut self.ring);
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
        for index in 0..self.listeners.len() {
            let listener = self.listeners[index].id;
            while let Some(socket) = self.ring.listener(listener).and_then(accept_waiting) {
                self.accepted(listener, socket, now);
            }
        }
    }

    /// Whether this core may leave: no core has a letter or a reply under way, and every client has seen the end; or
    /// the time for that is up.
    fn is_over(&mut self) -> bool {
        let Phase::Stopping { since_ms, .. } = self.phase else { return false };
        let cores = self.mesh.contacts().len();
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

fn shard_id(core: usize) -> ShardId {
    ShardId(u16::try_from(core).unwrap_or(u16::MAX))
}

/// The ring's name of a connection as the engine knows it: the first names are those of datagrams.
fn name(id: ConnId, datagrams: &Datagrams) -> ConnectionId {
    let index = u32::try_from(id.index()).unwrap_or(u32::MAX);
    ConnectionId { index: index.saturating_add(datagrams.names()), generation: id.generation() }
}

fn into_ring_chunk(chunk: Chunk) -> ringcached_ring::Chunk {
    match chunk {
        Chunk::Owned(bytes) => ringcached_ring::Chunk::Owned(bytes),
        Chunk::Shared(bytes) => ringcached_ring::Chunk::Shared(bytes),
    }
}
