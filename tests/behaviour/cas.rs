//! CAS uniques: `gets` and `cas`.

use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    transcript(TRANSCRIPT)
}

const TRANSCRIPT: &str = r"
# cas stores while nobody else has
> set a 1 0 3
> old
< STORED
> gets a
< VALUE a 1 3 {a}
< old
< END
> cas a 2 0 3 {a}
> new
< STORED
> gets a
< VALUE a 2 3 {b>a}
< new
< END
> cas a 0 0 5 {a}
> stale
< EXISTS
> get a
< VALUE a 2 3
< new
< END

# cas of a missing key
> cas a 0 0 1 1
> x
< NOT_FOUND
> get a
< END

# cas with 0 never matches
> set a 0 0 1
> x
< STORED
> cas a 0 0 1 0
> y
< EXISTS
> get a
< VALUE a 0 1
< x
< END

# every change gives a larger unique
> set a 0 0 1
> 1
< STORED
> gets a
< VALUE a 0 1 {a}
< 1
< END
> set a 0 0 1
> 1
< STORED
> gets a
< VALUE a 0 1 {b>a}
< 1
< END
> append a 0 0 1
> 0
< STORED
> gets a
< VALUE a 0 2 {c>b}
< 10
< END
> prepend a 0 0 1
> 1
< STORED
> gets a
< VALUE a 0 3 {d>c}
< 110
< END
> incr a 1
< 111
> gets a
< VALUE a 0 3 {e>d}
< 111
< END
> incr a 0
< 111
> gets a
< VALUE a 0 3 {f>e}
< 111
< END
> decr a 1
< 110
> gets a
< VALUE a 0 3 {g>f}
< 110
< END
> replace a 0 0 1
> x
< STORED
> gets a
< VALUE a 0 1 {h>g}
< x
< END
> cas a 0 0 1 {h}
> y
< STORED
> gets a
< VALUE a 0 1 {i>h}
< y
< END
> delete a
< DELETED
> add a 0 0 1
> z
< STORED
> gets a
< VALUE a 0 1 {j>i}
< z
< END

# touch and gat and a refused store leave the unique alone
> set a 0 0 1
> x
< STORED
> gets a
< VALUE a 0 1 {a}
< x
< END
> touch a 100
< TOUCHED
> gat 100 a
< VALUE a 0 1
< x
< END
> add a 0 0 1
> y
< NOT_STORED
> get a
< VALUE a 0 1
< x
< END
> cas a 0 0 1 0
> y
< EXISTS
> gats 100 a
< VALUE a 0 1 {a}
< x
< END
> cas a 0 0 1 {a}
> z
< STORED

# keys do not share a unique
> set a 0 0 1
> x
> set b 0 0 1
> y
< STORED
< STORED
> gets a
< VALUE a 0 1 {a}
< x
< END
> gets b
< VALUE b 0 1 {b}
< y
< END
> cas b 0 0 1 {a}
> z
< EXISTS
> cas b 0 0 1 {b}
> z
< STORED

# of two that read the same unique one wins
> set a 0 0 1
> 0
< STORED
> gets a
< VALUE a 0 1 {a}
< 0
< END
2> gets a
2< VALUE a 0 1 {a}
2< 0
2< END
2> cas a 0 0 1 {a}
2> 2
2< STORED
> cas a 0 0 1 {a}
> 1
< EXISTS
> get a
< VALUE a 0 1
< 2
< END

# cas with the unique of a deleted item
> set a 0 0 1
> x
< STORED
> gets a
< VALUE a 0 1 {a}
< x
< END
> delete a
< DELETED
> cas a 0 0 1 {a}
> y
< NOT_FOUND
> set a 0 0 1
> z
< STORED
> cas a 0 0 1 {a}
> y
< EXISTS

# cas without a unique
> cas a 0 0 1
< CLIENT_ERROR bad command line format

# a unique that is no number is refused after its data
> set a 0 0 1
> x
< STORED
> cas a 0 0 5 foo
> get a
< CLIENT_ERROR bad command line format
> cas a 0 0 5 -1
> get a
< CLIENT_ERROR bad command line format
> cas a 0 0 5 18446744073709551616
> get a
< CLIENT_ERROR bad command line format
> get a
< VALUE a 0 1
< x
< END

# the largest unique is a number
> set a 0 0 1
> x
< STORED
> cas a 0 0 1 18446744073709551615
> y
< EXISTS

# cas takes an empty value
> set a 0 0 1
> x
< STORED
> gets a
< VALUE a 0 1 {a}
< x
< END
> cas a 0 0 0 {a}
>
< STORED
> gets a
< VALUE a 0 0 {b>a}
<
< END

# without CAS uniques all are 0
options -C
> set a 0 0 1
> x
< STORED
> gets a
< VALUE a 0 1 0
< x
< END
> append a 0 0 1
> y
< STORED
> gets a
< VALUE a 0 2 0
< xy
< END
";
