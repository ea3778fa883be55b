//! Attempts to authenticate (PROTOCOL §9). A failed one is answered late, and later the more there have been on the
//! connection; meanwhile nothing else of it runs, and nobody else waits.

use crate::engine::conversation::Conversation;
use crate::limits::{AUTH_DELAY_MAX_MS, AUTH_DELAY_MIN_MS};
use crate::protocol::binary::request::Command;
use crate::protocol::binary::sasl::{AUTHENTICATED, MECHANISMS, parse_plain};
use crate::protocol::binary::{Status, Tag, response as packet};
use crate::protocol::text::request::parse_credentials;
use crate::protocol::text::response;
use crate::protocol::{Output, ProtocolError};
use crate::session::gather::{Gather, GatherKind};
use crate::terms::CasUnique;

impl Conversation<'_> {
    /// A client of the text dialect has sent name and password.
    #[cold]
    pub(super) fn authenticate(&mut self, token: &[u8]) {
        let Some((user, password)) = parse_credentials(token) else {
            self.session.slots.put(|out| out.put(ProtocolError::AuthTokenFormat.line()));
            return;
        };
        if self.admits(Some((user, password))) {
            self.session.framing.unlock();
            self.session.slots.put(|out| out.put(response::STORED));
        } else {
            self.reply_late(ProtocolError::AuthFailure.line().to_vec());
        }
    }

    /// A packet of authentication.
    pub(super) fn authenticate_by_packet(&mut self, tag: Tag, command: Command, mechanism: &[u8], message: &[u8]) {
        if self.node.config.access.users.is_none() {
            self.refuse_packet(tag, Status::Unknown);
            return;
        }
        if command == Command::SaslList {
            self.answer(tag, MECHANISMS);
            return;
        }
        // Whoever fails to become somebody else is nobody.
        self.session.framing.lock();
        // PLAIN needs one step: a further one belongs to nothing.
        let is_plain = command == Command::SaslAuth && mechanism.eq_ignore_ascii_case(b"PLAIN");
        if self.admits(if is_plain { parse_plain(message) } else { None }) {
            self.session.framing.unlock();
            self.answer(tag, AUTHENTICATED);
        } else {
            let mut reply = Vec::new();
            packet::write_error(&mut reply, tag, Status::AuthFailure);
            self.reply_late(reply);
        }
    }

    fn admits(&mut self, pair: Option<(&[u8], &[u8])>) -> bool {
        let users = self.node.config.access.users.as_ref();
        let is_admitted = pair.zip(users).is_some_and(|((user, password), users)| users.admits(user, password));
        self.node.counters.auth_cmds += 1;
        if !is_admitted {
            self.node.counters.auth_errors += 1;
        }
        is_admitted
    }

    fn reply_late(&mut self, reply: Vec<u8>) {
        let doublings = u32::from(self.session.failed_attempts).min(AUTH_DELAY_MAX_MS.ilog2());
        self.session.failed_attempts = self.session.failed_attempts.saturating_add(1);
        let until_ms = self.node.now.monotonic_ms + (AUTH_DELAY_MIN_MS << doublings).min(AUTH_DELAY_MAX_MS);
        let slot = self.session.slots.reserve();
        let mut gather = Gather::new(GatherKind::Delay { until_ms }, Some(slot));
        gather.text = reply;
        self.session.gather = Some(gather);
        self.node.delayed.push((until_ms, self.id));
    }

    /// Writes that a packet has been done.
    pub(super) fn answer(&mut self, tag: Tag, value: &[u8]) {
        let write = |out: &mut Output| out.write(|buffer| packet::write_done(buffer, tag, CasUnique(0), value));
        self.session.slots.put(write);
    }

    /// Writes that a packet has not been done.
    pub(super) fn refuse_packet(&mut self, tag: Tag, status: Status) {
        self.session.slots.put(|out| out.write(|buffer| packet::write_error(buffer, tag, status)));
    }
}
