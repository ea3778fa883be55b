//! Watchers: connections that are told what happens on all cores (PROTOCOL §5).
//!
//! Each core keeps a bounded ring of lines for each watcher, wherever that is connected. The watcher's core sends a
//! letter round to fetch them, at every tick and only while the client takes what it got; what finds no room is counted
//! and told. The letters are a lease as well: a ring that nobody fetches from goes.

use std::collections::BTreeMap;

use crate::engine::conversation::Conversation;
use crate::engine::node::Node;
use crate::engine::report::{Address, Peer};
use crate::execute::observe::{Event, Observe};
use crate::limits::{PREFIXES_MAX, WATCH_BACKLOG_MAX, WATCH_LEASE_MS, WATCH_RING_LEN, WATCHERS_PER_CORE_MAX};
use crate::metrics::PrefixCounts;
use crate::protocol::ProtocolError;
use crate::protocol::admin::WatchKinds;
use crate::protocol::text::dump::write_uri;
use crate::protocol::text::response;
use crate::session::letter::{ConnectionId, Letter, Task};
use crate::session::stream::Watching;
use crate::store::Eviction;
use crate::terms::{Deadline, Now, ShardId};

/// One watcher, as this core sees it.
#[derive(Debug)]
struct Subscription {
    /// The core it is connected to.
    home: ShardId,
    watcher: ConnectionId,
    kinds: WatchKinds,
    /// Lines not fetched yet, at most [`WATCH_RING_LEN`] bytes.
    lines: Vec<u8>,
    /// Lines that found no room since the last fetch.
    skipped: u64,
    renewed_ms: u64,
}

/// Everything this core tells to somebody about single requests.
#[derive(Debug)]
pub(super) struct Observer {
    shard: ShardId,
    shards: u16,
    delimiter: u8,
    /// The connection that the present request came by: its descriptor.
    descriptor: i32,
    subscriptions: Vec<Subscription>,
    /// What any of them asks for.
    kinds: WatchKinds,
    prefixes: Option<BTreeMap<Box<[u8]>, PrefixCounts>>,
    /// Lines so far.
    lines: u64,
    line: Vec<u8>,
}

impl Observer {
    fn new(shard: ShardId, shards: u16, delimiter: u8) -> Self {
        Self {
            shard,
            shards,
            delimiter,
            descriptor: 0,
            subscriptions: Vec::new(),
            kinds: WatchKinds::default(),
            prefixes: None,
            lines: 0,
            line: Vec::new(),
        }
    }

    /// The next requests come by the connection with this descriptor.
    pub(super) const fn set_descriptor(&mut self, descriptor: i32) {
        self.descriptor = descriptor;
    }

    /// Writes a line for all who ask for `kinds`. Line numbers are unique in the process and grow on each core.
    fn tell(&mut self, kinds: WatchKinds, now: Now, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.kinds.meets(kinds) {
            return;
        }
        let id = self.lines * u64::from(self.shards) + u64::from(self.shard.0) + 1;
        self.lines += 1;
        self.line.clear();
        let (seconds, us) = (now.unix_ms / 1000, now.unix_ms % 1000 * 1000);
        self.line.extend_from_slice(format!("ts={seconds}.{us:06} gid={id} type=").as_bytes());
        write(&mut self.line);
        self.line.push(b'\n');
        for subscription in self.subscriptions.iter_mut().filter(|subscription| subscription.kinds.meets(kinds)) {
            if subscription.lines.len() + self.line.len() > WATCH_RING_LEN {
                subscription.skipped += 1;
            } else {
                subscription.lines.extend_from_slice(&self.line);
            }
        }
    }

    /// A client has come or gone.
    pub(super) fn connection(&mut self, is_new: bool, peer: &Peer, now: Now) {
        let what = if is_new { "conn_new" } else { "conn_close" };
        let reason = if is_new { "" } else { " reason=normal" };
        let descriptor = peer.descriptor;
        let (from, transport) = match &peer.remote {
            Address::Tcp(address) => (format!("rip={} rport={}", address.ip(), address.port()), "tcp"),
            Address::Udp(address) => (format!("rip={} rport={}", address.ip(), address.port()), "udp"),
            Address::Unix(_) => ("rip=unix rport=0".to_owned(), "local"),
        };
        self.tell(WatchKinds::CONNECTIONS, now, |line| {
            let text = format!("{what} {from} transport={transport}{reason} cfd={descriptor}");
            line.extend_from_slice(text.as_bytes());
        });
    }

