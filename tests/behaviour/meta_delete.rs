//! `md`: deleting, invalidating, emptying.

use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    transcript(TRANSCRIPT)
}

const TRANSCRIPT: &str = r"
# md deletes
> set a 0 0 1
> x
< STORED
> md a
< HD
> mg a
< EN
> md a
< NF
> md a k Oabc
< NF ka Oabc

# what md returns
> set a 0 0 1
> x
< STORED
> md a Oabc k v t s
< HD Oabc ka

# quiet hides only success
> set a 0 0 1
> x
< STORED
> md a q
> md a q
> set a 0 0 1
> x
> md a q C1 k
> mn
< NF
< STORED
< EX ka
< MN

# only one version
> ms a 1 c
> x
< HD c{a}
> md a C1 Oq k
< EX Oq ka
> mg a c
< HD c{a}
> md a C{a}
< HD
> mg a
< EN

# an invalidated item is there, and one client gets to renew it
> ms a 3 T200 c
> old
< HD c{a}
> md a I T30
< HD
> mg a v t c
< VA 3 t30 c{b>a} X W
< old
> mg a v t
< VA 3 t30 Z X
< old
> ms a 3
> new
< HD
> mg a v t
< VA 3 t-1
< new
within 0.9

# an invalidation keeps the time unless it gives one
> ms a 3 T200
> old
< HD
> md a I
< HD
> mg a t
< HD t200 X W
within 0.9

# an invalidation forgets who won
> ms a 3
> old
< HD
> md a I
< HD
> mg a
< HD X W
> mg a
< HD Z X
> md a I
< HD
> mg a
< HD X W

# an invalidation may choose the version
> ms a 3
> old
< HD
> md a I E500
< HD
> mg a c
< HD c500 X W
> ms a 3 C499 I
> new
< HD
> mg a v
< VA 3 Z X
< new

# a time without an invalidation is ignored
> ms a 3
> old
< HD
> md a T30
< HD
> mg a
< EN

# emptying keeps the item
> ms a 3 F7 T100 c
> old
< HD c{a}
> md a x
< HD
> mg a v f t c s
< VA 0 f0 t-1 c{a} s0
<
> md a x F9 T50 E600
< HD
> mg a v f t c
< VA 0 f9 t50 c600
<
> ms a 1 MA s
> z
< HD s1
within 0.9

# a stale tombstone
> ms a 3 T100 c
> old
< HD c{a}
> md a I x T20
< HD
> mg a v t c
< VA 0 t20 c{b>a} X W
<
> mg a v
< VA 0 Z X
<
within 0.9

# emptying a large value
> ms a 50000
> {x*50000}
< HD
> md a x
< HD
> mg a v
< VA 0
<

# deleting by a key in base64
> ms Zm9v 3 b
> bar
< HD
> md Zm9v b k
< HD kZm9v b
> mg foo
< EN
> md Zm9v k b
< NF kZm9v b
";
