//! Packets of the binary dialect in a conversation: those about one item go to its owner, the others are answered here.

use crate::engine::conversation::Conversation;
use crate::engine::report;
use crate::protocol::binary::request::{Command, ItemRequest, Request};
use crate::protocol::binary::{Status, Tag, response};
use crate::protocol::text::request::parse_statistics;
use crate::protocol::{self, Parsed, StatsReport, Unstorable};
use crate::session::framing::{LargePacket, Packet};
use crate::session::gather::GatherKind;
use crate::session::letter::Task;
use crate::store::Incoming;
use crate::terms::{Exptime, Key};

impl Conversation<'_> {
    /// Kept apart, so that lines are run by code that fits together. Whether it was run on this core and is done.
    #[inline(never)]
    pub(super) fn packet(&mut self, packet: Packet<'_>) -> bool {
        match packet {
            Packet::Whole { head, value } => return self.whole_packet(&head, value),
            Packet::Large(mut large) => self.large_packet(&mut large, None),
            Packet::Unstored(why, mut large) => self.large_packet(&mut large, Some(why)),
            Packet::Refused { tag, status, close } => {
                self.refuse_packet(tag, status);
                if close {
                    self.session.close();
                }
            }
        }
        false
    }

    fn large_packet(&mut self, large: &mut LargePacket, unstorable: Option<Unstorable>) {
        self.end_memory_wait();
        let value = large.take_value().map_or(Incoming::Slice(&[]), Incoming::Large);
        let (tag, opcode, command, compare) = (large.tag, large.opcode, large.command, large.compare);
        if let Some(key) = large.key() {
            self.submit_packet(ItemRequest { tag, opcode, command, compare, unstorable }, key, value);
        }
    }

    fn whole_packet(&mut self, head: &Request<'_>, value: &[u8]) -> bool {
        let Request { tag, opcode, command, compare, .. } = *head;
        match command {
            Command::Retrieve { .. }
            | Command::Store { .. }
            | Command::Join(_)
            | Command::Delete
            | Command::Arithmetic { .. } => {
                let request = ItemRequest { tag, opcode, command, compare, unstorable: None };
                return Key::new(head.key).is_some_and(|key| self.submit_packet(request, key, Incoming::Slice(value)));
            }
            Command::Flush(delay) => {
                self.node.counters.cmd_flush += 1;
                if self.node.config.flush_enabled {
                    let delay = delay.unwrap_or(Exptime(0));
                    self.gather_packet(GatherKind::StampFlush(delay), opcode.quiet, tag);
                } else {
                    self.refuse_packet(tag, Status::AuthFailure);
                }
            }
            Command::Noop => self.answer(tag, b""),
            Command::Version => self.answer(tag, self.node.config.version.as_bytes()),
            Command::Stat => self.statistics_packet(tag, head.key),
            Command::Quit => {
                if !opcode.quiet {
                    self.answer(tag, b"");
                }
                self.session.close();
            }
            Command::SaslList | Command::SaslAuth | Command::SaslStep => {
                self.authenticate_by_packet(tag, command, head.key, value);
            }
        }
        false
    }

    /// Runs a packet on its owner. A quiet one keeps its place all the same: it may have something to say. Whether that
    /// was here, and it is done.
    fn submit_packet(&mut self, request: ItemRequest, key: Key<'_>, value: Incoming<'_>) -> bool {
        let owner = self.node.routing.owner(key);
        if self.may_run_here(owner) {
            let Self { node, session, .. } = self;
            session.slots.put(|out| node.execute_packet(&request, key, value, out));
            return true;
        }
        let mut letter = self.node.letter(owner, self.id);
        letter.slot = Some(self.session.slots.reserve());
        letter.task = Task::Packet { request, key_len: letter.put_key(key) };
        self.forward_with(letter, value);
        false
    }

    /// `Stat`: the reports of the text dialect, a packet for each line.
    fn statistics_packet(&mut self, tag: Tag, argument: &[u8]) {
        let Parsed::Request(protocol::Request::Stats(report)) = parse_statistics(argument) else {
            self.refuse_packet(tag, Status::NotFound);
            return;
        };
        let lines = match report {
            StatsReport::Settings => report::settings(self.node),
            StatsReport::Sizes if !self.node.config.admin.track_sizes => report::NO_SIZES.to_vec(),
            StatsReport::Nothing => Vec::new(),
            _ => {
                self.stats(report);
                if let Some(gather) = &mut self.session.gather {
                    gather.tag = Some(tag);
                }
                return;
            }
        };
        self.session.slots.put(|out| out.write(|buffer| response::write_statistics(buffer, tag, &lines)));
    }

    fn gather_packet(&mut self, kind: GatherKind, quiet: bool, tag: Tag) {
        self.gather(kind, quiet);
        if let Some(gather) = &mut self.session.gather {
            gather.tag = Some(tag);
        }
    }
}