    fn eviction(&mut self, eviction: &Eviction, now: Now) {
        let Eviction { fetched, deadline, idle_s, class, size, .. } = *eviction;
        let (fetched, ttl) = (if fetched { "yes" } else { "no" }, ttl(deadline, now, "-1"));
        self.tell(WatchKinds::EVICTIONS, now, |line| {
            line.extend_from_slice(b"eviction key=");
            write_uri(line, &eviction.key);
            let rest = format!(" fetch={fetched} ttl={ttl} la={idle_s} clsid={class} size={size}");
            line.extend_from_slice(rest.as_bytes());
        });
    }

    fn count_prefix(&mut self, event: &Event<'_>) {
        let delimiter = self.delimiter;
        let Some(prefixes) = &mut self.prefixes else { return };
        let (Event::Get { key, .. } | Event::Store { key, .. } | Event::Delete { key, .. }) = event;
        let Some(end) = key.as_bytes().iter().position(|&byte| byte == delimiter) else { return };
        let prefix = &key.as_bytes()[..end];
        if !prefixes.contains_key(prefix) {
            if prefixes.len() >= PREFIXES_MAX {
                return;
            }
            prefixes.insert(prefix.into(), PrefixCounts::default());
        }
        let Some(counts) = prefixes.get_mut(prefix) else { return };
        match event {
            Event::Get { status, .. } => {
                counts.get += 1;
                counts.hit += u64::from(*status == crate::execute::observe::GetStatus::Found);
            }
            Event::Store { .. } => counts.set += 1,
            Event::Delete { .. } => counts.del += 1,
        }
    }

    fn renew_kinds(&mut self) {
        let all = self.subscriptions.iter().map(|subscription| subscription.kinds);
        self.kinds = all.fold(WatchKinds::default(), WatchKinds::and);
    }

    fn is_needed(&self) -> bool {
        self.prefixes.is_some() || !self.subscriptions.is_empty()
    }
}

impl Observe for Observer {
    fn observe(&mut self, event: &Event<'_>, now: Now) {
        self.count_prefix(event);
        let descriptor = self.descriptor;
        match *event {
            Event::Get { key, status, class, size } => self.tell(WatchKinds::FETCHERS, now, |line| {
                line.extend_from_slice(b"item_get key=");
                write_uri(line, key.as_bytes());
                let status = status.word();
                let rest = format!(" status={status} clsid={class} cfd={descriptor} size={size}");
                line.extend_from_slice(rest.as_bytes());
            }),
            Event::Store { key, status, command, deadline, class, size } => {
                let ttl = ttl(deadline, now, "0");
                self.tell(WatchKinds::MUTATIONS, now, |line| {
                    line.extend_from_slice(b"item_store key=");
                    write_uri(line, key.as_bytes());
                    let rest =
                        format!(" status={status} cmd={command} ttl={ttl} clsid={class} cfd={descriptor} size={size}");
                    line.extend_from_slice(rest.as_bytes());
                });
            }
            Event::Delete { key, command, is_hit: true, class, size } => {
                self.tell(WatchKinds::DELETIONS, now, |line| {
                    line.extend_from_slice(b"deleted key=");
                    write_uri(line, key.as_bytes());
                    line.extend_from_slice(format!(" cmd={command} clsid={class} size={size}").as_bytes());
                });
            }
            Event::Delete { .. } => {}
        }
    }
}

/// The seconds an item has left, or `never`.
fn ttl(deadline: Deadline, now: Now, never: &str) -> String {
    deadline.seconds_left(now).map_or_else(|| never.to_owned(), |left| left.to_string())
}

impl Node {
    fn observer(&mut self) -> &mut Observer {
        let (id, shards, delimiter) = (self.id, self.routing.shards(), self.config.admin.prefix_delimiter);
        self.observer.get_or_insert_with(|| Box::new(Observer::new(id, shards, delimiter)))
    }

    /// Counts requests by prefix from now on, from zero; or no more.
    pub(super) fn set_detail(&mut self, on: bool) {
        let is_on = self.is_detailed();
        if on && !is_on {
            self.observer().prefixes = Some(BTreeMap::new());
        } else if !on && is_on {
            self.observer().prefixes = None;
            self.drop_idle_observer();
        }
    }

    /// Whether requests are counted by prefix.
    pub(super) fn is_detailed(&self) -> bool {
        self.observer.as_ref().is_some_and(|observer| observer.prefixes.is_some())
    }

