//! The language of the transcripts.
//!
//! ```text
//! # the name of a case
//! > get a            connection 1 sends this line; lines in a row are sent in one piece
//! < END              and must then receive exactly this line; lines in a row are one expectation
//! >| get a\n         sends exactly these bytes: no line end is added
//! <| END\r\n         receives exactly these bytes
//! b> get key=a       sends a packet of the binary protocol; so `2b>`; see `packets.rs`
//! b< get not-found   receives one
//! 2> get a           the same for connection 2, which opens when first named; so 2< 2>| 2<|
//! closed             the server has closed connection 1 and sent nothing more; so `2 closed`
//! half-close         connection 1 sends no more; so `2 half-close`
//! wait 1.5           lets this many seconds pass, and what the driver's clock needs to be sure
//! within 2           what stands above counts only if less than this passed since the case began; else it is repeated
//! options -C         the server's options for this case
//! sockets            the case needs a process with sockets: not for the in-process drivers
//! ```
//! In bytes: `\r \n \t \0 \\ \xHH`, and `{x*300}` is 300 times `x`; `{now+5}` is the Unix time in five seconds.
//! `{name}` in an expectation is a number, the same wherever the name stands, also in what is sent; `{name>other}` is a
//! number larger than the number `other`; `{*}` is anything to the end of the line. `{name:8}` and `{*:8}` are the same
//! in eight bytes, big endian.

use crate::packets;

/// One conversation, with a server that no other case disturbs.
pub(crate) struct Case {
    /// Where it stands in its behaviour.
    pub(crate) name: String,
    /// The options of the server.
    pub(crate) options: Vec<&'static str>,
    /// Whether it needs a process.
    pub(crate) sockets: bool,
    /// What happens.
    pub(crate) body: Body,
}

