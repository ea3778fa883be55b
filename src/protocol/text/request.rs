//! A command line to a request.
//!
//! Framing is not done here: the session finds the line's end and the value behind it. The rules are those of
//! memcached 1.6.45 as PROTOCOL §1, §3 and §15 give them; where it is decided otherwise stands in §13.

use super::admin;
use crate::limits::VALUE_LEN_ANNOUNCED_MAX;
use crate::protocol::meta;
use crate::protocol::tokens::{
    Tokens, ends_in_noreply, first_token, last_token, parse_exptime, parse_exptime_32, parse_flags, parse_u64,
    split_long_token, split_token, trim_blanks,
};
use crate::protocol::{Keys, Op, Parsed, ProtocolError, Request, Retrieval, ShutdownMode, StatsReport, StoreHead};
use crate::terms::{Arithmetic, CasUnique, Exptime, Key, StoreMode};

/// The shortest line that is looked at, its end included (PROTOCOL §1).
const LINE_LEN_MIN: usize = 4;
/// `cache_memlimit` takes megabytes; a larger number is surely bytes.
const MEMORY_LIMIT_MB_MAX: u64 = 1_000_000_000;
/// `delete` with this many arguments is refused: the conformance test of libmemcached demands it.
const DELETE_ARGUMENTS_REFUSED: usize = 5;

/// Understands one line, given with its end (LF or CRLF).
pub fn parse(raw: &[u8]) -> Parsed<'_> {
    if raw.len() < LINE_LEN_MIN {
        return refused(ProtocolError::BadLine, false);
    }
    if let [b'm', b'g', b' ', rest @ ..] = raw
        && let Some((request, _)) = meta::request::parse_plain_get(rest)
    {
        return Parsed::Request(Request::Meta(request));
    }
    let line = raw.strip_suffix(b"\n").unwrap_or(raw);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (command, rest) = split_token(line);
    if let [b'm', letter] = *command {
        return meta::request::parse(letter, rest).unwrap_or_else(|| unknown(command, rest));
    }
    match command {
        b"get" => retrieve(Retrieval { with_cas: false, touch: None }, rest),
        b"gets" => retrieve(Retrieval { with_cas: true, touch: None }, rest),
        b"set" => store(StoreMode::Set, rest),
        b"add" => store(StoreMode::Add, rest),
        b"replace" => store(StoreMode::Replace, rest),
        b"append" => store(StoreMode::Append, rest),
        b"prepend" => store(StoreMode::Prepend, rest),
        b"cas" => store(StoreMode::Cas(CasUnique(0)), rest),
        b"delete" => delete(rest),
        b"incr" => arithmetic(Arithmetic::Increment, rest),
        b"decr" => arithmetic(Arithmetic::Decrement, rest),
        b"touch" => touch(rest),
        b"gat" => retrieve_and_touch(false, rest),
        b"gats" => retrieve_and_touch(true, rest),
        _ => parse_administrative(command, rest),
    }
}

/// The length of the name and password that a line announces, given with its end: `set`, three words that mean nothing
/// here, and the length (PROTOCOL §9). `None` is no attempt to authenticate.
pub fn parse_authentication(line: &[u8]) -> Option<usize> {
    let mut tokens = Tokens(line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line)));
    if tokens.next()? != b"set" {
        return None;
    }
    let len = parse_u64(tokens.nth(3)?).filter(|&len| len <= VALUE_LEN_ANNOUNCED_MAX)?;
    usize::try_from(len).ok()
}

/// Name and password in what an attempt to authenticate sends: two words.
pub fn parse_credentials(token: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut tokens = Tokens(token);
    Some((tokens.next()?, tokens.next()?))
}

/// Whether a line without an end may be a long `get` (PROTOCOL §1): blanks, then `get ` or `gets `.
pub fn may_grow(line: &[u8]) -> bool {
    let blanks = line.iter().take(crate::limits::LEADING_BLANKS_MAX).take_while(|&&byte| byte == b' ').count();
    let line = &line[blanks..];
    line.starts_with(b"get ") || line.starts_with(b"gets ")
}

