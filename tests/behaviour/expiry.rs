//! When items end: never before their time, and gone at most 0.2 s after it.

use std::time::Duration;

use crate::talk::{Failure, Talk};
use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = transcript(TRANSCRIPT);
    cases.push(Case::code("a relative exptime is kept to the moment", &[], relative));
    cases.push(Case::code("an absolute exptime is kept to the moment", &[], absolute));
    cases.push(Case::code("touch moves the end to the moment", &[], touched));
    cases.push(Case::code("many items end, each in its time", &[], many));
    cases
}

const TRANSCRIPT: &str = r"
# a negative exptime is stored and over
> set a 0 -1 1
> x
< STORED
> get a
< END
> add a 0 -100 1
> x
< STORED
> get a
< END
> set a 0 -2147483648 1
> x
< STORED
> get a
< END

# what is over is not there
> set a 0 -1 1
> 1
< STORED
> replace a 0 0 1
> x
< NOT_STORED
> append a 0 0 1
> x
< NOT_STORED
> prepend a 0 0 1
> x
< NOT_STORED
> incr a 1
< NOT_FOUND
> touch a 100
< NOT_FOUND
> gat 100 a
< END
> delete a
< NOT_FOUND
> cas a 0 0 1 1
> x
< NOT_FOUND
> add a 0 0 1
> x
< STORED

# a negative exptime ends what was there
> set a 0 0 1
> x
< STORED
> set a 0 -1 1
> y
< STORED
> get a
< END

# thirty days are still relative
> set a 0 2592000 1
> x
< STORED
> get a
< VALUE a 0 1
< x
< END

# one second more is a time in 1970
> set a 0 2592001 1
> x
< STORED
> get a
< END

# an absolute time in the past
> set a 0 {now-10} 1
> x
< STORED
> get a
< END

# an absolute time to come
> set a 0 {now+1000} 1
> x
< STORED
> get a
< VALUE a 0 1
< x
< END
> set a 0 2147483647 1
> x
< STORED
> get a
< VALUE a 0 1
< x
< END

# far future never ends before
> set a 0 2147483648 1
> x
< STORED
> get a
< VALUE a 0 1
< x
< END
> set a 0 4294967295 1
> x
< STORED
> get a
< VALUE a 0 1
< x
< END
> set a 0 99999999999 1
> x
< STORED
> get a
< VALUE a 0 1
< x
< END

# far past is over
> set a 0 -2147483649 1
> x
< STORED
> get a
< END
> set a 0 -4294967296 1
> x
< STORED
> get a
< END

# touch and gat and set give a new life
> set touched 0 2 1
> x
> set gotten 0 2 1
> x
> set stored 0 2 1
> x
> set counted 0 2 1
> 1
> set appended 0 2 1
> x
> set left 0 2 1
> x
< STORED
< STORED
< STORED
< STORED
< STORED
< STORED
> touch touched 100
< TOUCHED
> gat 100 gotten
< VALUE gotten 0 1
< x
< END
> set stored 0 0 1
> x
< STORED
> incr counted 1
< 2
> append appended 0 100 1
> y
< STORED
within 0.9
wait 2
> get touched gotten stored counted appended left
< VALUE touched 0 1
< x
< VALUE gotten 0 1
< x
< VALUE stored 0 1
< x
< END

# touch with 0 ends never and touch shortens
> set a 0 2 1
> x
> set b 0 100 1
> x
< STORED
< STORED
> touch a 0
< TOUCHED
> touch b 1
< TOUCHED
within 0.9
wait 2
> get a b
< VALUE a 0 1
< x
< END

# an expired key can be stored anew
> set a 0 1 1
> x
> set b 0 1 1
> x
< STORED
< STORED
wait 1
> add a 0 0 1
> y
< STORED
> replace b 0 0 1
> y
< NOT_STORED
> get a b
< VALUE a 0 1
< y
< END
";

