//! What a cache with all the memory in the world would answer: the whole classic protocol on one page.

use std::collections::BTreeMap;

/// One classic request, as its line is written.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    /// `get`, `gets`; with an exptime `gat`, `gats`.
    Get {
        keys: Vec<String>,
        with_cas: bool,
        exptime: Option<i64>,
    },
    /// `set`, `add`, `replace`, `append`, `prepend`; with a unique `cas`.
    Store {
        verb: &'static str,
        key: String,
        flags: u32,
        exptime: i64,
        value: Vec<u8>,
        unique: Option<u64>,
    },
    Delete {
        key: String,
    },
    /// `incr`, `decr`.
    Arithmetic {
        verb: &'static str,
        key: String,
        delta: u64,
    },
    Touch {
        key: String,
        exptime: i64,
    },
    FlushAll {
        delay: i64,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) value: Vec<u8>,
    pub(crate) flags: u32,
    /// Unix time in milliseconds.
    dies_ms: Option<u64>,
    /// Unknown until a `gets` has shown it; every change makes it unknown again.
    pub(crate) unique: Option<u64>,
}

/// All items, the time, and the flush to come.
#[derive(Debug)]
pub(crate) struct Oracle {
    pub(crate) items: BTreeMap<String, Item>,
    now_ms: u64,
    flush_at_ms: Option<u64>,
    value_len_max: usize,
}

impl Oracle {
    pub(crate) fn new(now_ms: u64, value_len_max: usize) -> Self {
        Self { items: BTreeMap::new(), now_ms, flush_at_ms: None, value_len_max }
    }

    /// The time is now `now_ms`: what has died is gone.
    pub(crate) fn set_time(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        if self.flush_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            self.flush_at_ms = None;
            self.items.clear();
        }
        self.items.retain(|_, item| item.dies_ms.is_none_or(|dies_ms| dies_ms > now_ms));
    }

    /// The item that a retrieval of `key` shows, as it was when it was shown.
    pub(crate) fn get(&mut self, key: &str, exptime: Option<i64>) -> Option<Item> {
        let item = self.items.get_mut(key)?;
        let shown = item.clone();
        if let Some(exptime) = exptime {
            item.dies_ms = dies_ms(exptime, self.now_ms);
            self.set_time(self.now_ms);
        }
        Some(shown)
    }

    /// The reply to anything but a retrieval, without its line end.
    pub(crate) fn change(&mut self, request: &Request) -> String {
        let reply = match request {
            Request::Get { .. } => panic!("a retrieval changes nothing but expiry: `get`"),
            Request::Store { verb, key, flags, exptime, value, unique } => {
                let dies_ms = dies_ms(*exptime, self.now_ms);
                let new = Item { value: value.clone(), flags: *flags, dies_ms, unique: None };
                self.store(verb, key, new, *unique).to_owned()
            }
            Request::Delete { key } => self.items.remove(key).map_or("NOT_FOUND", |_| "DELETED").to_owned(),
            Request::Arithmetic { verb, key, delta } => self.compute(verb, key, *delta),
            Request::Touch { key, exptime } => {
                self.get(key, Some(*exptime)).map_or("NOT_FOUND", |_| "TOUCHED").to_owned()
            }
            Request::FlushAll { delay } => {
                self.flush_at_ms = dies_ms(*delay, self.now_ms).or(Some(0));
                "OK".to_owned()
            }
        };
        self.set_time(self.now_ms);
        reply
    }

    fn store(&mut self, verb: &str, key: &str, new: Item, unique: Option<u64>) -> &'static str {
        if new.value.len() > self.value_len_max {
            // Who says `set` believes the old item replaced.
            if verb == "set" {
                self.items.remove(key);
            }
            return "SERVER_ERROR object too large for cache";
        }
        let present = self.items.get_mut(key);
        match (verb, present) {
            ("append" | "prepend", Some(item)) => {
                let (front, back) =
                    if verb == "append" { (&item.value, &new.value) } else { (&new.value, &item.value) };
                let joined = [front.as_slice(), back].concat();
                if joined.len() > self.value_len_max {
                    return "NOT_STORED";
                }
                (item.value, item.unique) = (joined, None);
                return "STORED";
            }
            ("add", Some(_)) | ("replace" | "append" | "prepend", None) => return "NOT_STORED",
            ("cas", None) => return "NOT_FOUND",
            ("cas", Some(item)) if item.unique != unique => return "EXISTS",
            _ => {}
        }
        self.items.insert(key.to_owned(), new);
        "STORED"
    }

    fn compute(&mut self, verb: &str, key: &str, delta: u64) -> String {
        let Some(item) = self.items.get_mut(key) else { return "NOT_FOUND".to_owned() };
        let text = String::from_utf8_lossy(&item.value);
        let Ok(number) = text.trim().parse::<u64>() else {
            return "CLIENT_ERROR cannot increment or decrement non-numeric value".to_owned();
        };
        let number = if verb == "incr" { number.wrapping_add(delta) } else { number.saturating_sub(delta) };
        let width = item.value.len();
        (item.value, item.unique) = (format!("{number:<width$}").into_bytes(), None);
        number.to_string()
    }
}

/// 0 never, negative at once, up to 30 days from now, above that a Unix time.
fn dies_ms(exptime: i64, now_ms: u64) -> Option<u64> {
    match exptime {
        0 => None,
        i64::MIN..0 => Some(0),
        1..=2_592_000 => Some(now_ms + exptime.unsigned_abs() * 1000),
        _ => Some(exptime.unsigned_abs() * 1000),
    }
}
