//! Who renews a value: vivified, stale and soon expiring items. Exactly one client is told so.

use crate::talk::{Failure, Talk};
use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = transcript(TRANSCRIPT);
    all.push(Case::code("of many clients that miss one wins", &[], |talk| race(talk, Start::Missing)));
    all.push(Case::code("of many clients that find a stale value one wins", &[], |talk| race(talk, Start::Stale)));
    all.push(Case::code("of many clients that find too little time one wins", &[], |talk| race(talk, Start::Soon)));
    all
}

const TRANSCRIPT: &str = r"
# what is missing is made, and the first client wins
> mg a N30 v t
< VA 0 t30 W
<
> mg a N30 v t
< VA 0 t30 Z
<
> mg a v
< VA 0 Z
<
> get a
< VALUE a 0 0
<
< END
> ms a 3 T100
> new
< HD
> mg a N30 v t
< VA 3 t100
< new
within 0.9

# a vivified item lives as long as it was told to
> mg a N1
< HD W
> mg a N1
< HD Z
wait 1.0
> mg a N100 t
< HD t100 W

# a vivified item with all that can be asked
> mg a k Oq N30 E700 c f s t v
< VA 0 ka Oq c700 f0 s0 t30 W
<
> mg Zm9v b N30 k
< HD kZm9v b W
within 0.9

# vivify is no change to what is there
> set a 0 100 3
> old
< STORED
> mg a N30 v t
< VA 3 t100
< old
within 0.9

# effects take place in the order of the flags
> mg a N30 T60 t
< HD t60 W
> mg b T60 N30 t
< HD t30 W
> mg c t N30 T60
< HD t-1 W
> mg c t
< HD t60 Z
> mg b t
< HD t30 Z
within 0.9

# a quiet vivify is a hit
> mg a N30 q
< HD W
> mg a N30 q
< HD Z

# too little time left
> set a 0 20 3
> old
< STORED
> mg a R10 v
< VA 3
< old
> mg a R30 v t
< VA 3 t20 W
< old
> mg a R30 v t
< VA 3 t20 Z
< old
> mg a
< HD Z
> ms a 3 T100
> new
< HD
> mg a R30 v
< VA 3
< new
within 0.9

# what never ends has always time enough
> set a 0 0 3
> old
< STORED
> mg a R100
< HD
> mg a R0
< HD

# a touch before the look at the time
> set a 0 20 3
> old
< STORED
> mg a T100 R30
< HD
> mg a R200 T300
< HD W
within 0.9

# a stale item tells all who ask
> set a 0 0 3
> old
< STORED
> md a I T30
< HD
> mg a t c v
< VA 3 t30 c{a} X W
< old
> mg a t c v
< VA 3 t30 c{a} Z X
< old
> mg a R100 N100
< HD Z X
> ms a 3 C{a}
> new
< HD
> mg a v
< VA 3
< new
within 0.9

# a win that came to nothing is handed out again after an invalidation
> mg a N30
< HD W
> mg a N30
< HD Z
> md a I
< HD
> mg a N30
< HD X W

# classic commands do not see the marks
> set a 0 0 3
> old
< STORED
> md a I
< HD
> get a
< VALUE a 0 3
< old
< END
> touch a 0
< TOUCHED
> mg a
< HD X W
> append a 0 0 1
> x
< STORED
> mg a
< HD
";

/// How the key stands that all clients ask for.
#[derive(Clone, Copy)]
enum Start {
    Missing,
    Stale,
    Soon,
}

/// Many clients ask before anybody reads. With four cores they sit on all of them, and the key is one core's.
fn race(talk: &mut Talk<'_>, start: Start) -> Result<(), Failure> {
    for round in 0..20 {
        let key = format!("race{round}");
        match start {
            Start::Missing => {}
            Start::Stale => {
                talk.ask(&format!("ms {key} 1\\r\\nx\\r\\n"), "HD\r\n")?;
                talk.ask(&format!("md {key} I\\r\\n"), "HD\r\n")?;
            }
            Start::Soon => talk.ask(&format!("ms {key} 1 T20\\r\\nx\\r\\n"), "HD\r\n")?,
        }
        for client in 1..=9 {
            talk.send_bytes(client, format!("mg {key} N30 R30 k\r\n").as_bytes());
        }
        let mut winners = 0;
        let mut losers = 0;
        for client in 1..=9 {
            let reply = talk.read_through(client, "\r\n")?;
            let words: Vec<&str> = reply.split_ascii_whitespace().collect();
            assert!(words.starts_with(&["HD", &format!("k{key}")]), "{reply:?}");
            winners += u32::from(words.contains(&"W"));
            losers += u32::from(words.contains(&"Z"));
            assert!(words.contains(&"W") != words.contains(&"Z"), "one or the other: {reply:?}");
            assert_eq!(words.contains(&"X"), matches!(start, Start::Stale), "{reply:?}");
        }
        if (winners, losers) != (1, 8) {
            return Err(Failure::Wrong(format!("{winners} clients have won, {losers} not")));
        }
    }
    Ok(())
}
