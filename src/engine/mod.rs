//! One core without the world: its conversations, its shard and its letters, and nothing that waits, reads a clock or
//! touches a socket.
//!
//! The driver tells it what happened ([`Engine::open`], [`Engine::receive`], [`Engine::deliver_all`], ...), then asks what
//! is to be done ([`Engine::next_changed`], [`Engine::take_output`], [`Engine::outbox`]). Tests and the simulator of
//! many cores do the same without a socket, so what they prove holds for the server.

mod admin;
mod authentication;
mod batch;
mod config;
mod conversation;
mod lending;
mod look_ahead;
mod multiget;
mod node;
mod packets;
mod report;
mod starved;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;

use crate::engine::conversation::{Conversation, Progress};
use crate::engine::node::Node;
use crate::lending::Owned;
use crate::metrics::Counters;
use crate::protocol::admin::TimeShift;
use crate::protocol::{Chunk, ShutdownMode};
use crate::session::Session;
use crate::session::gather::GatherKind;
use crate::session::letter::{ConnectionId, Letter, Task};
use crate::store::Shard;
use crate::terms::{Now, ShardId};

pub use crate::engine::admin::AdminConfig;
pub use crate::engine::config::{Access, EngineConfig, FactSource};
pub use crate::engine::lending::{Desk, LentDesk};
pub use crate::engine::report::{Address, Peer};

/// Something a client asked for that is not this floor's to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Stop the server.
    Shutdown(ShutdownMode),
    /// Log this much from now on.
    Verbosity(u32),
    /// Read the files of TLS again, then [answer](Engine::answer) this conversation.
    RefreshCertificates(ConnectionId),
    /// Move the clock.
    ShiftTime(TimeShift),
}

/// What the driver is to do with a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wants {
    /// Whether its socket should be read.
    pub read: bool,
    /// Whether there are replies to send.
    pub send: bool,
    /// Whether it is over: close the socket and call [`Engine::close`].
    pub close: bool,
}

/// Replies to send.
#[derive(Debug)]
pub enum Outgoing {
    /// In one buffer, the usual case.
    Single(Vec<u8>),
    /// In pieces.
    Chunks(Vec<Chunk>),
}

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    session: Session,
    peer: Peer,
    last_active_ms: u64,
    /// Whether it is in the list of changed connections.
    changed: bool,
    /// Whether it waits for its turn.
    queued: bool,
}

/// One core.
#[derive(Debug)]
pub struct Engine {
    node: Owned<Node>,
    connections: Vec<Option<Box<Connection>>>,
    changed: Vec<ConnectionId>,
    runnable: VecDeque<ConnectionId>,
    stopping: bool,
    /// When connections are looked at for the idle timeout next.
    idle_check_ms: u64,
}

impl Engine {
    /// A core with an empty shard and no connections. Fails where the kernel gives no address space.
    pub fn new(config: EngineConfig, now: Now) -> io::Result<Self> {
        Ok(Self {
            node: Owned::new(Node::new(config, now)?),
            connections: Vec::new(),
            changed: Vec::new(),
            runnable: VecDeque::new(),
            stopping: false,
            idle_check_ms: 0,
        })
    }

    /// A client has connected. `id` must not be in use.
    pub fn open(&mut self, id: ConnectionId, peer: Peer, now: Now) {
        self.node.now = now;
        let index = id.index as usize;
        if self.connections.len() <= index {
            self.connections.resize_with(index + 1, || None);
        }
        let session = Session::new(self.node.config.access.framing(self.node.config.shard.item_size_max, peer.dialect));
        let last_active_ms = now.monotonic_ms;
        if !peer.is_datagram() {
            self.node.counters.curr_connections += 1;
            self.node.counters.total_connections += 1;
            if let Some(observer) = &mut self.node.observer {
                observer.connection(true, &peer, now);
            }
        }
        let connection = Connection { id, session, peer, last_active_ms, changed: false, queued: false };
        self.connections[index] = Some(Box::new(connection));
        self.mark_changed(id);
    }

    /// A connection beyond the limit was refused.
    pub fn refused(&mut self) {
        self.node.counters.rejected_connections += 1;
    }

