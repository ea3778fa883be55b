//! The binary protocol: what each opcode does, and when it is silent (PROTOCOL §7).

use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    transcript(TRANSCRIPT)
}

const TRANSCRIPT: &str = r"
# a value comes back with its flags and its version
b> set key=a flags=258 value=abc opaque=7
b< set ok cas={a} opaque=7
b> get key=a opaque=8
b< get ok flags=258 value=abc cas={a} opaque=8
b> getk key=a
b< getk ok flags=258 key=a value=abc cas={a}

# a miss has a text, or the key if that was asked for
b> get key=a
b> getk key=a opaque=5
b< get not-found
b< getk not-found key=a opaque=5

# quiet retrievals are silent about misses only
b> set key=b value=x
b< set ok cas={b}
b> getq key=a opaque=1
b> getq key=b opaque=2
b> getkq key=a opaque=3
b> getkq key=b opaque=4
b> noop opaque=5
b< getq ok flags=0 value=x cas={b} opaque=2
b< getkq ok flags=0 key=b value=x cas={b} opaque=4
b< noop ok opaque=5

# quiet changes are silent about success only
b> setq key=a value=1
b> addq key=b value=2
b> replaceq key=a value=3
b> appendq key=a value=4
b> prependq key=a value=5
b> incrementq key=b delta=1
b> decrementq key=b delta=2
b> deleteq key=b
b> get key=a opaque=1
b> get key=b opaque=2
b< get ok flags=0 value=534 cas={*} opaque=1
b< get not-found opaque=2

# quiet changes say what failed, with the quiet opcode
b> set key=a value=x
b< set ok cas={*}
b> addq key=a opaque=1
b> replaceq key=b opaque=2
b> appendq key=b value=x opaque=3
b> prependq key=b value=x opaque=4
b> deleteq key=b opaque=5
b> incrementq key=a delta=1 opaque=6
b> incrementq key=b delta=1 exp=never opaque=7
b> decrementq key=b delta=1 exp=never opaque=8
b> setq key=a value=y cas=1 opaque=9
b> noop
b< addq exists opaque=1
b< replaceq not-found opaque=2
b< appendq not-stored opaque=3
b< prependq not-stored opaque=4
b< deleteq not-found opaque=5
b< incrementq non-numeric opaque=6
b< incrementq not-found opaque=7
b< decrementq not-found opaque=8
b< setq exists opaque=9
b< noop ok

# add and replace
b> add key=a flags=1 value=x
b< add ok cas={a}
b> add key=a flags=2 value=y
b< add exists
b> replace key=a flags=3 value=z
b< replace ok cas={b>a}
b> replace key=b value=z
b< replace not-found
b> get key=a
b< get ok flags=3 value=z cas={b}

# append and prepend keep the flags
b> append key=a value=x
b< append not-stored
b> prepend key=a value=x
b< prepend not-stored
b> set key=a flags=9 value=b
b< set ok cas={a}
b> append key=a value=c
b< append ok cas={b>a}
b> prepend key=a value=a
b< prepend ok cas={c>b}
b> get key=a
b< get ok flags=9 value=abc cas={c}

# delete
b> delete key=a
b< delete not-found
b> set key=a value=x
b< set ok cas={a}
b> delete key=a
b< delete ok
b> get key=a
b< get not-found

# with a version every storage opcode compares it
b> set key=a value=x cas=1
b< set not-found
b> add key=a value=x cas=1
b< add not-found
b> set key=a value=x
b< set ok cas={a}
b> set key=a value=y
b< set ok cas={b>a}
b> set key=a value=z cas={a}
b< set exists
b> replace key=a value=z cas={a}
b< replace exists
b> add key=a value=z cas={b}
b< add ok cas={c>b}
b> replace key=a value=y cas={c}
b< replace ok cas={d>c}
b> append key=a value=n cas={c}
b< append exists
b> append key=a value=n cas={d}
b< append ok cas={e>d}
b> prepend key=a value=n cas={d}
b< prepend exists
b> get key=a
b< get ok flags=0 value=yn cas={e}

# delete and numbers compare a version too
b> set key=n value=5
b< set ok cas={a}
b> increment key=n delta=1
b< increment ok number=6 cas={b>a}
b> increment key=n delta=1 cas={a}
b< increment exists
b> decrement key=n delta=1 cas={b}
b< decrement ok number=5 cas={c>b}
b> delete key=n cas={b}
b< delete exists
b> delete key=n cas={c}
b< delete ok
b> delete key=n cas={c}
b< delete not-found

# a number that is not there is made, without the delta
b> increment key=n delta=5 initial=7
b< increment ok number=7 cas={a}
b> increment key=n delta=5 initial=7
b< increment ok number=12 cas={b>a}
b> decrement key=m delta=5 initial=18446744073709551615
b< decrement ok number=18446744073709551615 cas={*}
b> get key=n
b< get ok flags=0 value=12 cas={b}

# a number that is not there stays away if it must
b> increment key=n delta=5 initial=7 exp=never
b< increment not-found
b> decrement key=n delta=5 initial=7 exp=never
b< decrement not-found
b> get key=n
b< get not-found

