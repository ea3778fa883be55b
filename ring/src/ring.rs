//! The rules between calls, events and turns.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::datagrams::DatagramSocket;
use crate::event::{Chunk, Event, Received, Wait};
use crate::ids::{ConnId, DoorbellId, ListenerId, Op, Token};
use crate::kernel::{Completion, Enter, Kernel, SendOver};
use crate::options::Options;
use crate::outgoing::Outgoing;
use crate::pool::Pool;
use crate::slot::{Reading, Receiving, Sending, Slot};
use crate::sys;

/// One thread's ring: its listeners, its connections, and what is under way on them.
///
/// It must be made on the thread that uses it, and cannot leave it. Dropping it ends whatever is under way and closes
/// all sockets; bytes given to a send that is not [`Sent`](Event::Sent) may be lost.
///
/// A [`ConnId`] that has been given to [`close`](Ring::close) is stale: everything done in its name does nothing.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use ringcached_ring::{Event, Options, Ring, Wait};
/// use std::{io::Write, os::unix::net::UnixStream};
///
/// let (ours, mut theirs) = UnixStream::pair()?;
/// let mut ring = Ring::new(&Options::default())?;
/// let id = ring.add(ours.into())?;
/// ring.read(id);
/// theirs.write_all(b"hello")?;
/// ring.turn(Wait::UpTo(std::time::Duration::from_secs(1)))?;
/// while let Some(event) = ring.next_event() {
///     if let Event::Received(received) = event {
///         assert_eq!(ring.bytes(&received), b"hello");
///         ring.release(received);
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// The compiler keeps it on its thread:
///
/// ```compile_fail,E0277
/// fn send<T: Send>() {}
/// send::<ringcached_ring::Ring>();
/// ```
pub struct Ring {
    /// First, so that the kernel is done with all descriptors before they are closed.
    pub(crate) kernel: Kernel,
    pub(crate) options: Options,
    pub(crate) datagram_sockets: Vec<DatagramSocket>,
    listeners: Vec<Listener>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Connections that wait for a buffer to be free before they receive again.
    starved: VecDeque<ConnId>,
    doorbell: Option<OwnedFd>,
    doorbells: Vec<OwnedFd>,
    pub(crate) events: VecDeque<Event>,
    pool: Pool,
}

struct Listener {
    socket: OwnedFd,
    /// Whether other rings accept from the same socket.
    is_shared: bool,
    accepting: bool,
    stopped: bool,
}

impl Ring {
    /// Makes a ring for the calling thread. Fails where the kernel is older than Linux 6.1 or forbids `io_uring`.
    pub fn new(options: &Options) -> io::Result<Ring> {
        options.check()?;
        Ok(Ring {
            kernel: Kernel::new(options)?,
            options: *options,
            datagram_sockets: Vec::new(),
            listeners: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            starved: VecDeque::new(),
            doorbell: None,
            doorbells: Vec::new(),
            events: VecDeque::new(),
            pool: Pool::default(),
        })
    }

    /// Lets the kernel ask the network cards of this ring's sockets for so many microseconds before it waits for them.
    /// Fails before Linux 6.9.
    pub fn busy_poll(&self, us: u32) -> io::Result<()> {
        sys::register_napi(self.kernel.descriptor(), us)
    }

    // Listeners

    /// Accepts connections on a listening socket from the next turn on.
    pub fn listen(&mut self, socket: OwnedFd) -> io::Result<ListenerId> {
        self.listen_on(socket, false)
    }

    /// Like [`listen`](Ring::listen), for a socket that other rings listen on as well, by descriptors of their own. They
    /// take turns: who has accepted goes to the end of the kernel's queue of those who wait.
    pub fn listen_shared(&mut self, socket: OwnedFd) -> io::Result<ListenerId> {
        self.listen_on(socket, true)
    }

    fn listen_on(&mut self, socket: OwnedFd, is_shared: bool) -> io::Result<ListenerId> {
        sys::set_blocking(socket.as_fd())?;
        let index = u32::try_from(self.listeners.len()).map_err(io::Error::other)?;
        self.listeners.push(Listener { socket, is_shared, accepting: false, stopped: false });
        self.accept(index);
        Ok(ListenerId(index))
    }

