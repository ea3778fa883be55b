//! Recorded traces: `time,key,operation,size,ttl`, one request a line, a header or none.
//!
//! Time is in seconds, with a fraction or without, and counts from the first record; size is the value's, in bytes; ttl
//! is in seconds, 0 for ever. Size and ttl may be left empty. The lines of Twitter's published traces
//! (`time,key,key size,value size,client,operation,ttl`) are read as well.

use std::collections::HashMap;
use std::io::Read;

use csv::{ReaderBuilder, StringRecord};

use crate::workload::Operation;
use crate::workload::plan::{Trace, TraceRecord};

/// As in every dialect.
const KEY_LEN_MAX: usize = 250;
/// As memcached's largest `-I`.
const VALUE_SIZE_MAX: u32 = 1 << 30;
/// Longer times to live are dates to a memcached server: they become this one.
const TTL_MAX: u32 = 30 * 24 * 3600;

/// Where the fields of a record stand.
struct Columns {
    key: usize,
    operation: usize,
    size: usize,
    ttl: usize,
}

const OURS: Columns = Columns { key: 1, operation: 2, size: 3, ttl: 4 };
const TWITTER: Columns = Columns { key: 1, operation: 5, size: 3, ttl: 6 };
const TWITTER_FIELDS: usize = 7;

/// Reads a trace whole. Records are put in the order of their times; those of one moment keep theirs. The error names
/// the line.
///
/// What this generator does not ask for becomes its nearest kin: `replace` a `set`, `prepend` an `append`, `decr` an
/// `incr`.
pub(crate) fn parse(input: impl Read) -> Result<Trace, String> {
    let mut numbers: HashMap<Box<[u8]>, u32> = HashMap::new();
    let mut records = Vec::new();
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).comment(Some(b'#')).from_reader(input);
    let mut fields = StringRecord::new();
    let mut is_first = true;
    loop {
        match reader.read_record(&mut fields) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return Err(format!("the trace cannot be read: {error}")),
        }
        let is_header = is_first && fields.get(0).is_some_and(|time| time.trim().parse::<f64>().is_err());
        is_first = false;
        if is_header {
            continue;
        }
        let line = fields.position().map_or(0, csv::Position::line);
        let record = read(&fields, &mut numbers).map_err(|error| format!("line {line} of the trace: {error}"))?;
        records.push(record);
    }
    if records.is_empty() {
        return Err("the trace holds no requests".to_string());
    }
    records.sort_by_key(|record| record.at_us);
    let begin = records[0].at_us;
    for record in &mut records {
        record.at_us -= begin;
    }
    let mut keys = vec![Box::default(); numbers.len()];
    for (key, number) in numbers {
        keys[number as usize] = key;
    }
    Ok(Trace { keys, records })
}

fn read(fields: &StringRecord, numbers: &mut HashMap<Box<[u8]>, u32>) -> Result<TraceRecord, String> {
    let columns = if fields.len() == TWITTER_FIELDS { TWITTER } else { OURS };
    let field = |index: usize| fields.get(index).unwrap_or("").trim();
    let time = field(0);
    // A u64 of microseconds would hold more; whoever writes dates in microseconds is told.
    let seconds = time.parse::<f64>().ok().filter(|seconds| (0.0..1e11).contains(seconds));
    let seconds = seconds.ok_or_else(|| format!("`{time}` is not a time in seconds"))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 10^17")]
    let at_us = (seconds * 1e6).round() as u64;
    let name = field(columns.operation);
    let operation = operation(name).ok_or_else(|| format!("`{name}` is not an operation"))?;
    let whole = |index: usize, max: u32, what: &str| match field(index) {
        "" => Ok(0),
        text => {
            let number = text.parse::<u64>().ok().map(|number| u32::try_from(number).unwrap_or(u32::MAX));
            number.filter(|number| *number <= max).ok_or_else(|| format!("`{text}` is not {what}"))
        }
    };
    let value_size = whole(columns.size, VALUE_SIZE_MAX, "a value's size in bytes")?;
    let ttl = whole(columns.ttl, u32::MAX, "a time to live in seconds")?.min(TTL_MAX);
    let key = number_of(field(columns.key), numbers)?;
    Ok(TraceRecord { at_us, key, operation, value_size, ttl })
}

