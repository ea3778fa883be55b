//! What is refused, how, and where parsing goes on afterwards.

use crate::talk::{Failure, Talk};
use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = transcript(LINES);
    cases.extend(transcript(STORAGE_LINES));
    cases.extend(transcript(SIZES));
    cases.push(Case::code("a get of 20,000 keys of ten bytes", &[], giant_get));
    cases.push(Case::code("a get without an end may grow", &[], growing_get));
    cases
}

const LINES: &str = r"
# unknown commands
> foo
< ERROR
> foo bar baz
< ERROR
> xy
< ERROR
> SET a 0 0 1
< ERROR
> sets a 0 0 1
< ERROR
> ge a
< ERROR

# short lines
>
< CLIENT_ERROR bad command line format
> x
< CLIENT_ERROR bad command line format
>| \n
< CLIENT_ERROR bad command line format
>| xy\n
< CLIENT_ERROR bad command line format

# a leading blank makes a command unknown
>|  get a\r\n
< ERROR
>|    \r\n
< ERROR

# a tab is no blank
>| get\ta\r\n
< ERROR

# a command that looks like HTTP closes
> GET / HTTP/1.1
closed
2> POST /x HTTP/1.0
2> get a
2 closed
3> get HTTP/1.1
3< END

# nothing but the mark of HTTP closes
> HTTP/1.1
closed

# earlier answers go out before HTTP closes
> get a
> GET / HTTP/1.1
< END
closed

# an endless line closes
>| {x*2100}
closed
2>| set {k*2100}
2 closed
3>| gat 100 {k*2100}
3 closed

# a long line with an end is a line
> {x*2000}
< ERROR
> delete {k*2000}
< CLIENT_ERROR bad command line format

# a get behind a hundred blanks may be long
>| { *100}get {key *500}
>| \r\n
< ERROR
2>| { *101}get {key *500}
2 closed

# keys of 250 bytes are fine everywhere
> set {k*250} 0 0 1
> 1
< STORED
> get {k*250}
< VALUE {k*250} 0 1
< 1
< END
> gets {k*250}
< VALUE {k*250} 0 1 {a}
< 1
< END
> cas {k*250} 0 0 1 {a}
> 2
< STORED
> incr {k*250} 1
< 3
> touch {k*250} 100
< TOUCHED
> gat 100 {k*250}
< VALUE {k*250} 0 1
< 3
< END
> append {k*250} 0 0 1
> 4
< STORED
> delete {k*250}
< DELETED

# keys of 251 bytes are refused everywhere
> get {k*251}
< CLIENT_ERROR bad command line format
> gets {k*251}
< CLIENT_ERROR bad command line format
> gat 100 {k*251}
< CLIENT_ERROR bad command line format
> gats 100 {k*251}
< CLIENT_ERROR bad command line format
> incr {k*251} 1
< CLIENT_ERROR bad command line format
> decr {k*251} 1
< CLIENT_ERROR bad command line format
> touch {k*251} 100
< CLIENT_ERROR bad command line format
> delete {k*251}
< CLIENT_ERROR bad command line format

# a get with one key too long is answered with one error line
> set a 0 0 1
> x
< STORED
> get a {k*251} a
< CLIENT_ERROR bad command line format
> gets a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a {k*251}
< CLIENT_ERROR bad command line format
> gat 100 a {k*300}
< CLIENT_ERROR bad command line format
> get a
< VALUE a 0 1
< x
< END
";

const STORAGE_LINES: &str = r"
# too few words in a storage line, and its data are commands
> set a 0 0
> get b
< CLIENT_ERROR bad command line format
< END
> set a
< CLIENT_ERROR bad command line format
> set
< CLIENT_ERROR bad command line format
> add a 0 0
< CLIENT_ERROR bad command line format
> append a
< CLIENT_ERROR bad command line format

# a length that is no number, and its data are commands
> set a 0 0 foo
> get b
< CLIENT_ERROR bad command line format
< END
> set a 0 0 99999999999999999999999
> get b
< CLIENT_ERROR bad command line format
< END
> set a 0 0 1x
> get b
< CLIENT_ERROR bad command line format
< END

# a negative length, and its data are commands
> set a 0 0 -1
> get b
< CLIENT_ERROR bad command line format
< END

# a length of more than 31 bits, and its data are commands
> set a 0 0 2147483647
> get b
< CLIENT_ERROR bad command line format
< END

# a length of more than 32 bits, and its data are commands
> set a 0 0 4294967297
> get b
< CLIENT_ERROR bad command line format
< END

# flags that are no flags, and the data are skipped
> set a foo 0 5
> get b
< CLIENT_ERROR bad command line format
> set a -1 0 5
> get b
< CLIENT_ERROR bad command line format
> set a 1.5 0 5
> get b
< CLIENT_ERROR bad command line format
> get a
< END

# flags of more than 32 bits, and the data are skipped
> set a 4294967296 0 5
> get b
< CLIENT_ERROR bad command line format
> get a
< END

# flags of more than 64 bits, and the data are skipped
> set a 99999999999999999999 0 5
> get b
< CLIENT_ERROR bad command line format
> get a
< END

