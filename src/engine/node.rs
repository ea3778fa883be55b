//! What all conversations of a core share: its shard, its counters, and its side of the mesh.

use std::collections::VecDeque;
use std::io;

use crate::engine::look_ahead::{ForeseenGet, LookAhead};
use crate::engine::watch::Observer;
use crate::engine::{Effect, EngineConfig};
use crate::execute::Executor;
use crate::execute::meta::MetaCall;
use crate::execute::observe::Observe;
use crate::limits::{
    BATCHES_KEPT_MAX, CREDITS, LETTERS_KEPT_MAX, LOOK_AHEAD_KEYS, MULTIGETS_KEPT_MAX, REPLY_BUFFERS_KEPT_MAX,
};
use crate::metrics::{ClassTotals, Counters, ItemTotals};
use crate::protocol::binary::request::ItemRequest;
use crate::protocol::meta::{FlagSet, MetaFlags, Verb};
use crate::protocol::{Keys, Op, Output, Retrieval};
use crate::routing::Routing;
use crate::session::batch::Batch;
use crate::session::letter::{ConnectionId, Letter, PackedKeys, Task, Totals};
use crate::session::multiget::MultiGet;
use crate::session::report::{Report, ReportKind};
use crate::store::{ClassStats, Incoming, Shard, Sought, WalkCursor};
use crate::terms::{Deadline, Exptime, FlushOrder, Key, Now, ShardId};

/// Another core, as this one sees it.
#[derive(Debug)]
pub(super) struct Peer {
    /// Letters this core may still have under way to it.
    credits: usize,
    /// Letters to hand to the mesh: requests for it and replies to its own.
    pub(super) outbox: Vec<Box<Letter>>,
    /// Conversations that wait for a credit, in the order they asked.
    waiting: VecDeque<ConnectionId>,
}

/// One core's shard, counters and peers.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: ShardId,
    pub(super) routing: Routing,
    pub(super) shard: Shard,
    pub(super) counters: Counters,
    pub(super) config: EngineConfig,
    pub(super) peers: Vec<Peer>,
    pub(super) effects: Vec<Effect>,
    /// Keys of the input that is being run.
    pub(super) ahead: LookAhead,
    /// The moment of the call that is being served.
    pub(super) now: Now,
    /// Conversations that have started something to go on with in this turn.
    pub(super) later: Vec<ConnectionId>,
    /// Conversations whose reply is held back, and until when.
    pub(super) delayed: Vec<(u64, ConnectionId)>,
    /// Letters of this core that are under way.
    pub(super) outstanding: usize,
    /// Whether keys of a retrieval were posted since the driver asked last.
    pub(super) has_posted_many: bool,
    /// Who is told of single requests.
    pub(super) observer: Option<Box<Observer>>,
    /// The descriptor of the connection whose requests are being run.
    pub(super) descriptor: i32,
    /// Connections of this core with a value that waits for memory.
    pub(super) starved: Vec<ConnectionId>,
    /// Connections of this core that watch.
    pub(super) watchers: Vec<ConnectionId>,
    /// The connection of this core that dumps keys.
    pub(super) dumping: Option<ConnectionId>,
    /// How far the dumps of each core have come here.
    pub(super) walks: Vec<Option<WalkCursor>>,
    /// Where replies nobody wants are written.
    scratch: Output,
    pool: Vec<Box<Letter>>,
    batches: Vec<Box<Batch>>,
    multigets: Vec<Box<MultiGet>>,
    buffers: Vec<Vec<u8>>,
    /// On shard 0: the place of the last flush in the order of all.
    flush_epoch: u64,
}

