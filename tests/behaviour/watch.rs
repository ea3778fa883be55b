//! `watch`: what watchers are told.

use std::time::Duration;

use crate::driver::Kind;
use crate::talk::{Failure, Talk};
use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = transcript(TRANSCRIPT);
    cases.push(Case::code("a watcher is told what others do", &[], |talk| leaving(talk, told)));
    cases.push(Case::code("each watcher is told what it asked for", &[], |talk| leaving(talk, by_kind)));
    cases.push(Case::code("a watcher is not listened to", &[], |talk| leaving(talk, deaf)));
    cases.push(Case::code("a watcher that does not read misses lines and is told how many", &[], |talk| {
        leaving(talk, slow)
    }));
    cases.push(Case::code("evictions are told", &["-m", "8"], |talk| leaving(talk, evictions)));
    cases.push(Case::code_sockets("connections are told", &[], |talk| leaving(talk, connections)));
    cases
}

const TRANSCRIPT: &str = r"
# unknown events
> watch nonsense
< ERROR
> watch fetchers nonsense
< ERROR

# watch is switched off
options -W
> watch
< CLIENT_ERROR watch commands not allowed
> watch mutations
< CLIENT_ERROR watch commands not allowed

# a watcher may go
> watch
< OK
half-close
closed
";

/// Time in which lines come to a watcher in this process; over a socket they come by themselves.
const PUMPED: Duration = Duration::from_millis(200);

/// Plays a case whose connections 8 and 9 watch: they cannot be asked at the end whether something is left.
fn leaving(talk: &mut Talk<'_>, case: fn(&mut Talk<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
    let outcome = case(talk);
    talk.leave(8);
    talk.leave(9);
    outcome
}

/// Makes connection 9 a watcher, on all cores.
fn watch(talk: &mut Talk<'_>, kinds: &str) -> Result<(), Failure> {
    talk.send_bytes(9, format!("watch{kinds}\r\n").as_bytes());
    let reply = talk.read_through(9, "\r\n")?;
    assert_eq!(reply, "OK\r\n");
    talk.driver.wait(PUMPED);
    Ok(())
}

