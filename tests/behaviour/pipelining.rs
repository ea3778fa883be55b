//! Many requests in one piece, one request in many pieces: replies come whole and in the order asked.

use crate::talk::{Failure, Talk};
use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = transcript(TRANSCRIPT);
    cases.push(Case::code("200 keys in one get", &[], many_keys));
    cases.push(Case::code("a thousand requests in one piece", &[], thousand_requests));
    cases.push(Case::code("random gets over few keys", &[], random_gets));
    cases.push(Case::code("a megabyte of replies in one piece of requests", &[], many_large_replies));
    cases.push(Case::code("cut at every boundary", &[], cut_everywhere));
    cases.push(Case::code("a refused store cut at every boundary", &[], cut_refusals));
    cases.push(Case::code("sent byte by byte", &[], byte_by_byte));
    cases.push(Case::code("connections do not mix", &[], connections));
    cases
}

const TRANSCRIPT: &str = r"
# one key keeps its order
> set a 0 0 1
> 1
> incr a 1
> append a 0 0 1
> 0
> get a
> delete a
> get a
> add a 0 0 1
> 9
> decr a 1
> get a
< STORED
< 2
< STORED
< VALUE a 0 2
< 20
< END
< DELETED
< END
< STORED
< 8
< VALUE a 0 1
< 8
< END

# requests of different keys and kinds are answered in order
> set a 0 0 1
> 1
> set b 0 0 1
> 2
> version
> get b a
> incr nothing 1
> foo
> touch b 100
> incr b 5
> delete a
> gets nothing
> verbosity 0
> get a b
< STORED
< STORED
< VERSION {*}
< VALUE b 0 1
< 2
< VALUE a 0 1
< 1
< END
< NOT_FOUND
< ERROR
< TOUCHED
< 7
< DELETED
< END
< OK
< VALUE b 0 1
< 7
< END

# half-close after a pipeline still gets every reply
> set a 0 0 1
> x
> get a
> get a a
half-close
< STORED
< VALUE a 0 1
< x
< END
< VALUE a 0 1
< x
< VALUE a 0 1
< x
< END
closed

# half-close within a line gets what was whole
> set a 0 0 1
> x
>| get a
half-close
< STORED
closed
";

fn many_keys(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let key = |number: usize| format!("key-{number}");
    let value = |number: usize| format!("{number}").repeat(number % 50 + 1);
    for number in 0..200 {
        let value = value(number);
        talk.ask(&format!("set {} {number} 0 {}\r\n{value}\r\n", key(number), value.len()), "STORED\r\n")?;
    }
    for step in [1, 7, 199] {
        let order: Vec<usize> = (0..200).map(|place| place * step % 200).collect();
        let mut request = String::from("get");
        let mut reply = String::new();
        for &number in &order {
            request.push_str(&format!(" {} missing-{number}", key(number)));
            let value = value(number);
            reply.push_str(&format!("VALUE {} {number} {}\r\n{value}\r\n", key(number), value.len()));
        }
        talk.ask(&format!("{request}\r\n"), &format!("{reply}END\r\n"))?;
    }
    // Only get and gets may be longer than 2048 bytes.
    let keys: String = (0..100).map(|number| format!(" {}", key(number))).collect();
    let mut reply = String::new();
    for number in 0..100 {
        let value = value(number);
        reply.push_str(&format!("VALUE {} {number} {}\r\n{value}\r\n", key(number), value.len()));
    }
    talk.ask(&format!("gat 100{keys}\r\n"), &format!("{reply}END\r\n"))?;
    Ok(())
}

fn thousand_requests(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let mut requests = String::new();
    let mut replies = String::new();
    for number in 0..1000 {
        let key = number % 37;
        match number % 4 {
            0 => {
                requests.push_str(&format!(
                    "set k{key} {number} 0 {}\r\n{}\r\n",
                    number % 100,
                    "v".repeat(number % 100)
                ));
                replies.push_str("STORED\r\n");
            }
            1 => {
                requests.push_str(&format!("delete none{number}\r\n"));
                replies.push_str("NOT_FOUND\r\n");
            }
            2 => {
                requests.push_str(&format!("set n{number} 0 0 1 noreply\r\n7\r\nincr n{number} {number}\r\n"));
                replies.push_str(&format!("{}\r\n", number + 7));
            }
            _ => {
                requests.push_str(&format!("get n{} x{number} n{}\r\n", number - 1, number - 1));
                let value = number + 6;
                let hit = format!("VALUE n{} 0 {}\r\n{value}\r\n", number - 1, value.to_string().len());
                replies.push_str(&format!("{hit}{hit}END\r\n"));
            }
        }
    }
    talk.send_bytes(1, requests.as_bytes());
    talk.expect_bytes(1, replies.as_bytes())
}