    /// Bytes have come from a client. They are used up, or kept, when this returns.
    pub fn receive(&mut self, id: ConnectionId, bytes: &[u8], now: Now) {
        self.node.now = now;
        self.node.counters.bytes_read += bytes.len() as u64;
        let Self { node, connections, runnable, stopping, .. } = self;
        let Some(connection) = find(connections, id) else { return };
        connection.last_active_ms = now.monotonic_ms;
        let session = &mut connection.session;
        if session.closing || session.watch.is_some() || *stopping {
            return;
        }
        node.descriptor = connection.peer.descriptor;
        if session.pending.is_empty() && !connection.queued {
            let (used, progress) = Conversation { node, session, id }.run(bytes);
            session.pending.extend_from_slice(&bytes[used..]);
            queue_if(progress == Progress::Yield, connection, runnable);
        } else {
            session.pending.extend_from_slice(bytes);
            if !connection.queued {
                run_pending(node, connection, runnable);
            }
        }
        self.mark_changed(id);
        self.settle();
    }

    /// The client will send nothing more; what it has sent is answered, then the conversation ends.
    pub fn end_of_input(&mut self, id: ConnectionId, now: Now) {
        self.node.now = now;
        if let Some(connection) = find(&mut self.connections, id) {
            connection.session.input_over = true;
            end_if_over(connection);
            self.mark_changed(id);
        }
    }

    /// What was taken by [`Engine::take_output`] has been sent. `buffer` is its memory, if it is of use.
    pub fn sent(&mut self, id: ConnectionId, buffer: Option<Vec<u8>>, now: Now) {
        self.node.now = now;
        if let Some(buffer) = buffer {
            self.node.return_buffer(buffer);
        }
        let Some(connection) = find(&mut self.connections, id) else { return };
        connection.last_active_ms = now.monotonic_ms;
        let sent = std::mem::take(&mut connection.session.unsent);
        self.node.counters.bytes_written += sent as u64;
        self.resume(id);
        self.settle();
    }

    /// The connection is gone, whether it wanted to be or not. Letters under way for it are taken back silently.
    pub fn close(&mut self, id: ConnectionId) {
        if find(&mut self.connections, id).is_some()
            && let Some(connection) = self.connections[id.index as usize].take()
        {
            if connection.session.framing.held() > 0 {
                // What was asked for it is for others now, who ask for themselves.
                self.node.shard.unwish_memory();
            }
            for letter in connection.session.parked {
                self.node.recycle(letter);
            }
            self.node.counters.curr_connections -= u64::from(!connection.peer.is_datagram());
            self.forget(id);
            let Node { observer, now, .. } = &mut *self.node;
            if let Some(observer) = observer
                && !connection.peer.is_datagram()
            {
                observer.connection(false, &connection.peer, *now);
            }
        }
    }

    /// The world has done what a conversation asked it for and waits to hear of; `line` is the reply.
    pub fn answer(&mut self, id: ConnectionId, line: &[u8], now: Now) {
        self.node.now = now;
        let gather = find(&mut self.connections, id).and_then(|connection| connection.session.gather.as_mut());
        if let Some(gather) = gather.filter(|gather| gather.kind == GatherKind::Certificates) {
            gather.waiting = 0;
            gather.text.extend_from_slice(line);
            self.resume(id);
            self.settle();
        }
    }

    /// A letter has come by mesh: a request for this core's shard, or a reply to a request of its own.
    fn deliver(&mut self, mut letter: Box<Letter>, now: Now) {
        self.node.now = now;
        if letter.home == self.node.id {
            self.take_home(letter);
            self.settle();
        } else {
            self.serve(&mut letter);
            let home = letter.home.index();
            self.node.peers[home].outbox.push(letter);
        }
    }

    /// Gives the connections that were not finished another turn. Whether some still are not.
    pub fn run(&mut self, now: Now) -> bool {
        self.node.now = now;
        for _ in 0..self.runnable.len() {
            let Some(id) = self.runnable.pop_front() else { break };
            let Some(connection) = find(&mut self.connections, id) else { continue };
            connection.queued = false;
            self.resume(id);
            self.settle();
        }
        self.is_unfinished()
    }

    /// Whether a connection waits for [`Engine::run`].
    pub fn is_unfinished(&self) -> bool {
        !self.runnable.is_empty()
    }

    /// Background work: at least every 100 ms, in steps that take well below a millisecond. `true` if there is more to
    /// do, at once.
    pub fn tick(&mut self, now: Now) -> bool {
        self.node.now = now;
        let unfinished = self.node.shard.tick(now);
        self.resume_delayed();
        self.resume_starved();
        self.node.tick_watch();
        for index in 0..self.node.watchers.len() {
            self.pump_watcher(self.node.watchers[index]);
        }
        self.kick_the_idle(now);
        unfinished
    }

