//! A text connection before its client has authenticated (`-Y`, PROTOCOL §9): the only line that means anything is a
//! `set`, whose value is a user's name and password.

use memchr::memchr;

use super::Frame;
use crate::limits::{AUTH_TOKEN_LEN_MAX, LINE_LEN_MAX};
use crate::protocol::ProtocolError;
use crate::protocol::text::request::parse_authentication;

/// A line shorter than this, its end included, ends the conversation.
const LINE_LEN_MIN: usize = 6;

#[derive(Debug)]
enum State {
    /// At the start of a line.
    Line,
    /// Before a token of so many bytes, its CRLF included.
    Token(usize),
    /// Within a token that is too long.
    Skip(usize),
}

/// Cuts the input into attempts to authenticate.
#[derive(Debug)]
pub(super) struct LockedFraming(State);

impl LockedFraming {
    pub(super) const fn new() -> Self {
        Self(State::Line)
    }

    pub(super) const fn is_between_requests(&self) -> bool {
        matches!(self.0, State::Line)
    }

    /// As [`super::Framing::next`]. The conversation ends with [`Frame::Close`].
    pub(super) fn next<'a>(&mut self, input: &'a [u8]) -> (usize, Option<Frame<'a>>) {
        match self.0 {
            State::Line => self.line(input),
            State::Token(len) => {
                let Some(token) = input.get(..len) else { return (0, None) };
                self.0 = State::Line;
                (len, Some(token.strip_suffix(b"\r\n").map_or_else(unended, Frame::Credentials)))
            }
            State::Skip(len) => {
                let used = len.min(input.len());
                if used < len {
                    self.0 = State::Skip(len - used);
                    return (used, None);
                }
                self.0 = State::Line;
                (used, Some(refused(ProtocolError::AuthTokenTooLong)))
            }
        }
    }

    fn line<'a>(&mut self, input: &'a [u8]) -> (usize, Option<Frame<'a>>) {
        let line_len = match memchr(b'\n', &input[..input.len().min(LINE_LEN_MAX)]) {
            Some(end) => end + 1,
            None if input.len() < LINE_LEN_MAX => return (0, None),
            None => return (input.len(), Some(Frame::Close)),
        };
        if line_len < LINE_LEN_MIN {
            return (input.len(), Some(Frame::Close));
        }
        let Some(token_len) = parse_authentication(&input[..line_len]) else {
            return (line_len, Some(refused(ProtocolError::Unauthenticated)));
        };
        self.0 = if token_len > AUTH_TOKEN_LEN_MAX { State::Skip(token_len + 2) } else { State::Token(token_len + 2) };
        let (used, frame) = self.next(&input[line_len..]);
        (line_len + used, frame)
    }
}

const fn refused<'a>(error: ProtocolError) -> Frame<'a> {
    Frame::Refused { error, noreply: false }
}

const fn unended<'a>() -> Frame<'a> {
    refused(ProtocolError::AuthTermination)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `input`, shown in reads of `step` bytes, turns out to be.
    fn seen(input: &[u8], step: usize) -> Vec<String> {
        let mut framing = LockedFraming::new();
        let mut pending = Vec::new();
        let mut seen = Vec::new();
        for read in input.chunks(step) {
            pending.extend_from_slice(read);
            loop {
                let (used, frame) = framing.next(&pending);
                let text = frame.map(|frame| match frame {
                    Frame::Credentials(token) => String::from_utf8_lossy(token).into_owned(),
                    Frame::Refused { error, .. } => format!("{error:?}"),
                    other => format!("{other:?}"),
                });
                pending.drain(..used);
                match text {
                    Some(text) if text == "Close" => return [seen, vec![text]].concat(),
                    Some(text) => seen.push(text),
                    None => break,
                }
            }
        }
        seen
    }

    #[test]
    fn attempts_are_cut_alike_however_they_come() {
        let long = AUTH_TOKEN_LEN_MAX + 1;
        let input = [
            b"get a key\r\nset x 0 0 9\r\nuser pass\r\nset x y z 4\nabcdxxset x 0 0 n\r\nset x 0 0\r\n".as_slice(),
            format!("set x 0 0 {long}\r\n{}\r\n", "v".repeat(long)).as_bytes(),
            b"set x 0 0 3\r\nu p\r\nquit\r\nmn\r\nset x 0 0 3\r\n",
        ]
        .concat();
        let expected = [
            "Unauthenticated",
            "user pass",
            "AuthTermination",
            "Unauthenticated",
            "Unauthenticated",
            "AuthTokenTooLong",
            "u p",
            "Unauthenticated",
            "Close",
        ];
        for step in [1, 2, 7, 100, input.len()] {
            assert_eq!(seen(&input, step), expected, "in reads of {step}");
        }
        let endless = vec![b'x'; LINE_LEN_MAX];
        assert_eq!(seen(&endless[1..], 100), [] as [&str; 0]);
        assert_eq!(seen(&endless, 100), ["Close"]);
    }
}