impl Node {
    pub(super) fn new(config: EngineConfig, now: Now) -> io::Result<Self> {
        let peer = || Peer { credits: CREDITS, outbox: Vec::new(), waiting: VecDeque::new() };
        let shards = config.shard.shards;
        let detail_enabled = config.admin.detail_enabled;
        let mut node = Self {
            id: config.shard.id,
            routing: Routing::new(shards),
            shard: Shard::new(config.shard.clone())?,
            counters: Counters::default(),
            peers: (0..shards).map(|_| peer()).collect(),
            effects: Vec::new(),
            ahead: LookAhead::new(),
            now,
            later: Vec::new(),
            delayed: Vec::new(),
            outstanding: 0,
            has_posted_many: false,
            observer: None,
            descriptor: 0,
            starved: Vec::new(),
            watchers: Vec::new(),
            dumping: None,
            walks: Vec::new(),
            scratch: Output::default(),
            pool: Vec::new(),
            batches: Vec::new(),
            multigets: Vec::new(),
            buffers: Vec::new(),
            flush_epoch: 0,
            config,
        };
        node.set_detail(detail_enabled);
        Ok(node)
    }

    /// Fetches the items of the requests that `input` begins with.
    pub(super) fn look_ahead_over_input(&mut self, input: &[u8]) {
        self.ahead.over_input(input, &self.shard, self.routing, self.id);
    }

    /// Fetches the items that letters from other cores are about.
    pub(super) fn look_ahead_over_letters(&mut self, letters: &[Box<Letter>]) {
        self.ahead.over_letters(letters, &self.shard, self.id);
    }

    /// Fetches the items of the next of `keys`, of which `key` is the first, and says by what that is looked up.
    pub(super) fn seek_after_look_ahead(&mut self, key: Key<'_>, keys: Keys<'_>) -> Sought {
        self.ahead.over_keys(keys, &self.shard, self.routing, self.id);
        self.ahead.seek(key, &self.shard)
    }

    /// Runs a get of one key of this core, classic or meta, that was seen ahead.
    #[inline]
    pub(super) fn run_foreseen(&mut self, get: &ForeseenGet<'_>, out: &mut Output) {
        let &ForeseenGet { key, sought, meta, .. } = get;
        match meta {
            None => self.executor().retrieve_one(Retrieval { with_cas: false, touch: None }, key, sought, out),
            Some(flags) => {
                let call = MetaCall { verb: Verb::Get, flags, key, hash: sought.hash() };
                self.executor().meta_get(&call, sought, out);
            }
        }
    }

    /// Runs a request on this core's shard.
    #[inline]
    pub(super) fn execute(&mut self, op: Op, key: Key<'_>, value: Incoming<'_>, out: &mut Output) {
        let hash = self.ahead.seek(key, &self.shard).hash();
        self.executor().execute(op, key, hash, value, out);
    }

    /// Looks up one key on this core's shard.
    #[inline]
    pub(super) fn retrieve(&mut self, retrieval: Retrieval, key: Key<'_>, out: &mut Output) {
        let sought = self.ahead.seek(key, &self.shard);
        self.retrieve_sought(retrieval, key, sought, out);
    }

    /// Looks up one key that was looked at ahead on this core's shard.
    #[inline]
    pub(super) fn retrieve_sought(&mut self, retrieval: Retrieval, key: Key<'_>, sought: Sought, out: &mut Output) {
        self.executor().retrieve(retrieval, key, sought, out);
    }

    /// Looks up the first of `keys` that were looked at ahead, as long as this core owns them: at most `most`, and until `out`
    /// has `enough` bytes. How many.
    pub(super) fn retrieve_seen(
        &mut self,
        retrieval: Retrieval,
        keys: &mut Keys<'_>,
        most: usize,
        enough: usize,
        out: &mut Output,
    ) -> usize {
        let (ahead, mut executor) = self.ahead_and_executor();
        let mut count = 0;
        while count < most
            && out.len() < enough
            && let Some((key, sought)) = ahead.next_own_key(keys)
        {
            executor.retrieve(retrieval, key, sought, out);
            count += 1;
        }
        count
    }

    /// Runs a meta request on this core's shard.
    #[inline]
    pub(super) fn execute_meta(
        &mut self,
        verb: Verb,
        flags: MetaFlags<'_>,
        key: Key<'_>,
        value: Incoming<'_>,
        out: &mut Output,
    ) {
        let hash = self.ahead.seek(key, &self.shard).hash();
        self.executor().meta(MetaCall { verb, flags, key, hash }, value, out);
    }