    /// What was counted by prefix.
    pub(super) fn prefixes(&self) -> BTreeMap<Box<[u8]>, PrefixCounts> {
        self.observer.as_ref().and_then(|observer| observer.prefixes.clone()).unwrap_or_default()
    }

    /// Keeps the ring of a watcher, makes it if it is not there, and hands over its lines if the client takes more.
    pub(super) fn serve_watch(&mut self, letter: &mut Letter) {
        let Task::Watch { kinds, takes } = letter.task else { return };
        self.tell_evictions();
        let (home, watcher, now) = (letter.home, letter.connection, self.now);
        let observer = self.observer();
        let at = observer.subscriptions.iter().position(|one| (one.home, one.watcher) == (home, watcher));
        let at = at.unwrap_or_else(|| {
            let (lines, skipped, renewed_ms) = (Vec::new(), 0, now.monotonic_ms);
            observer.subscriptions.push(Subscription { home, watcher, kinds, lines, skipped, renewed_ms });
            observer.renew_kinds();
            observer.subscriptions.len() - 1
        });
        let subscription = &mut observer.subscriptions[at];
        subscription.renewed_ms = now.monotonic_ms;
        if takes {
            letter.reply.put(&subscription.lines);
            subscription.lines.clear();
            let skipped = std::mem::take(&mut subscription.skipped);
            if skipped > 0 {
                letter.reply.put(format!("skipped={skipped}\n").as_bytes());
                self.counters.log_watcher_skipped += skipped;
            }
        }
        self.watch_evictions();
    }

    /// Lets go of the rings of watchers that have gone.
    pub(super) fn tick_watch(&mut self) {
        let Some(observer) = &mut self.observer else { return };
        let now_ms = self.now.monotonic_ms;
        observer.subscriptions.retain(|one| one.renewed_ms + WATCH_LEASE_MS >= now_ms);
        observer.renew_kinds();
        self.tell_evictions();
        self.watch_evictions();
        self.drop_idle_observer();
    }

    fn tell_evictions(&mut self) {
        let (now, Some(observer)) = (self.now, &mut self.observer) else { return };
        let dropped = self.shard.drain_evictions(|eviction| observer.eviction(eviction, now));
        for subscription in &mut observer.subscriptions {
            if subscription.kinds.meets(WatchKinds::EVICTIONS) {
                subscription.skipped += dropped;
            }
        }
    }

    fn watch_evictions(&mut self) {
        let are_wanted = self.observer.as_ref().is_some_and(|observer| observer.kinds.meets(WatchKinds::EVICTIONS));
        self.shard.watch_evictions(are_wanted);
    }

    fn drop_idle_observer(&mut self) {
        if self.observer.as_ref().is_some_and(|observer| !observer.is_needed()) {
            self.observer = None;
        }
    }
}

impl Conversation<'_> {
    pub(super) fn start_watch(&mut self, kinds: WatchKinds) {
        if self.node.watchers.len() >= WATCHERS_PER_CORE_MAX {
            return self.refuse(ProtocolError::TooManyWatchers, false);
        }
        self.node.watchers.push(self.id);
        self.node.counters.log_watchers += 1;
        self.reply(response::OK, false);
        self.session.watch = Some(Watching::new(kinds, self.node.routing.shards()));
        self.session.pending = Vec::new();
        self.pump_watch();
    }

    /// Sends for the lines of all cores; where a letter is under way already, or no credit is left, later.
    pub(super) fn pump_watch(&mut self) {
        let takes = self.session.backlog() < WATCH_BACKLOG_MAX;
        let mut from = 0;
        while !self.session.closing
            && let Some(watching) = &mut self.session.watch
            && let Some(shard) = watching.next_to_ask(from)
        {
            from = shard.0 + 1;
            let kinds = watching.kinds;
            let mut letter = self.node.letter(shard, self.id);
            letter.task = Task::Watch { kinds, takes };
            if shard == self.node.id {
                self.serve_here(letter);
            } else if let Err(letter) = self.node.post(letter) {
                self.node.recycle(letter);
                if let Some(watching) = &mut self.session.watch {
                    watching.take_home(shard);
                }
            } else {
                self.session.post(1);
            }
        }
    }

    /// Lines of one core came home.
    pub(super) fn take_watch_home(&mut self, letter: &mut Letter) {
        if let Some(watching) = &mut self.session.watch {
            watching.take_home(letter.to);
            self.node.counters.log_watcher_sent += u64::from(!letter.reply.is_empty());
            self.session.slots.put(|out| out.append(&mut letter.reply));
        }
    }
}
