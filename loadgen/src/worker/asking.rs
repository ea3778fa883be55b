//! How a worker sends requests, and how it gives up connections.

use crate::conversation::Violation;
use crate::worker::plan::nanos;
use crate::worker::talk::Talk;
use crate::worker::{BATCH_LEN_MAX, Timing, Worker};

impl Worker<'_> {
    /// Gives every connection what it may have now.
    pub(super) fn ask(&mut self) {
        if !self.is_asking {
            for index in self.ready.drain(..) {
                self.lanes[index].is_ready = false;
            }
            self.urgent.clear();
            return;
        }
        match self.timing {
            Timing::Room => {
                while let Some(index) = self.ready.pop_front() {
                    self.lanes[index].is_ready = false;
                    self.fill(index, usize::MAX);
                }
                self.urgent.clear();
            }
            Timing::Due(_) | Timing::Trace { .. } => self.ask_what_is_due(),
        }
        if self.asked.is_empty() {
            return;
        }
        let sent_at = self.shared.now();
        let is_closed = matches!(self.timing, Timing::Room);
        for (index, count) in self.asked.drain(..) {
            let lane = &mut self.lanes[index];
            if is_closed {
                lane.talk.sent_at(count, sent_at);
            }
            if lane.talk.expected() <= count {
                lane.waits_since = sent_at;
            }
        }
    }

    fn ask_what_is_due(&mut self) {
        self.now = self.shared.now();
        for index in std::mem::take(&mut self.urgent) {
            self.fill(index, 0);
        }
        // Connections that cannot send just now leave the list until they can.
        self.is_exhausted |= matches!(self.timing, Timing::Trace { .. }) && self.source.due().is_none();
        while self.next_due() <= self.now && !self.is_exhausted {
            let waiting = match &self.timing {
                Timing::Due(arrivals) => usize::try_from(arrivals.waiting(self.now + 1)).unwrap_or(usize::MAX),
                _ => 1,
            };
            let share = waiting.div_ceil(self.ready.len().max(1)).max(1);
            let Some(index) = self.ready.pop_front() else { break };
            self.lanes[index].is_ready = false;
            self.fill(index, share);
        }
    }

    /// Writes requests for a connection, as many as it has room for: first those that follow from replies, then at most
    /// `share` of the source's.
    fn fill(&mut self, index: usize, share: usize) {
        let lane = &mut self.lanes[index];
        let (outstanding, expected) = (lane.talk.outstanding(), lane.talk.expected());
        let room = self.depth.saturating_sub(outstanding).min(lane.talk.batch_max());
        // In a closed loop requests go out by half a pipeline: a server that answers each reply for itself would otherwise
        // be asked for one at a time, at the price of a system call each.
        let is_half_full =
            matches!(self.timing, Timing::Room) && lane.followups.is_empty() && outstanding * 2 > self.depth;
        let is_thinking = self.think > 0 && (self.now < lane.wakes_at || outstanding > 0);
        if !lane.is_alive || room == 0 || is_half_full || self.ring.is_sending(lane.id) {
            return;
        }
        let keyspace = &self.shared.keyspace;
        let mut out = self.ring.take_buffer();
        let mut count = 0;
        while count < room && out.len() < BATCH_LEN_MAX {
            let Some(request) = lane.followups.pop_front() else { break };
            lane.talk.ask(&request, &[], self.now, keyspace, &mut out);
            count += 1;
        }
        let share = if is_thinking || self.is_exhausted { count } else { share.saturating_add(count) };
        while count < room.min(share) && out.len() < BATCH_LEN_MAX {
            let due = match &self.timing {
                Timing::Room => 0,
                Timing::Due(arrivals) => arrivals.due(),
                Timing::Trace { begin, speed } => match self.source.due() {
                    Some(due) => begin + super::scale(due, *speed),
                    None => 0,
                },
            };
            if due > self.now {
                break;
            }
            let Some(request) = self.source.next(keyspace, &mut self.keys) else {
                self.is_exhausted = true;
                break;
            };
            if let Timing::Due(arrivals) = &mut self.timing {
                arrivals.advance();
            }
            if !matches!(self.timing, Timing::Room) && due >= self.measured_from {
                self.tally.due += 1;
                self.tally.lag(self.now.saturating_sub(due.max(lane.ready_at)));
            }
            lane.talk.ask(&request, &self.keys, due, keyspace, &mut out);
            count += 1;
        }
        if count == 0 {
            return self.ring.give_buffer(out);
        }
        lane.talk.end_batch(&mut out);
        if self.is_measuring {
            self.tally.sent_bytes += out.len() as u64;
        }
        self.ring.send(lane.id, out);
        self.asked.push((index, lane.talk.expected() - expected));
    }

    /// Ends what has waited too long for a reply.
    pub(super) fn end_overdue(&mut self) {
        let timeout = self.shared.plan.timeout;
        let Some(limit) = self.now.checked_sub(nanos(timeout)) else { return };
        for index in 0..self.lanes.len() {
            let lane = &mut self.lanes[index];
            if !lane.is_alive || lane.talk.outstanding() == 0 {
                continue;
            }
            match &mut lane.talk {
                Talk::Datagrams(datagrams) => {
                    let lost = datagrams.give_up(limit);
                    if lost > 0 {
                        self.tally.lost(lost, format!("no reply within {timeout:?} ({lost} datagrams)"));
                        self.after_replies(index);
                    }
                }
                Talk::Stream(_) if lane.waits_since < limit => {
                    self.disconnected(index, &format!("the server said nothing for {timeout:?}"));
                }
                Talk::Stream(_) => {}
            }
        }
    }

    pub(super) fn violated(&mut self, index: usize, violation: Violation) {
        match violation {
            Violation::Extra(example) => self.tally.extra(example),
            Violation::Wrong(example) => self.tally.wrong(example),
        }
        // What follows on this connection means nothing; the rest of the run does.
        self.end(index);
    }

    pub(super) fn disconnected(&mut self, index: usize, why: &str) {
        if self.lanes[index].is_alive {
            let lost = self.lanes[index].talk.outstanding();
            self.tally.disconnected(lost, why);
            self.end(index);
        }
    }

    fn end(&mut self, index: usize) {
        self.lanes[index].is_alive = false;
        self.ring.close(self.lanes[index].id);
    }

    pub(super) fn outstanding(&self) -> usize {
        let alive = self.lanes.iter().filter(|lane| lane.is_alive);
        alive.map(|lane| lane.talk.outstanding() + lane.followups.len()).sum()
    }

    /// All requests are sent and answered.
    pub(super) fn is_over(&self) -> bool {
        self.is_exhausted && self.outstanding() == 0
    }

    pub(super) fn is_any_alive(&self) -> bool {
        self.lanes.iter().any(|lane| lane.is_alive)
    }
}