fn parse_administrative<'a>(command: &[u8], rest: &'a [u8]) -> Parsed<'a> {
    match command {
        b"flush_all" => flush_all(rest),
        b"version" => Parsed::Request(Request::Version),
        b"verbosity" => {
            let noreply = ends_in_noreply(rest);
            match parse_u64(first_token(rest)) {
                Some(level) => {
                    let level = u32::try_from(level).unwrap_or(u32::MAX);
                    Parsed::Request(Request::Verbosity { level, noreply })
                }
                None => refused(ProtocolError::BadLine, noreply),
            }
        }
        b"stats" => parse_statistics(rest),
        b"cache_memlimit" => cache_memory_limit(rest),
        b"shutdown" => match first_token(rest) {
            b"" => Parsed::Request(Request::Shutdown(ShutdownMode::Normal)),
            b"graceful" => Parsed::Request(Request::Shutdown(ShutdownMode::Graceful)),
            _ => refused(ProtocolError::InvalidShutdownMode, false),
        },
        b"quit" => Parsed::Request(Request::Quit),
        _ => admin::parse(command, rest).unwrap_or_else(|| unknown(command, rest)),
    }
}

fn unknown<'a>(command: &[u8], rest: &[u8]) -> Parsed<'a> {
    // Browsers and forged requests: anything that ends like an HTTP request line gets no answer.
    let is_http =
        last_token(rest).starts_with(b"HTTP/") || (command.starts_with(b"HTTP/") && first_token(rest).is_empty());
    if is_http { Parsed::Close } else { refused(ProtocolError::UnknownCommand, false) }
}

fn retrieve(retrieval: Retrieval, rest: &[u8]) -> Parsed<'_> {
    match Keys::parse(rest) {
        Some(keys) => Parsed::Request(Request::Retrieve(retrieval, keys)),
        None => refused(ProtocolError::BadLine, false),
    }
}

fn retrieve_and_touch(with_cas: bool, rest: &[u8]) -> Parsed<'_> {
    let (exptime, keys) = split_token(trim_blanks(rest));
    let Some(keys) = Keys::parse(keys) else {
        return refused(ProtocolError::BadLine, false);
    };
    match parse_exptime_32(exptime) {
        Some(exptime) => Parsed::Request(Request::Retrieve(Retrieval { with_cas, touch: Some(exptime) }, keys)),
        None => refused(ProtocolError::InvalidExptime, false),
    }
}

fn store(mode: StoreMode, rest: &[u8]) -> Parsed<'_> {
    let (key, rest) = split_long_token(trim_blanks(rest));
    let mut tokens = Tokens(rest);
    let (flags, exptime, bytes) = (tokens.next(), tokens.next(), tokens.next());
    let (cas, cas_missing) = match mode {
        StoreMode::Cas(_) => {
            let token = tokens.next();
            (token, token.is_none())
        }
        _ => (None, false),
    };
    let noreply = ends_in_noreply(tokens.0);
    let (Some(flags), Some(exptime), Some(bytes), false) = (flags, exptime, bytes, cas_missing) else {
        return refused(ProtocolError::BadLine, noreply);
    };
    // The last word counts, also where it stands for something else that it is not.
    let noreply = noreply || bytes == b"noreply" || cas == Some(b"noreply");
    // Only a legal length tells how much follows; without one nothing can be skipped (PROTOCOL §15).
    let Some(value_len) = parse_u64(bytes).filter(|&len| len <= VALUE_LEN_ANNOUNCED_MAX) else {
        return refused(ProtocolError::BadLine, noreply);
    };
    let Ok(value_len) = usize::try_from(value_len) else {
        return refused(ProtocolError::BadLine, noreply);
    };
    let mode = match (mode, cas) {
        (StoreMode::Cas(_), Some(token)) => parse_u64(token).map(|unique| StoreMode::Cas(CasUnique(unique))),
        (mode, _) => Some(mode),
    };
    match (Key::new(key), parse_flags(flags), parse_exptime(exptime), mode) {
        (Some(key), Some(flags), Some(exptime), Some(mode)) => {
            let op = Op::Store { mode, flags, exptime };
            Parsed::Request(Request::Store(StoreHead { op, key, value_len, noreply }))
        }
        _ => Parsed::Skip { bytes: value_len + 2, error: ProtocolError::BadLine, noreply },
    }
}

