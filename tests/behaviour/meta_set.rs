//! `ms`: modes, versions, and what is refused.

use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    transcript(TRANSCRIPT)
}

const TRANSCRIPT: &str = r"
# ms stores with flags and time
> ms a 3 F42 T100
> abc
< HD
> mg a v f t
< VA 3 f42 t100
< abc
> ms a 2
> de
< HD
> mg a v f t
< VA 2 f0 t-1
< de
> get a
< VALUE a 0 2
< de
< END
within 0.9

# what ms returns
> ms a 3 k Oabc c s
> abc
< HD ka Oabc c{a} s3
> mg a c
< HD c{a}
> ms a 4 c k
> abcd
< HD c{b>a} ka

# quiet hides only success
> ms a 1 q
> x
> ms a 1 q ME
> y
> ms b 1 q MR O5 k
> z
> ms a 1 q C1 k
> z
> ms none 1 q C1 O7
> z
> mn
< NS
< NS O5 kb
< EX ka
< NF O7
< MN
> mg a v
< VA 1
< x

# modes
> ms a 1 MR
> x
< NS
> ms a 1 ME
> 1
< HD
> ms a 1 ME
> 2
< NS
> ms a 1 MR
> 3
< HD
> ms a 1 MA s
> 4
< HD s2
> ms a 1 MP s
> 2
< HD s3
> mg a v
< VA 3
< 234
> ms a 1 MS s
> 9
< HD s1
> mg a v s
< VA 1 s1
< 9

# append keeps flags and time
> ms a 1 F5 T100
> 1
< HD
> ms a 1 MA F9 T5
> 2
< HD
> mg a v f t
< VA 2 f5 t100
< 12
within 0.9

# append and prepend of nothing
> ms a 1 MA
> x
< NS
> ms a 1 MP
> x
< NS
> mg a
< EN

# append and prepend may make what is not there
> ms a 1 MA N100 F7
> x
< HD
> mg a v t f
< VA 1 t100 f7
< x
> ms a 1 MA N5
> y
< HD
> ms a 1 MP N5 s
> z
< HD s3
> mg a v t
< VA 3 t100
< zxy
within 0.9

# a mode that is none, and its value is skipped
> ms a 2 MX
> hi
< CLIENT_ERROR invalid mode for ms M token
> ms a 2 Mset
> hi
< CLIENT_ERROR invalid mode for ms M token
> ms a 2 M
> hi
< CLIENT_ERROR invalid mode for ms M token
> mg a
< EN

# the first letter of a mode counts
> ms a 1 MEtc
> x
< HD
> ms a 1 MEtc
> y
< NS

# a version is compared
> ms a 1 c
> 1
< HD c{a}
> ms a 1 C{a} c
> 2
< HD c{b>a}
> ms a 1 C{a} c k Oq
> 3
< EX c0 ka Oq
> ms none 1 C{a} c
> 3
< NF c0
> ms a 1 C0
> 3
< EX
> mg a v c
< VA 1 c{b}
< 2

# a version is compared in every mode but add
> ms a 1 c
> 1
< HD c{a}
> ms a 1 MA C1
> 2
< EX
> ms a 1 MP C1
> 2
< EX
> ms none 1 MA C1
> 2
< NS
> ms none 1 MR C1
> 2
< NF
> ms a 1 MR C1
> 2
< EX
> ms a 1 MR C{a} c
> 2
< HD c{b>a}
> ms a 1 MA C{b} s
> 3
< HD s2
> ms a 1 ME C1
> 4
< NS
> ms b 1 ME C1
> 4
< HD

# a version may be chosen
> ms a 1 E1000000 c
> 1
< HD c1000000
> mg a c
< HD c1000000
> ms a 1 C1000000 E2000000
> 2
< HD
> gets a
< VALUE a 0 1 2000000
< 2
< END
> ms a 1 MA E3000000 c
> 3
< HD c3000000
> ms a 1 C3000001 E4000000 c
> 3
< EX c0
> mg a c v
< VA 2 c3000000
< 23

# an older version is stored stale
> ms a 3 E100 T100
> new
< HD
> ms a 3 C99 I T5 c E101
> old
< HD c101
> mg a v t c
< VA 3 t100 c101 X W
< old
> mg a v
< VA 3 Z X
< old
within 0.9

# a newer version than there is
> ms a 3 E100
> new
< HD
> ms a 3 C101 I
> xxx
< EX
> ms a 3 C100 I E200
> yyy
< HD
> mg a v
< VA 3
< yyy
> ms a 3 I
> zzz
< HD
> mg a v
< VA 3
< zzz

# a length that is none, and the value is commands
> ms a
< CLIENT_ERROR bad command line format
> ms a x
> mn
< CLIENT_ERROR bad command line format
< MN
> ms a -1
> mn
< CLIENT_ERROR bad command line format
< MN
> ms a 2147483646
> mn
< CLIENT_ERROR bad command line format
< MN

# a bad flag, and the value is skipped
> ms a 4 z
> mn x
> mn
< CLIENT_ERROR invalid flag
< MN
> ms a 4 Fx
> mn x
< CLIENT_ERROR bad command line format
> ms a 4 F4294967296
> mn x
< CLIENT_ERROR bad command line format
> ms a 4 Tx
> mn x
< CLIENT_ERROR bad token in command line format
> ms a 4 c c
> mn x
< CLIENT_ERROR duplicate flag
> ms {k*251} 4
> mn x
< CLIENT_ERROR bad command line format
> ms Zm9 4 b
> mn x
< CLIENT_ERROR error decoding key
> ms a 4 O{o*32}
> mn x
< CLIENT_ERROR opaque token too long
> mg a
< EN

# a refused line leaves the old value
> ms a 3
> old
< HD
> ms a 3 z
> new
< CLIENT_ERROR invalid flag
> mg a v
< VA 3
< old

# a value that is not followed by a line end
> ms a 3
> old
< HD
>| ms a 3\r\nnewer\r\n
< CLIENT_ERROR bad data chunk
< CLIENT_ERROR bad command line format
> mg a v
< VA 3
< old

# a value too large takes the old one with it
> ms a 3
> old
< HD
> ms a 1048577 k Oq q
> {x*1048577}
< SERVER_ERROR object too large for cache
> mg a
< EN
> ms a 3
> old
< HD
> ms a 1048577 MA
> {x*1048577}
< SERVER_ERROR object too large for cache
> mg a
< EN

# a large value
> ms a 100000 F5 T100 k s
> {x*100000}
< HD ka s100000
> mg a v s f
< VA 100000 s100000 f5
< {x*100000}
> ms Zm9v 20000 b q
> {y*20000}
> mg foo v k
< VA 20000 kZm9v b
< {y*20000}
> ms a 20000 ME
> {z*20000}
< NS

# every flag at once
> ms Zm9v 3 b T100 F7 c E77 MS k s Oq P1 L1
> abc
< HD c77 kZm9v b s3 Oq
> mg Zm9v b c f h k l s t v Oq P1 L1
< VA 3 c77 f7 h0 kZm9v b l{l} s3 t100 Oq
< abc
within 0.9

# a new value is neither stale nor won
> ms a 3
> old
< HD
> md a I
< HD
> mg a
< HD X W
> ms a 3
> new
< HD
> mg a v
< VA 3
< new

# without versions
options -C
> ms a 1 c E5
> x
< HD c0
> mg a c
< HD c0
> ms a 1 C0
> y
< EX
";
