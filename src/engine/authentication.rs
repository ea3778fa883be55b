//! Attempts to authenticate (PROTOCOL §9). A failed one is answered late, and later the more there have been on the
//! connection; meanwhile nothing else of it runs, and nobody else waits.

use crate::auth::scram::{self, Exchange, Step};
use crate::engine::conversation::Conversation;
use crate::limits::{AUTH_DELAY_MAX_MS, AUTH_DELAY_MIN_MS};
use crate::protocol::ProtocolError;
use crate::protocol::binary::request::Command;
use crate::protocol::binary::response::{self as packet, Response};
use crate::protocol::binary::sasl::{AUTHENTICATED, MECHANISMS, parse_plain};
use crate::protocol::binary::{Status, Tag};
use crate::protocol::text::request::parse_credentials;
use crate::protocol::text::response;
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
        let is_admitted = self.admits(user, password);
        self.count_attempt(is_admitted);
        if is_admitted {
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
        let step = if command == Command::SaslAuth {
            self.session.exchange = None;
            self.begin(mechanism, message)
        } else {
            // Without an exchange, as after PLAIN, which needs one step: a further one belongs to nothing.
            self.session.exchange.as_mut().map_or(Step::Refused, |exchange| exchange.step(message))
        };
        if let Step::Challenge(challenge) = step {
            self.respond(tag, Status::AuthContinue, &challenge);
            return;
        }
        self.session.exchange = None;
        let is_admitted = step == Step::Admitted;
        self.count_attempt(is_admitted);
        if is_admitted {
            self.session.framing.unlock();
            self.answer(tag, AUTHENTICATED);
        } else {
            let mut reply = Vec::new();
            packet::write_error(&mut reply, tag, Status::AuthFailure);
            self.reply_late(reply);
        }
    }

    /// The first message of a mechanism.
    fn begin(&mut self, mechanism: &[u8], message: &[u8]) -> Step {
        if mechanism.eq_ignore_ascii_case(b"PLAIN") {
            let is_admitted = parse_plain(message).is_some_and(|(user, password)| self.admits(user, password));
            return if is_admitted { Step::Admitted } else { Step::Refused };
        }
        let users = self.node.config.access.users.as_deref();
        let users = users.filter(|_| mechanism.eq_ignore_ascii_case(scram::MECHANISM));
        match users.and_then(|users| Exchange::begin(message, users)) {
            Some((exchange, challenge)) => {
                self.session.exchange = Some(Box::new(exchange));
                Step::Challenge(challenge)
            }
            None => Step::Refused,
        }
    }

    fn admits(&self, user: &[u8], password: &[u8]) -> bool {
        self.node.config.access.users.as_ref().is_some_and(|users| users.admits(user, password))
    }

    fn count_attempt(&mut self, is_admitted: bool) {
        self.node.counters.auth_cmds += 1;
        if !is_admitted {
            self.node.counters.auth_errors += 1;
        }
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
        self.respond(tag, Status::Ok, value);
    }

    fn respond(&mut self, tag: Tag, status: Status, value: &[u8]) {
        let (status, cas) = (status.code(), CasUnique(0));
        let response = Response { tag, status, cas, extras: b"", key: b"", value };
        self.session.slots.put(|out| out.write(|buffer| packet::write(buffer, &response)));
    }

    /// Writes that a packet has not been done.
    pub(super) fn refuse_packet(&mut self, tag: Tag, status: Status) {
        self.session.slots.put(|out| out.write(|buffer| packet::write_error(buffer, tag, status)));
    }
}
