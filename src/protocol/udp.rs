//! The frame around requests and replies that travel as datagrams (PROTOCOL §8): eight bytes, big endian, then the
//! dialect's own bytes.

use crate::limits::UDP_DATAGRAM_LEN_MAX;

/// The length of the frame's header.
pub const HEADER_LEN: usize = 8;
/// How much of a message one datagram carries.
pub const PAYLOAD_LEN_MAX: usize = UDP_DATAGRAM_LEN_MAX - HEADER_LEN;

/// What a reply becomes that is larger than allowed.
pub const REPLY_TOO_LARGE: &[u8] = b"SERVER_ERROR reply too large for UDP\r\n";

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