    /// Stops accepting on all listeners. Those accepted already are still reported. The sockets stay open, so that
    /// nobody in their backlog is turned away: see [`listener`](Ring::listener) and
    /// [`close_listeners`](Ring::close_listeners).
    pub fn stop_accepting(&mut self) {
        for (index, listener) in (0..).zip(&mut self.listeners) {
            if !listener.stopped && listener.accepting {
                self.kernel.cancel(Token::plain(Op::Accept, index));
            }
            listener.stopped = true;
        }
    }

    /// Whether an accept is still under way; after [`stop_accepting`](Ring::stop_accepting), until the kernel has
    /// confirmed the end.
    pub fn is_accepting(&self) -> bool {
        self.listeners.iter().any(|listener| listener.accepting)
    }

    /// A listening socket, for instance to empty its backlog by hand.
    pub fn listener(&self, listener: ListenerId) -> Option<BorrowedFd<'_>> {
        self.listeners.get(listener.0 as usize).map(|listener| listener.socket.as_fd())
    }

    /// Closes the listening sockets, once nothing [is accepting](Ring::is_accepting); before that it does nothing.
    /// Their names may be given again by [`listen`](Ring::listen).
    pub fn close_listeners(&mut self) {
        if !self.is_accepting() {
            self.listeners.clear();
        }
    }

    // Connections

    /// Takes a connected stream socket into the ring. Nothing happens on it until asked for.
    pub fn add(&mut self, socket: OwnedFd) -> io::Result<ConnId> {
        sys::set_blocking(socket.as_fd())?;
        let index = match self.free.pop() {
            Some(index) => index,
            None => u32::try_from(self.slots.len()).map_err(io::Error::other)?,
        };
        if self.slots.len() == index as usize {
            self.slots.push(Slot::new());
        }
        let slot = &mut self.slots[index as usize];
        slot.socket = Some(socket);
        Ok(ConnId::new(index, slot.generation))
    }

    /// The socket of a connection, for instance to ask for the peer's address.
    pub fn socket(&self, id: ConnId) -> Option<BorrowedFd<'_>> {
        self.slot(id)?.socket.as_ref().map(OwnedFd::as_fd)
    }

    /// Receives on this connection from now on, until [`stop_reading`](Ring::stop_reading) or the end.
    pub fn read(&mut self, id: ConnId) {
        let Some(slot) = self.slot_mut(id) else { return };
        if slot.reading != Reading::Ended {
            slot.reading = Reading::Wanted;
            self.receive(id);
        }
    }

    /// Stops receiving on this connection. What is in the kernel's hands already may still be reported.
    pub fn stop_reading(&mut self, id: ConnId) {
        let Some(slot) = self.slot_mut(id) else { return };
        if slot.reading == Reading::Wanted {
            slot.reading = Reading::Stopped;
        }
        match slot.receiving {
            Receiving::Armed => {
                slot.receiving = Receiving::Cancelling;
                self.kernel.cancel(id.token(Op::Receive));
            }
            Receiving::Starved => slot.receiving = Receiving::Idle,
            Receiving::Idle | Receiving::Cancelling => {}
        }
    }

    /// The bytes of an event of this ring.
    ///
    /// # Panics
    /// If another ring received them.
    pub fn bytes<'a>(&'a self, received: &'a Received) -> &'a [u8] {
        self.kernel.buffers().bytes(&received.filled)
    }

    /// Gives the buffer of an event of this ring back; from the next turn on it receives again.
    ///
    /// # Panics
    /// If it is another ring's.
    pub fn release(&mut self, received: Received) {
        self.kernel.give_back(received.filled);
    }

    /// Whether a send is under way: then another one must wait for its [`Sent`](Event::Sent).
    pub fn is_sending(&self, id: ConnId) -> bool {
        self.slot(id).is_some_and(|slot| slot.sending != Sending::Idle)
    }

    /// Sends these bytes; [`Sent`](Event::Sent) or [`SendFailed`](Event::SendFailed) will tell.
    ///
    /// # Panics
    /// If a send [is under way](Ring::is_sending) on this connection.
    pub fn send(&mut self, id: ConnId, bytes: Vec<u8>) {
        self.start_send(id, Outgoing::one(bytes));
    }

    /// Sends these pieces one after the other, as one send. [`take_chunks`](Ring::take_chunks) has lists for it.
    ///
    /// # Panics
    /// If a send [is under way](Ring::is_sending) on this connection.
    pub fn send_chunks(&mut self, id: ConnId, chunks: Vec<Chunk>) {
        let outgoing = self.pool.gather(chunks);
        self.start_send(id, outgoing);
    }

    /// An empty buffer for the next send, out of those sent before.
    pub fn take_buffer(&mut self) -> Vec<u8> {
        self.pool.take_buffer()
    }

    /// Gives a buffer back that is not sent after all.
    pub fn give_buffer(&mut self, buffer: Vec<u8>) {
        self.pool.give_buffer(buffer);
    }

    /// An empty list for the next [`send_chunks`](Ring::send_chunks), out of those sent before.
    pub fn take_chunks(&mut self) -> Vec<Chunk> {
        self.pool.take_chunks()
    }

    /// Tells the peer that nothing more will be sent; after the send under way, if there is one.
    pub fn shutdown_write(&mut self, id: ConnId) {
        let Some(slot) = self.slot_mut(id) else { return };
        if slot.sending == Sending::Idle {
            slot.shutdown_write();
        } else {
            slot.shutdown_after_send = true;
        }
    }

    /// Closes a connection; what is under way on it is abandoned. When the kernel is done with it, which may be at
    /// once, [`Closed`](Event::Closed) tells. Events of the connection not yet taken may still come.
    pub fn close(&mut self, id: ConnId) {
        self.stop_reading(id);
        let Some(slot) = self.slot_mut(id) else { return };
        slot.closing = true;
        if slot.sending == Sending::Waiting {
            self.kernel.cancel(id.token(Op::Send));
        }
        self.free_if_over(id);
    }

    // Doorbells

    /// Watches an eventfd that other threads write to: [`Doorbell`](Event::Doorbell). A ring watches one. The eventfd's
    /// count is never read, only its writes are noticed.
    pub fn watch_doorbell(&mut self, eventfd: OwnedFd) -> io::Result<()> {
        if self.doorbell.is_some() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the ring already watches a doorbell"));
        }
        sys::set_nonblocking(eventfd.as_fd())?;
        self.kernel.watch_doorbell(eventfd.as_fd());
        self.doorbell = Some(eventfd);
        Ok(())
    }

    /// Makes another thread's eventfd known, so that it can be rung.
    pub fn add_doorbell(&mut self, eventfd: OwnedFd) -> io::Result<DoorbellId> {
        sys::set_nonblocking(eventfd.as_fd())?;
        self.doorbells.push(eventfd);
        Ok(DoorbellId(self.doorbells.len() - 1))
    }

    /// Rings another thread's doorbell; it goes out with the next turn.
    ///
    /// # Panics
    /// If the name is another ring's and unknown here.
    pub fn ring_doorbell(&mut self, doorbell: DoorbellId) {
        self.kernel.ring_doorbell(self.doorbells[doorbell.0].as_fd());
    }

    // The turn

    /// Submits all that was queued since the last turn and collects what happened, in one call of the kernel. Tells how
    /// many events there are; take them all with [`next_event`](Ring::next_event) before the next turn. Returns early
    /// without any when a signal arrives.
    pub fn turn(&mut self, wait: Wait) -> io::Result<usize> {
        self.step(match wait {
            Wait::UpTo(limit) if !limit.is_zero() => Enter::Wait(limit),
            _ => Enter::Poll,
        })
    }

    /// The next thing that happened, if any is left.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What was received and is not taken yet, in its order.
    pub fn upcoming(&self) -> impl Iterator<Item = &Received> {
        self.events.iter().filter_map(|event| match event {
            Event::Received(received) => Some(received),
            _ => None,
        })
    }

    // Below: helpers

    fn step(&mut self, how: Enter) -> io::Result<usize> {
        let more_to_arm = self.feed_starved();
        self.receive_datagrams();
        let how = if more_to_arm || !self.events.is_empty() { Enter::Poll } else { how };
        self.kernel.enter(how)?;
        let (mut sends, mut completions) = self.kernel.take_reports();
        for send in sends.drain(..) {
            self.send_over(send);
        }
        for completion in completions.drain(..) {
            self.completed(completion);
        }
        self.kernel.return_reports(sends, completions);
        Ok(self.events.len())
    }

    fn slot(&self, id: ConnId) -> Option<&Slot> {
        self.slots.get(id.index()).filter(|slot| slot.is(id) && !slot.closing)
    }

    fn slot_mut(&mut self, id: ConnId) -> Option<&mut Slot> {
        self.slots.get_mut(id.index()).filter(|slot| slot.is(id) && !slot.closing)
    }

    fn accept(&mut self, index: u32) {
        if let Some(listener) = self.listeners.get_mut(index as usize)
            && !listener.stopped
            && !listener.accepting
        {
            listener.accepting = true;
            self.kernel.accept(index, listener.socket.as_fd(), listener.is_shared);
        }
    }

    /// Arms the receive that is wanted, or lets it wait for a buffer.
    fn receive(&mut self, id: ConnId) {
        let Some(slot) = self.slots.get_mut(id.index()).filter(|slot| slot.is(id)) else { return };
        let (Some(socket), Receiving::Idle, Reading::Wanted) = (&slot.socket, slot.receiving, slot.reading) else {
            return;
        };
        if self.kernel.buffers().available() > 0 {
            slot.receiving = Receiving::Armed;
            self.kernel.receive(id, socket.as_fd());
        } else {
            self.starve(id);
        }
    }

    /// Lets a receive wait for a buffer to be free. Listed once, however often it is wanted and not.
    fn starve(&mut self, id: ConnId) {
        if let Some(slot) = self.slots.get_mut(id.index()) {
            slot.receiving = Receiving::Starved;
            if !slot.is_listed {
                slot.is_listed = true;
                self.starved.push_back(id);
            }
        }
    }

    fn can_feed_starved(&self) -> bool {
        !self.starved.is_empty() && self.kernel.buffers().available() > 0
    }

    /// Arms as many waiting receives as there are buffers: more would only fail again. Tells whether some are left
    /// although there are buffers; those have their chance in the next turn, which must then come soon.
    fn feed_starved(&mut self) -> bool {
        for _ in 0..self.kernel.buffers().available() {
            let Some(id) = self.starved.pop_front() else { break };
            let Some(slot) = self.slots.get_mut(id.index()).filter(|slot| slot.is(id)) else { continue };
            slot.is_listed = false;
            if slot.receiving == Receiving::Starved {
                slot.receiving = Receiving::Idle;
                self.receive(id);
            }
        }
        self.can_feed_starved()
    }

    fn start_send(&mut self, id: ConnId, outgoing: Outgoing) {
        let Some(slot) = self.slots.get_mut(id.index()).filter(|slot| slot.is(id) && !slot.closing) else {
            self.pool.recycle(outgoing);
            return;
        };
        assert!(slot.sending == Sending::Idle, "a send is under way on this connection");
        match &slot.socket {
            Some(socket) if !outgoing.is_done() => {
                slot.sending = Sending::Soft;
                self.kernel.send(id, socket.as_fd(), outgoing, true);
            }
            _ => {
                self.pool.recycle(outgoing);
                self.events.push_back(Event::Sent { id });
            }
        }
    }

    fn send_over(&mut self, SendOver { id, mut outgoing, expected, result }: SendOver) {
        let Some(slot) = self.slots.get_mut(id.index()).filter(|slot| slot.is(id)) else {
            return self.pool.recycle(outgoing);
        };
        slot.sending = Sending::Idle;
        if slot.closing {
            self.pool.recycle(outgoing);
            return self.free_if_over(id);
        }
        let sent = usize::try_from(result).unwrap_or(0);
        outgoing.advance(sent);
        let error = match -result {
            libc::EAGAIN | libc::EINTR | libc::ECANCELED => None,
            0 if expected > 0 => Some(io::Error::from(io::ErrorKind::WriteZero)),
            number if number > 0 => Some(io::Error::from_raw_os_error(number)),
            _ => None,
        };
        if error.is_none()
            && !outgoing.is_done()
            && let Some(socket) = &slot.socket
        {
            // A short one found no room: let the kernel wait for it. A whole one has only more to say.
            let soft = sent == expected;
            slot.sending = if soft { Sending::Soft } else { Sending::Waiting };
            return self.kernel.send(id, socket.as_fd(), outgoing, soft);
        }
        if slot.shutdown_after_send {
            slot.shutdown_write();
        }
        self.pool.recycle(outgoing);
        self.events.push_back(match error {
            Some(error) => Event::SendFailed { id, error },
            None => Event::Sent { id },
        });
    }

    fn completed(&mut self, completion: Completion) {
        match completion {
            Completion::Receive { id, filled, result, more } => {
                if let Some(filled) = filled {
                    let is_wanted = self.slot(id).is_some() && result > 0;
                    if is_wanted {
                        self.events.push_back(Event::Received(Received { id, filled }));
                    } else {
                        self.kernel.give_back(filled);
                    }
                }
                if !more {
                    self.receive_over(id, result);
                }
            }
            Completion::Accept { listener, result, more } => self.accepted(listener, result, more),
            Completion::AcceptPauseOver { listener } => self.accept(listener),
            Completion::Doorbell { result, more } => {
                if let (Some(doorbell), false, true) = (&self.doorbell, more, result >= 0) {
                    self.kernel.watch_doorbell(doorbell.as_fd());
                }
                self.events.push_back(Event::Doorbell);
            }
            Completion::Datagram { socket, filled, result, more } => {
                self.datagram_received(socket, filled, result, more);
            }
            Completion::DatagramLost => self.events.push_back(Event::DatagramLost),
        }
    }

    /// The armed receive of a connection has ended with `result`.
    fn receive_over(&mut self, id: ConnId, result: i32) {
        let Some(slot) = self.slots.get_mut(id.index()).filter(|slot| slot.is(id)) else { return };
        slot.receiving = Receiving::Idle;
        if slot.closing {
            return self.free_if_over(id);
        }
        match -result {
            // Through the queue even when there is a buffer again, so that the others have theirs first.
            libc::ENOBUFS if slot.reading == Reading::Wanted => self.starve(id),
            libc::ENOBUFS | libc::ECANCELED | libc::EINTR | libc::EAGAIN => self.receive(id),
            number if number < 0 => self.receive(id),
            number => {
                slot.reading = Reading::Ended;
                let error = (number > 0).then(|| io::Error::from_raw_os_error(number));
                self.events.push_back(Event::Ended { id, error });
            }
        }
    }

    fn accepted(&mut self, index: u32, result: io::Result<OwnedFd>, more: bool) {
        let listener = ListenerId(index);
        if let (Some(state), false) = (self.listeners.get_mut(index as usize), more) {
            state.accepting = false;
        }
        match result {
            Ok(socket) => {
                self.events.push_back(Event::Accepted { listener, socket });
                if !more {
                    self.accept(index);
                }
            }
            // The client left before it was accepted, or the call was interrupted or cancelled: nothing is amiss.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ECONNABORTED | libc::EINTR | libc::EAGAIN | libc::ECANCELED)
                ) =>
            {
                self.accept(index);
            }
            Err(error) => {
                self.kernel.accept_pause(index);
                self.events.push_back(Event::AcceptFailed { listener, error });
            }
        }
    }

    fn free_if_over(&mut self, id: ConnId) {
        let Some(slot) = self.slots.get_mut(id.index()).filter(|slot| slot.is(id)) else { return };
        if slot.closing && slot.receiving == Receiving::Idle && slot.sending == Sending::Idle {
            let generation = (slot.generation + 1) & ConnId::GENERATION_MASK;
            *slot = Slot { generation, ..Slot::new() };
            self.free.push(id.token(Op::Ignored).index());
            self.events.push_back(Event::Closed { id });
        }
    }
}
