//! One conversation: which replies are due, and whether they came, byte by byte. Pure: bytes in, verdicts out.

use std::collections::VecDeque;
use std::fmt::Write;

use crate::workload::{Keyspace, Request, Workload};

/// No line of a right reply is longer: `VALUE`, a key of 250 bytes and two numbers.
const LINE_LEN_MAX: usize = 512;

/// A reply came, in its place, and was right or an honest `SERVER_ERROR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) request: Request,
    pub(crate) hits: u32,
    pub(crate) misses: u32,
    pub(crate) is_server_error: bool,
}

/// A reply that must not be. Nothing after it on its connection means anything.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// It answers no request.
    Extra(String),
    /// It is not what the request asked for.
    Wrong(String),
}

/// The requests of one connection that wait for replies, and where in the reply to the first of them we are.
///
/// Invariant: `keys` holds, in the order asked, the keys of all requests in `due`, less those of the first one that the
/// reply has passed already; `keys_left` is how many the first one has there.
pub(crate) struct Conversation {
    due: VecDeque<(Request, u16)>,
    keys: VecDeque<u32>,
    keys_left: u16,
    hits: u32,
    misses: u32,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// In the middle of a value: its key, and how many of its bytes and its line end have come.
    body: Option<(u32, usize)>,
    /// `VALUE <key> 0 <length>` and a line end, for a key whose number is written in before use.
    header: Vec<u8>,
}

/// Where the key stands in `VALUE <key>`.
const HEADER_KEY_AT: usize = 6;

impl Conversation {
    pub(crate) fn new(keyspace: &Keyspace) -> Conversation {
        let mut header = b"VALUE ".to_vec();
        keyspace.push_key(0, &mut header);
        header.extend_from_slice(format!(" 0 {}\r\n", keyspace.value_len()).as_bytes());
        Conversation {
            due: VecDeque::new(),
            keys: VecDeque::new(),
            keys_left: 0,
            hits: 0,
            misses: 0,
            line: Vec::new(),
            body: None,
            header,
        }
    }

    /// How many requests wait for their replies.
    pub(crate) fn outstanding(&self) -> usize {
        self.due.len()
    }

    /// Writes the next request of the workload and expects its reply. `false` if the workload is at its end.
    pub(crate) fn ask(
        &mut self,
        workload: &mut Workload,
        keyspace: &Keyspace,
        multiget: u16,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(request) = workload.next() else { return false };
        let keys = match request {
            Request::Get => {
                out.extend_from_slice(b"get");
                for _ in 0..multiget {
                    let key = workload.key(keyspace);
                    self.keys.push_back(key);
                    out.push(b' ');
                    keyspace.push_key(key, out);
                }
                multiget
            }
            Request::Set => {
                let key = workload.key(keyspace);
                self.keys.push_back(key);
                // The header of a value's reply has the very numbers that a set wants.
                out.extend_from_slice(b"set ");
                keyspace.push_key(key, out);
                out.extend_from_slice(b" 0");
                out.extend_from_slice(&self.header[HEADER_KEY_AT + keyspace.key_len()..]);
                out.extend_from_slice(keyspace.value(key));
                1
            }
        };
        out.extend_from_slice(b"\r\n");
        if self.due.is_empty() {
            self.keys_left = keys;
        }
        self.due.push_back((request, keys));
        true
    }

    /// Takes bytes of the server; calls `on_reply` for every reply that they complete.
    pub(crate) fn receive(
        &mut self,
        mut bytes: &[u8],
        keyspace: &Keyspace,
        mut on_reply: impl FnMut(Reply),
    ) -> Result<(), Violation> {
        while !bytes.is_empty() {
            bytes = if let Some((key, at)) = self.body {
                self.receive_body(key, at, bytes, keyspace)?
            } else if let Some(rest) = self.skip_expected_header(bytes, keyspace) {
                rest
            } else {
                let Some(end) = memchr::memchr(b'\n', bytes) else {
                    self.line.extend_from_slice(bytes);
                    return if self.line.len() > LINE_LEN_MAX { Err(self.wrong(&self.line, keyspace)) } else { Ok(()) };
                };
                let (head, rest) = bytes.split_at(end + 1);
                if self.line.is_empty() {
                    self.receive_line(head, keyspace, &mut on_reply)?;
                } else {
                    let mut line = std::mem::take(&mut self.line);
                    line.extend_from_slice(head);
                    self.receive_line(&line, keyspace, &mut on_reply)?;
                    line.clear();
                    self.line = line;
                }
                rest
            };
        }
        Ok(())
    }

