//! Administrative command lines (PROTOCOL §5).
//!
//! What tunes memcached's slabs and its LRU is read as memcached reads it, and answered as a server without slabs
//! honestly can: what asks for nothing that could be missed is `OK`, the rest is refused.

use crate::protocol::admin::{Admin, ClassSet, Detail, DumpFormat, DumpRequest, TimeShift, WatchKinds};
use crate::protocol::tokens::{Tokens, first_token, parse_exptime, parse_u64};
use crate::protocol::{Parsed, ProtocolError, Request};

const OK: &[u8] = b"OK\r\n";
const ERROR: &[u8] = b"ERROR\r\n";
const BAD_LINE: &[u8] = b"CLIENT_ERROR bad command line format\r\n";
const BAD_CLASS: &[u8] = b"BADCLASS invalid class id\r\n";
const NO_SLABS: &[u8] = b"CLIENT_ERROR slab reassignment disabled\r\n";
/// The longest pause of memcached's crawler, in microseconds.
const CRAWLER_SLEEP_MAX_US: u64 = 1_000_000;
/// memcached's limit of the hot and the warm part together, in per cent.
const LRU_PERCENT_MAX: u64 = 80;

/// Understands an administrative line; `None` if it is no command.
pub(super) fn parse(command: &[u8], rest: &[u8]) -> Option<Parsed<'static>> {
    let mut words = Tokens(rest);
    Some(match command {
        b"lru_crawler" => crawler(words),
        b"watch" => watch(words),
        b"slabs" => settled(slabs(words)),
        b"lru" => settled(lru(words)),
        b"extstore" => settled(ERROR),
        b"refresh_certs" => admin(Admin::RefreshCertificates),
        b"debugtime" => match words.next() {
            Some(b"p") => admin(Admin::ShiftTime(TimeShift::Pause)),
            Some(b"r") => admin(Admin::ShiftTime(TimeShift::Resume)),
            Some(seconds) => match parse_u64(seconds).and_then(|seconds| u32::try_from(seconds).ok()) {
                Some(seconds) => admin(Admin::ShiftTime(TimeShift::Jump(seconds))),
                None => refused(ProtocolError::UnknownCommand),
            },
            None => refused(ProtocolError::UnknownCommand),
        },
        _ => return None,
    })
}

/// `stats detail ...`.
pub(super) fn detail(rest: &[u8]) -> Parsed<'static> {
    match first_token(rest) {
        b"on" => admin(Admin::Detail(Detail::Switch(true))),
        b"off" => admin(Admin::Detail(Detail::Switch(false))),
        b"dump" => admin(Admin::Detail(Detail::Dump)),
        _ => refused(ProtocolError::DetailUsage),
    }
}

/// `stats cachedump <class> <limit>`.
pub(super) fn cachedump(rest: &[u8]) -> Parsed<'static> {
    let mut words = Tokens(rest);
    let (Some(class), Some(limit)) = (words.next(), words.next()) else {
        return refused(ProtocolError::BadCommandLine);
    };
    let (Some(class), Some(limit)) = (parse_u64(class), parse_u64(limit)) else {
        return refused(ProtocolError::BadLine);
    };
    match u8::try_from(class) {
        Ok(class) if class <= ClassSet::HIGHEST => {
            let items_max = match u32::try_from(limit).unwrap_or(u32::MAX) {
                0 => u32::MAX,
                limit => limit,
            };
            let classes = ClassSet::empty().with(class);
            admin(Admin::Dump(DumpRequest { format: DumpFormat::Cache, classes, items_max }))
        }
        _ => refused(ProtocolError::IllegalClass),
    }
}

fn crawler(mut words: Tokens<'_>) -> Parsed<'static> {
    let (verb, argument) = (words.next(), words.next());
    match (verb, argument) {
        (Some(b"metadump"), Some(classes)) => dump(DumpFormat::Facts, classes),
        (Some(b"mgdump"), Some(classes)) => dump(DumpFormat::Requests, classes),
        // The sweep goes round all the time, so what is asked for is being done.
        (Some(b"crawl"), Some(classes)) => settled(if class_set(classes).is_some() { OK } else { BAD_CLASS }),
        (Some(b"enable"), _) => settled(b"ERROR failed to start lru crawler thread\r\n"),
        (Some(b"disable"), _) => settled(b"ERROR failed to stop lru crawler thread\r\n"),
        (Some(b"sleep"), Some(pause)) => settled(match parse_u64(pause) {
            Some(0..=CRAWLER_SLEEP_MAX_US) => OK,
            Some(_) => b"CLIENT_ERROR sleep must be one second or less\r\n",
            None => BAD_LINE,
        }),
        (Some(b"tocrawl"), Some(count)) => {
            settled(if parse_u64(count).is_some_and(|count| u32::try_from(count).is_ok()) { OK } else { BAD_LINE })
        }
        _ => refused(ProtocolError::UnknownCommand),
    }
}

fn dump(format: DumpFormat, classes: &[u8]) -> Parsed<'static> {
    match class_set(classes) {
        Some(classes) => admin(Admin::Dump(DumpRequest { format, classes, items_max: u32::MAX })),
        None => settled(BAD_CLASS),
    }
}

/// Classes as `all`, `hash` (all, in the order of the table) or numbers with commas between.
fn class_set(text: &[u8]) -> Option<ClassSet> {
    if text == b"all" || text == b"hash" {
        return Some(ClassSet::ALL);
    }
    text.split(|&byte| byte == b',').try_fold(ClassSet::empty(), |set, number| {
        let class = parse_u64(number).and_then(|class| u8::try_from(class).ok())?;
        (1..=ClassSet::HIGHEST).contains(&class).then(|| set.with(class))
    })
}

