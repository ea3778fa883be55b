//! One pinned thread with its ring and its connections.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use ringcached_ring::{ConnId, Event, Ring, Wait};

use crate::connection::{Conversation, Reply, Violation};
use crate::report::Tally;
use crate::workload::{Keyspace, Mix, Workload};

/// Nothing is waited for longer than this at a time, so that a request to stop is seen.
const TURN_MAX: Duration = Duration::from_millis(100);
/// While it waits for the others to have loaded, a worker looks up this often.
const START_CHECK: Duration = Duration::from_millis(1);
/// A server that says nothing for so long while replies are due is given up.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long replies that are due at the end are waited for.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long is listened after the last reply for one too many.
const LINGER: Duration = Duration::from_millis(20);

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) keyspace: Keyspace,
    pub(crate) pipeline: usize,
    pub(crate) multiget: u16,
    pub(crate) get_ratio: f64,
    pub(crate) seed: u64,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    pub(crate) progress: Option<Duration>,
    /// When the mixed run began; set when every worker has loaded its keys.
    pub(crate) start: OnceLock<Instant>,
    /// Ctrl-C.
    pub(crate) stop: AtomicBool,
}

/// What a worker tells.
pub(crate) enum Message {
    Loaded,
    /// All it has counted so far.
    Progress {
        worker: usize,
        tally: Box<Tally>,
    },
    Done {
        tally: Box<Tally>,
    },
    Failed(io::Error),
}

struct Connection {
    id: ConnId,
    conversation: Conversation,
    /// Requests handed to the kernel together, oldest first.
    batches: VecDeque<Batch>,
    is_alive: bool,
    /// Listed in `ready`.
    is_ready: bool,
}

struct Batch {
    requests: usize,
    sent_at: Duration,
}

pub(crate) struct Worker<'a> {
    shared: &'a Shared,
    ring: Ring,
    /// By the slot of their names: no slot is ever reused here.
    connections: Vec<Connection>,
    workload: Workload,
    /// Whether requests are sent at all, and whether replies are counted.
    is_asking: bool,
    is_measuring: bool,
    tally: Tally,
    /// Connections to which something may be sent.
    ready: Vec<usize>,
    asked: Vec<usize>,
    clock: Instant,
    now: Duration,
    heard_at: Duration,
}

