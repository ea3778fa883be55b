//! `mg`, `mn` and `me`: what a look-up returns and what it does to the item.

use std::time::Duration;

use crate::talk::{Failure, Talk};
use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = transcript(TRANSCRIPT);
    cases.push(Case::code("last access counts seconds", &[], last_access));
    cases
}

/// Seconds are whole ones of a clock: one more or less than what has passed here.
fn last_access(talk: &mut Talk<'_>) -> Result<(), Failure> {
    talk.ask("set a 0 0 1\\r\\nx\\r\\n", "STORED\\r\\n")?;
    let stored = talk.driver.elapsed();
    talk.driver.wait(Duration::from_secs(2));
    for (request, is_old) in [("mg a l u\r\n", true), ("mg a l\r\n", true), ("mg a l\r\n", false)] {
        let asked = talk.driver.elapsed();
        talk.send_bytes(1, request.as_bytes());
        let reply = talk.read_through(1, "\r\n")?;
        let seconds = reply.trim_end().strip_prefix("HD l").and_then(|seconds| seconds.parse::<u64>().ok());
        let latest = if is_old {
            talk.driver.elapsed().saturating_sub(stored).as_secs() + 1
        } else {
            talk.driver.elapsed().saturating_sub(asked).as_secs() + 1
        };
        let earliest = u64::from(is_old);
        if seconds.is_none_or(|seconds| seconds < earliest || seconds > latest + 1) {
            return Err(Failure::Wrong(format!("{reply:?} is not from {earliest} to {latest} seconds")));
        }
    }
    Ok(())
}

const TRANSCRIPT: &str = r"
# mn is answered whatever follows it
> mn
< MN
> mn with words
< MN

# a hit without a value, and with one
> set a 7 0 5
> hello
< STORED
> mg a
< HD
> mg a v
< VA 5
< hello
> mg a v
> mg a
< VA 5
< hello
< HD

# a miss shows key and opaque only
> mg none
< EN
> mg none v s t c f h l
< EN
> mg none v k Oabc s
< EN knone Oabc
> mg none O1 k
< EN O1 knone

# a quiet miss is silent, and a quiet hit is not
> set a 0 0 1
> x
< STORED
> mg none v q
> mg none q k O9
> mg a q
> mg a v q Oxyz
> mn
< HD
< VA 1 Oxyz
< x
< MN

# flags are answered in the order asked
> set a 42 0 3
> abc
< STORED
> gets a
< VALUE a 42 3 {cas}
< abc
< END
> mg a s v f k c O99 t
< VA 3 s3 f42 ka c{cas} O99 t-1
< abc
> mg a t O99 c k f s
< HD t-1 O99 c{cas} ka f42 s3

# an opaque may have 31 bytes
> mg a O{o*31}
< EN O{o*31}
> mg a O{o*32}
< CLIENT_ERROR opaque token too long
> mg a O
< EN O

# proxies' hints are ignored
> set a 0 0 1
> x
< STORED
> mg a Pxyz L v Lxx
< CLIENT_ERROR duplicate flag
> mg a Pxyz L1 v
< VA 1
< x

# flags of other meta requests are ignored
> set a 0 0 1
> x
< STORED
> mg a F1 MS I J1 D1 v
< VA 1
< x
> mg a
< HD

# how long an item has left
> set a 0 100 1
> x
< STORED
> mg a t v
< VA 1 t100
< x
within 0.9

# a time is rounded up
> set a 0 3 1
> x
< STORED
wait 1.0
> mg a t
< HD t2
within 1.9

# hit before and last access are as they were before
> set a 0 0 1
> x
< STORED
> mg a h l
< HD h0 l{l}
> mg a h
< HD h1
within 0.9

# u leaves no trace
> set a 0 0 1
> x
< STORED
> mg a u v
< VA 1
< x
> mg a h u
< HD h0
> mg a h
< HD h0
> mg a h
< HD h1

