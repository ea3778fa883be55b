//! The header that every packet begins with.

/// The first byte of a request, and with it of every connection that speaks this dialect.
pub const REQUEST_MAGIC: u8 = 0x80;
/// The first byte of a response.
pub const RESPONSE_MAGIC: u8 = 0x81;
/// Bytes of a header.
pub const HEADER_LEN: usize = 24;

/// What a response has of its request, bit for bit.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tag {
    /// The opcode.
    pub opcode: u8,
    /// Whatever the client uses to tell its requests apart.
    pub opaque: [u8; 4],
}

/// A header.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Header {
    /// [`REQUEST_MAGIC`] or [`RESPONSE_MAGIC`].
    pub magic: u8,
    /// Opcode and opaque.
    pub tag: Tag,
    /// Bytes of the key.
    pub key_len: u16,
    /// Bytes of the extras.
    pub extras_len: u8,
    /// Always 0, and not looked at.
    pub data_type: u8,
    /// Of a response its status; of a request a number that nobody looks at.
    pub status: u16,
    /// Bytes of extras, key and value together.
    pub body_len: u32,
    /// The CAS unique of the item: as it is, or in a request as it must be unless this is 0.
    pub cas: u64,
}

impl Header {
    /// The header in these bytes.
    #[inline]
    pub fn read(bytes: &[u8; HEADER_LEN]) -> Self {
        let [
            magic,
            opcode,
            key_high,
            key_low,
            extras_len,
            data_type,
            status_high,
            status_low,
            body_3,
            body_2,
            body_1,
            body_0,
            opaque_3,
            opaque_2,
            opaque_1,
            opaque_0,
            cas @ ..,
        ] = *bytes;
        Self {
            magic,
            tag: Tag { opcode, opaque: [opaque_3, opaque_2, opaque_1, opaque_0] },
            key_len: u16::from_be_bytes([key_high, key_low]),
            extras_len,
            data_type,
            status: u16::from_be_bytes([status_high, status_low]),
            body_len: u32::from_be_bytes([body_3, body_2, body_1, body_0]),
            cas: u64::from_be_bytes(cas),
        }
    }

    /// Writes the header.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut bytes = [0; HEADER_LEN];
        bytes[0] = self.magic;
        bytes[1] = self.tag.opcode;
        bytes[2..4].copy_from_slice(&self.key_len.to_be_bytes());
        bytes[4] = self.extras_len;
        bytes[5] = self.data_type;
        bytes[6..8].copy_from_slice(&self.status.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.body_len.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.tag.opaque);
        bytes[16..].copy_from_slice(&self.cas.to_be_bytes());
        out.extend_from_slice(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let header = Header {
            magic: REQUEST_MAGIC,
            tag: Tag { opcode: 1, opaque: [2, 3, 4, 5] },
            key_len: 0x0607,
            extras_len: 8,
            data_type: 9,
            status: 0x0a0b,
            body_len: 0x0c0d_0e0f,
            cas: 0x1011_1213_1415_1617,
        };
        let mut bytes = Vec::new();
        header.write(&mut bytes);
        let expected = [
            0x80, 1, 6, 7, 8, 9, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 2, 3, 4, 5, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15,
            0x16, 0x17,
        ];
        assert_eq!(bytes, expected);
        assert_eq!(Header::read(&expected), header);
    }
}