fn watch(words: Tokens<'_>) -> Parsed<'static> {
    let mut kinds = None;
    for word in words {
        let Some(kind) = WatchKinds::named(word) else { return refused(ProtocolError::UnknownCommand) };
        kinds = Some(kinds.unwrap_or(kind).and(kind));
    }
    admin(Admin::Watch(kinds.unwrap_or(WatchKinds::FETCHERS)))
}

fn slabs(mut words: Tokens<'_>) -> &'static [u8] {
    let is_number = |word: Option<&[u8]>| word.and_then(parse_exptime).is_some();
    match (words.next(), words.next(), words.next()) {
        (Some(b"reassign"), from, to) if is_number(from) && is_number(to) => NO_SLABS,
        (Some(b"reassign"), Some(_), Some(_)) => BAD_LINE,
        (Some(b"automove"), Some(b"0"), None) => OK,
        (Some(b"automove"), Some(b"1" | b"2"), None) => NO_SLABS,
        (Some(b"automove"), Some(b"ratio" | b"freeratio"), Some(ratio)) if fraction(ratio).is_some() => NO_SLABS,
        (Some(b"automove"), Some(b"window"), Some(window)) => match parse_u64(window) {
            Some(3..=1800) => NO_SLABS,
            Some(_) => b"CLIENT_ERROR automove window too low or too high\r\n",
            None => ERROR,
        },
        _ => ERROR,
    }
}

fn lru(mut words: Tokens<'_>) -> &'static [u8] {
    const NOT_TUNABLE: &[u8] = b"ERROR there is no segmented LRU to tune\r\n";
    match words.next() {
        Some(b"tune") => {
            let (hot, warm) = (words.next().and_then(parse_u64), words.next().and_then(parse_u64));
            let factors = (words.next().and_then(fraction), words.next().and_then(fraction));
            match (hot, warm, factors) {
                (Some(hot), Some(warm), _) if hot.saturating_add(warm) > LRU_PERCENT_MAX => {
                    b"ERROR hot and warm pcts must not exceed 80\r\n"
                }
                (Some(_), Some(_), (Some(hot), Some(warm))) if hot <= 0.0 || warm <= 0.0 => {
                    b"ERROR hot/warm age factors must be greater than 0\r\n"
                }
                (Some(_), Some(_), (Some(_), Some(_))) => NOT_TUNABLE,
                _ => ERROR,
            }
        }
        Some(b"mode") if matches!(words.next(), Some(b"flat" | b"segmented")) => NOT_TUNABLE,
        Some(b"temp_ttl") if words.next().and_then(parse_exptime).is_some() => NOT_TUNABLE,
        _ => ERROR,
    }
}

fn fraction(word: &[u8]) -> Option<f64> {
    std::str::from_utf8(word).ok()?.parse().ok().filter(|number: &f64| number.is_finite())
}

const fn admin<'a>(admin: Admin) -> Parsed<'a> {
    Parsed::Request(Request::Admin(admin))
}

const fn settled<'a>(answer: &'static [u8]) -> Parsed<'a> {
    admin(Admin::Settled(answer))
}

const fn refused<'a>(error: ProtocolError) -> Parsed<'a> {
    Parsed::Refused { error, noreply: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(line: &str) -> Vec<u8> {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        match parse(command.as_bytes(), rest.as_bytes()) {
            Some(Parsed::Request(Request::Admin(Admin::Settled(answer)))) => answer.to_vec(),
            Some(Parsed::Refused { error, .. }) => error.line().to_vec(),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn classes_are_listed_or_all() {
        assert_eq!(class_set(b"all"), Some(ClassSet::ALL));
        assert_eq!(class_set(b"1,5"), Some(ClassSet::empty().with(1).with(5)));
        for text in ["0", "64", "x", "1,,2", "1,x", ""] {
            assert_eq!(class_set(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_here_is_answered_by_memcacheds_words() {
        for (line, expected) in [
            ("slabs reassign -1 2", "CLIENT_ERROR slab reassignment disabled\r\n"),
            ("slabs reassign x 2", "CLIENT_ERROR bad command line format\r\n"),
            ("slabs automove 0", "OK\r\n"),
            ("slabs automove window 2", "CLIENT_ERROR automove window too low or too high\r\n"),
            ("slabs", "ERROR\r\n"),
            ("lru tune 50 50 0.1 2", "ERROR hot and warm pcts must not exceed 80\r\n"),
            ("lru tune 10 20 0 2", "ERROR hot/warm age factors must be greater than 0\r\n"),
            ("lru tune 1", "ERROR\r\n"),
            ("lru", "ERROR\r\n"),
            ("lru_crawler enable", "ERROR failed to start lru crawler thread\r\n"),
            ("lru_crawler crawl 1,2", "OK\r\n"),
            ("lru_crawler crawl x", "BADCLASS invalid class id\r\n"),
            ("lru_crawler sleep 1000001", "CLIENT_ERROR sleep must be one second or less\r\n"),
            ("lru_crawler tocrawl x", "CLIENT_ERROR bad command line format\r\n"),
            ("lru_crawler", "ERROR\r\n"),
            ("lru_crawler metadump", "ERROR\r\n"),
            ("lru_crawler metadump 99", "BADCLASS invalid class id\r\n"),
            ("extstore item_size 5", "ERROR\r\n"),
            ("watch nonsense", "ERROR\r\n"),
        ] {
            assert_eq!(String::from_utf8(answer(line)).unwrap(), expected, "{line}");
        }
    }
}
