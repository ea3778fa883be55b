//! The frame around requests and replies that travel as datagrams (PROTOCOL §8): eight bytes, big endian, then the
//! dialect's own bytes.

use super::binary::{self, Header, RESPONSE_MAGIC, Status, Tag, response};
use crate::limits::UDP_DATAGRAM_LEN_MAX;

/// The length of the frame's header.
pub const HEADER_LEN: usize = 8;
/// How much of a message one datagram carries.
pub const PAYLOAD_LEN_MAX: usize = UDP_DATAGRAM_LEN_MAX - HEADER_LEN;

/// What a reply of lines becomes that is larger than allowed.
const REPLY_TOO_LARGE: &[u8] = b"SERVER_ERROR reply too large for UDP\r\n";

/// One datagram of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// Chosen by the client and echoed, so that it can tell replies apart.
    pub request_id: u16,
    /// Which of the message's datagrams it is, from 0.
    pub sequence: u16,
    /// How many datagrams the message has.
    pub total: u16,
    /// Its part of the message.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads a datagram. Nothing if there is no payload. The reserved field is not looked at.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (header, payload) = datagram.split_first_chunk::<HEADER_LEN>()?;
        let [id_high, id_low, sequence_high, sequence_low, total_high, total_low, ..] = *header;
        (!payload.is_empty()).then_some(Self {
            request_id: u16::from_be_bytes([id_high, id_low]),
            sequence: u16::from_be_bytes([sequence_high, sequence_low]),
            total: u16::from_be_bytes([total_high, total_low]),
            payload,
        })
    }

    /// Adds the datagram to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        for field in [self.request_id, self.sequence, self.total, 0] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        out.extend_from_slice(self.payload);
    }
}

/// Reads a request, which must be one datagram.
pub fn parse_request(datagram: &[u8]) -> Option<Frame<'_>> {
    Frame::parse(datagram).filter(|frame| frame.total == 1)
}

/// All that is answered to one datagram, as it grows. Beyond its limit it is an error and nothing else.
#[derive(Debug)]
pub struct Reply {
    request_id: u16,
    len_max: usize,
    message: Vec<u8>,
}

impl Reply {
    /// The reply to a request, of which nothing is there yet.
    pub const fn new(request_id: u16, len_max: usize) -> Self {
        Self { request_id, len_max, message: Vec::new() }
    }

    /// Adds bytes in the order in which they are answered; headers of packets come in one piece. Whether there was
    /// room: if not, the reply is over.
    #[must_use]
    pub fn add(&mut self, bytes: &[u8]) -> bool {
        self.message.extend_from_slice(bytes);
        if self.message.len() <= self.len_max {
            return true;
        }
        let tag = tag_at(&self.message, self.len_max);
        self.message.clear();
        match tag {
            Some(tag) => response::write_error(&mut self.message, tag, Status::TooLarge),
            None => self.message.extend_from_slice(REPLY_TOO_LARGE),
        }
        false
    }

    /// What is to be sent.
    pub fn datagrams(&self) -> impl Iterator<Item = Frame<'_>> {
        reply(self.request_id, &self.message)
    }
}

/// Of which request the packet is that has the byte at `at`; nothing if the message has no packets.
fn tag_at(message: &[u8], at: usize) -> Option<Tag> {
    let (mut tag, mut begin) = (None, 0);
    while begin <= at
        && let Some(header) = message.get(begin..).and_then(<[u8]>::first_chunk)
    {
        let header = Header::read(header);
        if header.magic != RESPONSE_MAGIC {
            break;
        }
        tag = Some(header.tag);
        begin += binary::HEADER_LEN + header.body_len as usize;
    }
    tag
}