/// Gets of 1 to 40 keys, hits and misses and repetitions in an order of chance.
fn random_gets(talk: &mut Talk<'_>) -> Result<(), Failure> {
    for number in (0..60).step_by(2) {
        talk.ask(&format!("set k{number} {number} 0 2\r\n{number:02}\r\n"), "STORED\r\n")?;
    }
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut next = move |bound: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % bound
    };
    for _ in 0..20 {
        let mut requests = String::new();
        let mut replies = String::new();
        for _ in 0..50 {
            requests.push_str("get");
            for _ in 0..=next(40) {
                let number = next(60);
                requests.push_str(&format!(" k{number}"));
                if number % 2 == 0 {
                    replies.push_str(&format!("VALUE k{number} {number} 2\r\n{number:02}\r\n"));
                }
            }
            requests.push_str("\r\n");
            replies.push_str("END\r\n");
        }
        talk.send_bytes(1, requests.as_bytes());
        talk.expect_bytes(1, replies.as_bytes())?;
    }
    Ok(())
}

fn many_large_replies(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let mut replies = String::new();
    for key in 0..8 {
        let value = char::from(b'a' + key).to_string().repeat(40_000);
        talk.ask(&format!("set k{key} 0 0 40000\r\n{value}\r\n"), "STORED\r\n")?;
        replies.push_str(&format!("VALUE k{key} 0 40000\r\n{value}\r\n"));
    }
    replies.push_str("END\r\n");
    talk.send_bytes(1, "get k0 k1 k2 k3 k4 k5 k6 k7\r\n".repeat(10).as_bytes());
    talk.expect_bytes(1, replies.repeat(10).as_bytes())
}

/// A conversation with every kind of request and every kind of error that keeps the connection.
const REQUESTS: &str = "set a 1 0 5\r\nhello\r\nget a b\r\nset b 0 0 2 noreply\r\n10\r\nincr b 5\nappend a 0 0 2\r\n\r\n\r\n\
    get a b a\r\nfoo bar\r\nset c 0 0 2\r\nxyzzget c\r\ntouch b 100\r\ngat 100 b\r\n\
    delete a\r\ndelete a\r\nget a\r\ndelete b\r\n";
const REPLIES: &str = "STORED\r\nVALUE a 1 5\r\nhello\r\nEND\r\n15\r\nSTORED\r\nVALUE a 1 7\r\nhello\r\n\r\nVALUE b 0 2\r\n15\r\n\
    VALUE a 1 7\r\nhello\r\n\r\nEND\r\nERROR\r\nCLIENT_ERROR bad data chunk\r\n\
    END\r\nTOUCHED\r\nVALUE b 0 2\r\n15\r\nEND\r\nDELETED\r\nNOT_FOUND\r\nEND\r\nDELETED\r\n";

fn cut_everywhere(talk: &mut Talk<'_>) -> Result<(), Failure> {
    for cut in 0..=REQUESTS.len() {
        talk.send_cut(1, REQUESTS.as_bytes(), cut);
        talk.expect_bytes(1, REPLIES.as_bytes())?;
    }
    Ok(())
}

fn cut_refusals(talk: &mut Talk<'_>) -> Result<(), Failure> {
    const REQUESTS: &str = "set a x 0 5\r\nget b\r\nset a 0 0 6 noreply\r\nget b\r\r\nget a\r\ncas a 0 0 5 z\r\nget b\r\n\
        set a 0 0 x\r\nget b\r\n";
    const REPLIES: &str = "CLIENT_ERROR bad command line format\r\nVALUE a 0 6\r\nget b\r\r\nEND\r\n\
        CLIENT_ERROR bad command line format\r\nCLIENT_ERROR bad command line format\r\nEND\r\n";
    for cut in 0..=REQUESTS.len() {
        talk.send_cut(1, REQUESTS.as_bytes(), cut);
        talk.expect_bytes(1, REPLIES.as_bytes())?;
    }
    Ok(())
}

fn byte_by_byte(talk: &mut Talk<'_>) -> Result<(), Failure> {
    for byte in REQUESTS.bytes() {
        talk.send_cut(1, &[byte], 1);
    }
    talk.expect_bytes(1, REPLIES.as_bytes())
}

fn connections(talk: &mut Talk<'_>) -> Result<(), Failure> {
    for connection in 1..=9 {
        let mut requests = String::new();
        for number in 0..100 {
            requests.push_str(&format!("set c{connection}-{number} {connection} 0 1\r\n{connection}\r\n"));
            requests.push_str(&format!("get c{connection}-{number}\r\n"));
        }
        talk.send_bytes(connection, requests.as_bytes());
    }
    for connection in 1..=9 {
        let mut replies = String::new();
        for number in 0..100 {
            replies
                .push_str(&format!("STORED\r\nVALUE c{connection}-{number} {connection} 1\r\n{connection}\r\nEND\r\n"));
        }
        talk.expect_bytes(connection, replies.as_bytes())?;
    }
    Ok(())
}