    /// By far the most frequent case: the header of the very value that is due, in one piece.
    fn skip_expected_header<'a>(&mut self, bytes: &'a [u8], keyspace: &Keyspace) -> Option<&'a [u8]> {
        let (Some((Request::Get, _)), Some(&key)) = (self.due.front(), self.keys.front()) else { return None };
        if self.keys_left == 0 || !self.line.is_empty() {
            return None;
        }
        let key_end = HEADER_KEY_AT + keyspace.key_len();
        keyspace.write_number(key, &mut self.header[HEADER_KEY_AT..key_end]);
        let rest = bytes.strip_prefix(self.header.as_slice())?;
        self.begin_body(key);
        Some(rest)
    }

    fn begin_body(&mut self, key: u32) {
        self.keys.pop_front();
        self.keys_left -= 1;
        self.body = Some((key, 0));
    }

    fn receive_body<'a>(
        &mut self,
        key: u32,
        at: usize,
        bytes: &'a [u8],
        keyspace: &Keyspace,
    ) -> Result<&'a [u8], Violation> {
        let value = keyspace.value(key);
        let expected = if at < value.len() { &value[at..] } else { &b"\r\n"[at - value.len()..] };
        let len = expected.len().min(bytes.len());
        let (head, rest) = bytes.split_at(len);
        if head != &expected[..len] {
            let place = at + head.iter().zip(expected).take_while(|(came, due)| came == due).count();
            let name = name_of(key, keyspace);
            let part = if place < value.len() { "the value" } else { "the line end after the value" };
            return Err(Violation::Wrong(format!("{part} of {name} differs at byte {place}")));
        }
        self.body = Some((key, at + len)).filter(|(_, at)| *at < value.len() + 2);
        if self.body.is_none() {
            self.hits += 1;
        }
        Ok(rest)
    }

    /// A whole line, its end included.
    fn receive_line(
        &mut self,
        line: &[u8],
        keyspace: &Keyspace,
        on_reply: &mut impl FnMut(Reply),
    ) -> Result<(), Violation> {
        let Some(&(request, _)) = self.due.front() else {
            return Err(Violation::Extra(format!("nothing was asked, yet {} came", quote(line))));
        };
        let is_server_error = line.starts_with(b"SERVER_ERROR ") && line.ends_with(b"\r\n");
        match (request, line) {
            _ if is_server_error => {}
            (Request::Set, b"STORED\r\n") | (Request::Get, b"END\r\n") => {}
            (Request::Get, _) => return self.receive_other_header(line, keyspace),
            (Request::Set, _) => return Err(self.wrong(line, keyspace)),
        }
        self.pass_keys(self.keys_left);
        if request == Request::Set {
            self.misses = 0;
        }
        on_reply(Reply { request, hits: self.hits, misses: self.misses, is_server_error });
        (self.hits, self.misses) = (0, 0);
        self.due.pop_front();
        self.keys_left = self.due.front().map_or(0, |(_, keys)| *keys);
        Ok(())
    }

    /// A value's header, but not of the next key that is due: those before it are misses.
    fn receive_other_header(&mut self, line: &[u8], keyspace: &Keyspace) -> Result<(), Violation> {
        let mut header = self.header.clone();
        let key_end = HEADER_KEY_AT + keyspace.key_len();
        for passed in 0..self.keys_left {
            let key = self.keys[usize::from(passed)];
            keyspace.write_number(key, &mut header[HEADER_KEY_AT..key_end]);
            if header == line {
                self.pass_keys(passed);
                self.begin_body(key);
                return Ok(());
            }
        }
        Err(self.wrong(line, keyspace))
    }

    fn pass_keys(&mut self, count: u16) {
        self.keys.drain(..usize::from(count));
        self.keys_left -= count;
        self.misses += u32::from(count);
    }

    fn wrong(&self, line: &[u8], keyspace: &Keyspace) -> Violation {
        let asked = match (self.due.front(), self.keys.front()) {
            (Some((Request::Get, keys)), Some(key)) if self.keys_left > 0 => {
                let more = if *keys > 1 { format!(" (one of {keys} keys)") } else { String::new() };
                format!("get {}{more}", name_of(*key, keyspace))
            }
            (Some((Request::Set, _)), Some(key)) => format!("set {}", name_of(*key, keyspace)),
            _ => "get, after the last of its keys".to_string(),
        };
        Violation::Wrong(format!("to {asked} came {}", quote(line)))
    }
}

fn name_of(key: u32, keyspace: &Keyspace) -> String {
    let mut name = Vec::new();
    keyspace.push_key(key, &mut name);
    String::from_utf8_lossy(&name).into_owned()
}

fn quote(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes.iter().take(120) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}", byte.escape_ascii());
    }
    text.push_str(if bytes.len() > 120 { "\"..." } else { "\"" });
    text
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