fn delete(rest: &[u8]) -> Parsed<'_> {
    let (key, arguments) = split_token(trim_blanks(rest));
    let noreply = ends_in_noreply(arguments);
    // One argument is the key itself.
    let surplus = Tokens(arguments).take(DELETE_ARGUMENTS_REFUSED).count();
    match Key::new(key) {
        Some(key) if surplus + 1 < DELETE_ARGUMENTS_REFUSED => change(Op::Delete, key, noreply),
        _ => refused(ProtocolError::BadLine, noreply),
    }
}

fn arithmetic(direction: Arithmetic, rest: &[u8]) -> Parsed<'_> {
    let mut tokens = Tokens(rest);
    let (key, delta) = (tokens.next(), tokens.next());
    // The last word counts, also where it stands for the delta.
    let noreply = ends_in_noreply(tokens.0) || delta == Some(b"noreply");
    let (Some(key), Some(delta)) = (key.and_then(Key::new), delta) else {
        return refused(ProtocolError::BadLine, noreply);
    };
    match parse_u64(delta) {
        Some(delta) => change(Op::Arithmetic { direction, delta }, key, noreply),
        None => refused(ProtocolError::InvalidDelta, noreply),
    }
}

fn touch(rest: &[u8]) -> Parsed<'_> {
    let mut tokens = Tokens(rest);
    let (key, exptime) = (tokens.next(), tokens.next());
    let noreply = ends_in_noreply(tokens.0) || exptime == Some(b"noreply");
    let (Some(key), Some(exptime)) = (key.and_then(Key::new), exptime) else {
        return refused(ProtocolError::BadLine, noreply);
    };
    match parse_exptime_32(exptime) {
        Some(exptime) => change(Op::Touch { exptime }, key, noreply),
        None => refused(ProtocolError::InvalidExptime, noreply),
    }
}

fn flush_all(rest: &[u8]) -> Parsed<'_> {
    let noreply = ends_in_noreply(rest);
    let delay = match first_token(rest) {
        b"" | b"noreply" => Some(Exptime(0)),
        token => parse_exptime_32(token),
    };
    match delay {
        Some(delay) => Parsed::Request(Request::FlushAll { delay, noreply }),
        None => refused(ProtocolError::InvalidExptime, noreply),
    }
}

/// What `stats` with these arguments asks for.
pub fn parse_statistics(rest: &[u8]) -> Parsed<'_> {
    let (word, arguments) = split_token(trim_blanks(rest));
    let report = match word {
        b"" => StatsReport::General,
        b"settings" => StatsReport::Settings,
        b"conns" => StatsReport::Connections,
        b"reset" => StatsReport::Reset,
        b"items" => StatsReport::Items,
        b"slabs" => StatsReport::Slabs,
        b"sizes" => StatsReport::Sizes,
        b"extstore" => StatsReport::Nothing,
        b"detail" => return admin::detail(arguments),
        b"cachedump" => return admin::cachedump(arguments),
        _ => return refused(ProtocolError::UnknownCommand, false),
    };
    Parsed::Request(Request::Stats(report))
}

fn cache_memory_limit(rest: &[u8]) -> Parsed<'_> {
    let noreply = ends_in_noreply(rest);
    match parse_u64(first_token(rest)) {
        None => refused(ProtocolError::UnknownCommand, noreply),
        Some(megabytes) if megabytes < crate::limits::MEMORY_LIMIT_MB_MIN => {
            refused(ProtocolError::MemoryLimitTooSmall, noreply)
        }
        Some(megabytes) if megabytes > MEMORY_LIMIT_MB_MAX => refused(ProtocolError::MemoryLimitTooLarge, noreply),
        Some(megabytes) => Parsed::Request(Request::CacheMemoryLimit { megabytes, noreply }),
    }
}

const fn refused<'a>(error: ProtocolError, noreply: bool) -> Parsed<'a> {
    Parsed::Refused { error, noreply }
}

