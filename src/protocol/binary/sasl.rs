//! What the packets of authentication carry (PROTOCOL §9), and the mechanism `PLAIN` of RFC 4616.

/// The mechanisms there are, as `SASL list` answers.
pub const MECHANISMS: &[u8] = b"PLAIN SCRAM-SHA-256";
/// What a successful authentication is answered with.
pub const AUTHENTICATED: &[u8] = b"Authenticated";

/// Name and password in a message of the mechanism `PLAIN`: whom to act as, NUL, name, NUL, password. Acting as somebody
/// else is not possible here, so the first is empty or the name.
pub fn parse_plain(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = message.split(|&byte| byte == 0);
    let (acting_as, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let is_legal = parts.next().is_none() && (acting_as.is_empty() || acting_as == user);
    is_legal.then_some((user, password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_message_has_three_parts() {
        let pair = Some((&b"ann"[..], &b"secret"[..]));
        assert_eq!(parse_plain(b"\0ann\0secret"), pair);
        assert_eq!(parse_plain(b"ann\0ann\0secret"), pair);
        for message in [&b""[..], b"ann", b"\0ann", b"bob\0ann\0secret", b"\0ann\0secret\0"] {
            assert_eq!(parse_plain(message), None, "{}", message.escape_ascii());
        }
    }
}
