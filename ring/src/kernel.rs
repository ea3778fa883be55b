//! The submission and completion queues, and the owner of everything lent to the kernel.
//!
//! The rule that makes this sound: memory whose address goes into a submission is owned by [`Kernel`] until the
//! operation's last completion has been taken from the queue, and cannot be reached from outside meanwhile:
//! - outgoing bytes move into `lent` and come out again with the completion;
//! - buffers for incoming bytes belong to [`Buffers`], which lends out only what a completion has named;
//! - datagrams on their way out move into `letters`; the header for those that come in is never changed;
//! - the constants are written by nobody.
//!
//! `in_flight` counts the operations that may touch such memory. Dropping cancels them and waits; what will not end in
//! time is leaked, never freed.
#![allow(unsafe_code, reason = "submission entries hold raw addresses; each block says what keeps them valid")]

use std::collections::VecDeque;
use std::io;
use std::mem::{self, ManuallyDrop};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use crate::buffers::{Buffers, DATAGRAM_GROUP, Filled, GROUP};
use crate::envelope::{Inbox, Letter};
use crate::ids::{ConnId, Op, Token};
use crate::options::Options;
use crate::outgoing::Outgoing;

/// How long accepting pauses after a failure that would only repeat.
static ACCEPT_PAUSE: Timespec = Timespec::new().nsec(50_000_000);
/// What ringing a doorbell adds to its count.
static ONE: u64 = 1;
const ENTER_GETEVENTS: u32 = 1;
/// The largest datagram there is, 65507 bytes, with what the kernel writes before it.
const DATAGRAM_BUFFER_LEN: u32 = (64 << 10) + 64;
/// How much memory of datagrams that were sent is kept for the next ones.
const LETTER_BUFFERS_MAX: usize = 64;
const SEND_FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
/// Dropping waits at most this many times this long for cancelled operations to end.
const DROP_ROUNDS: usize = 50;
const DROP_WAIT: Duration = Duration::from_millis(20);

/// How to enter the kernel.
#[derive(Clone, Copy)]
pub(crate) enum Enter {
    /// Come back at once, with whatever there is. The kernel runs only about twenty pieces of deferred work for it, which
    /// is as good while turns follow each other.
    Poll,
    /// Come back when something completes, after this time at the latest.
    Wait(Duration),
}

/// What the kernel reported, except sends.
pub(crate) enum Completion {
    Accept { listener: u32, result: io::Result<OwnedFd>, more: bool },
    AcceptPauseOver { listener: u32 },
    Receive { id: ConnId, filled: Option<Filled>, result: i32, more: bool },
    Doorbell { result: i32, more: bool },
    Datagram { socket: u32, filled: Option<Filled>, result: i32, more: bool },
    DatagramLost,
}

/// A send operation is over: how much of it went out, or the negative error number.
pub(crate) struct SendOver {
    pub(crate) id: ConnId,
    pub(crate) outgoing: Outgoing,
    pub(crate) expected: usize,
    pub(crate) result: i32,
}

struct Lent {
    outgoing: Outgoing,
    expected: usize,
    /// What a soft send reported, if anything.
    shortfall: Option<i32>,
}

pub(crate) struct Kernel {
    uring: IoUring,
    buffers: ManuallyDrop<Buffers>,
    /// Made with the first datagram socket.
    datagram_buffers: Option<ManuallyDrop<Buffers>>,
    inbox: ManuallyDrop<Inbox>,
    /// Entries that found the submission queue full even after submitting. First in, first out, like the queue.
    backlog: VecDeque<squeue::Entry>,
    /// By connection slot: at most one send each.
    lent: Vec<Option<Lent>>,
    /// Soft sends queued since the submission queue was last seen empty.
    soft: Vec<ConnId>,
    /// Datagrams queued since then.
    letters: Vec<Box<Letter>>,
    /// Memory of datagrams that were sent, for the next ones.
    sent_letters: Vec<Vec<u8>>,
    completions: Vec<Completion>,
    sends: Vec<SendOver>,
    in_flight: usize,
}

