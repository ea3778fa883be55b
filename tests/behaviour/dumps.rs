//! Dumps of keys, statistics by size class and by prefix, and what tunes parts that are not here.

use std::collections::BTreeSet;

use crate::driver::Kind;
use crate::talk::{Failure, Talk};
use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = transcript(TRANSCRIPT);
    cases.push(Case::code("metadump shows every item once", &[], metadump));
    cases.push(Case::code("mgdump is a list of requests", &[], mgdump));
    cases.push(Case::code("a long dump is taken piece by piece and others are served", &[], beside_a_dump));
    cases.push(Case::code("a client may go in the middle of a dump", &[], gone));
    cases.push(Case::code("cachedump shows a class", &[], cachedump));
    cases.push(Case::code("items by class", &[], classes));
    cases.push(Case::code("sizes are counted if asked for", &["-o", "track_sizes"], sizes));
    cases
}

const TRANSCRIPT: &str = r"
# metadump of one item
> set a:b 5 0 3
> abc
< STORED
> gets a:b
< VALUE a:b 5 3 {cas}
< abc
< END
> lru_crawler metadump all
< OK
<| key=a%3Ab exp=-1 la={la} cas={cas} fetch=yes cls={class} size={size} flags=5 \n
< END
> lru_crawler metadump {class}
< OK
<| key=a%3Ab exp=-1 la={later} cas={cas} fetch=yes cls={class} size={size} flags=5 \n
< END
within 0.9

# metadump of an item with an end
> set a 0 100 3
> abc
< STORED
> lru_crawler metadump hash
< OK
<| key=a exp={exp} la={la} cas={cas} fetch=no cls={class} size={size} flags=0 \n
< END

# dumps of nothing
> lru_crawler metadump all
< OK
< END
> lru_crawler mgdump all
< OK
< EN
> stats cachedump 1 0
< END
> lru_crawler metadump 63
< OK
< END

# dumps in a pipeline
> set a 0 0 1
> x
> lru_crawler mgdump all
> version
> get a
> stats cachedump 40 1
> mn
< STORED
< OK
< mg a
< EN
< VERSION {*}
< VALUE a 0 1
< x
< END
< END
< MN

# a dead item is in no dump
> set a 0 -1 1
> x
< STORED
> set b 0 0 1
> x
< STORED
> lru_crawler mgdump all
< OK
< mg b
< EN

# a key in base64
> ms Zm9v 1 b
> x
< HD
> lru_crawler mgdump all
< OK
< mg Zm9v b
< EN
> lru_crawler metadump all
< OK
<| key=foo exp=-1 la={la} cas={cas} fetch=no cls={class} size={size} flags=0 \n
< END

# classes that cannot be
> lru_crawler metadump
< ERROR
> lru_crawler metadump 99
< BADCLASS invalid class id
> lru_crawler mgdump x
< BADCLASS invalid class id
> lru_crawler metadump 0
< BADCLASS invalid class id
> stats cachedump
< CLIENT_ERROR bad command line
> stats cachedump 1
< CLIENT_ERROR bad command line
> stats cachedump x 1
< CLIENT_ERROR bad command line format
> stats cachedump 1 x
< CLIENT_ERROR bad command line format
> stats cachedump 200 1
< CLIENT_ERROR Illegal slab id

# dumps are switched off
options -X
> lru_crawler metadump all
< ERROR metadump not allowed
> lru_crawler mgdump all
< ERROR mgdump not allowed
> stats cachedump 1 0
< CLIENT_ERROR stats cachedump not allowed
> stats detail on
< CLIENT_ERROR stats detail not allowed

# statistics of parts that are not here
> stats extstore
< END
> stats sizes
< STAT sizes_status disabled
< END
> stats proxy
< ERROR
> stats sizes_enable
< ERROR

# counts by prefix
> stats detail on
< OK
> set a:1 0 0 1
> x
< STORED
> get a:1 a:2 b:1 none
< VALUE a:1 0 1
< x
< END
> delete a:1
< DELETED
> delete a:1
< NOT_FOUND
> mg a:1 v
< EN
> ms b:x:y 1
> z
< HD
> md b:x:y
< HD
> stats detail dump
< PREFIX a get 3 hit 1 set 1 del 2
< PREFIX b get 1 hit 0 set 1 del 1
< END
> stats detail on
< OK
> stats detail dump
< PREFIX a get 3 hit 1 set 1 del 2
< PREFIX b get 1 hit 0 set 1 del 1
< END
> stats detail off
< OK
> get a:1
< END
> stats detail dump
< END
> stats detail
< CLIENT_ERROR usage: stats detail on|off|dump
> stats detail x
< CLIENT_ERROR usage: stats detail on|off|dump