const fn change(op: Op, key: Key<'_>, noreply: bool) -> Parsed<'_> {
    Parsed::Request(Request::Change { op, key, noreply })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms::Flags;

    fn error_of(line: &str) -> Option<(ProtocolError, bool)> {
        match parse(line.as_bytes()) {
            Parsed::Refused { error, noreply } => Some((error, noreply)),
            _ => None,
        }
    }

    #[test]
    fn a_storage_line_gives_all_its_parts() {
        let Parsed::Request(Request::Store(head)) = parse(b"cas key 7 -1 5 99 noreply\r\n") else { panic!() };
        assert_eq!(head.key.as_bytes(), b"key");
        assert_eq!((head.value_len, head.noreply), (5, true));
        let mode = StoreMode::Cas(CasUnique(99));
        assert_eq!(head.op, Op::Store { mode, flags: Flags(7), exptime: Exptime(-1) });
    }

    #[test]
    fn a_refused_line_with_a_known_length_skips_its_value() {
        let long_key = format!("set {} 0 0 3\r\n", "k".repeat(251));
        for line in ["set k x 0 3\r\n", "set k 0 x 3\r\n", "set k 4294967296 0 3\r\n", "cas k 0 0 3 x\r\n", &long_key] {
            let Parsed::Skip { bytes: 5, error: ProtocolError::BadLine, .. } = parse(line.as_bytes()) else {
                panic!("{line}")
            };
        }
        for line in ["set k 0 0 -1\r\n", "set k 0 0 x\r\n", "set k 0 0 2147483646\r\n", "set k 0 0\r\n"] {
            assert_eq!(error_of(line), Some((ProtocolError::BadLine, false)), "{line}");
        }
    }

    #[test]
    fn noreply_is_the_last_token_only() {
        // Also where it stands for something that it is not.
        for line in ["incr k noreply\r\n", "touch k noreply\r\n", "set k 0 0 noreply\r\n"] {
            assert!(error_of(line).is_some_and(|(_, noreply)| noreply), "{line}");
        }
        assert_eq!(error_of("touch noreply\r\n"), Some((ProtocolError::BadLine, false)));
        assert_eq!(error_of("incr k x noreply\r\n"), Some((ProtocolError::InvalidDelta, true)));
        assert_eq!(error_of("incr k x noreply y\r\n"), Some((ProtocolError::InvalidDelta, false)));
        assert!(matches!(parse(b"get noreply\r\n"), Parsed::Request(Request::Retrieve(..))));
        assert!(matches!(
            parse(b"flush_all noreply\r\n"),
            Parsed::Request(Request::FlushAll { delay: Exptime(0), noreply: true })
        ));
    }

    #[test]
    fn lines_too_short_unknown_or_foreign() {
        for line in ["\r\n", "x\r\n", "mn\n", "get\r\n", "get  \r\n", "touch k\r\n", "verbosity\r\n"] {
            assert_eq!(error_of(line), Some((ProtocolError::BadLine, false)), "{line:?}");
        }
        for line in ["xx\r\n", "GET a\r\n", " get a\r\n", "stats nonsense\r\n"] {
            assert_eq!(error_of(line), Some((ProtocolError::UnknownCommand, false)), "{line:?}");
        }
        assert!(matches!(parse(b"POST / HTTP/1.1\r\n"), Parsed::Close));
        assert!(matches!(parse(b"quit now\r\n"), Parsed::Request(Request::Quit)));
    }

    #[test]
    fn exptimes_beyond_32_bits_are_clamped_or_refused() {
        assert_eq!(parse_exptime(b"4294967295"), Some(Exptime(4_294_967_295)));
        assert_eq!(parse_exptime(b"99999999999999999999999"), Some(Exptime(i64::MAX)));
        assert_eq!(parse_exptime(b"-"), None);
        assert_eq!(error_of("touch k 2147483648\r\n"), Some((ProtocolError::InvalidExptime, false)));
        assert_eq!(error_of("gat 1x k\r\n"), Some((ProtocolError::InvalidExptime, false)));
    }

    #[test]
    fn delete_takes_a_few_surplus_arguments() {
        for line in ["delete k\r\n", "delete k 0\r\n", "delete k 10 noreply\r\n", "delete k a b c\r\n"] {
            assert!(
                matches!(parse(line.as_bytes()), Parsed::Request(Request::Change { op: Op::Delete, .. })),
                "{line}"
            );
        }
        assert_eq!(error_of("delete k a b c d\r\n"), Some((ProtocolError::BadLine, false)));
    }

    #[test]
    fn only_gets_may_grow() {
        assert!(may_grow(b"get a"));
        assert!(may_grow(b"   gets a"));
        assert!(!may_grow(b"gat 0 a"));
        assert!(!may_grow(&[b' '; 300]));
    }
}