/// What happens in a case.
pub(crate) enum Body {
    /// Lines of a transcript.
    Lines(String),
    /// What a transcript cannot say.
    Code(fn(&mut crate::talk::Talk<'_>) -> Result<(), crate::talk::Failure>),
}

impl Body {
    /// Whether connections speak the binary protocol in it.
    pub(crate) fn speaks_packets(&self) -> bool {
        match self {
            Self::Lines(lines) => {
                lines.lines().any(|line| line.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('b'))
            }
            Self::Code(_) => false,
        }
    }
}

impl Case {
    /// A case in code.
    pub(crate) fn code(
        name: &str,
        options: &[&'static str],
        body: fn(&mut crate::talk::Talk<'_>) -> Result<(), crate::talk::Failure>,
    ) -> Self {
        Self { name: name.into(), options: options.into(), sockets: false, body: Body::Code(body) }
    }

    /// A case in code that needs a process.
    pub(crate) fn code_sockets(
        name: &str,
        options: &[&'static str],
        body: fn(&mut crate::talk::Talk<'_>) -> Result<(), crate::talk::Failure>,
    ) -> Self {
        Self { sockets: true, ..Self::code(name, options, body) }
    }
}

/// The cases in a transcript.
pub(crate) fn cases(text: &'static str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("# ") {
            cases.push(Case {
                name: name.into(),
                options: Vec::new(),
                sockets: false,
                body: Body::Lines(String::new()),
            });
            continue;
        }
        let Some(case) = cases.last_mut() else {
            assert!(line.trim().is_empty(), "a line before the first case: {line:?}");
            continue;
        };
        if let Some(options) = line.strip_prefix("options ") {
            case.options = options.split(' ').collect();
        } else if line == "sockets" {
            case.sockets = true;
        } else if let Body::Lines(lines) = &mut case.body
            && !line.is_empty()
        {
            lines.push_str(line);
            lines.push('\n');
        }
    }
    cases
}

/// One step of a case; the number is the connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Send(u8, String),
    Expect(u8, String),
    Closed(u8),
    HalfClose(u8),
    WaitMs(u64),
    WithinMs(u64),
}

/// The steps in the lines of a case.
pub(crate) fn steps(lines: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in lines.lines() {
        let (connection, rest) = match line.split_at_checked(1) {
            Some((digit, rest)) if digit.as_bytes()[0].is_ascii_digit() => (digit.as_bytes()[0] - b'0', rest),
            _ => (1, line),
        };
        if let Some(line) = rest.strip_prefix("b>") {
            push_send(&mut steps, connection, packets::request(line));
            continue;
        }
        if let Some(line) = rest.strip_prefix("b<") {
            push_expect(&mut steps, connection, packets::response(line));
            continue;
        }
        let line_text = |rest: &str| format!("{}\\r\\n", rest.strip_prefix(' ').unwrap_or(rest));
        let raw_text = |rest: &str| rest.strip_prefix(' ').unwrap_or(rest).to_owned();
        if let Some(rest) = rest.strip_prefix(">|") {
            push_send(&mut steps, connection, raw_text(rest));
        } else if let Some(rest) = rest.strip_prefix('>') {
            push_send(&mut steps, connection, line_text(rest));
        } else if let Some(rest) = rest.strip_prefix("<|") {
            push_expect(&mut steps, connection, raw_text(rest));
        } else if let Some(rest) = rest.strip_prefix('<') {
            push_expect(&mut steps, connection, line_text(rest));
        } else if let Some(seconds) = rest.strip_prefix("wait ") {
            steps.push(Step::WaitMs(milliseconds(seconds)));
        } else if let Some(seconds) = rest.strip_prefix("within ") {
            steps.push(Step::WithinMs(milliseconds(seconds)));
        } else {
            steps.push(match rest.trim() {
                "closed" => Step::Closed(connection),
                "half-close" => Step::HalfClose(connection),
                _ => panic!("not a line of a transcript: {line:?}"),
            });
        }
    }
    steps
}

fn push_send(steps: &mut Vec<Step>, connection: u8, text: String) {
    match steps.last_mut() {
        Some(Step::Send(last, before)) if *last == connection => before.push_str(&text),
        _ => steps.push(Step::Send(connection, text)),
    }
}

fn push_expect(steps: &mut Vec<Step>, connection: u8, text: String) {
    match steps.last_mut() {
        Some(Step::Expect(last, before)) if *last == connection => before.push_str(&text),
        _ => steps.push(Step::Expect(connection, text)),
    }
}

fn milliseconds(seconds: &str) -> u64 {
    let (whole, tenths) = seconds.split_once('.').unwrap_or((seconds, "0"));
    assert_eq!(tenths.len(), 1, "seconds with at most one decimal: {seconds}");
    whole.parse::<u64>().expect("seconds") * 1000 + tenths.parse::<u64>().expect("tenths") * 100
}

/// A piece of what is sent or expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    /// The number of this name; if given, larger than the number of the second name.
    Number(String, Option<String>, Form),
    /// The Unix time in this many seconds.
    UnixTime(i64),
    /// Anything but a line end.
    Anything,
    /// Any eight bytes.
    AnyEight,
}

/// How a number is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    Decimal,
    /// Eight bytes, big endian.
    Eight,
}

/// Resolves escapes and placeholders.
pub(crate) fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix('\\') {
            let (byte, after) = escape(after);
            bytes.push(byte);
            rest = after;
            continue;
        }
        if let Some((inner, after)) = rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            rest = after;
            match placeholder(inner) {
                Piece::Bytes(more) => bytes.extend(more),
                piece => {
                    pieces.push(Piece::Bytes(std::mem::take(&mut bytes)));
                    pieces.push(piece);
                }
            }
            continue;
        }
        bytes.extend(first.to_string().as_bytes());
        rest = &rest[first.len_utf8()..];
    }
    pieces.push(Piece::Bytes(bytes));
    pieces
}

fn placeholder(inner: &str) -> Piece {
    match inner {
        "*" => return Piece::Anything,
        "*:8" => return Piece::AnyEight,
        _ => {}
    }
    if let Some(seconds) = inner.strip_prefix("now") {
        return Piece::UnixTime(seconds.parse().expect("{now+SECONDS}"));
    }
    if let Some((what, count)) = inner.rsplit_once('*') {
        let Some(Piece::Bytes(once)) = pieces(what).pop() else { panic!("text and escapes only: {what:?}") };
        return Piece::Bytes(once.repeat(count.parse().expect("{text*COUNT}")));
    }
    let (inner, form) = inner.strip_suffix(":8").map_or((inner, Form::Decimal), |inner| (inner, Form::Eight));
    match inner.split_once('>') {
        Some((name, than)) => Piece::Number(name.into(), Some(than.into()), form),
        None => Piece::Number(inner.into(), None, form),
    }
}

fn escape(after: &str) -> (u8, &str) {
    let (letter, rest) = after.split_at(1);
    match letter {
        "r" => (b'\r', rest),
        "n" => (b'\n', rest),
        "t" => (b'\t', rest),
        "0" => (0, rest),
        "\\" => (b'\\', rest),
        "x" => (u8::from_str_radix(&rest[..2], 16).expect("two hexadecimal digits"), &rest[2..]),
        _ => panic!("no such escape: \\{letter}"),
    }
}
