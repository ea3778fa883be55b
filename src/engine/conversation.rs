//! Runs the requests of one conversation on a core: here if the core owns the key, by letter if another does.

use crate::engine::Effect;
use crate::engine::node::Node;
use crate::engine::report;
use crate::execute::count_unstorable;
use crate::limits::KEY_LEN_MAX;
use crate::protocol::binary::response as packet;
use crate::protocol::meta::{self, MetaRequest};
use crate::protocol::text::response;
use crate::protocol::{Op, Output, ProtocolError, Request, StatsReport, StoreHead, Unstorable};
use crate::session::framing::{Frame, Head, LargeStore};
use crate::session::gather::{Gather, GatherKind};
use crate::session::letter::{ConnectionId, Letter, Task};
use crate::session::report::ReportKind;
use crate::session::{Fence, Session};
use crate::store::Incoming;
use crate::terms::{Key, ShardId, StoreMode};

/// How far a run has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// Everything that can be done now has been done.
    Done,
    /// The conversation's turn is over; there is more to do.
    Yield,
}

/// One conversation at work on its core.
pub(super) struct Conversation<'a> {
    pub(super) node: &'a mut Node,
    pub(super) session: &'a mut Session,
    pub(super) id: ConnectionId,
}

impl Conversation<'_> {
    /// Runs requests from `input` until it holds no whole one, the session has to wait, or its turn is over. Returns
    /// how much of the input is used up.
    pub(super) fn run(&mut self, input: &[u8]) -> (usize, Progress) {
        let mut used = 0;
        let mut budget = self.node.config.requests_per_turn;
        let mut progress = Progress::Done;
        // Whether the last request was carried out here, or waits in a batch: then nothing has come that others would have to
        // wait for.
        let mut was_plain = false;
        // The slot of the batch of gets that is still open.
        let mut batch = None;
        self.lend_buffer();
        while if was_plain { self.session.has_room() } else { self.session.may_run() } {
            if budget == 0 {
                self.node.counters.conn_yields += 1;
                progress = Progress::Yield;
                break;
            }
            if self.node.ahead.is_used_up(&input[used..]) {
                self.node.look_ahead_over_input(&input[used..]);
            }
            if self.session.framing.is_at_line() && self.may_run_here(self.node.id) {
                let rest = &input[used..];
                if let Some(get) = self.node.ahead.next_get(rest) {
                    let Self { node, session, .. } = &mut *self;
                    session.framing.step_over_line();
                    used += get.line_len;
                    budget -= 1;
                    was_plain = true;
                    match batch {
                        None => session.slots.put(|out| node.run_foreseen(&get, out)),
                        Some(slot) => {
                            session.slots.add_to_batch(slot, |batch| batch.put(|out| node.run_foreseen(&get, out)));
                        }
                    }
                    continue;
                }
                // In strict order nothing may be sent to another core before what was sent to the one before is home.
                if !self.node.config.strict_order
                    && let Some((owner, line)) = self.node.ahead.next_far_get(rest)
                {
                    self.session.framing.step_over_line();
                    self.send_in_batch(owner, line, &mut batch);
                    used += line.len();
                    budget -= 1;
                    // A batch that was full has been posted, as far as credits allow.
                    was_plain = batch.is_some();
                    continue;
                }
            }
            if batch.is_some() {
                self.close_batch(&mut batch);
                was_plain = false;
                continue;
            }
            let Session { framing, .. } = &mut *self.session;
            let (count, frame) = framing.next(&input[used..], self.node.shard.large_memory());
            used += count;
            was_plain = false;
            match frame {
                Some(frame) => was_plain = self.frame(frame),
                None if count > 0 && used < input.len() => {}
                None if self.goes_on_with_memory(input.len() - used) => {}
                None => break,
            }
            budget -= 1;
        }
        if batch.is_some() {
            self.close_batch(&mut batch);
        }
        self.node.ahead.end_input();
        self.return_buffer();
        // A watcher is not listened to any more.
        let is_over = self.session.closing || self.session.watch.is_some();
        (if is_over { input.len() } else { used }, progress)
    }

    /// Goes on with what had to wait: letters, a multi-get, a request to all cores.
    pub(super) fn resume(&mut self) -> Progress {
        self.post_parked();
        if !self.session.parked.is_empty() {
            return Progress::Done;
        }
        self.continue_gather();
        if self.session.dump.is_some() {
            return self.continue_dump();
        }
        self.continue_multiget()
    }

    /// Gives the session memory to write replies into. A conversation that has none to write keeps none.
    fn lend_buffer(&mut self) {
        if !self.session.slots.out().has_buffer() {
            let buffer = self.node.buffer();
            self.session.slots.set_buffer(buffer);
        }
    }

    fn return_buffer(&mut self) {
        if self.session.slots.out().is_empty()
            && let Some(buffer) = self.session.slots.out().take_single()
        {
            self.node.return_buffer(buffer);
        }
    }

    /// A letter of this conversation came home.
    pub(super) fn take_home(&mut self, mut letter: Box<Letter>) {
        self.session.take_home(letter.requests());
        if letter.slot.is_some() || self.session.fence.is_some() {
            self.lend_buffer();
        }
        match letter.task {
            Task::One { .. } | Task::Meta { .. } | Task::Packet { .. } => {
                if let Some(slot) = letter.slot {
                    self.session.slots.complete(slot, &mut letter.reply);
                }
                self.node.recycle(letter);
            }
            Task::Gets { .. } => self.take_batch_home(letter),
            Task::Many { .. } => match &mut self.session.multiget {
                Some(multiget) => multiget.take_home(letter),
                None => self.node.recycle(letter),
            },
            Task::Dump { .. } => {
                self.take_dump_home(&mut letter);
                self.node.recycle(letter);
            }
            Task::Watch { .. } => {
                self.take_watch_home(&mut letter);
                self.node.recycle(letter);
            }
            _ => {
                if let Some(gather) = &mut self.session.gather {
                    gather.waiting -= 1;
                    absorb(gather, &mut letter);
                }
                self.node.recycle(letter);
            }
        }
        self.lift_fence();
        self.recycle_joined();
    }

    /// Runs one request. Whether that was on this core, and it is done: then nothing has come to wait for.
    fn frame(&mut self, frame: Frame<'_>) -> bool {
        match frame {
            Frame::Store { head, value } => return self.store(head, Incoming::Slice(value)),
            Frame::Request(Request::Meta(request)) => return self.submit_meta(&request, Incoming::Slice(&[])),
            Frame::Request(Request::Change { op, key, noreply }) => {
                return self.submit(op, key, Incoming::Slice(&[]), noreply);
            }
            Frame::Packet(packet) => return self.packet(packet),
            Frame::Request(request) => self.request(request),
            Frame::StoreLarge(mut large) => {
                self.end_memory_wait();
                let value = large.take_value().map_or(Incoming::Slice(&[]), Incoming::Large);
                if let Some(head) = large.head() {
                    self.store(head, value);
                }
            }
            Frame::Unstored(why, large) => self.refuse_value(why, &large),
            Frame::Refused { error, noreply } => {
                // It may have been a large value without an end.
                self.end_memory_wait();
                self.refuse(error, noreply);
            }
            Frame::Credentials(token) => self.authenticate(token),
            Frame::Close => self.session.close(),
        }
        false
    }

    fn store(&mut self, head: Head<'_>, value: Incoming<'_>) -> bool {
        match head {
            Head::Classic(head) => self.submit(head.op, head.key, value, head.noreply),
            Head::Meta(request, _) => self.submit_meta(&request, value),
        }
    }

    /// Answers a storage request whose value was not kept. Only a `set` and an `ms` take the old item with them
    /// (PROTOCOL §2).
    fn refuse_value(&mut self, why: Unstorable, large: &LargeStore) {
        let mut buffer = [0; KEY_LEN_MAX];
        let key = match large.head() {
            Some(Head::Classic(StoreHead { op: Op::Store { mode: StoreMode::Set, .. }, key, .. })) => Some(key),
            Some(Head::Meta(request, _)) => request.key(&mut buffer),
            _ => None,
        };
        if let Some(key) = key {
            self.submit(Op::Refuse(why), key, Incoming::Slice(&[]), large.noreply());
        } else {
            count_unstorable(&mut self.node.counters, why);
            self.reply(response::unstorable(why), large.noreply());
        }
    }

    fn request(&mut self, request: Request<'_>) {
        match request {
            Request::Retrieve(retrieval, keys) => self.retrieve(retrieval, keys),
            Request::MetaNoop => self.fence(meta::response::NOOP),
            Request::FlushAll { delay, noreply } => {
                self.node.counters.cmd_flush += 1;
                if self.node.config.flush_enabled {
                    self.gather(GatherKind::StampFlush(delay), noreply);
                } else {
                    self.refuse(ProtocolError::FlushNotAllowed, noreply);
                }
            }
            Request::Version => {
                let version = self.node.config.version;
                self.session.slots.put(|out| out.write(|buffer| response::write_version(buffer, version)));
            }
            Request::Verbosity { level, noreply } => {
                self.node.effects.push(Effect::Verbosity(level));
                self.reply(response::OK, noreply);
            }
            Request::Stats(report) => self.stats(report),
            Request::Admin(admin) => self.admin(admin),
            Request::CacheMemoryLimit { megabytes, noreply } => match usize::try_from(megabytes << 20) {
                Ok(bytes) => self.gather(GatherKind::MemoryLimit(bytes), noreply),
                Err(_) => self.refuse(ProtocolError::MemoryLimitTooLarge, noreply),
            },
            Request::Shutdown(mode) => {
                if self.node.config.shutdown_enabled {
                    self.node.effects.push(Effect::Shutdown(mode));
                    self.session.close();
                } else {
                    self.refuse(ProtocolError::ShutdownNotEnabled, false);
                }
            }
            Request::Quit => self.session.close(),
            // Those about one item are run where frames are told apart.
            Request::Change { .. } | Request::Meta(_) | Request::Store(_) | Request::MetaStore { .. } => {}
        }
    }

    pub(super) fn stats(&mut self, report: StatsReport) {
        match report {
            StatsReport::Settings => {
                let text = report::settings(self.node);
                self.session.slots.put(|out| out.put(&text));
            }
            StatsReport::General => self.gather(GatherKind::Totals, false),
            StatsReport::Connections => self.gather(GatherKind::Connections, false),
            StatsReport::Reset => self.gather(GatherKind::ResetCounters, false),
            StatsReport::Items => self.gather(GatherKind::Report(ReportKind::Classes), false),
            StatsReport::Slabs => self.gather(GatherKind::Slabs, false),
            StatsReport::Sizes if self.node.config.admin.track_sizes => {
                self.gather(GatherKind::Report(ReportKind::Sizes), false);
            }
            StatsReport::Sizes => self.reply(report::NO_SIZES, false),
            StatsReport::Nothing => self.reply(response::END, false),
        }
    }

    pub(super) fn reply(&mut self, line: &[u8], noreply: bool) {
        if !noreply {
            self.session.slots.put(|out| out.put(line));
        }
    }

    pub(super) fn refuse(&mut self, error: ProtocolError, noreply: bool) {
        self.reply(error.line(), noreply);
    }

    /// Whether a request may run on this core's shard now: in strict order it waits for the letters before it.
    pub(super) fn may_run_here(&self, owner: ShardId) -> bool {
        owner == self.node.id && !(self.node.config.strict_order && self.session.outstanding() > 0)
    }

    /// Runs a request on its owner. Whether that was here, and it is done.
    pub(super) fn submit(&mut self, op: Op, key: Key<'_>, value: Incoming<'_>, noreply: bool) -> bool {
        let owner = self.node.routing.owner(key);
        let is_here = self.may_run_here(owner);
        if !is_here {
            self.forward(owner, op, key, value, noreply);
        } else if noreply {
            self.node.execute_silently(op, key, value);
        } else {
            let Self { node, session, .. } = self;
            session.slots.put(|out| node.execute(op, key, value, out));
        }
        is_here
    }

    fn forward(&mut self, owner: ShardId, op: Op, key: Key<'_>, value: Incoming<'_>, noreply: bool) {
        let mut letter = self.node.letter(owner, self.id);
        letter.slot = (!noreply).then(|| self.session.slots.reserve());
        letter.task = Task::One { op, key_len: letter.put_key(key) };
        self.forward_with(letter, value);
    }

    /// Sends a request on its way that is complete but for its value.
    pub(super) fn forward_with(&mut self, mut letter: Box<Letter>, value: Incoming<'_>) {
        match value {
            Incoming::Slice(small) => letter.data.extend_from_slice(small),
            Incoming::Large(large) => letter.value = Some(large),
        }
        self.session.parked.push_back(letter);
        self.post_parked();
    }

    /// Runs a meta request on its owner. A quiet one keeps its place all the same: it may have something to say. Whether
    /// that was here, and it is done.
    #[inline]
    fn submit_meta(&mut self, request: &MetaRequest<'_>, value: Incoming<'_>) -> bool {
        let mut buffer = [0; KEY_LEN_MAX];
        let Some(key) = request.key(&mut buffer) else {
            self.refuse(ProtocolError::KeyNotDecodable, false);
            return true;
        };
        let owner = self.node.routing.owner(key);
        let is_here = self.may_run_here(owner);
        if is_here {
            let Self { node, session, .. } = self;
            session.slots.put(|out| node.execute_meta(request.verb, request.flags, key, value, out));
        } else {
            self.forward_meta(owner, request, key, value);
        }
        is_here
    }

    fn forward_meta(&mut self, owner: ShardId, request: &MetaRequest<'_>, key: Key<'_>, value: Incoming<'_>) {
        let mut letter = self.node.letter(owner, self.id);
        letter.slot = Some(self.session.slots.reserve());
        letter.put_meta(request, key);
        self.forward_with(letter, value);
    }

    /// Replies once everything before has been carried out, requests without a reply included.
    fn fence(&mut self, reply: &'static [u8]) {
        if self.session.is_idle() {
            self.session.slots.put(|out| out.put(reply));
        } else {
            let slot = self.session.slots.reserve();
            self.session.fence = Some(Fence { slot, reply: reply.into() });
        }
    }

    fn lift_fence(&mut self) {
        if self.session.outstanding() > 0 || !self.session.parked.is_empty() {
            return;
        }
        if let Some(fence) = self.session.fence.take() {
            let mut reply = Output::default();
            reply.put(&fence.reply);
            self.session.slots.complete(fence.slot, &mut reply);
        }
    }

    /// Posts the letters that wait, in order, as far as credits and the strict order allow.
    pub(super) fn post_parked(&mut self) {
        let strict = self.node.config.strict_order;
        while let Some(letter) = self.session.parked.pop_front() {
            let to = letter.to;
            if strict && self.session.outstanding() > 0 && (to == self.node.id || to != self.session.last_owner) {
                self.session.parked.push_front(letter);
                return;
            }
            // Connections are the engine's to report; it finds the letter in this core's own outbox.
            if to == self.node.id && !matches!(letter.task, Task::Connections) {
                self.serve_here(letter);
                continue;
            }
            let requests = letter.requests();
            if let Err(letter) = self.node.post(letter) {
                self.session.parked.push_front(letter);
                return;
            }
            self.session.post(requests);
            self.session.last_owner = to;
        }
    }

    /// Serves a letter that this core sent itself.
    pub(super) fn serve_here(&mut self, mut letter: Box<Letter>) {
        self.node.serve(&mut letter);
        self.session.post(letter.requests());
        self.take_home(letter);
    }

    pub(super) fn gather(&mut self, kind: GatherKind, noreply: bool) {
        let slot = (!noreply).then(|| self.session.slots.reserve());
        self.session.gather = Some(Gather::new(kind, slot));
        self.node.later.push(self.id);
    }

    /// Goes on with a request to all cores: asks them, and replies when all have answered.
    fn continue_gather(&mut self) {
        while let Some(mut gather) = self.session.gather.take() {
            if let GatherKind::Delay { until_ms } = gather.kind
                && self.node.now.monotonic_ms < until_ms
                && !self.session.closing
            {
                self.session.gather = Some(gather);
                return;
            }
            if gather.started {
                if gather.waiting == 0 {
                    self.finish_gather(&gather);
                } else {
                    self.session.gather = Some(gather);
                }
                return;
            }
            if self.node.config.strict_order && self.session.outstanding() > 0 {
                self.session.gather = Some(gather);
                return;
            }
            let (task, to) = match gather.kind {
                GatherKind::Certificates => {
                    gather.started = true;
                    gather.waiting = 1;
                    self.node.effects.push(Effect::RefreshCertificates(self.id));
                    self.session.gather = Some(gather);
                    return;
                }
                GatherKind::StampFlush(delay) => (Task::StampFlush(delay), 0..1),
                GatherKind::Flush(order) => (Task::Flush(order), 0..self.node.routing.shards()),
                GatherKind::Totals => (Task::Totals, 0..self.node.routing.shards()),
                GatherKind::Connections => (Task::Connections, 0..self.node.routing.shards()),
                GatherKind::ResetCounters => (Task::ResetCounters, 0..self.node.routing.shards()),
                GatherKind::MemoryLimit(bytes) => (Task::MemoryLimit(bytes), 0..self.node.routing.shards()),
                GatherKind::Delay { .. } => {
                    self.finish_gather(&gather);
                    return;
                }
                GatherKind::Report(kind) => (Task::Report(kind), 0..self.node.routing.shards()),
                GatherKind::Slabs => (Task::Report(ReportKind::Classes), 0..self.node.routing.shards()),
                GatherKind::Detail(on) => (Task::Detail(on), 0..self.node.routing.shards()),
            };
            gather.started = true;
            gather.waiting = to.len();
            self.session.gather = Some(gather);
            for shard in to {
                let mut letter = self.node.letter(ShardId(shard), self.id);
                letter.task = task;
                self.session.parked.push_back(letter);
            }
            self.post_parked();
        }
    }

    fn finish_gather(&mut self, gather: &Gather) {
        let text = match gather.kind {
            GatherKind::StampFlush(_) | GatherKind::Flush(_) | GatherKind::MemoryLimit(_) | GatherKind::Detail(_) => {
                response::OK.to_vec()
            }
            GatherKind::Slabs => report::slabs(gather.report.as_ref()),
            GatherKind::Report(_) => report::gathered(gather.report.as_ref()),
            GatherKind::ResetCounters => response::RESET.to_vec(),
            GatherKind::Connections => [&gather.text[..], response::END].concat(),
            GatherKind::Totals => report::general(self.node, &gather.totals),
            GatherKind::Certificates | GatherKind::Delay { .. } => gather.text.clone(),
        };
        if let Some(slot) = gather.slot {
            let mut reply = Output::default();
            match gather.tag {
                Some(tag) => reply.write(|buffer| packet::write_statistics(buffer, tag, &text)),
                None => reply.put(&text),
            }
            self.session.slots.complete(slot, &mut reply);
        }
    }
}

/// Adds one core's answer to what has been gathered.
fn absorb(gather: &mut Gather, letter: &mut Letter) {
    match letter.task {
        // The first step of a flush is answered with the order for the second.
        Task::Flush(order) if matches!(gather.kind, GatherKind::StampFlush(_)) => {
            gather.kind = GatherKind::Flush(order);
            gather.started = false;
        }
        Task::Connections => gather.text.extend_from_slice(&letter.reply.to_vec()),
        _ => {}
    }
    if let Some(report) = letter.report.take() {
        match &mut gather.report {
            Some(all) => all.merge(*report),
            None => gather.report = Some(*report),
        }
    }
    if let Some(totals) = letter.totals.take() {
        gather.totals.merge(&totals);
    }
}