# numbers wrap above and stop below
b> set key=n value=18446744073709551615
b< set ok cas={*}
b> increment key=n delta=2
b< increment ok number=1 cas={*}
b> decrement key=n delta=2
b< decrement ok number=0 cas={*}

# both protocols see the same items
> set a 16909060 0 3
> abc
< STORED
2b> get key=a
2b< get ok flags=16909060 value=abc cas={a}
2b> increment key=n delta=1 initial=99
2b< increment ok number=99 cas={*}
2b> increment key=n delta=1
2b< increment ok number=100 cas={n}
> gets a n
< VALUE a 16909060 3 {a}
< abc
< VALUE n 0 3 {n}
< 100
< END

# touch gives a new expiry and shows the flags
b> touch key=a exp=100
b< touch not-found
b> set key=a flags=7 value=x
b< set ok cas={a}
b> touch key=a exp=100
b< touch ok flags=7 cas={a}
b> touch key=a exp=1
b< touch ok flags=7 cas={a}
wait 1
b> get key=a
b< get not-found

# get and touch, with the key and without
b> gat key=a exp=100
b> gatk key=a exp=100
b> gatq key=a exp=100
b> gatkq key=a exp=100
b> set key=a flags=7 value=x
b< gat not-found
b< gatk not-found key=a
b< set ok cas={a}
b> gat key=a exp=100
b> gatk key=a exp=100
b> gatq key=a exp=100
b> gatkq key=a exp=1
b< gat ok flags=7 value=x cas={a}
b< gatk ok flags=7 key=a value=x cas={a}
b< gatq ok flags=7 value=x cas={a}
b< gatkq ok flags=7 key=a value=x cas={a}
wait 1
b> get key=a
b< get not-found

# an expiry counts from now
b> set key=a exp=1 value=x
b< set ok cas={*}
b> get key=a
b< get ok flags=0 value=x cas={*}
within 1
wait 1
b> get key=a
b< get not-found

# the furthest expiry is in the future
b> set key=a exp=4294967295 value=x
b< set ok cas={*}
b> get key=a
b< get ok flags=0 value=x cas={*}

# flush
b> set key=a value=x
b> flush
b> get key=a
b> set key=a value=x
b> flushq
b> get key=a
b> set key=a value=x
b> flush exp=0
b> get key=a
b< set ok cas={*}
b< flush ok
b< get not-found
b< set ok cas={*}
b< get not-found
b< set ok cas={*}
b< flush ok
b< get not-found

# a flush to come
b> set key=a value=x
b> flush exp=1
b< set ok cas={*}
b< flush ok
wait 1
b> get key=a
b< get not-found

# flush can be forbidden
options -F
b> flush opaque=1
b> flushq exp=0 opaque=2
b< flush auth-failure opaque=1
b< flushq auth-failure opaque=2

# quit answers, then closes
b> noop
b> quit opaque=3
b> noop
b< noop ok
b< quit ok opaque=3
closed

# quiet quit closes
b> setq key=a value=x
b> getq key=a
b> quitq
b> noop
b< getq ok flags=0 value=x cas={*}
closed

# an empty value, and one of every byte
b> set key=a
b< set ok cas={a}
b> get key=a
b< get ok flags=0 cas={a} value=
b> set key=a value=\r\n\0\x80\xff\r\n
b< set ok cas={b>a}
b> get key=a
b< get ok flags=0 value=\r\n\0\x80\xff\r\n cas={b}

# a key may be long, and hold what a line cannot
b> set key={k*250} value=x
b< set ok cas={a}
b> getk key={k*250}
b< getk ok flags=0 key={k*250} value=x cas={a}
b> set key=\x20\r\n\0\xff value=y
b< set ok cas={b}
b> getk key=\x20\r\n\0\xff
b< getk ok flags=0 key=\x20\r\n\0\xff value=y cas={b}

# large values, copied and by handle
b> set key=a value={a*16383}
b> set key=b value={b*16384}
b> set key=c flags=5 value={c*300000}
b> getkq key=a
b> getkq key=b
b> getkq key=c
b> append key=c value={d*20000}
b> getq key=c
b> noop
b< set ok cas={a}
b< set ok cas={b}
b< set ok cas={c}
b< getkq ok flags=0 key=a value={a*16383} cas={a}
b< getkq ok flags=0 key=b value={b*16384} cas={b}
b< getkq ok flags=5 key=c value={c*300000} cas={c}
b< append ok cas={d>c}
b< getq ok flags=5 value={c*300000}{d*20000} cas={d}
b< noop ok

# statistics are a packet each, the last one empty
b> stat key=reset opaque=9
b< stat ok value= opaque=9

# unknown statistics
b> stat key=nonsense opaque=9
b< stat not-found opaque=9

# without CAS uniques all are 0
options -C
b> set key=a value=x
b> get key=a
b> increment key=n initial=1
b< set ok
b< get ok flags=0 value=x
b< increment ok number=1

# either protocol can be demanded
options -B binary
b> noop
b< noop ok
2> get a b c d e f g h i j k l m n
2 closed

# a first byte of packets in a text-only server is a line
options -B ascii
>| \x80\r\n
< CLIENT_ERROR bad command line format
> get a
< END
";
