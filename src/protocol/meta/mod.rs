//! The meta dialect (PROTOCOL §4): `mn`, `me`, `mg`, `ms`, `md`, `ma`.
//!
//! A request keeps its flags as they stand in the line, checked: replies echo them in their order, and so the same
//! words serve the parser, the owner of the key and the reply.

pub mod request;
pub mod response;

pub use request::{Flag, FlagSet, MetaFlags, MetaRequest, Verb};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::limits::KEY_LEN_MAX;
use crate::terms::Key;

/// Longest key in base64, as it stands in a reply.
const ENCODED_KEY_LEN_MAX: usize = KEY_LEN_MAX.div_ceil(3) * 4;

/// Decodes a key into `buffer`. `None` if it is not base64 with its padding, or no key then.
pub fn decode_key<'a>(token: &[u8], buffer: &'a mut [u8; KEY_LEN_MAX]) -> Option<Key<'a>> {
    let len = BASE64_STANDARD.decode_slice(token, buffer).ok()?;
    Key::new(&buffer[..len])
}

/// Writes a key in base64.
pub(crate) fn write_encoded(out: &mut Vec<u8>, key: Key<'_>) {
    let mut buffer = [0; ENCODED_KEY_LEN_MAX];
    if let Ok(len) = BASE64_STANDARD.encode_slice(key.as_bytes(), &mut buffer) {
        out.extend_from_slice(&buffer[..len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_through_base64_and_back() {
        for key in [b"a".as_slice(), b"foo", &[0, 255, 10, 32], &[7; 187], &[7; 250]] {
            let key = Key::new(key).unwrap();
            let mut text = Vec::new();
            write_encoded(&mut text, key);
            assert_eq!(text.len(), key.as_bytes().len().div_ceil(3) * 4);
            assert_eq!(decode_key(&text, &mut [0; KEY_LEN_MAX]), Some(key));
        }
        for text in ["Zm9", "Zm9v=", "Zm9-", "====", "", "Zm 9"] {
            assert_eq!(decode_key(text.as_bytes(), &mut [0; KEY_LEN_MAX]), None, "{text}");
        }
    }
}