impl Kernel {
    pub(crate) fn new(options: &Options) -> io::Result<Kernel> {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(options.completion_entries).setup_clamp().setup_submit_all();
        builder.setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun();
        let uring: IoUring = builder.build(options.entries)?;
        let buffers = Buffers::register(&uring.submitter(), GROUP, options.buffers, options.buffer_len)?;
        uring.submitter().register_ring_fd()?;
        Ok(Kernel {
            uring,
            buffers: ManuallyDrop::new(buffers),
            datagram_buffers: None,
            inbox: ManuallyDrop::new(Inbox::new()),
            backlog: VecDeque::new(),
            lent: Vec::new(),
            soft: Vec::new(),
            letters: Vec::new(),
            sent_letters: Vec::new(),
            completions: Vec::new(),
            sends: Vec::new(),
            in_flight: 0,
        })
    }

    /// The ring itself.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring lives as long as `self`, and its descriptor with it.
        unsafe { BorrowedFd::borrow_raw(self.uring.as_raw_fd()) }
    }

    pub(crate) fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    pub(crate) fn give_back(&mut self, filled: Filled) {
        self.buffers.give_back(filled);
    }

    /// Accepts connections until told otherwise, or only `once`.
    pub(crate) fn accept(&mut self, listener: u32, fd: BorrowedFd<'_>, once: bool) {
        let fd = Fd(fd.as_raw_fd());
        let accept = if once {
            opcode::Accept::new(fd, std::ptr::null_mut(), std::ptr::null_mut()).flags(libc::SOCK_CLOEXEC).build()
        } else {
            opcode::AcceptMulti::new(fd).flags(libc::SOCK_CLOEXEC).build()
        };
        self.in_flight += 1;
        // SAFETY: the operation takes no memory.
        unsafe { self.push(accept, Token::plain(Op::Accept, listener)) };
    }

    pub(crate) fn accept_pause(&mut self, listener: u32) {
        let pause = opcode::Timeout::new(&raw const ACCEPT_PAUSE).build();
        // SAFETY: the duration is a static.
        unsafe { self.push(pause, Token::plain(Op::AcceptPause, listener)) };
    }

    pub(crate) fn receive(&mut self, id: ConnId, fd: BorrowedFd<'_>) {
        let receive = opcode::RecvMulti::new(Fd(fd.as_raw_fd()), GROUP).build();
        self.in_flight += 1;
        // SAFETY: the kernel chooses the memory from `buffers`, which outlives all operations in flight.
        unsafe { self.push(receive, id.token(Op::Receive)) };
    }

    /// Sends as much of `outgoing` as one operation can. A soft send does what it can at once; its outcome is known
    /// when the call that submits it returns, without a completion if all went out. The other kind waits for room.
    pub(crate) fn send(&mut self, id: ConnId, fd: BorrowedFd<'_>, mut outgoing: Outgoing, soft: bool) {
        if self.lent.len() <= id.index() {
            self.lent.resize_with(id.index() + 1, || None);
        }
        assert!(self.lent[id.index()].is_none(), "a send is in flight on this connection");
        let flags = if soft { SEND_FLAGS | libc::MSG_DONTWAIT } else { SEND_FLAGS };
        let (entry, expected) = outgoing.operation(fd, flags);
        self.lent[id.index()] = Some(Lent { outgoing, expected, shortfall: None });
        self.in_flight += 1;
        let (entry, op) = if soft {
            self.soft.push(id);
            (entry.flags(squeue::Flags::SKIP_SUCCESS), Op::SoftSend)
        } else {
            (entry, Op::Send)
        };
        // SAFETY: the addresses are of heap memory owned by `outgoing`, which stays in `lent` until the completion of
        // a plain send, or until a soft one is known to have been executed (see `settle`).
        unsafe { self.push(entry, id.token(op)) };
    }

    /// Makes the memory that datagrams land in: `count` buffers, a power of two.
    pub(crate) fn prepare_datagrams(&mut self, count: u16) -> io::Result<()> {
        if self.datagram_buffers.is_none() {
            let buffers = Buffers::register(&self.uring.submitter(), DATAGRAM_GROUP, count, DATAGRAM_BUFFER_LEN)?;
            self.datagram_buffers = Some(ManuallyDrop::new(buffers));
        }
        Ok(())
    }

    pub(crate) fn datagram_buffers(&mut self) -> Option<&mut Buffers> {
        self.datagram_buffers.as_deref_mut()
    }

    /// Sender and contents of a datagram; nothing if it was cut off.
    pub(crate) fn open_datagram<'a>(&'a self, filled: &'a Filled) -> Option<(SocketAddr, &'a [u8])> {
        self.inbox.open(self.datagram_buffers.as_ref()?.bytes(filled))
    }

    pub(crate) fn receive_from(&mut self, socket: u32, fd: BorrowedFd<'_>) {
        let receive = self.inbox.operation(fd, DATAGRAM_GROUP);
        self.in_flight += 1;
        // SAFETY: the kernel chooses the memory from `datagram_buffers`, and reads the header in `inbox`; both outlive
        // all operations in flight.
        unsafe { self.push(receive, Token::plain(Op::ReceiveFrom, socket)) };
    }

    /// Sends a datagram with the next call that submits, or loses it if the socket has no room.
    pub(crate) fn send_to(&mut self, fd: BorrowedFd<'_>, mut letter: Box<Letter>) {
        let entry = letter.operation(fd, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT);
        self.letters.push(letter);
        self.in_flight += 1;
        // SAFETY: the addresses are of the letter's heap memory; it stays in `letters` until it is known to have been
        // executed (see `settle`).
        unsafe { self.push(entry.flags(squeue::Flags::SKIP_SUCCESS), Token::plain(Op::SendTo, 0)) };
    }

    /// Memory of a datagram that was sent, for the next one.
    pub(crate) fn take_letter_buffer(&mut self) -> Vec<u8> {
        self.sent_letters.pop().unwrap_or_default()
    }

    /// Asks for an end of the operation with this name; its last completion says when.
    pub(crate) fn cancel(&mut self, token: Token) {
        let cancel = opcode::AsyncCancel::new(token.0).build().flags(squeue::Flags::SKIP_SUCCESS);
        // SAFETY: the operation takes no memory.
        unsafe { self.push(cancel, Token::plain(Op::Ignored, 0)) };
    }

    /// Reports every time the eventfd is written to. Its count is never read: the kernel reports writes, not readiness.
    pub(crate) fn watch_doorbell(&mut self, fd: BorrowedFd<'_>) {
        let events = u32::from(libc::POLLIN.cast_unsigned());
        let poll = opcode::PollAdd::new(Fd(fd.as_raw_fd()), events).multi(true).build();
        self.in_flight += 1;
        // SAFETY: the operation takes no memory.
        unsafe { self.push(poll, Token::plain(Op::Doorbell, 0)) };
    }

    pub(crate) fn ring_doorbell(&mut self, fd: BorrowedFd<'_>) {
        let write = opcode::Write::new(Fd(fd.as_raw_fd()), (&raw const ONE).cast(), 8).build();
        // SAFETY: the eight bytes are a static.
        unsafe { self.push(write.flags(squeue::Flags::SKIP_SUCCESS), Token::plain(Op::Ignored, 0)) };
    }

    /// Whether something waits to be submitted.
    fn is_pending(&mut self) -> bool {
        !self.backlog.is_empty() || !self.uring.submission().is_empty()
    }

    /// Submits all that is queued, runs the kernel's deferred work, waits if asked, and collects what completed.
    pub(crate) fn enter(&mut self, how: Enter) -> io::Result<()> {
        self.buffers.publish();
        if let Some(buffers) = &mut self.datagram_buffers {
            buffers.publish();
        }
        while let Some(entry) = self.backlog.pop_front() {
            // SAFETY: `push` was promised that the entry's memory stays valid.
            if unsafe { self.try_push(&entry) }.is_err() {
                self.backlog.push_front(entry);
                break;
            }
        }
        // What could not be queued must not wait for something else to happen.
        let how = if self.backlog.is_empty() { how } else { Enter::Poll };
        let result = match how {
            Enter::Poll => self.get_events(),
            Enter::Wait(limit) => self.wait(limit),
        };
        tolerate(result)?;
        self.collect()
    }

    /// What completed, sends apart. Give the lists back emptied, so that their memory is used again.
    pub(crate) fn take_reports(&mut self) -> (Vec<SendOver>, Vec<Completion>) {
        (mem::take(&mut self.sends), mem::take(&mut self.completions))
    }

    pub(crate) fn return_reports(&mut self, sends: Vec<SendOver>, completions: Vec<Completion>) {
        debug_assert!(sends.is_empty() && completions.is_empty());
        self.sends = sends;
        self.completions = completions;
    }

    /// # Safety
    /// All memory whose address is in `entry` stays valid, and unused by others if written, until its completion.
    unsafe fn push(&mut self, entry: squeue::Entry, token: Token) {
        let entry = entry.user_data(token.0);
        // SAFETY: the caller's promise.
        if !self.backlog.is_empty() || unsafe { self.try_push(&entry) }.is_err() {
            self.backlog.push_back(entry);
        }
    }

    /// # Safety
    /// As for [`push`](Self::push).
    unsafe fn try_push(&mut self, entry: &squeue::Entry) -> Result<(), squeue::PushError> {
        // SAFETY: the caller's promise, twice.
        unsafe {
            if self.uring.submission().push(entry).is_ok() {
                return Ok(());
            }
            // Full. An error of this call is met again by the next turn, which reports it; the entry waits until then.
            let _ = self.uring.submit();
            self.uring.submission().push(entry)
        }
    }

    fn wait(&mut self, limit: Duration) -> io::Result<usize> {
        let limit = Timespec::from(limit);
        self.uring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&limit))
    }

    /// Submits and runs deferred work without waiting. `submit` alone would leave that work where it is.
    fn get_events(&mut self) -> io::Result<usize> {
        let queued = u32::try_from(self.uring.submission().len()).unwrap_or(u32::MAX);
        // SAFETY: no argument is passed, and the number of entries to submit is what the queue holds.
        unsafe { self.uring.submitter().enter::<libc::sigset_t>(queued, 0, ENTER_GETEVENTS, None) }
    }

    /// Takes everything out of the completion queue, and what did not fit in it.
    fn collect(&mut self) -> io::Result<()> {
        loop {
            self.drain();
            if !self.uring.submission().cq_overflow() {
                break;
            }
            tolerate(self.get_events())?;
        }
        self.settle();
        Ok(())
    }

    fn drain(&mut self) {
        for entry in self.uring.completion() {
            let token = Token(entry.user_data());
            let (result, more) = (entry.result(), cqueue::more(entry.flags()));
            let op = token.op();
            if !more && matches!(op, Op::Accept | Op::Receive | Op::Send | Op::Doorbell | Op::ReceiveFrom) {
                self.in_flight -= 1;
            }
            match op {
                Op::Ignored => {}
                Op::Accept => {
                    let result = if result < 0 {
                        Err(io::Error::from_raw_os_error(-result))
                    } else {
                        // SAFETY: the kernel has just opened this descriptor for us and names it once.
                        Ok(unsafe { OwnedFd::from_raw_fd(result) })
                    };
                    self.completions.push(Completion::Accept { listener: token.index(), result, more });
                }
                Op::AcceptPause => self.completions.push(Completion::AcceptPauseOver { listener: token.index() }),
                Op::Receive => {
                    let filled = cqueue::buffer_select(entry.flags()).map(|buffer| self.buffers.take(buffer, result));
                    self.completions.push(Completion::Receive { id: token.conn(), filled, result, more });
                }
                Op::Send => {
                    let id = token.conn();
                    if let Some(Lent { outgoing, expected, .. }) = self.lent[id.index()].take() {
                        self.sends.push(SendOver { id, outgoing, expected, result });
                    }
                }
                Op::SoftSend => {
                    if let Some(lent) = &mut self.lent[token.conn().index()] {
                        lent.shortfall = Some(result);
                    }
                }
                Op::Doorbell => self.completions.push(Completion::Doorbell { result, more }),
                Op::ReceiveFrom => {
                    let buffer = cqueue::buffer_select(entry.flags());
                    let filled = buffer.zip(self.datagram_buffers.as_mut());
                    let filled = filled.map(|(buffer, buffers)| buffers.take(buffer, result));
                    self.completions.push(Completion::Datagram { socket: token.index(), filled, result, more });
                }
                Op::SendTo => self.completions.push(Completion::DatagramLost),
            }
        }
    }

    /// Ends the soft sends. `MSG_DONTWAIT` makes the kernel execute them inside the call that consumes their entries, so
    /// once the queue is empty it is done with their memory; and those that did not go out whole have reported it, since
    /// the completion queue was drained to the end, overflow included.
    fn settle(&mut self) {
        if (self.soft.is_empty() && self.letters.is_empty()) || self.is_pending() {
            return;
        }
        for letter in self.letters.drain(..) {
            self.in_flight -= 1;
            if self.sent_letters.len() < LETTER_BUFFERS_MAX {
                self.sent_letters.push(letter.into_bytes());
            }
        }
        for id in self.soft.drain(..) {
            let Some(Lent { outgoing, expected, shortfall }) = self.lent[id.index()].take() else { continue };
            self.in_flight -= 1;
            let result = shortfall.unwrap_or_else(|| i32::try_from(expected).unwrap_or(i32::MAX));
            self.sends.push(SendOver { id, outgoing, expected, result });
        }
    }
}