impl<'a> Worker<'a> {
    /// Call it on the thread that will run it.
    pub(crate) fn new(shared: &'a Shared, sockets: Vec<OwnedFd>, workload: Workload) -> io::Result<Worker<'a>> {
        let mut ring = Ring::new(&ringcached_ring::Options::default())?;
        let mut connections = Vec::with_capacity(sockets.len());
        for socket in sockets {
            let id = ring.add(socket)?;
            debug_assert_eq!(id.index(), connections.len());
            ring.read(id);
            let conversation = Conversation::new(&shared.keyspace);
            let batches = VecDeque::with_capacity(shared.pipeline);
            connections.push(Connection { id, conversation, batches, is_alive: true, is_ready: false });
        }
        Ok(Worker {
            shared,
            ring,
            connections,
            workload,
            is_asking: false,
            is_measuring: false,
            tally: Tally::new(),
            ready: Vec::new(),
            asked: Vec::new(),
            clock: Instant::now(),
            now: Duration::ZERO,
            heard_at: Duration::ZERO,
        })
    }

    /// Loads its share of the keys, waits for the start, runs the mix, and hands back what it measured.
    pub(crate) fn run(mut self, worker: usize, tell: &mut dyn FnMut(Message)) -> io::Result<()> {
        self.load()?;
        tell(Message::Loaded);
        let start = loop {
            if let Some(start) = self.shared.start.get() {
                break *start;
            }
            if self.is_stopped() {
                break Instant::now();
            }
            self.turn(START_CHECK)?;
        };
        self.measure(start, worker, tell)?;
        self.drain()?;
        tell(Message::Done { tally: Box::new(self.tally) });
        Ok(())
    }

    fn load(&mut self) -> io::Result<()> {
        self.ask_all();
        self.turn(Duration::ZERO)?;
        while self.outstanding() > 0 && !self.is_stopped() && !self.is_silent() {
            self.turn(TURN_MAX)?;
        }
        Ok(())
    }

    fn measure(&mut self, start: Instant, worker: usize, tell: &mut dyn FnMut(Message)) -> io::Result<()> {
        let offset = start.saturating_duration_since(self.clock);
        let begin = offset + self.shared.warmup;
        let end = begin + self.shared.duration;
        let mut next_progress = self.shared.progress.map(|every| begin + every);
        // Each worker draws its own sequence, and the same one again for the same seed.
        let seed = self.shared.seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(worker as u64);
        self.workload = Workload::Mixed(Mix::new(seed, self.shared.get_ratio));
        self.heard_at = self.clock.elapsed();
        self.ask_all();
        let mut cpu_at_begin = 0;
        while self.now < end && !self.is_stopped() && !self.is_silent() && self.is_any_alive() {
            if !self.is_measuring && self.now >= begin {
                self.is_measuring = true;
                self.tally.begin(self.now);
                cpu_at_begin = thread_cpu_nanos()?;
            }
            if let (Some(due), Some(every)) = (next_progress, self.shared.progress)
                && self.now >= due
            {
                next_progress = Some(due + every);
                self.tally.measured_until(self.now, thread_cpu_nanos()? - cpu_at_begin);
                tell(Message::Progress { worker, tally: Box::new(self.tally.clone()) });
            }
            let milestone = if self.is_measuring { next_progress.unwrap_or(end).min(end) } else { begin };
            self.turn(milestone.saturating_sub(self.now).min(TURN_MAX))?;
        }
        if self.is_measuring {
            self.tally.measured_until(self.now, thread_cpu_nanos()? - cpu_at_begin);
        }
        (self.is_measuring, self.is_asking) = (false, false);
        Ok(())
    }

    /// Waits for the replies that are due, then a little longer for those that are not.
    fn drain(&mut self) -> io::Result<()> {
        self.is_asking = false;
        let give_up = self.clock.elapsed() + DRAIN_MAX;
        while self.outstanding() > 0 && self.now < give_up {
            self.turn(TURN_MAX)?;
        }
        let linger = self.now + LINGER;
        while self.now < linger {
            self.turn(linger.saturating_sub(self.now))?;
        }
        let lost = self.outstanding();
        if lost > 0 {
            self.tally.lost(lost, "replies did not come in time");
        }
        Ok(())
    }

    fn ask_all(&mut self) {
        self.is_asking = true;
        for index in 0..self.connections.len() {
            self.set_ready(index);
        }
        self.ask();
    }

    /// One turn of the ring: take what came, then fill the connections up again. The clock is read when the kernel
    /// returns, and once more after all requests are handed over: a batch is a moment for all of them.
    fn turn(&mut self, wait: Duration) -> io::Result<()> {
        self.ring.turn(if wait.is_zero() { Wait::Poll } else { Wait::UpTo(wait) })?;
        self.now = self.clock.elapsed();
        while let Some(event) = self.ring.next_event() {
            match event {
                Event::Received(received) => {
                    self.heard_at = self.now;
                    let index = received.id().index();
                    let verdict = self.receive(index, self.now, &received);
                    self.ring.release(received);
                    match verdict {
                        Ok(()) => self.set_ready(index),
                        Err(violation) => self.violated(index, violation),
                    }
                }
                Event::Sent { id } => self.set_ready(id.index()),
                Event::Ended { id, error } => {
                    let why = error.map_or("the server closed the connection".to_string(), |error| error.to_string());
                    self.disconnected(id.index(), &why);
                }
                Event::SendFailed { id, error } => self.disconnected(id.index(), &error.to_string()),
                _ => {}
            }
        }
        self.ask();
        Ok(())
    }

    fn receive(&mut self, index: usize, now: Duration, received: &ringcached_ring::Received) -> Result<(), Violation> {
        let connection = &mut self.connections[index];
        if !connection.is_alive {
            return Ok(());
        }
        let bytes = self.ring.bytes(received);
        let (tally, batches, is_measuring) = (&mut self.tally, &mut connection.batches, self.is_measuring);
        if is_measuring {
            tally.bytes_received += bytes.len() as u64;
        }
        connection.conversation.receive(bytes, &self.shared.keyspace, |reply: Reply| {
            let Some(batch) = batches.front_mut() else { return };
            let latency = now.saturating_sub(batch.sent_at);
            batch.requests -= 1;
            if batch.requests == 0 {
                batches.pop_front();
            }
            if reply.is_server_error {
                tally.server_error();
            }
            if is_measuring {
                tally.reply(reply, latency);
            }
        })
    }

    fn set_ready(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        if !connection.is_ready {
            connection.is_ready = true;
            self.ready.push(index);
        }
    }

    /// Fills up every connection that has had a reply.
    fn ask(&mut self) {
        while let Some(index) = self.ready.pop() {
            let connection = &mut self.connections[index];
            connection.is_ready = false;
            let room = self.shared.pipeline - connection.conversation.outstanding();
            if !self.is_asking || !connection.is_alive || room == 0 || self.ring.is_sending(connection.id) {
                continue;
            }
            let mut out = self.ring.take_buffer();
            let mut requests = 0;
            let (keyspace, multiget) = (&self.shared.keyspace, self.shared.multiget);
            while requests < room && connection.conversation.ask(&mut self.workload, keyspace, multiget, &mut out) {
                requests += 1;
            }
            if requests == 0 {
                self.ring.give_buffer(out);
                continue;
            }
            if self.is_measuring {
                self.tally.bytes_sent += out.len() as u64;
            }
            self.ring.send(connection.id, out);
            connection.batches.push_back(Batch { requests, sent_at: Duration::ZERO });
            self.asked.push(index);
        }
        if !self.asked.is_empty() {
            let sent_at = self.clock.elapsed();
            for index in self.asked.drain(..) {
                if let Some(batch) = self.connections[index].batches.back_mut() {
                    batch.sent_at = sent_at;
                }
            }
        }
    }

    fn violated(&mut self, index: usize, violation: Violation) {
        match violation {
            Violation::Extra(example) => self.tally.extra(example),
            Violation::Wrong(example) => self.tally.wrong(example),
        }
        // What follows on this connection means nothing; the rest of the run does.
        self.end(index);
    }

    fn disconnected(&mut self, index: usize, why: &str) {
        if self.connections[index].is_alive {
            let lost = self.connections[index].conversation.outstanding();
            self.tally.lost(lost, why);
            self.end(index);
        }
    }

    fn end(&mut self, index: usize) {
        self.connections[index].is_alive = false;
        self.ring.close(self.connections[index].id);
    }

    fn outstanding(&self) -> usize {
        let alive = self.connections.iter().filter(|connection| connection.is_alive);
        alive.map(|connection| connection.conversation.outstanding()).sum()
    }

    fn is_any_alive(&self) -> bool {
        self.connections.iter().any(|connection| connection.is_alive)
    }

    fn is_silent(&self) -> bool {
        self.now.saturating_sub(self.heard_at) > SILENCE_MAX
    }

    fn is_stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }
}

fn thread_cpu_nanos() -> io::Result<u64> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(u64::try_from(micros).unwrap_or(0) * 1000)
}
