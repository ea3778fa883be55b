//! Retrievals of many keys, whoever owns them: see `session/multiget.rs`.

use crate::engine::conversation::{Conversation, Progress};
use crate::limits::OUTPUT_BACKLOG_MAX;
use crate::protocol::text::response;
use crate::protocol::{Keys, Op, Output, Retrieval};
use crate::store::Incoming;
use crate::terms::Key;

impl Conversation<'_> {
    /// Looks up the keys of a retrieval.
    pub(super) fn retrieve(&mut self, retrieval: Retrieval, mut keys: Keys<'_>) {
        let mut following = keys.clone();
        if let (Some(key), None) = (following.next(), following.next()) {
            self.submit(Op::Retrieve(retrieval), key, Incoming::Slice(&[]), false);
            return;
        }
        // Keys of this core are answered straight from the line until one is not, or the reply is large enough.
        let mut budget = self.node.config.requests_per_turn;
        loop {
            let rest = keys.clone();
            let (key, sought) = if let Some(seen) = self.node.ahead.next_key(&mut keys) {
                seen
            } else {
                let Some(key) = keys.next() else {
                    self.session.slots.put(|out| out.put(response::END));
                    return;
                };
                let is_ours = self.node.routing.owner(key) == self.node.id;
                (key, is_ours.then(|| self.node.seek_after_look_ahead(key, rest.clone())))
            };
            let (Some(sought), 1.., true, true) =
                (sought, budget, self.may_run_here(self.node.id), self.session.has_room())
            else {
                let slot = self.session.slots.reserve();
                let mut multiget = self.node.multiget();
                multiget.begin(retrieval, &rest, slot);
                self.session.multiget = Some(multiget);
                self.node.later.push(self.id);
                return;
            };
            budget -= 1;
            let Self { node, session, .. } = self;
            let room = OUTPUT_BACKLOG_MAX.saturating_sub(session.backlog());
            session.slots.put(|out| {
                let enough = out.len() + room;
                node.retrieve_sought(retrieval, key, sought, out);
                budget -= node.retrieve_seen(retrieval, &mut keys, budget, enough, out);
            });
        }
    }

    /// Goes on with a multi-get until it has to wait for letters or for the client to read.
    pub(super) fn continue_multiget(&mut self) -> Progress {
        let Some(mut multiget) = self.session.multiget.take() else { return Progress::Done };
        let mut budget = self.node.config.requests_per_turn;
        let progress = loop {
            let Self { node, session, .. } = &mut *self;
            let slot = multiget.slot;
            if !multiget.is_waiting() {
                node.ahead.over_own(multiget.own_keys(), &node.shard);
                let room = OUTPUT_BACKLOG_MAX.saturating_sub(session.backlog());
                // The letters are the node's to take back, which is lent out until all is joined.
                let (retrieval, mut used) = (multiget.retrieval, Vec::new());
                let (ahead, mut executor) = node.ahead_and_executor();
                let look_up = |key: Key<'_>, out: &mut Output| {
                    let sought = ahead.seek(key, executor.shard);
                    executor.retrieve(retrieval, key, sought, out);
                };
                session.slots.write(slot, |out| multiget.join(out, room, look_up, |letter| used.push(letter)));
                node.ahead.reset();
                for letter in used {
                    node.recycle(letter);
                }
            }
            if multiget.is_waiting() || self.session.backlog() >= OUTPUT_BACKLOG_MAX {
                break Progress::Done;
            }
            if multiget.window_is_done() {
                if !multiget.has_more_keys() {
                    let mut end = Output::default();
                    end.put(response::END);
                    self.session.slots.complete(slot, &mut end);
                    self.node.recycle_multiget(multiget);
                    return Progress::Done;
                }
                if budget == 0 {
                    self.node.counters.conn_yields += 1;
                    break Progress::Yield;
                }
                // The strict order lets nothing run before the letters of earlier requests are home.
                if self.node.config.strict_order && self.session.outstanding() > 0 {
                    break Progress::Done;
                }
                let routing = self.node.routing;
                let here = self.node.id;
                let retrieval = multiget.retrieval;
                if let Some(key) = multiget.take_key_if(|key| routing.owner(key) == here) {
                    budget -= 1;
                    let Self { node, session, .. } = &mut *self;
                    session.slots.write(slot, |out| node.retrieve(retrieval, key, out));
                    continue;
                }
                multiget.next_window(here, |key| routing.owner(key));
                budget = budget.saturating_sub(crate::limits::MULTIGET_WINDOW_KEYS);
            }
            if multiget.has_unasked() {
                let mut used = Vec::new();
                let letters = multiget.ask(|to| self.node.letter(to, self.id), |letter| used.push(letter));
                for letter in used {
                    self.node.recycle(letter);
                }
                self.session.multiget = Some(multiget);
                self.session.parked.extend(letters);
                self.post_parked();
                match self.session.multiget.take() {
                    Some(back) => multiget = back,
                    None => return Progress::Done,
                }
            }
        };
        self.session.multiget = Some(multiget);
        progress
    }
}
