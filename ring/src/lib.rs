//! The `io_uring` socket driver shared by ringcached and its load generator: stream and datagram sockets over one ring per
//! thread.
//!
//! A thread makes a [`Ring`], gives it listeners and sockets as plain file descriptors, and repeats one step: queue
//! what it wants ([`Ring::read`], [`Ring::send`], ...), call [`Ring::turn`] once, and take every event with
//! [`Ring::next_event`]. One turn is one `io_uring_enter`: it submits all that was queued and waits for what comes.
//!
//! The interface is safe. Whatever memory the kernel may touch is owned by the crate from the moment it is queued until
//! the kernel has reported that it is done with it; nobody outside can reach it meanwhile.
//!
//! In reading order:
//! - `ids`: names of connections, listeners and doorbells, and how they travel through the kernel and back
//! - `event`: what a turn can report, and what can be sent
//! - `ring`: the rules between calls, events and turns; `slot`: what is known of one connection. No `unsafe` there
//! - `datagrams`: the same rules for datagram sockets; `envelope`: addresses on datagrams
//! - `kernel`: the submission and completion queues and the owner of all lent memory
//! - `outgoing`: bytes on their way out; `buffers`: the ring of buffers that incoming bytes land in
//! - `pool`: memory kept for the next send; `sys`: the system calls that have no ring operation

mod buffers;
mod datagrams;
mod envelope;
mod event;
mod ids;
mod kernel;
mod options;
mod outgoing;
mod pool;
mod ring;
mod slot;
mod sys;

pub use event::{Chunk, Datagram, Event, Received, Wait};
pub use ids::{ConnId, DatagramSocketId, DoorbellId, ListenerId};
pub use options::Options;
pub use ring::Ring;
pub use sys::set_busy_poll;