# a classic get is a hit before, too
> set a 0 0 1
> x
< STORED
> get a
< VALUE a 0 1
< x
< END
> mg a h
< HD h1

# a known version needs no value
> set a 3 0 1
> x
< STORED
> mg a c
< HD c{cas}
> mg a v C{cas} s
< HD s1
> mg a v C1 s
< VA 1 s1
< x
> mg a C{cas} T100 v
< HD
> mg a t
< HD t100
within 0.9

# touch on the way
> set a 0 100 1
> x
< STORED
> mg a t T200
< HD t100
> mg a T300 t
< HD t300
> mg a t
< HD t300
> mg a T0 t v
< VA 1 t-1
< x
> mg a T-1 v
< VA 1
< x
> mg a
< EN
within 0.9

# touching what is not there
> mg none T100 v
< EN

# an expired item is a miss
> set a 0 -1 1
> x
< STORED
> mg a v
< EN

# a value of nothing
> set a 0 0 0
>
< STORED
> mg a v s
< VA 0 s0
<

# a key in base64
> ms Zm9v 3 b
> bar
< HD
> mg Zm9v b k v
< VA 3 kZm9v b
< bar
> mg foo k v
< VA 3 kZm9v b
< bar
> get foo
< VALUE foo 0 3
< bar
< END
> mg Zm9v k v
< EN kZm9v
> mg Zm9vYmFy b k
< EN kZm9vYmFy b
> mg Zm9vYmFy b
< EN

# a key that was not stored in base64 is shown as it is
> set foo 0 0 1
> x
< STORED
> mg Zm9v b k
< HD kfoo
> set foo 0 0 1
> y
< STORED
> mg foo k
< HD kfoo

# a binary key may hold what a line may not
> ms YSBiCmM= 1 b
> x
< HD
> mg YSBiCmM= b k v
< VA 1 kYSBiCmM= b
< x
> md YSBiCmM= b
< HD
> mg YSBiCmM= b
< EN

# a key that is not base64
> mg Zm9 b
< CLIENT_ERROR error decoding key
> mg Zm9v! b v
< CLIENT_ERROR error decoding key

# a key of 250 bytes and one of 251
> ms {k*250} 1
> x
< HD
> mg {k*250} v
< VA 1
< x
> mg {k*251} v
< CLIENT_ERROR bad command line format

# me tells about an item
> set a 5 0 10
> 0123456789
< STORED
> gets a
< VALUE a 5 10 {cas}
< 0123456789
< END
> me a
< ME a exp=-1 la={la} cas={cas} fetch=yes cls={*}
> me none
< EN
> me none k q Oxyz
< EN
within 0.9

# me counts as no access
> set a 0 100 10
> 0123456789
< STORED
wait 1.0
> me a
< ME a exp=99 la={la} cas={*}
> mg a h
< HD h0
within 1.9

# me with a key in base64
> ms Zm9v 3 b
> bar
< HD
> me Zm9v b
< ME Zm9v exp=-1 la={la} cas={*}
> me foo
< ME Zm9v exp=-1 la={la} cas={*}
> me Zm9 b
< CLIENT_ERROR error decoding key
within 0.9

# pipelined gets of many keys keep their order
> ms a 1 q
> 1
> ms b 1 q
> 2
> ms c 1 q
> 3
> ms d 1 q
> 4
> ms e 1 q
> 5
> mg a v k q
> mg none v k q
> mg b v k q
> mg c v k q
> mg none2 v k q
> mg d v k q
> mg e v k q
> mn
< VA 1 ka
< 1
< VA 1 kb
< 2
< VA 1 kc
< 3
< VA 1 kd
< 4
< VA 1 ke
< 5
< MN

# mn comes after what has no reply
> set a 0 0 1 noreply
> 1
> set b 0 0 1 noreply
> 2
> delete a noreply
> incr b 5 noreply
> mn
< MN
2> mg a v
2> mg b v
2< EN
2< VA 1
2< 7
";
