//! Requests and replies in UDP datagrams (PROTOCOL §8). A reply may come in several, in any order, or not at all.

use std::collections::{BTreeMap, VecDeque};

use crate::conversation::{Conversation, Manner, Reply, Violation};
use crate::workload::keyspace::Keyspace;
use crate::workload::source::Request;

/// Request number, sequence number, total, reserved: two bytes each, big endian.
const HEADER_LEN: usize = 8;

/// The exchanges of one socket.
pub(crate) struct Datagrams {
    manner: Manner,
    next_id: u16,
    /// Oldest first.
    open: VecDeque<Exchange>,
    /// Conversations to use again.
    spare: Vec<Conversation>,
    /// Whether replies have been given up: one that comes late is no reply too many.
    has_given_up: bool,
    pub(crate) missed: Vec<Request>,
}

/// One request and what has come of its reply.
struct Exchange {
    id: u16,
    sent_at: u64,
    conversation: Conversation,
    next_sequence: u16,
    /// Datagrams that came before those that go before them.
    early: BTreeMap<u16, Vec<u8>>,
}

impl Datagrams {
    pub(crate) fn new(manner: Manner) -> Datagrams {
        let (open, spare, missed) = (VecDeque::new(), Vec::new(), Vec::new());
        Datagrams { manner, next_id: 0, open, spare, has_given_up: false, missed }
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.open.len()
    }