# counts by another prefix from the start
options -D /
> get a/b a/c b
< END
> stats detail dump
< PREFIX a get 2 hit 0 set 0 del 0
< END
> stats detail off
< OK
> stats detail on
< OK

# what tunes slabs and crawlers
> slabs reassign 1 2
< CLIENT_ERROR slab reassignment disabled
> slabs reassign x 2
< CLIENT_ERROR bad command line format
> slabs automove 0
< OK
> slabs automove 7
< ERROR
> slabs
< ERROR
> lru tune 50 50 0.1 2.0
< ERROR hot and warm pcts must not exceed 80
> lru tune 10 25 0 2.0
< ERROR hot/warm age factors must be greater than 0
> lru tune 10
< ERROR
> lru mode x
< ERROR
> lru
< ERROR
> lru_crawler enable
< ERROR failed to start lru crawler thread
> lru_crawler crawl all
< OK
> lru_crawler crawl x
< BADCLASS invalid class id
> lru_crawler sleep 100
< OK
> lru_crawler sleep 2000000
< CLIENT_ERROR sleep must be one second or less
> lru_crawler sleep x
< CLIENT_ERROR bad command line format
> lru_crawler tocrawl 5
< OK
> lru_crawler tocrawl x
< CLIENT_ERROR bad command line format
> lru_crawler foo
< ERROR

# the clock is moved for tests only
> debugtime 10
< ERROR

# a test may stop the clock and set it forward
options --debug-time
sockets
> debugtime p
< OK
> set a 0 100 1
> x
< STORED
> mg a t
< HD t100
> debugtime 60
< OK
> mg a t
< HD t40
> debugtime 41
< OK
> mg a t
< EN
> debugtime x
< ERROR
> debugtime r
< OK
";

const ITEMS: usize = 2000;

fn fill(talk: &mut Talk<'_>) -> Result<(), Failure> {
    for number in 0..ITEMS {
        talk.send_bytes(1, format!("set key:{number} 0 0 20 noreply\r\n{number:020}\r\n").as_bytes());
    }
    talk.ask("mn\\r\\n", "MN\\r\\n")
}

/// The lines between the first and the last of a dump.
fn dump(talk: &mut Talk<'_>, request: &str, begin: &str, end: &str) -> Result<Vec<String>, Failure> {
    talk.send_bytes(1, format!("{request}\r\n").as_bytes());
    let text = talk.read_through(1, &format!("\n{end}\r\n"))?;
    let lines = text.strip_prefix(begin).and_then(|text| text.strip_suffix(&format!("{end}\r\n")));
    let Some(lines) = lines else { return Err(Failure::Wrong(format!("not a dump: {text:?}"))) };
    Ok(lines.lines().map(str::to_owned).collect())
}

fn wanted(from: impl Iterator<Item = usize>, write: impl Fn(usize) -> String) -> BTreeSet<String> {
    from.map(write).collect()
}

fn compare(lines: &[String], wanted: &BTreeSet<String>) -> Result<(), Failure> {
    let found: BTreeSet<String> = lines.iter().cloned().collect();
    if found.len() == lines.len() && found == *wanted {
        return Ok(());
    }
    let lost: Vec<_> = wanted.difference(&found).take(3).collect();
    let more: Vec<_> = found.difference(wanted).take(3).collect();
    Err(Failure::Wrong(format!(
        "{} lines, {} of them different; lost {lost:?}, too many {more:?}",
        lines.len(),
        found.len()
    )))
}

fn metadump(talk: &mut Talk<'_>) -> Result<(), Failure> {
    fill(talk)?;
    let lines = dump(talk, "lru_crawler metadump all", "OK\r\n", "END")?;
    let keys: Vec<String> = lines.iter().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect();
    compare(&keys, &wanted(0..ITEMS, |number| format!("key=key%3A{number}")))
}

fn mgdump(talk: &mut Talk<'_>) -> Result<(), Failure> {
    fill(talk)?;
    let lines = dump(talk, "lru_crawler mgdump all", "OK\r\n", "EN")?;
    compare(&lines, &wanted(0..ITEMS, |number| format!("mg key:{number}")))
}