    /// Runs a packet on this core's shard.
    pub(super) fn execute_packet(
        &mut self,
        request: &ItemRequest,
        key: Key<'_>,
        value: Incoming<'_>,
        out: &mut Output,
    ) {
        let hash = self.ahead.seek(key, &self.shard).hash();
        self.executor().packet(request, key, hash, value, out);
    }

    #[inline]
    fn executor(&mut self) -> Executor<'_> {
        self.ahead_and_executor().1
    }

    #[inline]
    pub(super) fn ahead_and_executor(&mut self) -> (&mut LookAhead, Executor<'_>) {
        let Self { ahead, shard, counters, now, observer, descriptor, .. } = self;
        let observer = match observer {
            None => None,
            Some(observer) => {
                observer.set_descriptor(*descriptor);
                Some(&mut **observer as &mut dyn Observe)
            }
        };
        (ahead, Executor { shard, counters, now: *now, observer })
    }

    /// Runs a request whose reply nobody wants.
    pub(super) fn execute_silently(&mut self, op: Op, key: Key<'_>, value: Incoming<'_>) {
        let hash = self.shard.hash(key);
        let mut scratch = std::mem::take(&mut self.scratch);
        self.executor().execute(op, key, hash, value, &mut scratch);
        scratch.clear();
        self.scratch = scratch;
    }

    /// Does what a letter asks and writes the reply into it. Connections are not this floor's to report.
    pub(super) fn serve(&mut self, letter: &mut Letter) {
        self.descriptor = letter.descriptor;
        match letter.task {
            Task::One { op, key_len } => self.serve_one(letter, op, usize::from(key_len)),
            Task::Packet { request, key_len } => self.serve_packet(letter, &request, usize::from(key_len)),
            Task::Meta { verb, set, key_len, flags_len } => {
                self.serve_meta(letter, verb, set, usize::from(key_len), usize::from(flags_len));
            }
            Task::Gets { .. } => {
                let mut lines = &letter.data[..];
                while !lines.is_empty() {
                    if self.ahead.is_used_up(lines) {
                        self.ahead.over_own_lines(lines, &self.shard);
                    }
                    let Some(get) = self.ahead.next_get(lines) else { break };
                    let before = letter.reply.len();
                    self.run_foreseen(&get, &mut letter.reply);
                    letter.pieces.push(letter.reply.len() - before);
                    lines = &lines[get.line_len..];
                }
                self.ahead.reset();
            }
            Task::Many { retrieval, reply_len_max } => self.serve_many(letter, retrieval, reply_len_max),
            Task::StampFlush(delay) => letter.task = Task::Flush(self.stamp_flush(delay)),
            Task::Flush(order) => self.shard.flush(order, self.now),
            Task::Totals => letter.totals = Some(Box::new(self.totals())),
            Task::ResetCounters => self.reset_counters(),
            Task::MemoryLimit(bytes) => self.set_memory_limit(bytes),
            Task::Report(kind) => letter.report = Some(Box::new(self.report(kind))),
            Task::Detail(on) => self.set_detail(on),
            Task::Dump { .. } => self.serve_dump(letter),
            Task::Watch { .. } => self.serve_watch(letter),
            Task::Connections => {}
        }
    }

    fn serve_many(&mut self, letter: &mut Letter, retrieval: Retrieval, reply_len_max: usize) {
        let Letter { data, reply, pieces, .. } = letter;
        let mut keys = PackedKeys(data);
        'keys: loop {
            self.ahead.over_own(keys.clone(), &self.shard);
            let (ahead, mut executor) = self.ahead_and_executor();
            for _ in 0..LOOK_AHEAD_KEYS {
                let Some(key) = keys.next().filter(|_| reply.len() < reply_len_max) else { break 'keys };
                let before = reply.len();
                let sought = ahead.seek(key, executor.shard);
                executor.retrieve(retrieval, key, sought, reply);
                pieces.push(reply.len() - before);
            }
        }
        self.ahead.reset();
    }

    fn serve_one(&mut self, letter: &mut Letter, op: Op, key_len: usize) {
        let Letter { data, value, reply, slot, .. } = letter;
        let Some((key, small)) = data.split_at_checked(key_len) else { return };
        let Some(key) = Key::new(key) else { return };
        let value = match value.take() {
            Some(large) => Incoming::Large(large),
            None => Incoming::Slice(small),
        };
        if slot.is_some() {
            self.execute(op, key, value, reply);
        } else {
            self.execute_silently(op, key, value);
        }
    }

    fn serve_packet(&mut self, letter: &mut Letter, request: &ItemRequest, key_len: usize) {
        let Letter { data, value, reply, .. } = letter;
        let Some((key, small)) = data.split_at_checked(key_len) else { return };
        let Some(key) = Key::new(key) else { return };
        let value = value.take().map_or(Incoming::Slice(small), Incoming::Large);
        self.execute_packet(request, key, value, reply);
    }

    fn serve_meta(&mut self, letter: &mut Letter, verb: Verb, set: FlagSet, key_len: usize, flags_len: usize) {
        let Letter { data, value, reply, .. } = letter;
        let Some((key, rest)) = data.split_at_checked(key_len) else { return };
        let Some((text, small)) = rest.split_at_checked(flags_len) else { return };
        let Some(key) = Key::new(key) else { return };
        let value = value.take().map_or(Incoming::Slice(small), Incoming::Large);
        self.execute_meta(verb, MetaFlags::from_parts(text, set), key, value, reply);
    }

    /// Gives a flush its place in the order of all; asked of shard 0 only. Its clock decides what "now" is.
    pub(super) fn stamp_flush(&mut self, delay: Exptime) -> FlushOrder {
        self.flush_epoch += 1;
        let at_monotonic_ms = match delay.0 {
            i64::MIN..=0 => None,
            _ => match Deadline::from_exptime(delay, self.now) {
                Deadline::PAST => None,
                deadline => Some(u64::from(deadline.as_tenths()) * 100),
            },
        };
        FlushOrder { epoch: self.flush_epoch, at_monotonic_ms }
    }

    /// What this core has counted.
    pub(super) fn totals(&self) -> Totals {
        Totals { counters: self.counters.clone(), items: item_totals(&self.shard) }
    }

    fn report(&self, kind: ReportKind) -> Report {
        match kind {
            ReportKind::Classes => {
                let classes = self.shard.class_stats(self.now).into_iter();
                Report::Classes(classes.map(|(class, stats)| (class, class_totals(&stats))).collect())
            }
            ReportKind::Sizes => Report::Sizes(self.shard.size_histogram().into_iter().collect()),
            ReportKind::Prefixes => Report::Prefixes(self.prefixes()),
        }
    }

    pub(super) fn reset_counters(&mut self) {
        self.counters.reset();
        self.shard.reset_stats();
    }

    pub(super) fn set_memory_limit(&mut self, bytes: usize) {
        self.shard.set_memory_limit(bytes, self.now);
    }

    /// A letter to `to`, empty.
    pub(super) fn letter(&mut self, to: ShardId, connection: ConnectionId) -> Box<Letter> {
        let mut letter = self.pool.pop().unwrap_or_else(|| Letter::new(self.id));
        letter.to = to;
        letter.connection = connection;
        letter.descriptor = self.descriptor;
        letter.slot = None;
        letter
    }

    /// Takes a letter back.
    pub(super) fn recycle(&mut self, mut letter: Box<Letter>) {
        if self.pool.len() < LETTERS_KEPT_MAX {
            letter.recycle();
            self.pool.push(letter);
        }
    }

    /// A batch, empty.
    pub(super) fn batch(&mut self) -> Box<Batch> {
        self.batches.pop().unwrap_or_default()
    }

    /// Takes a batch back, and its letters.
    pub(super) fn recycle_batch(&mut self, mut batch: Box<Batch>) {
        batch.recycle(|letter| self.recycle(letter));
        if self.batches.len() < BATCHES_KEPT_MAX {
            self.batches.push(batch);
        }
    }

    /// A retrieval of many keys, empty.
    #[expect(clippy::unnecessary_box_returns, reason = "the box, too, is used again")]
    pub(super) fn multiget(&mut self) -> Box<MultiGet> {
        self.multigets.pop().unwrap_or_default()
    }

    /// Takes a retrieval back, and its letters.
    pub(super) fn recycle_multiget(&mut self, mut multiget: Box<MultiGet>) {
        multiget.recycle(|letter| self.recycle(letter));
        if self.multigets.len() < MULTIGETS_KEPT_MAX {
            self.multigets.push(multiget);
        }
    }

    /// Puts a letter in the post if there is a credit for it, otherwise gives it back and remembers who waits.
    pub(super) fn post(&mut self, letter: Box<Letter>) -> Result<(), Box<Letter>> {
        let peer = &mut self.peers[letter.to.index()];
        if peer.credits == 0 {
            self.counters.mesh_credit_stalls += 1;
            if peer.waiting.back() != Some(&letter.connection) {
                peer.waiting.push_back(letter.connection);
            }
            return Err(letter);
        }
        let many = matches!(letter.task, Task::Many { .. });
        peer.credits -= 1;
        peer.outbox.push(letter);
        self.outstanding += 1;
        self.has_posted_many |= many;
        self.counters.mesh_letters_sent += 1;
        Ok(())
    }

    /// A letter of this core came home from `from`: its credit is free again.
    pub(super) fn regain_credit(&mut self, from: ShardId) {
        self.outstanding -= 1;
        self.peers[from.index()].credits += 1;
    }

    /// Who has waited longest for a credit to `to`, as long as there is one to be had.
    pub(super) fn next_waiting(&mut self, to: ShardId) -> Option<ConnectionId> {
        let peer = &mut self.peers[to.index()];
        if peer.credits == 0 { None } else { peer.waiting.pop_front() }
    }

    /// Letters that may still be sent to each peer; for tests of the mesh.
    pub(super) fn credits(&self) -> Vec<usize> {
        self.peers.iter().map(|peer| peer.credits).collect()
    }

    /// A buffer for replies: recently used ones first, they are in the cache.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    /// Takes a buffer whose contents have been sent.
    pub(super) fn return_buffer(&mut self, mut buffer: Vec<u8>) {
        if self.buffers.len() < REPLY_BUFFERS_KEPT_MAX {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}

fn class_totals(stats: &ClassStats) -> ClassTotals {
    ClassTotals {
        size_max: stats.size_max as u64,
        number: stats.number,
        bytes: stats.bytes,
        age: u64::from(stats.age_s),
        evicted: stats.evicted,
        evicted_nonzero: stats.evicted_nonzero,
        evicted_time: u64::from(stats.evicted_time),
        evicted_unfetched: stats.evicted_unfetched,
        evicted_active: stats.evicted_active,
        expired_unfetched: stats.expired_unfetched,
        reclaimed: stats.reclaimed,
        crawler_reclaimed: stats.crawler_reclaimed,
        out_of_memory: stats.out_of_memory,
        get_hits: stats.get_hits,
        cmd_set: stats.cmd_set,
        delete_hits: stats.delete_hits,
        incr_hits: stats.incr_hits,
        decr_hits: stats.decr_hits,
        cas_hits: stats.cas_hits,
        cas_badval: stats.cas_badval,
        touch_hits: stats.touch_hits,
    }
}

fn item_totals(shard: &Shard) -> ItemTotals {
    let stats = shard.stats();
    ItemTotals {
        curr_items: stats.curr_items,
        total_items: stats.total_items,
        bytes: stats.bytes,
        limit_maxbytes: stats.limit_maxbytes,
        hash_bytes: stats.hash_bytes,
        hash_power_level: stats.hash_power_level,
        evictions: stats.evictions,
        evicted_unfetched: stats.evicted_unfetched,
        evicted_active: stats.evicted_active,
        expired_unfetched: stats.expired_unfetched,
        reclaimed: stats.reclaimed,
        crawler_reclaimed: stats.crawler_reclaimed,
        crawler_items_checked: stats.crawler_items_checked,
    }
}