/// Reads lines on connection 9 up to one that holds `mark`.
fn lines(talk: &mut Talk<'_>, mark: &str) -> Result<Vec<String>, Failure> {
    talk.driver.wait(PUMPED);
    let text = talk.read_through(9, mark)? + &talk.read_through(9, "\n")?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// The rest of a line behind its time and number, whose form it checks, without what differs from store to store.
fn event(line: &str) -> String {
    let mut words = line.split(' ');
    let (time, number) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_time = time
        .strip_prefix("ts=")
        .and_then(|time| time.split_once('.'))
        .is_some_and(|(seconds, us)| seconds.parse::<u64>().is_ok() && us.len() <= 6 && us.parse::<u64>().is_ok());
    let is_number = number.strip_prefix("gid=").is_some_and(|number| number.parse::<u64>().is_ok());
    assert!(is_time && is_number, "{line:?}");
    let known = ["clsid=", "cfd="];
    let words: Vec<&str> = words.filter(|word| !known.iter().any(|name| word.starts_with(name))).collect();
    words.join(" ")
}

fn compare(found: &[String], expected: &[&str]) -> Result<(), Failure> {
    let found: Vec<String> = found.iter().map(|line| event(line)).collect();
    if found == expected { Ok(()) } else { Err(Failure::Wrong(format!("told {found:#?}\nexpected {expected:#?}"))) }
}

/// One key, and so one core: the order is that of the requests.
fn told(talk: &mut Talk<'_>) -> Result<(), Failure> {
    watch(talk, " fetchers mutations deletions")?;
    talk.ask("get a%b\\r\\n", "END\\r\\n")?;
    talk.ask("set a%b 0 0 3\\r\\nabc\\r\\n", "STORED\\r\\n")?;
    talk.ask("add a%b 0 0 1\\r\\nx\\r\\n", "NOT_STORED\\r\\n")?;
    talk.ask("get a%b\\r\\n", "VALUE a%b 0 3\\r\\nabc\\r\\nEND\\r\\n")?;
    talk.ask("cas a%b 0 0 1 1234567890\\r\\nx\\r\\n", "EXISTS\\r\\n")?;
    talk.ask("ms a%b 2 T100 MA\\r\\nde\\r\\n", "HD\\r\\n")?;
    talk.ask("mg a%b\\r\\n", "HD\\r\\n")?;
    talk.ask("md a%b\\r\\n", "HD\\r\\n")?;
    talk.ask("md a%b\\r\\n", "NF\\r\\n")?;
    talk.ask("mg a%b\\r\\n", "EN\\r\\n")?;
    // Together, or the sweep may come between them, and there is nothing to be expired.
    talk.ask("set a%b 0 -1 1\\r\\nx\\r\\nget a%b\\r\\n", "STORED\\r\\nEND\\r\\n")?;
    talk.ask("set a%b 0 0 4\\r\\nlast\\r\\n", "STORED\\r\\n")?;
    talk.ask("delete a%b\\r\\n", "DELETED\\r\\n")?;
    let found = lines(talk, "cmd=delete ")?;
    compare(
        &found,
        &[
            "type=item_get key=a%25b status=not_found size=0",
            "type=item_store key=a%25b status=stored cmd=set ttl=0 size=3",
            "type=item_store key=a%25b status=not_stored cmd=add ttl=0 size=1",
            "type=item_get key=a%25b status=found size=3",
            "type=item_store key=a%25b status=exists cmd=cas ttl=0 size=1",
            "type=item_store key=a%25b status=stored cmd=append ttl=100 size=5",
            "type=item_get key=a%25b status=found size=5",
            "type=deleted key=a%25b cmd=md size=5",
            "type=item_get key=a%25b status=not_found size=0",
            "type=item_store key=a%25b status=stored cmd=set ttl=0 size=1",
            "type=item_get key=a%25b status=expired size=0",
            "type=item_store key=a%25b status=stored cmd=set ttl=0 size=4",
            "type=deleted key=a%25b cmd=delete size=4",
        ],
    )
}

fn by_kind(talk: &mut Talk<'_>) -> Result<(), Failure> {
    watch(talk, "")?;
    talk.send_bytes(8, b"watch deletions\r\n");
    talk.read_through(8, "OK\r\n")?;
    talk.driver.wait(PUMPED);
    for number in 0..20 {
        talk.ask(&format!("set key{number} 0 0 1\\r\\nx\\r\\n"), "STORED\\r\\n")?;
        talk.ask(&format!("mg key{number}\\r\\n"), "HD\\r\\n")?;
        talk.ask(&format!("delete key{number}\\r\\n"), "DELETED\\r\\n")?;
    }
    talk.driver.wait(PUMPED);
    for (watcher, wanted) in [(9, "type=item_get"), (8, "type=deleted")] {
        let mut keys = std::collections::BTreeSet::new();
        while keys.len() < 20 {
            let line = talk.read_through(watcher, "\n")?;
            assert!(line.contains(wanted), "{line:?} for who wants {wanted}");
            keys.insert(line.split(' ').nth(3).map(str::to_owned));
        }
    }
    Ok(())
}

fn deaf(talk: &mut Talk<'_>) -> Result<(), Failure> {
    talk.send_bytes(9, b"watch mutations\r\nversion\r\n");
    talk.read_through(9, "OK\r\n")?;
    talk.send_bytes(9, b"version\r\nset b 0 0 1\r\nx\r\n");
    talk.driver.wait(PUMPED);
    talk.ask("set a 0 0 1\\r\\nx\\r\\n", "STORED\\r\\n")?;
    compare(&lines(talk, "key=a ")?, &["type=item_store key=a status=stored cmd=set ttl=0 size=1"])
}

/// More happens between two looks than a core keeps.
fn slow(talk: &mut Talk<'_>) -> Result<(), Failure> {
    watch(talk, " mutations")?;
    let line = format!("set {} 0 0 1 noreply\r\nx\r\n", "k".repeat(200));
    let mut skipped = false;
    for _ in 0..50 {
        talk.send_bytes(1, line.repeat(1000).as_bytes());
        talk.ask("mn\\r\\n", "MN\\r\\n")?;
        talk.driver.wait(PUMPED);
        let text = talk.read_through(9, "\n")?;
        skipped |= text.starts_with("skipped=");
        // Whatever has come by now.
        talk.ask("set last 0 0 1\\r\\nx\\r\\n", "STORED\\r\\n")?;
        talk.driver.wait(PUMPED);
        let rest = talk.read_through(9, "key=last ")? + &talk.read_through(9, "\n")?;
        skipped |= rest.lines().any(|line| line.strip_prefix("skipped=").is_some_and(|count| count != "0"));
        if skipped {
            return Ok(());
        }
    }
    Err(Failure::Wrong("nothing was skipped".to_owned()))
}

fn evictions(talk: &mut Talk<'_>) -> Result<(), Failure> {
    watch(talk, " evictions")?;
    let value = "v".repeat(2000);
    for number in 0..8000 {
        talk.send_bytes(1, format!("set key{number} 0 0 2000 noreply\r\n{value}\r\n").as_bytes());
    }
    talk.ask("mn\\r\\n", "MN\\r\\n")?;
    let found = lines(talk, " clsid=")?;
    let first = event(&found[0]);
    if first.starts_with("type=eviction key=key") && first.contains(" fetch=no ttl=-1 la=") && first.contains(" size=")
    {
        Ok(())
    } else {
        Err(Failure::Wrong(format!("told {first:?}")))
    }
}

fn connections(talk: &mut Talk<'_>) -> Result<(), Failure> {
    watch(talk, " connevents")?;
    let mut other = talk.driver.connect();
    other.send(b"version\r\n");
    other.half_close();
    drop(other);
    let found = lines(talk, "type=conn_close ")?;
    let events: Vec<String> = found.iter().map(|line| event(line)).collect();
    let from = if talk.kind == Kind::Unix4 { "unix" } else { "127.0.0.1" };
    let is_told = |what: &str| events.iter().any(|event| event.starts_with(&format!("type={what} rip={from} rport=")));
    if is_told("conn_new") && is_told("conn_close") { Ok(()) } else { Err(Failure::Wrong(format!("told {events:#?}"))) }
}
