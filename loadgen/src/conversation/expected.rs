//! The reply that most likely comes next, compared whole instead of being read.

use super::body::{Body, Check};
use crate::dialect::Head;
use crate::workload::keyspace::Keyspace;

const BEGIN: &[u8; 6] = b"VALUE ";
const END: &[u8; 7] = b"\r\nEND\r\n";

/// What the replies to gets of the text dialect look like so far: they differ in their keys and values only, as long as
/// the values have one length.
///
/// What is recognized here would be read the same byte for byte; what is not recognized, right or wrong, is left to be
/// read. So it can save time, and cannot let anything pass.
#[derive(Default)]
pub(super) struct Expected {
    name_len: usize,
    /// The head behind the key, with its line end. Empty as long as no value has come.
    head_end: Vec<u8>,
    value_len: usize,
}

/// Whose value it must be; nothing if that is not to be verified.
pub(super) struct Asked<'a> {
    pub(super) key: u64,
    pub(super) name: &'a [u8],
}

impl Expected {
    /// Expects more replies like the one whose head was read.
    pub(super) fn learn(&mut self, head: &Head<'_>, raw: &[u8]) {
        let name_len = head.key.map_or(0, <[u8]>::len);
        self.head_end.clear();
        // A unique belongs to one value.
        if head.unique == 0 && raw.len() > BEGIN.len() + name_len {
            self.head_end.extend_from_slice(&raw[BEGIN.len() + name_len..]);
            (self.name_len, self.value_len) = (name_len, head.body_len);
        }
    }

    /// How long the reply at the begin of `bytes` is, if it is there whole and is the one expected.
    #[inline]
    pub(super) fn len_of_reply(&self, bytes: &[u8], asked: Option<&Asked<'_>>, keyspace: &Keyspace) -> Option<usize> {
        if self.head_end.is_empty() {
            return None;
        }
        let (name, rest) = bytes.strip_prefix(BEGIN)?.split_at_checked(self.name_len)?;
        let (value, rest) = rest.strip_prefix(self.head_end.as_slice())?.split_at_checked(self.value_len)?;
        let is_right = rest.starts_with(END)
            && match asked {
                Some(asked) => name == asked.name && self.is_value_of(asked.key, value, keyspace),
                // A name that ends earlier has its end among these bytes.
                None => memchr::memchr2(b' ', b'\n', name).is_none(),
            };
        is_right.then(|| bytes.len() - rest.len() + END.len())
    }

    fn is_value_of(&self, key: u64, value: &[u8], keyspace: &Keyspace) -> bool {
        let is_as_long = keyspace.expected_len(key).is_none_or(|due| due == value.len());
        is_as_long && Body::new(self.value_len, false, Check::Value { key }, None).take(value, keyspace).fault.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Dialect, Reading};
    use crate::workload::keyspace::VERSION_LEN;

    const VALUE_LEN: usize = 9;

    fn reply(keyspace: &Keyspace, key: u64, version: u32) -> Vec<u8> {
        let mut reply = format!("VALUE kkkkk{key:03} 0 {VALUE_LEN}\r\n").into_bytes();
        keyspace.push_value(key, version, VALUE_LEN, &mut reply);
        reply.extend_from_slice(b"\r\nEND\r\n");
        reply
    }

    fn taught(by: &[u8]) -> Expected {
        let mut expected = Expected::default();
        match Dialect::Text.read(by) {
            Reading::Head(head) => expected.learn(&head, &by[..head.len]),
            other => panic!("{other:?}"),
        }
        expected
    }

    #[test]
    fn only_the_whole_and_right_reply_is_recognized() {
        let keyspace = Keyspace::numbered(1000, 8, "9".parse().unwrap()).unwrap();
        let asked = Asked { key: 7, name: b"kkkkk007" };
        let right = reply(&keyspace, 7, 2);
        assert_eq!(Expected::default().len_of_reply(&right, Some(&asked), &keyspace), None, "nothing is known yet");
        let expected = taught(&reply(&keyspace, 3, 1));
        let len = |bytes: &[u8]| expected.len_of_reply(bytes, Some(&asked), &keyspace);
        assert_eq!(len(&right), Some(right.len()));
        assert_eq!(len(&[right.as_slice(), b"VALUE"].concat()), Some(right.len()));
        assert_eq!(len(&reply(&keyspace, 8, 2)), None, "of another key");
        for cut in 0..right.len() {
            assert_eq!(len(&right[..cut]), None, "{cut} bytes");
            let mut wrong = right.clone();
            wrong[cut] ^= 0x20;
            // A value says itself which version it is.
            let is_version = (20..20 + VERSION_LEN).contains(&cut);
            assert!(is_version || len(&wrong).is_none(), "byte {cut}");
        }
    }

    #[test]
    fn values_of_the_wrong_length_are_not_recognized_however_often_they_come() {
        let keyspace = Keyspace::numbered(1000, 8, "10".parse().unwrap()).unwrap();
        let short = reply(&keyspace, 7, 2);
        let asked = Asked { key: 7, name: b"kkkkk007" };
        assert_eq!(taught(&short).len_of_reply(&short, Some(&asked), &keyspace), None);
    }

    #[test]
    fn without_verification_the_form_alone_must_be_right() {
        let keyspace = Keyspace::numbered(1000, 8, "10".parse().unwrap()).unwrap();
        let expected = taught(b"VALUE abc 0 2\r\nxx\r\nEND\r\n");
        let len = |bytes: &[u8]| expected.len_of_reply(bytes, None, &keyspace);
        assert_eq!(len(b"VALUE xyz 0 2\r\n\r\n\r\nEND\r\n"), Some(24));
        for other in [
            &b"VALUE x z 0 2\r\nxx\r\nEND\r\n"[..],
            b"VALUE x\nz 0 2\r\nxx\r\nEND\r\n",
            b"VALUE xyz 0 3\r\nxx\r\nEND\r\n",
            b"VALUE xyz 0 2\r\nxxx\r\nEND\r\n",
            b"VALUE xyz 0 2\r\nxx\r\nVALUE",
        ] {
            assert_eq!(len(other), None, "{other:?}");
        }
        assert_eq!(
            taught(b"VALUE abc 0 2 77\r\n").len_of_reply(b"VALUE abc 0 2 77\r\nxx\r\nEND\r\n", None, &keyspace),
            None
        );
    }
}