    fn kick_the_idle(&mut self, now: Now) {
        let Some(timeout_ms) = self.node.config.idle_timeout_ms else { return };
        if now.monotonic_ms < self.idle_check_ms {
            return;
        }
        self.idle_check_ms = now.monotonic_ms + 500;
        for index in 0..self.connections.len() {
            if let Some(connection) = &mut self.connections[index]
                && !connection.session.closing
                && !connection.queued
                && connection.session.watch.is_none()
                && connection.session.is_idle()
                && connection.session.backlog() == 0
                && now.monotonic_ms.saturating_sub(connection.last_active_ms) > timeout_ms
            {
                connection.session.close();
                self.node.counters.idle_kicks += 1;
                let id = connection.id;
                self.mark_changed(id);
            }
        }
    }

    /// Goes on with the conversations whose delay is over.
    fn resume_delayed(&mut self) {
        let (now_ms, stopping) = (self.node.now.monotonic_ms, self.stopping);
        let mut due = Vec::new();
        self.node.delayed.retain(|&(until_ms, id)| {
            let is_due = until_ms <= now_ms || stopping;
            if is_due {
                due.push(id);
            }
            !is_due
        });
        for id in due {
            self.resume(id);
            self.settle();
        }
    }

    /// No connection is read any more and no request run; those under way are answered and sent.
    pub fn stop(&mut self) {
        self.stopping = true;
        for index in 0..self.connections.len() {
            if let Some(connection) = &mut self.connections[index] {
                connection.session.close();
                let id = connection.id;
                self.mark_changed(id);
            }
        }
    }

    /// Whether no letter of this core is under way and no reply unsent.
    pub fn is_quiet(&self) -> bool {
        self.node.outstanding == 0
            && self.node.peers.iter().all(|peer| peer.outbox.is_empty())
            && self.connections.iter().flatten().all(|connection| connection.session.is_finished())
    }

    /// A connection that the driver has to look at: see [`Engine::wants`].
    pub fn next_changed(&mut self) -> Option<ConnectionId> {
        while let Some(id) = self.changed.pop() {
            if let Some(connection) = find(&mut self.connections, id) {
                connection.changed = false;
                return Some(id);
            }
        }
        None
    }

    /// What is to be done with a connection; nothing with one that is gone.
    pub fn wants(&mut self, id: ConnectionId) -> Wants {
        match find(&mut self.connections, id) {
            Some(connection) => Wants {
                read: connection.session.wants_input(connection.queued),
                send: connection.session.is_to_be_sent(),
                close: connection.session.is_finished(),
            },
            None => Wants { read: false, send: false, close: false },
        }
    }

    /// Takes the replies that are ready. They count as the connection's backlog until [`Engine::sent`].
    pub fn take_output(&mut self, id: ConnectionId) -> Option<Outgoing> {
        let connection = find(&mut self.connections, id)?;
        let out = connection.session.slots.out();
        if out.is_empty() {
            return None;
        }
        let len = out.len();
        let outgoing = match out.take_single() {
            Some(buffer) => Outgoing::Single(buffer),
            None => Outgoing::Chunks(out.take_chunks()),
        };
        connection.session.unsent += len;
        connection.session.held_until = None;
        Some(outgoing)
    }

    /// Letters for another core, to be taken and sent in this order.
    pub fn outbox(&mut self, to: ShardId) -> &mut Vec<Box<Letter>> {
        &mut self.node.peers[to.index()].outbox
    }

