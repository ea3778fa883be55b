//! What a cache with all the memory in the world would answer to meta requests, on one page. Time stands still between
//! two requests unless [`MetaOracle::set_time`] moves it; it moves by whole seconds, so nothing is left to rounding.

use std::collections::BTreeMap;

/// One item.
#[derive(Clone, Debug, Default)]
pub(crate) struct Item {
    value: String,
    flags: u32,
    /// Second at which it dies; `None` for never.
    dies: Option<u64>,
    /// Known only if the client chose it.
    cas: Option<u64>,
    stale: bool,
    won: bool,
    fetched: bool,
    accessed: u64,
}

/// A request: the command's letter, its flags, its value.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) verb: char,
    pub(crate) key: String,
    /// Each a letter and its argument; no letter twice.
    pub(crate) flags: Vec<(char, String)>,
    pub(crate) value: String,
}

impl Request {
    /// As it is sent.
    pub(crate) fn bytes(&self) -> String {
        let flags: String = self.flags.iter().map(|(letter, argument)| format!(" {letter}{argument}")).collect();
        match self.verb {
            's' => format!("ms {} {}{flags}\r\n{}\r\n", self.key, self.value.len(), self.value),
            verb => format!("m{verb} {}{flags}\r\n", self.key),
        }
    }

    fn has(&self, letter: char) -> bool {
        self.argument(letter).is_some()
    }

    fn argument(&self, letter: char) -> Option<&str> {
        self.flags.iter().find(|(one, _)| *one == letter).map(|(_, argument)| argument.as_str())
    }

    fn number(&self, letter: char) -> Option<u64> {
        self.argument(letter).map(|argument| argument.parse().unwrap())
    }
}

#[derive(Debug, Default)]
pub(crate) struct MetaOracle {
    items: BTreeMap<String, Item>,
    now: u64,
}

impl MetaOracle {
    /// It is so many seconds later.
    pub(crate) fn set_time(&mut self, now: u64) {
        self.now = now;
        self.items.retain(|_, item| item.dies.is_none_or(|dies| dies > now));
    }

    /// The whole reply. A version that nobody chose is shown as `c?`.
    pub(crate) fn answer(&mut self, request: &Request) -> String {
        match request.verb {
            'n' => "MN\r\n".to_owned(),
            'g' => self.get(request),
            's' => self.set(request),
            'd' => self.delete(request),
            _ => self.count(request),
        }
    }

    fn dies(&self, exptime: &str) -> Option<u64> {
        match exptime.parse::<i64>().unwrap() {
            0 => None,
            seconds => Some(self.now + seconds.unsigned_abs()),
        }
    }

    /// Key and opaque, in the order asked.
    fn short(code: &str, request: &Request) -> String {
        let shown = request.flags.iter().filter_map(|(letter, argument)| match letter {
            'k' => Some(format!(" k{}", request.key)),
            'O' => Some(format!(" O{argument}")),
            _ => None,
        });
        format!("{code}{}\r\n", shown.collect::<String>())
    }

    fn left(&self, dies: Option<u64>) -> String {
        dies.map_or("-1".to_owned(), |dies| (dies - self.now).to_string())
    }

    fn get(&mut self, request: &Request) -> String {
        let is_new = !self.items.contains_key(&request.key);
        if is_new {
            if !request.has('N') {
                return if request.has('q') { String::new() } else { Self::short("EN", request) };
            }
            let item = Item { cas: request.number('E'), accessed: self.now, ..Item::default() };
            self.items.insert(request.key.clone(), item);
        }
        let before = self.items[&request.key].clone();
        let mut item = before.clone();
        let mut wins = !item.won && (item.stale || is_new);
        let mut shown = String::new();
        for (letter, argument) in &request.flags {
            match letter {
                'T' => item.dies = self.dies(argument),
                'N' if is_new => item.dies = self.dies(argument),
                'R' if !is_new => {
                    let refresh = self.dies(argument);
                    wins |= !item.won && item.dies.is_some_and(|dies| refresh.is_some_and(|refresh| dies < refresh));
                }
                't' => shown += &format!(" t{}", self.left(item.dies)),
                'f' => shown += &format!(" f{}", item.flags),
                's' => shown += &format!(" s{}", item.value.len()),
                'h' => shown += &format!(" h{}", u8::from(before.fetched)),
                'l' => shown += &format!(" l{}", self.now - before.accessed),
                'c' => shown += &item.cas.map_or(" c?".to_owned(), |cas| format!(" c{cas}")),
                'k' => shown += &format!(" k{}", request.key),
                'O' => shown += &format!(" O{argument}"),
                _ => {}
            }
        }
        for (is_set, mark) in [(before.won, " Z"), (before.stale, " X"), (wins, " W")] {
            shown += if is_set { mark } else { "" };
        }
        item.won |= wins;
        if !request.has('u') {
            (item.fetched, item.accessed) = (true, self.now);
        }
        let is_known = request.number('C').is_some_and(|cas| item.cas == Some(cas));
        let reply = if request.has('v') && !is_known {
            format!("VA {}{shown}\r\n{}\r\n", item.value.len(), item.value)
        } else {
            format!("HD{shown}\r\n")
        };
        self.items.insert(request.key.clone(), item);
        reply
    }

