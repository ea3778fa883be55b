//! Where Debian's memcached 1.6.18 answers otherwise than ringcached, and why. ringcached follows 1.6.45, except for
//! the defects of 1.6.45 that docs/PROTOCOL.md lists. A deviation that is not here fails; so does an entry that fits no
//! case, and so does an entry whose deviation does not happen.

use crate::driver::Kind;
use crate::transcript::{Body, Case};

/// One known deviation.
struct Difference {
    /// The cases, as behaviour/name.
    cases: &'static [&'static str],
    /// What differs.
    deviation: Deviation,
    /// Why.
    reason: &'static str,
}

enum Deviation {
    /// Lines of the transcript and what stands there for memcached.
    Lines(&'static str, &'static str),
    /// The case cannot be played.
    Skip,
}

const REFUSED: &str = "< CLIENT_ERROR bad command line format";

const DIFFERENCES: &[Difference] = &[
    Difference {
        cases: &["udp/what is no request is not answered", "udp/a reply that nobody wants is no datagram"],
        deviation: Deviation::Skip,
        reason: "1.6.18 refuses a value that is cut off, and sends empty replies",
    },
    Difference {
        cases: &[
            "udp/the replies to all requests of a datagram are one message",
            "udp/a reply beyond the limit is an error",
            "udp/a reply of packets beyond the limit is a packet",
            "udp/the limit is 64 KiB",
            "udp/a datagram is no connection",
        ],
        deviation: Deviation::Skip,
        reason: "it sends a message per reply and has no limit, and a statistic of its datagrams neither",
    },
    Difference {
        cases: &[
            "admin/verbosity without a number",
            "arithmetic/no delta",
            "cas/cas without a unique",
            "errors_and_limits/short lines",
            "errors_and_limits/too few words in a storage line, and its data are commands",
            "retrieval/no key is an error",
            "touch_gat/too few words",
        ],
        deviation: Deviation::Lines(REFUSED, "< ERROR"),
        reason: "before 1.6.2x too few words were an unknown command",
    },
    Difference {
        cases: &[
            "errors_and_limits/flags that are no flags, and the data are skipped",
            "errors_and_limits/flags of more than 64 bits, and the data are skipped",
            "errors_and_limits/an exptime that is no number, and the data are skipped",
            "errors_and_limits/a key too long, and the data are skipped",
        ],
        deviation: Deviation::Lines(REFUSED, "< CLIENT_ERROR bad command line format\n< END"),
        reason: "the data of a refused storage line were read as commands",
    },
    Difference {
        cases: &["cas/a unique that is no number is refused after its data"],
        deviation: Deviation::Lines(REFUSED, "< CLIENT_ERROR bad command line format\n< VALUE a 0 1\n< x\n< END"),
        reason: "the data of a refused storage line were read as commands",
    },
    Difference {
        cases: &["errors_and_limits/a refused line leaves the old value"],
        deviation: Deviation::Lines(REFUSED, "< CLIENT_ERROR bad command line format\n< ERROR"),
        reason: "the data of a refused storage line were read as commands",
    },
    Difference {
        cases: &["noreply/errors of a storage line are silent after its data"],
        deviation: Deviation::Lines("> get a\n> get a\n< END", "> get a\n> get a\n< END\n< END\n< END\n< END\n< END"),
        reason: "the data of a refused storage line were read as commands",
    },
    Difference {
        cases: &["pipelining/a refused store cut at every boundary"],
        deviation: Deviation::Skip,
        reason: "the data of a refused storage line were read as commands",
    },
    Difference {
        cases: &["errors_and_limits/flags of more than 32 bits, and the data are skipped"],
        deviation: Deviation::Lines(
            "< CLIENT_ERROR bad command line format\n> get a\n< END",
            "< STORED\n> get a\n< VALUE a 0 5\n< get b\n< END",
        ),
        reason: "memcached, up to 1.6.45, cuts flags to 32 bits",
    },
    Difference {
        cases: &["storage/surplus words of a storage line are ignored", "noreply/it counts only as the last word"],
        deviation: Deviation::Skip,
        reason: "surplus words were refused",
    },
    Difference {
        cases: &["storage/delete takes what old clients add"],
        deviation: Deviation::Skip,
        reason: "surplus words of delete were refused, but for a 0, with a line of usage",
    },
    Difference {
        cases: &["storage/delete with five arguments is refused"],
        deviation: Deviation::Lines(REFUSED, "< ERROR"),
        reason: "surplus words were an unknown command",
    },
    Difference {
        cases: &["touch_gat/gat without a key"],
        deviation: Deviation::Lines(REFUSED, "< END"),
        reason: "no key was no error",
    },
    Difference {
        cases: &["errors_and_limits/a length of more than 32 bits, and its data are commands"],
        deviation: Deviation::Skip,
        reason: "a length was cut to 32 bits",
    },
    Difference {
        cases: &["arithmetic/two numbers are no number"],
        deviation: Deviation::Lines("< CLIENT_ERROR cannot increment or decrement non-numeric value", "< 2"),
        reason: "memcached, up to 1.6.45, stops reading at the blank",
    },
    Difference {
        cases: &["expiry/far future never ends before"],
        deviation: Deviation::Skip,
        reason: "memcached, up to 1.6.45, cuts an exptime to 32 bits, and it is over at once",
    },
    Difference {
        cases: &["expiry/far past is over"],
        deviation: Deviation::Skip,
        reason: "memcached, up to 1.6.45, cuts an exptime to 32 bits, and it is in the future",
    },
    Difference {
        cases: &["touch_gat/an exptime of more than 32 bits"],
        deviation: Deviation::Skip,
        reason: "an exptime was cut to 32 bits",
    },
    Difference { cases: &["retrieval/a key may hold NUL"], deviation: Deviation::Skip, reason: "a line ended at NUL" },
    Difference {
        cases: &["errors_and_limits/a leading blank makes a command unknown"],
        deviation: Deviation::Lines(">|  get a\\r\\n\n< ERROR", ">|  get a\\r\\n\n< END"),
        reason: "leading blanks were skipped",
    },
    Difference {
        cases: &["errors_and_limits/a get behind a hundred blanks may be long"],
        deviation: Deviation::Lines("< ERROR", "< END"),
        reason: "leading blanks were skipped",
    },
    Difference {
        cases: &["cas/without CAS uniques all are 0", "binary/without CAS uniques all are 0"],
        deviation: Deviation::Skip,
        reason: "without CAS uniques memcached cannot tell what was stored after the flush_all that begins each case",
    },
    Difference {
        cases: &["admin/the version's number is one that clients know"],
        deviation: Deviation::Lines("1.6.45-ringcached-{*}", "1.6.18"),
        reason: "it is memcached 1.6.18",
    },
    Difference {
        cases: &["admin/shutdown is refused unless enabled"],
        deviation: Deviation::Lines("< SERVER_ERROR: shutdown not enabled", "< ERROR: shutdown not enabled"),
        reason: "the words have changed since",
    },
    Difference {
        cases: &["binary/a first byte of packets in a text-only server is a line"],
        deviation: Deviation::Lines(REFUSED, "< ERROR"),
        reason: "a line too short was an unknown command",
    },
    Difference {
        cases: &["binary_errors/an unknown opcode is stepped over"],
        deviation: Deviation::Skip,
        reason: "memcached, up to 1.6.45, loses step behind an unknown packet with extras or a key",
    },
    Difference {
        cases: &["binary_errors/a body beyond a gibibyte"],
        deviation: Deviation::Skip,
        reason: "a body had no limit but that of its field",
    },
    Difference {
        cases: &[
            "authentication/nothing but authentication is answered",
            "authentication/a stranger stays out, and is answered late",
            "authentication/attempts in one piece get a reply each",
            "authentication/what is no name and password",
            "authentication/a line too short closes",
            "authentication/a line without end closes",
        ],
        deviation: Deviation::Skip,
        reason: "of what comes in one piece before authentication only one command is answered, and no line closes",
    },
    Difference {
        cases: &["authentication/a token too long is skipped"],
        deviation: Deviation::Skip,
        reason: "a token had no limit, and was read into memory",
    },
    Difference {
        cases: SASL,
        deviation: Deviation::Skip,
        reason: "memcached takes its users from the system's SASL library, and does not start without them",
    },
    Difference {
        cases: &["meta_errors/a key is missing"],
        deviation: Deviation::Skip,
        reason: "before 1.6.2x too few words were an unknown command, but for me",
    },
    Difference {
        cases: &["meta_errors/mn is too short with a bare line end"],
        deviation: Deviation::Lines(REFUSED, "< MN"),
        reason: "there was no shortest line",
    },
    Difference {
        cases: &[
            "meta_errors/unknown and repeated flags",
            "meta_errors/errors are never quiet",
            "meta_errors/numbers that are none",
        ],
        deviation: Deviation::Skip,
        reason: "md told all errors of its flags by one line, as ma does; a number of more than 32 bits was cut",
    },
    Difference {
        cases: &["meta_errors/a flag that is no letter"],
        deviation: Deviation::Lines(REFUSED, "< CLIENT_ERROR invalid flag"),
        reason: "it was an unknown flag like others",
    },
    Difference {
        cases: &["meta_arithmetic/both ways, by any number", "meta_set/the first letter of a mode counts"],
        deviation: Deviation::Skip,
        reason: "a mode had to be one letter",
    },
    Difference {
        cases: &["meta_set/a mode that is none, and its value is skipped"],
        deviation: Deviation::Skip,
        reason: "a mode of another length than one letter had an error of its own",
    },
    Difference {
        cases: &["meta_arithmetic/whatever is wrong with the flags"],
        deviation: Deviation::Lines(REFUSED, "< ERROR"),
        reason: "too few words were an unknown command",
    },
    Difference {
        cases: &["meta_arithmetic/counting by a key in base64"],
        deviation: Deviation::Lines("> mg foo k v\n< VA 1 kZm9v b", "> mg foo k v\n< VA 1 kfoo"),
        reason: "a number made by ma did not remember that its key came in base64",
    },
    Difference {
        cases: &[
            "meta_arithmetic/versions",
            "meta_delete/an invalidation may choose the version",
            "meta_set/a version may be chosen",
            "meta_set/an older version is stored stale",
            "meta_set/a newer version than there is",
            "meta_set/every flag at once",
            "meta_set/without versions",
            "meta_stale/a vivified item with all that can be asked",
        ],
        deviation: Deviation::Skip,
        reason: "there was no flag E yet",
    },
    Difference {
        cases: &[
            "meta_delete/emptying keeps the item",
            "meta_delete/a stale tombstone",
            "meta_delete/emptying a large value",
        ],
        deviation: Deviation::Skip,
        reason: "there was no flag x yet",
    },
    Difference {
        cases: &["meta_set/what ms returns"],
        deviation: Deviation::Lines(" s3\n", "\n"),
        reason: "ms did not know s yet",
    },
    Difference {
        cases: &["meta_set/a large value"],
        deviation: Deviation::Lines("< HD ka s100000", "< HD ka"),
        reason: "ms did not know s yet",
    },
    Difference {
        cases: &["meta_set/modes", "meta_set/a version is compared in every mode but add"],
        deviation: Deviation::Skip,
        reason: "ms did not know s yet",
    },
    Difference {
        cases: &["meta_set/append and prepend may make what is not there"],
        deviation: Deviation::Skip,
        reason: "append did not know N yet",
    },
    Difference {
        cases: &["meta_set/a bad flag, and the value is skipped"],
        deviation: Deviation::Skip,
        reason: "client flags were cut to 32 bits",
    },
    Difference {
        cases: &["meta_set/a value that is not followed by a line end"],
        deviation: Deviation::Lines("< CLIENT_ERROR bad command line format", "< ERROR"),
        reason: "a line too short was an unknown command",
    },
    Difference {
        cases: &["meta_get/a known version needs no value"],
        deviation: Deviation::Skip,
        reason: "mg did not know C yet",
    },
    Difference {
        cases: &["meta_get/a key that is not base64"],
        deviation: Deviation::Skip,
        reason: "base64 without its padding was decoded as far as it went",
    },
    Difference {
        cases: &["meta_get/me with a key in base64"],
        deviation: Deviation::Lines("> me Zm9 b\n< CLIENT_ERROR error decoding key\n", ""),
        reason: "base64 that is none had another error",
    },
    Difference {
        cases: &["meta_get/a time is rounded up", "meta_get/me counts as no access"],
        deviation: Deviation::Skip,
        reason: "memcached's clock counts whole seconds: what it shows here is not one number",
    },
    Difference {
        cases: &["dumps/metadump of one item", "dumps/metadump of an item with an end"],
        deviation: Deviation::Lines("< OK\n<| key=", "<| key="),
        reason: "a dump began without a word",
    },
    Difference {
        cases: &["dumps/metadump of one item"],
        deviation: Deviation::Lines(" flags=5 \\n", "\\n"),
        reason: "a dump did not show flags",
    },
    Difference {
        cases: &["dumps/metadump of an item with an end"],
        deviation: Deviation::Lines(" flags=0 \\n", "\\n"),
        reason: "a dump did not show flags",
    },
    Difference {
        cases: &[
            "dumps/dumps of nothing",
            "dumps/dumps in a pipeline",
            "dumps/a dead item is in no dump",
            "dumps/a key in base64",
            "dumps/classes that cannot be",
            "dumps/dumps are switched off",
            "dumps/metadump shows every item once",
            "dumps/mgdump is a list of requests",
            "dumps/a long dump is taken piece by piece and others are served",
            "dumps/a client may go in the middle of a dump",
        ],
        deviation: Deviation::Skip,
        reason: "there was no mgdump yet, a dump began without a word, and none could stand in a pipeline",
    },
    Difference {
        cases: &["dumps/items by class"],
        deviation: Deviation::Skip,
        reason: "items on their way from one of memcached's lists to another are not counted",
    },
    Difference {
        cases: &["dumps/cachedump shows a class"],
        deviation: Deviation::Skip,
        reason: "memcached shows the cold part of a class only",
    },
    Difference {
        cases: &["dumps/statistics of parts that are not here"],
        deviation: Deviation::Lines("> stats sizes_enable\n< ERROR\n", ""),
        reason: "statistics of sizes could be switched on",
    },
    Difference {
        cases: &["dumps/counts by prefix"],
        deviation: Deviation::Skip,
        reason: "meta requests were not counted by prefix, and prefixes come in any order",
    },
    Difference {
        cases: &["dumps/a test may stop the clock and set it forward"],
        deviation: Deviation::Skip,
        reason: "it can only in a debug build",
    },
    Difference {
        cases: &["dumps/what tunes slabs and crawlers"],
        deviation: Deviation::Skip,
        reason: "memcached has slabs",
    },
    Difference {
        cases: &["watch/a watcher is told what others do", "watch/each watcher is told what it asked for"],
        deviation: Deviation::Skip,
        reason: "deletes could not be watched yet",
    },
    Difference {
        cases: &["watch/a watcher that does not read misses lines and is told how many"],
        deviation: Deviation::Skip,
        reason: "memcached keeps many more lines",
    },
];