# an exptime that is no number, and the data are skipped
> set a 0 foo 5
> get b
< CLIENT_ERROR bad command line format
> add a 0 1.5 5
> get b
< CLIENT_ERROR bad command line format
> get a
< END

# a key too long, and the data are skipped
> set {k*251} 0 0 5
> get b
< CLIENT_ERROR bad command line format
> append {k*251} 0 0 5
> get b
< CLIENT_ERROR bad command line format
> cas {k*251} 0 0 5 1
> get b
< CLIENT_ERROR bad command line format
> get a
< END

# a refused line leaves the old value
> set a 0 0 1
> x
< STORED
> set a foo 0 1
> y
< CLIENT_ERROR bad command line format
> get a
< VALUE a 0 1
< x
< END

# data longer than announced
> set a 0 0 1
> x
< STORED
>| set a 0 0 2\r\nyyzz
< CLIENT_ERROR bad data chunk
> get a
< VALUE a 0 1
< x
< END

# what is left of data longer than announced is a command
> set a 0 0 2
> yyzzget b
< CLIENT_ERROR bad data chunk
< END

# data shorter than announced swallow the next line's start
> set a 0 0 4
> xx
> get b
< CLIENT_ERROR bad data chunk
< ERROR

# data must end in both characters
>| set a 0 0 1\r\nx\n!get b\r\n
< CLIENT_ERROR bad data chunk
< END
>| set a 0 0 1\r\nx\r!get b\r\n
< CLIENT_ERROR bad data chunk
< END
> get a
< END

# an error does not disturb what comes before and after
> set a 0 0 1
> x
> foo
> get a
> set b 0 0 foo
> incr a 1
> get a
< STORED
< ERROR
< VALUE a 0 1
< x
< END
< CLIENT_ERROR bad command line format
< CLIENT_ERROR cannot increment or decrement non-numeric value
< VALUE a 0 1
< x
< END
";

const SIZES: &str = r"
# the largest value
> set abcdef 0 0 1048511
> {x*1048511}
< STORED
> get abcdef
< VALUE abcdef 0 1048511
< {x*1048511}
< END

# too large, and the old value goes
> set a 0 0 1
> x
< STORED
> set a 0 0 1048577
> {y*1048577}
< SERVER_ERROR object too large for cache
> get a
< END
> set a 0 0 3000000
> {y*3000000}
< SERVER_ERROR object too large for cache
> add a 0 0 1048577
> {y*1048577}
< SERVER_ERROR object too large for cache
> get a
< END

# too large, and the old value stays when it was not a set
> set a 0 0 1
> x
< STORED
> replace a 0 0 1048577
> {y*1048577}
< SERVER_ERROR object too large for cache
> append a 0 0 1048577
> {y*1048577}
< SERVER_ERROR object too large for cache
> cas a 0 0 1048577 1
> {y*1048577}
< SERVER_ERROR object too large for cache
> get a
< VALUE a 0 1
< x
< END

# the data of a value that is too large are not read as commands
> set b 0 0 1
> x
< STORED
> set a 0 0 1100010
> {delete b\r\n*110001}
< SERVER_ERROR object too large for cache
> get b
< VALUE b 0 1
< x
< END

# appending beyond the limit
> set a 0 0 1000000
> {x*1000000}
< STORED
> append a 0 0 100000
> {y*100000}
< NOT_STORED
> get a
< VALUE a 0 1000000
< {x*1000000}
< END

# a larger limit
options -I 2m
> set a 0 0 2000000
> {y*2000000}
< STORED
> get a
< VALUE a 0 2000000
< {y*2000000}
< END
> set a 0 0 2200000
> {y*2200000}
< SERVER_ERROR object too large for cache
> get a
< END
";

fn giant_get(talk: &mut Talk<'_>) -> Result<(), Failure> {
    let mut request = String::from("get");
    let mut reply = String::new();
    for key in 0..20_000 {
        request.push_str(&format!(" key{key:07}"));
        if key % 1000 == 7 {
            talk.ask(&format!("set key{key:07} 0 0 1\r\nx\r\n"), "STORED\r\n")?;
            reply.push_str(&format!("VALUE key{key:07} 0 1\r\nx\r\n"));
        }
    }
    request.push_str("\r\n");
    reply.push_str("END\r\n");
    talk.ask(&request, &reply)?;
    talk.ask(&request.replace("get", "gets").replace("key", "miss"), "END\r\n")
}

fn growing_get(talk: &mut Talk<'_>) -> Result<(), Failure> {
    talk.ask("set a 0 0 1\r\nx\r\n", "STORED\r\n")?;
    talk.send_bytes(1, b"get");
    for piece in 0..30 {
        talk.send_bytes(1, " nothing".repeat(100 + piece).as_bytes());
        // Another connection is served meanwhile.
        talk.send_bytes(2, b"get b\r\n");
        talk.expect_bytes(2, b"END\r\n")?;
    }
    talk.send_bytes(1, b" a\r\n");
    talk.expect_bytes(1, b"VALUE a 0 1\r\nx\r\nEND\r\n")
}