    /// Writes one datagram, alone in `out`.
    pub(crate) fn ask(&mut self, request: &Request, keys: &[u64], at: u64, keyspace: &Keyspace, out: &mut Vec<u8>) {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&[0, 0, 0, 1, 0, 0]);
        let mut conversation = self.spare.pop().unwrap_or_else(|| Conversation::new(self.manner));
        conversation.ask(request, keys, at, keyspace, out);
        self.open.push_back(Exchange { id, sent_at: at, conversation, next_sequence: 0, early: BTreeMap::new() });
    }

    pub(crate) fn sent_at(&mut self, at: u64) {
        if let Some(exchange) = self.open.back_mut() {
            exchange.sent_at = at;
            exchange.conversation.mark_last(1, at);
        }
    }

    /// Takes one datagram.
    pub(crate) fn receive(
        &mut self,
        datagram: &[u8],
        keyspace: &Keyspace,
        on_reply: &mut impl FnMut(Reply),
    ) -> Result<(), Violation> {
        let Some((header, payload)) = datagram.split_first_chunk::<HEADER_LEN>() else {
            return Err(Violation::Wrong(format!(
                "a datagram of {} bytes came, shorter than its header",
                datagram.len()
            )));
        };
        let [id_0, id_1, sequence_0, sequence_1, total_0, total_1, ..] = *header;
        let id = u16::from_be_bytes([id_0, id_1]);
        let (sequence, total) = (u16::from_be_bytes([sequence_0, sequence_1]), u16::from_be_bytes([total_0, total_1]));
        let Some(index) = self.open.iter().position(|exchange| exchange.id == id) else {
            return if self.has_given_up {
                Ok(())
            } else {
                Err(Violation::Extra(format!("a datagram came for request {id}, which was not asked")))
            };
        };
        let exchange = &mut self.open[index];
        if sequence != exchange.next_sequence {
            if sequence < exchange.next_sequence || exchange.early.insert(sequence, payload.to_vec()).is_some() {
                return Err(Violation::Extra(format!("datagram {sequence} of request {id} came twice")));
            }
            return Ok(());
        }
        let mut payload = payload.to_vec();
        loop {
            exchange.conversation.receive(&payload, keyspace, on_reply)?;
            exchange.next_sequence += 1;
            match exchange.early.remove(&exchange.next_sequence) {
                Some(next) => payload = next,
                None => break,
            }
        }
        self.missed.append(&mut exchange.conversation.missed);
        if exchange.next_sequence >= total {
            // memcached answers a get of several keys in as many messages, each with a total of its own.
            exchange.next_sequence = 0;
            let is_answered = exchange.conversation.expected() == 0;
            if let Some(exchange) = if is_answered { self.open.remove(index) } else { None } {
                self.spare.push(exchange.conversation);
            }
        }
        Ok(())
    }

    /// Gives up what was sent before `limit`; tells how many.
    pub(crate) fn give_up(&mut self, limit: u64) -> usize {
        let before = self.open.len();
        self.open.retain(|exchange| exchange.sent_at >= limit);
        let lost = before - self.open.len();
        self.has_given_up |= lost > 0;
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;
    use crate::workload::Operation;
    use crate::workload::keyspace::Family;
    use crate::workload::source::Then;

    fn asked(count: usize) -> (Datagrams, Keyspace) {
        let keyspace = Keyspace::numbered(10, 4, "3000".parse().unwrap()).unwrap();
        let manner = Manner { dialect: Dialect::Text, verify: true, quiet: false, wants_misses: true };
        let mut datagrams = Datagrams::new(manner);
        for number in 0..u8::try_from(count).unwrap() {
            let key = u64::from(number);
            let operation = Operation::Get;
            let request = Request {
                operation,
                family: Family::Item,
                key,
                version: 0,
                size: 0,
                ttl: 0,
                unique: 0,
                then: Then::Nothing,
            };
            let mut out = Vec::new();
            datagrams.ask(&request, &[], 5, &keyspace, &mut out);
            assert_eq!(out, [&[0, number, 0, 0, 0, 1, 0, 0][..], format!("get kkk{key}\r\n").as_bytes()].concat());
        }
        (datagrams, keyspace)
    }

    fn reply(keyspace: &Keyspace, key: u64) -> Vec<Vec<u8>> {
        let mut whole = format!("VALUE kkk{key} 0 3000\r\n").into_bytes();
        keyspace.push_value(key, 1, 3000, &mut whole);
        whole.extend_from_slice(b"\r\nEND\r\n");
        let parts: Vec<&[u8]> = whole.chunks(1392).collect();
        let byte = |number: usize| u8::try_from(number).unwrap();
        let (id, total) = (u8::try_from(key).unwrap(), byte(parts.len()));
        let datagram = |(number, part): (usize, &&[u8])| [&[0, id, 0, byte(number), 0, total, 0, 0][..], part].concat();
        parts.iter().enumerate().map(datagram).collect()
    }

    #[test]
    fn replies_come_in_any_order_and_in_pieces() {
        let (mut datagrams, keyspace) = asked(2);
        let mut replies = Vec::new();
        let [first, second] = [reply(&keyspace, 0), reply(&keyspace, 1)];
        for datagram in [&second[2], &first[0], &second[0], &first[2], &first[1], &second[1]] {
            datagrams.receive(datagram, &keyspace, &mut |reply| replies.push(reply.request.key)).unwrap();
        }
        assert_eq!(replies, [0, 1]);
        assert_eq!(datagrams.outstanding(), 0);
        assert!(matches!(datagrams.receive(&first[0], &keyspace, &mut |_| ()), Err(Violation::Extra(_))));
    }

    #[test]
    fn lost_replies_are_given_up_and_may_come_late() {
        let (mut datagrams, keyspace) = asked(3);
        datagrams.sent_at(9);
        assert_eq!((datagrams.give_up(5), datagrams.give_up(6), datagrams.outstanding()), (0, 2, 1));
        for datagram in reply(&keyspace, 0) {
            datagrams.receive(&datagram, &keyspace, &mut |_| panic!("too late")).unwrap();
        }
    }

    #[test]
    fn lies_are_noticed() {
        let (mut datagrams, keyspace) = asked(1);
        assert!(datagrams.receive(b"short", &keyspace, &mut |_| ()).is_err());
        let mut twice = reply(&keyspace, 0).remove(0);
        assert!(datagrams.receive(&twice, &keyspace, &mut |_| ()).is_ok());
        assert!(matches!(datagrams.receive(&twice, &keyspace, &mut |_| ()), Err(Violation::Extra(_))));
        twice[1] = 9;
        assert!(matches!(datagrams.receive(&twice, &keyspace, &mut |_| ()), Err(Violation::Extra(_))));
    }

    #[test]
    fn a_reply_may_be_several_messages() {
        let (mut datagrams, keyspace) = asked(1);
        let mut replies = 0;
        for mut datagram in reply(&keyspace, 0) {
            (datagram[3], datagram[5]) = (0, 1);
            datagrams.receive(&datagram, &keyspace, &mut |_| replies += 1).unwrap();
        }
        assert_eq!((replies, datagrams.outstanding()), (1, 0));
    }
}