/// The cases of SASL.
const SASL: &[&str] = &[
    "authentication/SASL: the mechanism and the way in",
    "authentication/SASL: nothing but that is answered, and it closes",
    "authentication/SASL: a stranger stays out and may try again",
    "authentication/SASL: PLAIN takes no further step",
    "authentication/SASL: who fails to become somebody else is nobody",
    "authentication/SASL: text has no way in",
];

/// Asserts that every deviation of a behaviour is one of an existing case.
pub(crate) fn assert_known(behaviour: &str, cases: &[Case]) {
    for path in DIFFERENCES.iter().flat_map(|difference| difference.cases) {
        if let Some(name) = path.strip_prefix(behaviour).and_then(|rest| rest.strip_prefix('/')) {
            assert!(cases.iter().any(|case| case.name == name), "differences.rs: there is no case {path}");
        }
    }
}

/// The case as memcached answers it; `None` if it cannot be played.
pub(crate) fn adapt(path: &str, body: Body) -> Option<Body> {
    let mut body = body;
    for difference in DIFFERENCES.iter().filter(|difference| difference.cases.contains(&path)) {
        match (&difference.deviation, &mut body) {
            (Deviation::Skip, _) => {
                println!("not played with memcached: {path}: {}", difference.reason);
                return None;
            }
            (Deviation::Lines(ours, theirs), Body::Lines(lines)) => {
                assert!(lines.contains(ours), "{path} has no {ours:?} to differ in");
                *lines = lines.replace(ours, theirs);
            }
            (Deviation::Lines(..), Body::Code(_)) => panic!("{path} is code: it can only be skipped"),
        }
    }
    Some(body)
}

/// Names of the general statistics of 1.6.45 that this server does not have.
pub(crate) fn absent_statistics(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Memcached => &["slab_reassign_busy_nomem", "slab_reassign_last_busy_status"],
        _ => &[],
    }
}