fn relative(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let sent = talk.driver.elapsed();
    talk.ask("set k 0 2 1\r\nx\r\n", "STORED\r\n")?;
    let done = talk.driver.elapsed();
    let ttl = Duration::from_secs(2);
    watch_end(talk, "k", sent + ttl, done + ttl)
}

fn touched(talk: &mut Talk<'_>) -> Result<(), Failure> {
    talk.ask("set k 0 100 1\r\nx\r\n", "STORED\r\n")?;
    let sent = talk.driver.elapsed();
    talk.ask("touch k 1\r\n", "TOUCHED\r\n")?;
    let done = talk.driver.elapsed();
    let ttl = Duration::from_secs(1);
    watch_end(talk, "k", sent + ttl, done + ttl)
}

fn absolute(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let before = talk.driver.elapsed();
    let unix_ms = talk.driver.unix_ms();
    let after = talk.driver.elapsed();
    let end_s = unix_ms / 1000 + 2;
    talk.ask(&format!("set k 0 {end_s} 1\r\nx\r\n"), "STORED\r\n")?;
    let left = Duration::from_millis(end_s * 1000 - unix_ms);
    // The server's own offset between its clocks is good to some milliseconds only.
    let slack = Duration::from_millis(5);
    watch_end(talk, "k", (before + left).saturating_sub(slack), after + left + slack)
}

/// Asks for `key` until it is gone. Each reply counts only if it is conclusive: the item's end lies between `earliest`
/// and `latest`, the look at it between sending and receiving.
fn watch_end(talk: &mut Talk<'_>, key: &str, earliest: Duration, latest: Duration) -> Result<(), Failure> {
    let tolerance = talk.tolerance();
    loop {
        let sent = talk.driver.elapsed();
        talk.send_bytes(1, format!("get {key}\r\n").as_bytes());
        let reply = talk.read_through(1, "END\r\n")?;
        let received = talk.driver.elapsed();
        if reply == "END\r\n" {
            if received + tolerance.early < earliest {
                return Err(Failure::Wrong(format!(
                    "{key} vanished {:?} before its time",
                    earliest.saturating_sub(received)
                )));
            }
            return Ok(());
        }
        if sent > latest + tolerance.late {
            return Err(Failure::Wrong(format!("{key} is alive {:?} after its time", sent.saturating_sub(latest))));
        }
        talk.driver.wait(Duration::from_millis(20));
    }
}

/// 300 keys with exptimes of 1, 2 and 3 s, looked at by one multi-get again and again.
fn many(talk: &mut Talk<'_>) -> Result<(), Failure> {
    const KEYS: u64 = 300;
    let sent = talk.driver.elapsed();
    let mut requests = String::new();
    for key in 0..KEYS {
        requests.push_str(&format!("set k{key} 0 {} 1\r\nx\r\n", key % 3 + 1));
    }
    talk.ask(&requests, &"STORED\r\n".repeat(usize::try_from(KEYS).expect("a small number")))?;
    let done = talk.driver.elapsed();
    let tolerance = talk.tolerance();
    let keys: String = (0..KEYS).map(|key| format!(" k{key}")).collect();
    loop {
        let asked = talk.driver.elapsed();
        talk.send_bytes(1, format!("get{keys}\r\n").as_bytes());
        let reply = talk.read_through(1, "END\r\n")?;
        let answered = talk.driver.elapsed();
        for key in 0..KEYS {
            let ttl = Duration::from_secs(key % 3 + 1);
            let alive = reply.contains(&format!("VALUE k{key} 0 1\r\n"));
            if alive && asked > done + ttl + tolerance.late {
                return Err(Failure::Wrong(format!(
                    "k{key} is alive {:?} after its time",
                    asked.saturating_sub(done + ttl)
                )));
            }
            if !alive && answered + tolerance.early < sent + ttl {
                return Err(Failure::Wrong(format!(
                    "k{key} vanished {:?} before its time",
                    (sent + ttl).saturating_sub(answered)
                )));
            }
        }
        if reply == "END\r\n" {
            return Ok(());
        }
        talk.driver.wait(Duration::from_millis(50));
    }
}