fn number_of(key: &str, numbers: &mut HashMap<Box<[u8]>, u32>) -> Result<u32, String> {
    if let Some(number) = numbers.get(key.as_bytes()) {
        return Ok(*number);
    }
    let is_legal = (1..=KEY_LEN_MAX).contains(&key.len()) && !key.bytes().any(|byte| byte <= b' ' || byte == 0x7f);
    if !is_legal {
        return Err(format!("`{key}` is not a key of 1 to {KEY_LEN_MAX} bytes without spaces"));
    }
    let number = u32::try_from(numbers.len()).map_err(|_| "more than 2^32 keys".to_string())?;
    numbers.insert(key.as_bytes().into(), number);
    Ok(number)
}

fn operation(name: &str) -> Option<Operation> {
    match name {
        "replace" => Some(Operation::Set),
        "prepend" => Some(Operation::Append),
        "decr" => Some(Operation::Incr),
        // Fills follow misses; a trace does not know the misses of this run.
        _ => Operation::named(name).filter(|operation| *operation != Operation::Fill),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_in_the_order_of_its_times() {
        let text =
            "time,key,op,size,ttl\n10.5,b,set,100,60\n10,a,get,,\n# a comment\n10.5,\"a,1\",delete\n11,b,decr,3,0\n";
        let trace = parse(text.as_bytes()).unwrap();
        let keys: Vec<_> = trace.keys.iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
        assert_eq!(keys, ["b", "a", "a,1"]);
        let record = |at_us, key, operation, value_size, ttl| TraceRecord { at_us, key, operation, value_size, ttl };
        let expected = [
            record(0, 1, Operation::Get, 0, 0),
            record(500_000, 0, Operation::Set, 100, 60),
            record(500_000, 2, Operation::Delete, 0, 0),
            record(1_000_000, 0, Operation::Incr, 3, 0),
        ];
        assert_eq!(trace.records, expected);
    }

    #[test]
    fn twitters_columns_are_known() {
        let text = "0,nz:u:eeW511W3dcH3de3d15ec,26,414,1,get,0\n7,nz:u:eeW511W3dcH3de3d15ec,26,414,1,set,8000000\n";
        let trace = parse(text.as_bytes()).unwrap();
        assert_eq!(trace.keys.len(), 1);
        let second = trace.records[1];
        assert_eq!((second.at_us, second.operation), (7_000_000, Operation::Set));
        assert_eq!((second.value_size, second.ttl), (414, TTL_MAX));
    }

    #[test]
    fn a_bad_line_is_named() {
        for (line, why) in [
            ("x,a,get", "time"),
            ("1,a,fetch", "operation"),
            ("1,a,fill", "operation"),
            ("1,,get", "key"),
            ("1,a b,get", "key"),
            ("1,a,set,-5", "size"),
            ("1,a,set,4294967297", "size"),
            ("1,a,set,5,x", "live"),
            ("-1,a,get", "time"),
            ("1", "operation"),
        ] {
            let error = parse(format!("0,a,get\n{line}\n").as_bytes()).unwrap_err();
            assert!(error.contains("line 2") && error.contains(why), "{line}: {error}");
        }
        let long = format!("0,{},get", "k".repeat(251));
        assert!(parse(long.as_bytes()).unwrap_err().contains("250"));
        assert!(parse("time,key,op\n".as_bytes()).unwrap_err().contains("no requests"));
        assert!(parse(&b"0,\xff\xfe,get\n"[..]).is_err());
    }
}
