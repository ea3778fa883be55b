//! What only who looks after a server asks: dumps of keys, and what is switched on and off.

use crate::engine::Effect;
use crate::engine::conversation::{Conversation, Progress};
use crate::engine::node::Node;
use crate::execute::meta::item_facts;
use crate::limits::{DUMP_BACKLOG_MAX, DUMP_LETTER_LEN};
use crate::protocol::admin::{Admin, Detail, DumpFormat, DumpRequest};
use crate::protocol::text::{dump, response};
use crate::protocol::{Output, ProtocolError};
use crate::session::gather::GatherKind;
use crate::session::letter::{Letter, Task};
use crate::session::report::ReportKind;
use crate::session::stream::Dump;
use crate::store::WalkCursor;
use crate::terms::ShardId;

/// Steps through a shard for one letter, so that it comes home though it met no item.
const STEPS_PER_LETTER: usize = 10;

/// What may be asked, and how it is answered.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct AdminConfig {
    /// Whether keys may be dumped and requests counted by prefix (not with `-X`).
    pub dump_enabled: bool,
    /// Whether clients may watch (not with `-W`).
    pub watch_enabled: bool,
    /// What ends the prefix of a key (`-D`).
    pub prefix_delimiter: u8,
    /// Whether requests are counted by prefix from the start (`-D`).
    pub detail_enabled: bool,
    /// Whether `stats sizes` looks at all items (`-o track_sizes`).
    pub track_sizes: bool,
    /// Whether `debugtime` may move the clock: for tests.
    pub debug_time: bool,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            dump_enabled: true,
            watch_enabled: true,
            prefix_delimiter: b':',
            detail_enabled: false,
            track_sizes: false,
            debug_time: false,
        }
    }
}

impl Conversation<'_> {
    pub(super) fn admin(&mut self, admin: Admin) {
        let config = self.node.config.admin;
        match admin {
            Admin::Settled(answer) => self.reply(answer, false),
            Admin::RefreshCertificates if self.node.config.has_tls => {
                self.gather(GatherKind::Certificates, false);
            }
            Admin::RefreshCertificates => self.refuse(ProtocolError::NoTls, false),
            Admin::ShiftTime(shift) if config.debug_time => {
                self.node.effects.push(Effect::ShiftTime(shift));
                self.reply(response::OK, false);
            }
            Admin::ShiftTime(_) => self.refuse(ProtocolError::UnknownCommand, false),
            Admin::Detail(_) if !config.dump_enabled => self.refuse(ProtocolError::DetailNotAllowed, false),
            Admin::Detail(Detail::Switch(on)) => self.gather(GatherKind::Detail(on), false),
            Admin::Detail(Detail::Dump) => self.gather(GatherKind::Report(ReportKind::Prefixes), false),
            Admin::Dump(request) if !config.dump_enabled => {
                let error = match request.format {
                    DumpFormat::Facts => ProtocolError::MetadumpNotAllowed,
                    DumpFormat::Requests => ProtocolError::MgdumpNotAllowed,
                    DumpFormat::Cache => ProtocolError::CachedumpNotAllowed,
                };
                self.refuse(error, false);
            }
            Admin::Dump(request) => self.start_dump(request),
            Admin::Watch(_) if !config.watch_enabled => self.refuse(ProtocolError::WatchNotAllowed, false),
            Admin::Watch(kinds) => self.start_watch(kinds),
        }
    }

    fn start_dump(&mut self, request: DumpRequest) {
        if self.node.dumping.is_some() {
            return self.refuse(ProtocolError::DumpBusy, false);
        }
        self.node.dumping = Some(self.id);
        let slot = self.session.slots.reserve();
        let mut begin = Output::default();
        begin.put(dump::begin(request.format));
        self.session.slots.extend(slot, &mut begin);
        self.session.dump = Some(Dump::new(request, slot));
        self.node.later.push(self.id);
    }

    /// Goes on with a dump: asks the next shard for a little more, once the client has taken what came before.
    pub(super) fn continue_dump(&mut self) -> Progress {
        let has_to_wait = self.node.config.strict_order && self.session.outstanding() > 0;
        let Some(dump) = &mut self.session.dump else { return Progress::Done };
        if dump.is_waiting || has_to_wait {
            return Progress::Done;
        }
        if dump.shard == self.node.routing.shards() || dump.items_left == 0 {
            let mut end = Output::default();
            end.put(dump::end(dump.request.format));
            self.session.slots.complete(dump.slot, &mut end);
            self.session.dump = None;
            self.node.dumping = None;
            return Progress::Done;
        }
        let (shard, task) = (
            ShardId(dump.shard),
            Task::Dump {
                request: DumpRequest { items_max: dump.items_left, ..dump.request },
                is_first: dump.is_first,
                is_last: false,
            },
        );
        if self.session.backlog() >= DUMP_BACKLOG_MAX {
            return Progress::Done;
        }
        if let Some(dump) = &mut self.session.dump {
            dump.is_waiting = true;
        }
        let mut letter = self.node.letter(shard, self.id);
        letter.task = task;
        self.session.parked.push_back(letter);
        self.post_parked();
        // What this core told itself is there already; others have their turn before it goes on.
        if self.session.dump.as_ref().is_some_and(|dump| !dump.is_waiting) { Progress::Yield } else { Progress::Done }
    }

    /// A piece of a dump came home.
    pub(super) fn take_dump_home(&mut self, letter: &mut Letter) {
        let (Some(dump), Task::Dump { request, is_last, .. }) = (&mut self.session.dump, letter.task) else { return };
        dump.is_waiting = false;
        dump.is_first = is_last;
        dump.shard += u16::from(is_last);
        dump.items_left = request.items_max;
        self.session.slots.extend(dump.slot, &mut letter.reply);
    }
}

impl Node {
    /// Shows a little more of this shard's items to the core that asks; each core has one dump at a time.
    pub(super) fn serve_dump(&mut self, letter: &mut Letter) {
        let Task::Dump { mut request, is_first, .. } = letter.task else { return };
        let home = letter.home.index();
        if self.walks.len() <= home {
            self.walks.resize(home + 1, None);
        }
        let mut cursor = if is_first { Some(WalkCursor::default()) } else { self.walks[home] };
        for _ in 0..STEPS_PER_LETTER {
            let Some(place) = cursor else { break };
            if request.items_max == 0 || letter.reply.len() >= DUMP_LETTER_LEN {
                break;
            }
            let (now, reply) = (self.now, &mut letter.reply);
            cursor = self.shard.walk(place, now, |key, item| {
                if request.items_max > 0 && request.classes.has(item.class) {
                    request.items_max -= 1;
                    let facts = item_facts(item);
                    reply.write(|out| dump::write_item(out, request.format, key, &facts, item.value.len(), now));
                }
            });
        }
        self.walks[home] = cursor;
        letter.task = Task::Dump { request, is_first, is_last: cursor.is_none() };
    }
}
