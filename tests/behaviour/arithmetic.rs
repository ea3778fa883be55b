//! `incr` and `decr`.

use crate::talk::{Failure, Talk};
use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = transcript(TRANSCRIPT);
    cases.push(Case::code("a shorter number is padded at most to the old length", &[], padding));
    cases.push(Case::code("counting a long way in one go", &[], long_way));
    cases
}

const TRANSCRIPT: &str = r"
# incr and decr answer the new number
> set n 0 0 2
> 10
< STORED
> incr n 1
< 11
> incr n 89
< 100
> decr n 1
< 99
> incr n 0
< 99
> decr n 0
< 99

# a missing key
> incr n 1
< NOT_FOUND
> decr n 1
< NOT_FOUND
> get n
< END

# incr makes the text longer
> set n 3 0 1
> 9
< STORED
> incr n 1
< 10
> get n
< VALUE n 3 2
< 10
< END

# incr wraps at two to the 64
> set n 0 0 20
> 18446744073709551615
< STORED
> incr n 1
< 0
> incr n 5
< 5
> set n 0 0 20
> 18446744073709551614
< STORED
> incr n 1
< 18446744073709551615
> incr n 18446744073709551615
< 18446744073709551614

# decr stops at 0
> set n 0 0 1
> 5
< STORED
> decr n 6
< 0
> decr n 1
< 0
> set n 0 0 2
> 10
< STORED
> decr n 18446744073709551615
< 0

# flags are kept
> set n 42 0 1
> 5
< STORED
> incr n 1
< 6
> get n
< VALUE n 42 1
< 6
< END

# the exptime is kept
> set n 0 -1 1
> 5
< STORED
> incr n 1
< NOT_FOUND
> set n 0 100 1
> 5
< STORED
> incr n 100
< 105
> get n
< VALUE n 0 3
< 105
< END

# text that is no number
> set n 0 0 3
> foo
< STORED
> incr n 1
< CLIENT_ERROR cannot increment or decrement non-numeric value
> decr n 1
< CLIENT_ERROR cannot increment or decrement non-numeric value
> get n
< VALUE n 0 3
< foo
< END

# an empty value is no number
> set n 0 0 0
>
< STORED
> incr n 1
< CLIENT_ERROR cannot increment or decrement non-numeric value

# a negative number is no number
> set n 0 0 2
> -1
< STORED
> incr n 1
< CLIENT_ERROR cannot increment or decrement non-numeric value

# more than 64 bits are no number
> set n 0 0 20
> 18446744073709551616
< STORED
> incr n 1
< CLIENT_ERROR cannot increment or decrement non-numeric value
> set n 0 0 21
> 111111111111111111111
< STORED
> decr n 1
< CLIENT_ERROR cannot increment or decrement non-numeric value
> set n 0 0 300
> {1*300}
< STORED
> decr n 1
< CLIENT_ERROR cannot increment or decrement non-numeric value

# letters after or before digits are no number
> set n 0 0 3
> 12a
< STORED
> incr n 1
< CLIENT_ERROR cannot increment or decrement non-numeric value
> set n 0 0 3
> a12
< STORED
> incr n 1
< CLIENT_ERROR cannot increment or decrement non-numeric value
> set n 0 0 3
> 1.5
< STORED
> incr n 1
< CLIENT_ERROR cannot increment or decrement non-numeric value
> set n 0 0 4
> 0x10
< STORED
> incr n 1
< CLIENT_ERROR cannot increment or decrement non-numeric value

# two numbers are no number
> set n 0 0 3
> 1 2
< STORED
> incr n 1
< CLIENT_ERROR cannot increment or decrement non-numeric value

# blanks around, zeros and a plus before digits are fine
>| set n 0 0 3\r\n12 \r\n
< STORED
> incr n 1
< 13
>| set n 0 0 3\r\n 12\r\n
< STORED
> incr n 1
< 13
> set n 0 0 4
> 0012
< STORED
> incr n 1
< 13
> set n 0 0 3
> +12
< STORED
> incr n 1
< 13

# a delta that is no number
> set n 0 0 1
> 5
< STORED
> incr n foo
< CLIENT_ERROR invalid numeric delta argument
> decr n foo
< CLIENT_ERROR invalid numeric delta argument
> incr n -1
< CLIENT_ERROR invalid numeric delta argument
> incr n 18446744073709551616
< CLIENT_ERROR invalid numeric delta argument
> incr n 1.5
< CLIENT_ERROR invalid numeric delta argument
> get n
< VALUE n 0 1
< 5
< END

# the delta is looked at before the key
> incr nothing foo
< CLIENT_ERROR invalid numeric delta argument

# no delta
> incr n
< CLIENT_ERROR bad command line format
> decr n
< CLIENT_ERROR bad command line format
> incr
< CLIENT_ERROR bad command line format

# what was counted can be appended to
> set n 0 0 1
> 5
< STORED
> incr n 1
< 6
> append n 0 0 1
> 0
< STORED
> incr n 1
< 61

# two connections count together
> set n 0 0 1
> 0
< STORED
> incr n 1
< 1
2> incr n 1
2< 2
> incr n 1
< 3
";

/// memcached rewrites in place and pads with blanks; that is allowed, not demanded.
fn padding(talk: &mut Talk<'_>) -> Result<(), Failure> {
    talk.ask("set n 0 0 3\r\n100\r\n", "STORED\r\n")?;
    talk.ask("decr n 1\r\n", "99\r\n")?;
    talk.send_bytes(1, b"get n\r\n");
    let reply = talk.read_through(1, "END\r\n")?;
    if !["VALUE n 0 2\r\n99\r\nEND\r\n", "VALUE n 0 3\r\n99 \r\nEND\r\n"].contains(&reply.as_str()) {
        return Err(Failure::Wrong(format!("after 100 - 1: {reply:?}")));
    }
    talk.ask("decr n 90\r\n", "9\r\n")?;
    talk.ask("incr n 1000\r\n", "1009\r\n")?;
    talk.ask("get n\r\n", "VALUE n 0 4\r\n1009\r\nEND\r\n")
}

fn long_way(talk: &mut Talk<'_>) -> Result<(), Failure> {
    const TIMES: usize = 2000;
    talk.ask("set n 0 0 1\r\n0\r\n", "STORED\r\n")?;
    let replies: String = (1..=TIMES).map(|number| format!("{number}\r\n")).collect();
    talk.ask(&"incr n 1\r\n".repeat(TIMES), &replies)
}