/// A turn that came back early or without anything is no failure: whatever is outstanding is met again next time.
fn tolerate(result: io::Result<usize>) -> io::Result<()> {
    match result {
        Ok(_) => Ok(()),
        Err(error) => match error.raw_os_error() {
            Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
            _ => Err(error),
        },
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        for _ in 0..DROP_ROUNDS {
            if self.in_flight == 0 && !self.is_pending() {
                break;
            }
            let cancel = opcode::AsyncCancel2::new(CancelBuilder::any()).build().flags(squeue::Flags::SKIP_SUCCESS);
            // SAFETY: the operation takes no memory.
            unsafe { self.push(cancel, Token::plain(Op::Ignored, 0)) };
            if self.enter(Enter::Wait(DROP_WAIT)).is_err() {
                break;
            }
            self.sends.clear();
            self.completions.clear();
        }
        if self.in_flight > 0 || self.is_pending() {
            // The kernel may still use what it was lent: let it have it.
            mem::forget(mem::take(&mut self.lent));
            mem::forget(mem::take(&mut self.letters));
            return;
        }
        // An error leaves the buffers registered until the ring goes, a moment later; no operation uses them.
        let _ = self.uring.submitter().unregister_buf_ring(self.buffers.group());
        // SAFETY: nothing is in flight or queued, so the kernel does not touch the buffers or the header again, nor does
        // anything here.
        unsafe {
            ManuallyDrop::drop(&mut self.buffers);
            ManuallyDrop::drop(&mut self.inbox);
        }
        if let Some(mut buffers) = self.datagram_buffers.take() {
            let _ = self.uring.submitter().unregister_buf_ring(buffers.group());
            // SAFETY: as above.
            unsafe { ManuallyDrop::drop(&mut buffers) };
        }
    }
}