/// The client of the dump does not read; another one is answered meanwhile.
fn beside_a_dump(talk: &mut Talk<'_>) -> Result<(), Failure> {
    fill(talk)?;
    talk.send_bytes(2, b"lru_crawler metadump all\r\nversion\r\n");
    for number in 0..50 {
        talk.ask(&format!("ms key:{number} 1\\r\\nx\\r\\n"), "HD\\r\\n")?;
        talk.ask(&format!("mg key:{number} v\\r\\n"), "VA 1\\r\\nx\\r\\n")?;
    }
    let text = talk.read_through(2, "\nEND\r\n")?;
    let keys: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with("key="))
        .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
        .collect();
    // What stays throughout is met once.
    let stayed: Vec<String> = keys
        .into_iter()
        .filter(|key| key.strip_prefix("key=key%3A").and_then(|n| n.parse().ok()).is_some_and(|n: usize| n >= 50))
        .collect();
    compare(&stayed, &wanted(50..ITEMS, |number| format!("key=key%3A{number}")))?;
    talk.read_through(2, "VERSION ")?;
    talk.read_through(2, "\r\n").map(drop)
}

fn gone(talk: &mut Talk<'_>) -> Result<(), Failure> {
    fill(talk)?;
    for _ in 0..3 {
        let mut other = talk.driver.connect();
        other.send(b"lru_crawler metadump all\r\n");
        drop(other);
    }
    // Until the server has heard of it, the dump goes on.
    for _ in 0..500 {
        talk.send_bytes(1, b"lru_crawler mgdump 63\r\n");
        if talk.read_through(1, "\r\n")? == "OK\r\n" {
            talk.read_through(1, "EN\r\n")?;
            break;
        }
        talk.driver.wait(std::time::Duration::from_millis(20));
    }
    let lines = dump(talk, "lru_crawler mgdump all", "OK\r\n", "EN")?;
    compare(&lines, &wanted(0..ITEMS, |number| format!("mg key:{number}")))
}

fn cachedump(talk: &mut Talk<'_>) -> Result<(), Failure> {
    fill(talk)?;
    talk.send_bytes(1, b"me key:7\r\n");
    let facts = talk.read_through(1, "\r\n")?;
    let class = facts.split("cls=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("?").to_owned();
    let lines = dump(talk, &format!("stats cachedump {class} 0"), "", "END")?;
    if !lines.contains(&"ITEM key:7 [20 b; 0 s]".to_owned()) {
        return Err(Failure::Wrong(format!("key:7 is not in class {class}: {:?}", lines.first())));
    }
    let lines = dump(talk, &format!("stats cachedump {class} 5"), "", "END")?;
    if lines.len() == 5 { Ok(()) } else { Err(Failure::Wrong(format!("{} lines instead of 5", lines.len()))) }
}

fn classes(talk: &mut Talk<'_>) -> Result<(), Failure> {
    fill(talk)?;
    talk.send_bytes(1, format!("set large 0 0 9000 noreply\r\n{}\r\n", "x".repeat(9000)).as_bytes());
    let items = talk.statistics(" items")?;
    let numbers: Vec<u64> =
        items.iter().filter(|(name, _)| name.ends_with(":number")).map(|(_, value)| value.parse().unwrap()).collect();
    let slabs = talk.statistics(" slabs")?;
    let used: u64 = slabs
        .iter()
        .filter(|(name, _)| name.ends_with(":used_chunks"))
        .map(|(_, value)| value.parse::<u64>().unwrap())
        .sum();
    let in_all = ITEMS as u64 + 1;
    let number = numbers.iter().sum::<u64>();
    // What a flush has killed counts until its memory is taken back.
    if number >= in_all && numbers.len() > 1 && (used == number || talk.kind == Kind::Memcached) {
        Ok(())
    } else {
        Err(Failure::Wrong(format!("items {numbers:?}, chunks {used}, at least {in_all} expected")))
    }
}

fn sizes(talk: &mut Talk<'_>) -> Result<(), Failure> {
    fill(talk)?;
    let sizes = talk.statistics(" sizes")?;
    let count: u64 = sizes.values().map(|value| value.parse::<u64>().unwrap()).sum();
    let are_multiples = sizes.keys().all(|size| size.parse::<u64>().is_ok_and(|size| size % 32 == 0));
    if count == ITEMS as u64 && are_multiples {
        Ok(())
    } else {
        Err(Failure::Wrong(format!("{count} items in {sizes:?}")))
    }
}
