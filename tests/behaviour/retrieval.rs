//! `get` and `gets`.

use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    transcript(TRANSCRIPT)
}

const TRANSCRIPT: &str = r"
# a hit shows flags, length and value
> set a 5 0 3
> abc
< STORED
> get a
< VALUE a 5 3
< abc
< END

# a miss shows only the end
> get a
< END

# gets shows the CAS unique
> set a 0 0 1
> x
< STORED
> gets a
< VALUE a 0 1 {a}
< x
< END
> gets a b
< VALUE a 0 1 {a}
< x
< END

# many keys are answered in the order asked, misses left out
> set a 1 0 1
> x
> set b 2 0 2
> yy
> set c 3 0 3
> zzz
< STORED
< STORED
< STORED
> get c nothing a b
< VALUE c 3 3
< zzz
< VALUE a 1 1
< x
< VALUE b 2 2
< yy
< END

# a repeated key is answered repeatedly
> set a 0 0 1
> x
< STORED
> get a a b a
< VALUE a 0 1
< x
< VALUE a 0 1
< x
< VALUE a 0 1
< x
< END

# an empty value
> set a 0 0 0
>
< STORED
> get a
< VALUE a 0 0
<
< END

# a value may hold anything, also what looks like protocol
> set a 0 0 14
>| x\r\nEND\r\n\0\n\r\xff\r\n\r\n
< STORED
> get a
< VALUE a 0 14
<| x\r\nEND\r\n\0\n\r\xff\r\n\r\n
< END

# a key may hold tabs, control characters and any high byte
>| set a\tb\x01c\x80\xff\r\x7f 0 0 1\r\nx\r\n
< STORED
>| get a\tb\x01c\x80\xff\r\x7f\r\n
<| VALUE a\tb\x01c\x80\xff\r\x7f 0 1\r\nx\r\nEND\r\n
> get a
< END

# a key may hold NUL
>| set a\0b 0 0 1\r\nx\r\n
< STORED
>| get a\0b\r\n
<| VALUE a\0b 0 1\r\nx\r\nEND\r\n
>| get a\0c a\r\n
< END

# verbs and keys tell upper from lower case
> set a 0 0 1
> x
< STORED
> get A
< END
> GET a
< ERROR
> Get a
< ERROR

# blanks between and after keys do not matter
> set a 0 0 1
> x
< STORED
>| get   a    b  \r\n
< VALUE a 0 1
< x
< END

# a line may end without a carriage return
> set a 0 0 1
> x
< STORED
>| get a\n
< VALUE a 0 1
< x
< END
>| get a b\ngets b\nget a\r\n
< VALUE a 0 1
< x
< END
< END
< VALUE a 0 1
< x
< END

# noreply is a key like any other
> get noreply
< END
> set noreply 0 0 1
> x
< STORED
> get noreply
< VALUE noreply 0 1
< x
< END
> gets noreply
< VALUE noreply 0 1 {a}
< x
< END

# no key is an error
> get
< CLIENT_ERROR bad command line format
>| get \r\n
< CLIENT_ERROR bad command line format
> gets
< CLIENT_ERROR bad command line format

# flags use all of 32 bits
> set a 4294967295 0 1
> x
< STORED
> get a
< VALUE a 4294967295 1
< x
< END

# what one connection stores another sees
> set a 0 0 1
> x
< STORED
2> get a
2< VALUE a 0 1
2< x
2< END
2> delete a
2< DELETED
> get a
< END

# a key whose prefix is another key
> set ab 0 0 2
> ab
< STORED
> set a 0 0 1
> a
< STORED
> get abc ab a
< VALUE ab 0 2
< ab
< VALUE a 0 1
< a
< END
";