    fn set(&mut self, request: &Request) -> String {
        let mode = request.argument('M').unwrap_or("S").to_owned();
        let old = self.items.get(&request.key).cloned();
        let joins = mode == "A" || mode == "P";
        let compare = request.number('C').filter(|_| mode != "E");
        let mut new = Item {
            value: request.value.clone(),
            flags: request.number('F').unwrap_or(0).try_into().unwrap(),
            dies: request.argument('T').and_then(|exptime| self.dies(exptime)),
            cas: request.number('E'),
            accessed: self.now,
            ..Item::default()
        };
        let refusal = match (&old, mode.as_str()) {
            (Some(_), "E") => Some("NS"),
            (Some(old), _) if compare.is_some_and(|cas| old.cas != Some(cas)) => {
                let is_older = old.cas.is_some_and(|version| compare.is_some_and(|cas| cas < version));
                if is_older && request.has('I') && !joins {
                    (new.stale, new.won, new.dies) = (true, old.won, old.dies);
                    None
                } else {
                    Some("EX")
                }
            }
            (None, "A" | "P") if !request.has('N') => Some("NS"),
            (None, "S" | "R") if compare.is_some() => Some("NF"),
            (None, "R") => Some("NS"),
            _ => None,
        };
        let (code, cas, len) = if let Some(code) = refusal {
            (code, "0".to_owned(), request.value.len())
        } else {
            match (&old, joins) {
                (Some(old), true) => {
                    let value =
                        if mode == "A" { old.value.clone() + &new.value } else { new.value.clone() + &old.value };
                    new = Item { value, cas: new.cas, stale: false, won: false, ..old.clone() };
                }
                (None, true) => new.dies = request.argument('N').and_then(|exptime| self.dies(exptime)),
                _ => {}
            }
            let (cas, len) = (new.cas.map_or("?".to_owned(), |cas| cas.to_string()), new.value.len());
            self.items.insert(request.key.clone(), new);
            ("HD", cas, len)
        };
        if code == "HD" && request.has('q') {
            return String::new();
        }
        let shown = request.flags.iter().filter_map(|(letter, argument)| match letter {
            'k' => Some(format!(" k{}", request.key)),
            'O' => Some(format!(" O{argument}")),
            'c' => Some(format!(" c{cas}")),
            's' => Some(format!(" s{len}")),
            _ => None,
        });
        format!("{code}{}\r\n", shown.collect::<String>())
    }

    fn delete(&mut self, request: &Request) -> String {
        let Some(mut item) = self.items.get(&request.key).cloned() else { return Self::short("NF", request) };
        if request.number('C').is_some_and(|cas| item.cas != Some(cas)) {
            return Self::short("EX", request);
        }
        let time = request.argument('T').map(|exptime| self.dies(exptime));
        if request.has('I') || request.has('x') {
            if request.has('x') {
                (item.value, item.flags) = (String::new(), request.number('F').unwrap_or(0).try_into().unwrap());
                item.dies = None;
            }
            item.dies = time.unwrap_or(item.dies);
            (item.stale, item.won) = (request.has('I'), false);
            if request.has('I') || request.has('E') {
                item.cas = request.number('E');
            }
            self.items.insert(request.key.clone(), item);
        } else {
            self.items.remove(&request.key);
        }
        if request.has('q') { String::new() } else { Self::short("HD", request) }
    }

    fn count(&mut self, request: &Request) -> String {
        let is_new = !self.items.contains_key(&request.key);
        let mut item = match self.items.get(&request.key) {
            Some(item) => item.clone(),
            None if !request.has('N') => return Self::short("NF", request),
            None => Item {
                value: request.number('J').unwrap_or(0).to_string(),
                accessed: self.now,
                cas: request.number('E'),
                ..Item::default()
            },
        };
        if !is_new {
            if request.number('C').is_some_and(|cas| cas != 0 && item.cas != Some(cas)) {
                return Self::short("EX", request);
            }
            // More than twenty digits are no number, whatever their value.
            let digits = item.value.trim();
            let Some(number) = digits.parse::<u64>().ok().filter(|_| digits.len() <= 20) else {
                return "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n".to_owned();
            };
            let delta = request.number('D').unwrap_or(1);
            let is_down = matches!(request.argument('M'), Some("D" | "-"));
            let number = if is_down { number.saturating_sub(delta) } else { number.wrapping_add(delta) };
            let width = item.value.len();
            (item.value, item.cas) = (format!("{number:<width$}"), request.number('E'));
        }
        let number = item.value.trim().to_owned();
        let mut shown = String::new();
        for (letter, argument) in &request.flags {
            match letter {
                'T' => item.dies = self.dies(argument),
                'N' if is_new => item.dies = self.dies(argument),
                't' => shown += &format!(" t{}", self.left(item.dies)),
                'c' => shown += &item.cas.map_or(" c?".to_owned(), |cas| format!(" c{cas}")),
                'k' => shown += &format!(" k{}", request.key),
                'O' => shown += &format!(" O{argument}"),
                _ => {}
            }
        }
        self.items.insert(request.key.clone(), item);
        if request.has('q') {
            String::new()
        } else if request.has('v') {
            format!("VA {}{shown}\r\n{number}\r\n", number.len())
        } else {
            format!("HD{shown}\r\n")
        }
    }
}
