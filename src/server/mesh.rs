//! Letters from core to core: one ring per ordered pair of cores, and a doorbell per core for when it sleeps.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::sys::eventfd::{EfdFlags, EventFd};
use rtrb::{Consumer, Producer, RingBuffer};

use super::sleep::Sleep;
use crate::limits::{MESH_BATCH_LEN_MAX, MESH_RING_LEN};
use crate::session::letter::Letter;
use crate::terms::ShardId;

/// How to wake one core.
#[derive(Debug)]
pub(super) struct Bell {
    sleep: Sleep,
    event: EventFd,
}

impl Bell {
    fn new() -> io::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?;
        Ok(Self { sleep: Sleep::new(), event })
    }

    /// Wakes the core, from any thread. A core that is awake notices it at its next wait.
    pub(super) fn ring(&self) {
        // An eventfd whose counter is full is readable all the same.
        let _ = self.event.write(1);
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
    bells: Arc<[Bell]>,
    id: ShardId,
}

/// The ends of a mesh between `cores` cores, in the order of their numbers.
pub(super) fn mesh(cores: usize) -> io::Result<Vec<MeshEnd>> {
    let bells: Arc<[Bell]> = (0..cores).map(|_| Bell::new()).collect::<io::Result<Vec<_>>>()?.into();
    let mut ends: Vec<MeshEnd> = (0..cores)
        .map(|id| MeshEnd {
            outbound: (0..cores).map(|_| None).collect(),
            inbound: (0..cores).map(|_| None).collect(),
            bells: Arc::clone(&bells),
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
    pub(super) fn bells(&self) -> &Arc<[Bell]> {
        &self.bells
    }

    /// Sends `letters` in this order, as one batch. Whether the peer sleeps and its doorbell must be rung.
    pub(super) fn send(&mut self, to: usize, letters: &mut Vec<Box<Letter>>) -> bool {
        let Some(producer) = self.outbound.get_mut(to).and_then(Option::as_mut) else { return false };
        for letter in letters.drain(..) {
            // Credits keep the ring from filling (limits.rs); a reply must never be dropped.
            assert!(producer.push(letter).is_ok(), "a mesh ring holds more letters than there are credits");
        }
        self.bells[to].sleep.must_ring()
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

    /// Announces that this core is about to sleep; it may only if this returns true. Then call [`MeshEnd::awake`].
    pub(super) fn may_sleep(&self) -> bool {
        let sleep = &self.bells[self.id.index()].sleep;
        sleep.prepare();
        if self.has_letters() {
            sleep.awake();
            return false;
        }
        true
    }

    /// This core is awake again.
    pub(super) fn awake(&self) {
        self.bells[self.id.index()].sleep.awake();
    }
}