/// The datagrams of a reply: none if it is empty, else one message with a common total. What is beyond 65,535 datagrams
/// is left out; limits.rs keeps replies far below.
pub fn reply(request_id: u16, message: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let total = u16::try_from(message.len().div_ceil(PAYLOAD_LEN_MAX)).unwrap_or(u16::MAX);
    (0..total).zip(message.chunks(PAYLOAD_LEN_MAX)).map(move |(sequence, payload)| Frame {
        request_id,
        sequence,
        total,
        payload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms::CasUnique;

    #[test]
    fn what_is_written_is_what_is_read() {
        let frame = Frame { request_id: 0x1234, sequence: 5, total: 0x0607, payload: b"get a\r\n" };
        let mut datagram = Vec::new();
        frame.write(&mut datagram);
        assert_eq!(datagram, b"\x12\x34\0\x05\x06\x07\0\0get a\r\n");
        assert_eq!(Frame::parse(&datagram), Some(frame));
    }

    #[test]
    fn a_request_is_one_datagram_with_a_payload() {
        let request = |text: &'static [u8]| parse_request(text).map(|frame| (frame.request_id, frame.payload));
        assert_eq!(request(b"\0\x01\0\0\0\x01\0\0x"), Some((1, b"x".as_slice())));
        assert_eq!(request(b"\0\x01\0\x09\0\x01\xff\xffx"), Some((1, b"x".as_slice())), "not looked at");
        for ignored in [b"".as_slice(), b"\0\x01\0\0\0\x01\0", b"\0\x01\0\0\0\x01\0\0", b"\0\x01\0\0\0\x02\0\0x"] {
            assert_eq!(request(ignored), None, "{ignored:?}");
        }
        assert_eq!(request(b"\0\x01\0\0\0\0\0\0x"), None);
    }

    #[test]
    fn a_reply_beyond_its_limit_is_an_error() {
        let whole = |reply: &Reply| reply.datagrams().flat_map(|frame| frame.payload.to_vec()).collect::<Vec<u8>>();
        let mut lines = Reply::new(7, 10);
        assert!(lines.add(b"STORED\r\n") && lines.add(b"2\n"));
        assert_eq!(whole(&lines), b"STORED\r\n2\n");
        assert!(!lines.add(b"x"));
        assert_eq!(whole(&lines), b"SERVER_ERROR reply too large for UDP\r\n");
    }

    #[test]
    fn a_reply_of_packets_beyond_its_limit_names_the_request_that_went_there() {
        let tag = |number| Tag { opcode: 0x0c, opaque: [number; 4] };
        let mut packets = Vec::new();
        for number in 1..=3 {
            response::write_done(&mut packets, tag(number), CasUnique(0), &[b'x'; 76]);
        }
        for (len_max, number) in [(99, 1), (100, 2), (101, 2), (199, 2), (200, 3), (299, 3)] {
            let mut reply = Reply::new(7, len_max);
            assert!(!reply.add(&packets));
            let mut expected = Vec::new();
            response::write_error(&mut expected, tag(number), Status::TooLarge);
            let datagrams: Vec<Frame<'_>> = reply.datagrams().collect();
            assert_eq!(datagrams, [Frame { request_id: 7, sequence: 0, total: 1, payload: &expected }], "{len_max}");
        }
        let mut reply = Reply::new(7, 300);
        assert!(reply.add(&packets));
    }

    #[test]
    fn a_reply_is_cut_into_datagrams_with_a_common_total() {
        for len in [0, 1, 1391, 1392, 1393, 2784, 65_536] {
            let message: Vec<u8> = (0..=255).cycle().take(len).collect();
            let mut whole = Vec::new();
            let total = len.div_ceil(1392);
            for (at, frame) in reply(7, &message).enumerate() {
                let mut datagram = Vec::new();
                frame.write(&mut datagram);
                assert!(datagram.len() <= UDP_DATAGRAM_LEN_MAX);
                assert_eq!((frame.request_id, usize::from(frame.sequence), usize::from(frame.total)), (7, at, total));
                whole.extend_from_slice(frame.payload);
            }
            assert_eq!(whole, message);
        }
    }
}