    /// What clients have asked the world for since the last call.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.node.effects)
    }

    /// Counts for what the driver alone sees.
    pub fn counters_mut(&mut self) -> &mut Counters {
        &mut self.node.counters
    }

    /// The shard; for tests.
    pub fn shard(&self) -> &Shard {
        &self.node.shard
    }

    /// Letters that may still be sent to each core; for tests.
    pub fn credits(&self) -> Vec<usize> {
        self.node.credits()
    }

    /// Bytes of memory that a connection's value in progress holds; for tests.
    pub fn arriving(&mut self, id: ConnectionId) -> usize {
        find(&mut self.connections, id).map_or(0, |connection| connection.session.framing.held())
    }

    /// Bytes that a connection's unused input and unsent replies hold; for tests.
    pub fn backlog(&mut self, id: ConnectionId) -> (usize, usize) {
        find(&mut self.connections, id).map_or((0, 0), |connection| {
            let held = connection.session.multiget.as_ref().map_or(0, |multiget| multiget.held());
            (connection.session.pending.len(), connection.session.backlog() + held)
        })
    }

    /// A connection has gone that may have watched or dumped.
    fn forget(&mut self, id: ConnectionId) {
        let watchers_before = self.node.watchers.len();
        self.node.watchers.retain(|watcher| *watcher != id);
        self.node.starved.retain(|starved| *starved != id);
        self.node.counters.log_watchers -= (watchers_before - self.node.watchers.len()) as u64;
        if self.node.dumping == Some(id) {
            self.node.dumping = None;
        }
    }

    fn pump_watcher(&mut self, id: ConnectionId) {
        let Self { node, connections, .. } = self;
        if let Some(connection) = find(connections, id) {
            Conversation { node, session: &mut connection.session, id }.pump_watch();
            self.mark_changed(id);
        }
    }

    fn mark_changed(&mut self, id: ConnectionId) {
        if let Some(connection) = find(&mut self.connections, id)
            && !connection.changed
        {
            connection.changed = true;
            self.changed.push(id);
        }
    }

    /// Goes on with a conversation that something was missing for.
    fn resume(&mut self, id: ConnectionId) {
        let Self { node, connections, runnable, .. } = self;
        let Some(connection) = find(connections, id) else { return };
        node.descriptor = connection.peer.descriptor;
        let mut conversation = Conversation { node, session: &mut connection.session, id };
        let progress = conversation.resume();
        conversation.recycle_joined();
        queue_if(progress == Progress::Yield, connection, runnable);
        if !connection.queued && !connection.session.pending.is_empty() {
            run_pending(node, connection, runnable);
        }
        end_if_over(connection);
        self.mark_changed(id);
    }

    /// Goes on with what was started in this call: requests to several cores. A loop at the outermost level, so that
    /// a pipeline of such requests does not nest.
    fn settle(&mut self) {
        let own = self.node.id.index();
        loop {
            if let Some(id) = self.node.later.pop() {
                self.resume(id);
            } else if let Some(mut letter) = self.node.peers[own].outbox.pop() {
                self.serve(&mut letter);
                self.take_home(letter);
            } else {
                return;
            }
        }
    }

    fn serve(&mut self, letter: &mut Letter) {
        if matches!(letter.task, Task::Connections) {
            letter.reply.put(&self.connections_report());
        } else {
            self.node.serve(letter);
        }
    }

    fn take_home(&mut self, letter: Box<Letter>) {
        let (id, from) = (letter.connection, letter.to);
        let Self { node, connections, .. } = self;
        node.regain_credit(from);
        match find(connections, id) {
            Some(connection) => Conversation { node, session: &mut connection.session, id }.take_home(letter),
            None => node.recycle(letter),
        }
        // The credit is for who waits, or the connection that just had it would keep it. Some may have gone since, or
        // need none any more: with credits left nobody may stay behind, for no other letter may come to wake them.
        while let Some(waiting) = self.node.next_waiting(from) {
            self.resume(waiting);
        }
        self.resume(id);
    }

    fn connections_report(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for (descriptor, local) in &self.node.config.listeners {
            report::listener(&mut text, *descriptor, local);
        }
        for connection in self.connections.iter().flatten().filter(|connection| !connection.peer.is_datagram()) {
            let idle_s = self.node.now.monotonic_ms.saturating_sub(connection.last_active_ms) / 1000;
            report::connection(&mut text, &connection.peer, &connection.session, idle_s);
        }
        text
    }
}

fn find(connections: &mut [Option<Box<Connection>>], id: ConnectionId) -> Option<&mut Connection> {
    let connection = connections.get_mut(id.index as usize)?.as_deref_mut()?;
    (connection.id == id).then_some(connection)
}

fn queue_if(more: bool, connection: &mut Connection, runnable: &mut VecDeque<ConnectionId>) {
    if more && !connection.queued {
        connection.queued = true;
        runnable.push_back(connection.id);
    }
}

fn run_pending(node: &mut Node, connection: &mut Connection, runnable: &mut VecDeque<ConnectionId>) {
    let id = connection.id;
    let session = &mut connection.session;
    if !session.may_run() {
        return;
    }
    let mut pending = std::mem::take(&mut session.pending);
    let (used, progress) = Conversation { node, session, id }.run(&pending);
    if used < pending.len() {
        pending.drain(..used);
        session.pending = pending;
    }
    queue_if(progress == Progress::Yield, connection, runnable);
}

/// Ends a conversation whose client will send nothing more, once all it has sent has been run.
fn end_if_over(connection: &mut Connection) {
    let session = &mut connection.session;
    if session.input_over && !session.closing && !connection.queued && (session.may_run() || session.watch.is_some()) {
        session.close();
    }
}
