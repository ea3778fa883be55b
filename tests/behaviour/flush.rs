//! `flush_all`, at once and delayed.

use crate::talk::{Failure, Talk};
use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = transcript(TRANSCRIPT);
    cases.push(Case::code("it is a barrier over all keys and connections", &[], barrier));
    cases.push(Case::code("it is a barrier within a pipeline", &[], pipeline));
    cases
}

const TRANSCRIPT: &str = r"
# everything is gone
> set a 0 0 1
> x
> set b 0 100 1
> y
< STORED
< STORED
> flush_all
< OK
> get a b
< END

# flushed items are not there
> set a 0 0 1
> 1
< STORED
> flush_all
< OK
> replace a 0 0 1
> x
< NOT_STORED
> append a 0 0 1
> x
< NOT_STORED
> incr a 1
< NOT_FOUND
> touch a 0
< NOT_FOUND
> delete a
< NOT_FOUND
> add a 0 0 1
> x
< STORED
> get a
< VALUE a 0 1
< x
< END

# what is stored after it in the same moment stays
> set a 0 0 1
> x
> flush_all
> set b 0 0 1
> y
> set a 0 0 1
> z
> get a b
< STORED
< OK
< STORED
< STORED
< VALUE a 0 1
< z
< VALUE b 0 1
< y
< END

# again and again
> set a 0 0 1
> 1
> flush_all
> set a 0 0 1
> 2
> flush_all
> set a 0 0 1
> 3
> flush_all
> get a
> set a 0 0 1
> 4
> get a
< STORED
< OK
< STORED
< OK
< STORED
< OK
< END
< STORED
< VALUE a 0 1
< 4
< END

# 0 and negative mean now
> set a 0 0 1
> x
< STORED
> flush_all 0
< OK
> get a
< END
> set a 0 0 1
> x
< STORED
> flush_all -1
< OK
> get a
< END

# other connections see it at once
> set a 0 0 1
> x
< STORED
2> get a
2< VALUE a 0 1
2< x
2< END
> flush_all
< OK
2> get a
2< END

# noreply
> set a 0 0 1
> x
< STORED
> flush_all noreply
> get a
< END
> set a 0 0 1
> x
< STORED
> flush_all 0 noreply
> get a
< END

# a delay that is no number
> set a 0 0 1
> x
< STORED
> flush_all foo
< CLIENT_ERROR invalid exptime argument
> get a
< VALUE a 0 1
< x
< END

# a delayed flush waits, then kills what was last written before
> set a 0 0 1
> x
< STORED
> flush_all 2
< OK
> get a
< VALUE a 0 1
< x
< END
> set b 0 0 1
> y
< STORED
> get b
< VALUE b 0 1
< y
< END
within 0.9
wait 2
> get a b
< END
> set c 0 0 1
> z
< STORED
> get c
< VALUE c 0 1
< z
< END

# a newer flush replaces a pending one
> set a 0 0 1
> x
< STORED
> flush_all 2
< OK
> flush_all 1000
< OK
within 0.9
wait 2
> get a
< VALUE a 0 1
< x
< END

# a flush at once replaces a pending one
> flush_all 2
< OK
> flush_all
< OK
> set a 0 0 1
> x
< STORED
within 0.9
wait 2
> get a
< VALUE a 0 1
< x
< END

# a flush at an absolute time
> set a 0 0 1
> x
< STORED
> flush_all {now+3}
< OK
> get a
< VALUE a 0 1
< x
< END
within 0.4
wait 3
> get a
< END

# forbidden
options -F
> set a 0 0 1
> x
< STORED
> flush_all
< CLIENT_ERROR flush_all not allowed
> flush_all 0
< CLIENT_ERROR flush_all not allowed
> flush_all noreply
> get a
< VALUE a 0 1
< x
< END
> delete a
< DELETED
";

/// Keys stored by one connection, flushed by a second, looked for by a third, with no pause between.
fn barrier(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let keys: String = (0..200).map(|key| format!(" k{key}")).collect();
    let sets: String = (0..200).map(|key| format!("set k{key} 0 0 1\r\nx\r\n")).collect();
    for round in 0..20 {
        talk.ask(&sets, &"STORED\r\n".repeat(200))?;
        talk.send_bytes(2, b"flush_all\r\n");
        talk.expect_bytes(2, b"OK\r\n")?;
        talk.send_bytes(3, format!("get{keys}\r\n").as_bytes());
        let reply = talk.read_through(3, "END\r\n")?;
        if reply != "END\r\n" {
            return Err(Failure::Wrong(format!("round {round}: alive after the flush: {reply:?}")));
        }
    }
    Ok(())
}

/// Stores before the flush die, stores after it live, all in one piece of input.
fn pipeline(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let mut requests = String::new();
    let mut replies = String::new();
    for key in 0..100 {
        requests.push_str(&format!("set k{key} 0 0 6\r\nbefore\r\n"));
        replies.push_str("STORED\r\n");
    }
    requests.push_str("flush_all\r\n");
    replies.push_str("OK\r\n");
    for key in (0..100).step_by(2) {
        requests.push_str(&format!("add k{key} 0 0 5\r\nafter\r\n"));
        replies.push_str("STORED\r\n");
    }
    for key in 0..100 {
        requests.push_str(&format!("get k{key}\r\n"));
        if key % 2 == 0 {
            replies.push_str(&format!("VALUE k{key} 0 5\r\nafter\r\n"));
        }
        replies.push_str("END\r\n");
    }
    talk.ask(&requests, &replies)
}
