//! Letters from core to core: one ring per ordered pair of cores, and for when a core sleeps, its desk, where others
//! serve their letters themselves, and its doorbell.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};

use nix::sys::eventfd::{EfdFlags, EventFd};
use rtrb::{Consumer, Producer, RingBuffer};

use crate::engine::Desk;
use crate::lending::GaveBack;
use crate::limits::{ERRAND_BYTES_MAX, ERRAND_LETTERS_MAX, MESH_BATCH_LEN_MAX, MESH_RING_LEN};
use crate::session::letter::Letter;
use crate::terms::{Now, ShardId};

/// How to reach one core that may sleep.
#[derive(Debug)]
pub(super) struct Contact {
    event: EventFd,
    /// Set before the core sleeps for the first time.
    desk: OnceLock<(Desk, Thread)>,
}

impl Contact {
    fn new() -> io::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?;
        Ok(Self { event, desk: OnceLock::new() })
    }

    /// Wakes the core, from any thread. A core that is awake notices it at its next wait.
    pub(super) fn ring(&self) {
        // An eventfd whose counter is full is readable all the same.
        let _ = self.event.write(1);
    }

    /// Whether the core must be rung for letters that were put into its ring before this call. Only one of many senders is
    /// told so.
    fn must_ring(&self) -> bool {
        // As in `Sleep`: a core that has just opened its desk finds what this has not rung for.
        let desk = self.desk.get().or_else(|| {
            fence(Ordering::SeqCst);
            self.desk.get()
        });
        desk.is_some_and(|(desk, _)| desk.must_ring())
    }

    /// The doorbell for a core's own io_uring to watch or to ring.
    pub(super) fn event(&self) -> io::Result<OwnedFd> {
        self.event.as_fd().try_clone_to_owned()
    }
}

/// One core's end of the mesh.
#[derive(Debug)]
pub(super) struct MeshEnd {
    /// To each core; none to itself.
    outbound: Vec<Option<Producer<Box<Letter>>>>,
    /// From each core; none from itself.
    inbound: Vec<Option<Consumer<Box<Letter>>>>,
    contacts: Arc<[Contact]>,
    id: ShardId,
}

/// The ends of a mesh between `cores` cores, in the order of their numbers.
pub(super) fn mesh(cores: usize) -> io::Result<Vec<MeshEnd>> {
    let contacts: Arc<[Contact]> = (0..cores).map(|_| Contact::new()).collect::<io::Result<Vec<_>>>()?.into();
    let mut ends: Vec<MeshEnd> = (0..cores)
        .map(|id| MeshEnd {
            outbound: (0..cores).map(|_| None).collect(),
            inbound: (0..cores).map(|_| None).collect(),
            contacts: Arc::clone(&contacts),
            id: ShardId(u16::try_from(id).unwrap_or(u16::MAX)),
        })
        .collect();
    for from in 0..cores {
        for to in (0..cores).filter(|&to| to != from) {
            let (producer, consumer) = RingBuffer::new(MESH_RING_LEN);
            ends[from].outbound[to] = Some(producer);
            ends[to].inbound[from] = Some(consumer);
        }
    }
    Ok(ends)
}

impl MeshEnd {
    /// Which core's end this is.
    pub(super) const fn id(&self) -> ShardId {
        self.id
    }

    /// Every core's doorbell.
    pub(super) fn contacts(&self) -> &Arc<[Contact]> {
        &self.contacts
    }

    /// Sends `letters` in this order, as one batch. Whether the peer sleeps and its doorbell must be rung.
    pub(super) fn send(&mut self, to: usize, letters: &mut Vec<Box<Letter>>) -> bool {
        let Some(producer) = self.outbound.get_mut(to).and_then(Option::as_mut) else { return false };
        for letter in letters.drain(..) {
            // Credits keep the ring from filling (limits.rs); a reply must never be dropped.
            assert!(producer.push(letter).is_ok(), "a mesh ring holds more letters than there are credits");
        }
        self.contacts[to].must_ring()
    }

    /// Lets the others at this core's desk whenever it sleeps; called on its thread.
    pub(super) fn open_desk(&self, desk: Desk) {
        let opened = self.contacts[self.id.index()].desk.set((desk, thread::current()));
        assert!(opened.is_ok(), "a core has one desk");
    }

    /// If core `to` sleeps and `letters`, which wait to be sent to it, ask for little, serves them at its desk. Those that are
    /// served `came_home`, behind all that came from `to` before.
    pub(super) fn run_errand(
        &mut self,
        to: usize,
        letters: &mut Vec<Box<Letter>>,
        came_home: &mut Vec<Box<Letter>>,
        now: Now,
    ) {
        let Self { outbound, inbound, contacts, id } = self;
        let contact = &contacts[to];
        let (Some(producer), Some(consumer), Some((desk, thread))) =
            (&outbound[to], &mut inbound[to], contact.desk.get())
        else {
            return;
        };
        // Letters are served in the order they were sent, so none may be in the ring: only this core adds to it, and what is
        // no longer there has been served, or the owner would not sleep. They come home in that order, too.
        if producer.slots() < MESH_RING_LEN || consumer.slots() > MESH_BATCH_LEN_MAX || !is_errand(letters, *id) {
            return;
        }
        let Some(mut desk) = desk.borrow() else { return };
        let served = desk.serve(letters, now);
        if served > 0 {
            // The owner sleeps, so nothing is added.
            if let Ok(chunk) = consumer.read_chunk(consumer.slots()) {
                came_home.extend(chunk);
            }
            came_home.extend(letters.drain(..served));
        }
        match desk.give_back() {
            GaveBack::Quietly => {}
            // Others rely on it, so not with the next turn of the ring, but now.
            GaveBack::Ring => contact.ring(),
            GaveBack::Wake => thread.unpark(),
        }
    }

    /// Takes what has come, a bounded batch from each core, into `letters`.
    pub(super) fn receive(&mut self, letters: &mut Vec<Box<Letter>>) {
        for consumer in self.inbound.iter_mut().flatten() {
            let batch = consumer.slots().min(MESH_BATCH_LEN_MAX);
            if let Ok(chunk) = consumer.read_chunk(batch) {
                letters.extend(chunk);
            }
        }
    }

    /// Whether a letter waits.
    pub(super) fn has_letters(&self) -> bool {
        self.inbound.iter().flatten().any(|consumer| !consumer.is_empty())
    }
}

/// Whether letters of core `own` ask for so little that their addressee is not worth waking. A letter that goes home wakes
/// its core anyway.
fn is_errand(letters: &[Box<Letter>], own: ShardId) -> bool {
    letters.len() <= ERRAND_LETTERS_MAX
        && letters.first().is_some_and(|letter| letter.is_about_items())
        && letters.iter().all(|letter| letter.home == own)
        && letters.iter().map(|letter| letter.data.len()).sum::<usize>() <= ERRAND_BYTES_MAX
}
