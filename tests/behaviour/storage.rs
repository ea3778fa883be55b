//! `set`, `add`, `replace`, `append`, `prepend` and `delete`.

use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    transcript(TRANSCRIPT)
}

const TRANSCRIPT: &str = r"
# set replaces value and flags
> set a 1 0 3
> one
< STORED
> set a 2 0 5
> three
< STORED
> get a
< VALUE a 2 5
< three
< END

# add stores only what is not there
> add a 1 0 1
> x
< STORED
> add a 2 0 2
> yy
< NOT_STORED
> get a
< VALUE a 1 1
< x
< END
> delete a
< DELETED
> add a 3 0 1
> z
< STORED

# replace stores only what is there
> replace a 1 0 1
> x
< NOT_STORED
> get a
< END
> set a 1 0 1
> x
< STORED
> replace a 2 0 2
> yy
< STORED
> get a
< VALUE a 2 2
< yy
< END

# append and prepend keep the flags
> set a 7 0 1
> b
< STORED
> append a 1 0 2
> cd
< STORED
> prepend a 2 0 1
> a
< STORED
> get a
< VALUE a 7 4
< abcd
< END

# append and prepend need an item
> append a 0 0 1
> x
< NOT_STORED
> prepend a 0 0 1
> x
< NOT_STORED
> get a
< END

# append and prepend of nothing
> set a 0 0 1
> x
< STORED
> append a 0 0 0
>
< STORED
> prepend a 0 0 0
>
< STORED
> get a
< VALUE a 0 1
< x
< END

# appending to an empty value
> set a 0 0 0
>
< STORED
> append a 0 0 1
> x
< STORED
> get a
< VALUE a 0 1
< x
< END

# append keeps the exptime
> set a 0 100 1
> x
< STORED
> append a 0 -1 1
> y
< STORED
> get a
< VALUE a 0 2
< xy
< END

# many small appends add up
> set a 0 0 1
> x
< STORED
> append a 0 0 100
> {y*100}
> append a 0 0 1000
> {z*1000}
> prepend a 0 0 10000
> {w*10000}
< STORED
< STORED
< STORED
> get a
< VALUE a 0 11101
< {w*10000}x{y*100}{z*1000}
< END

# the data of a refused store is not read as commands
> set a 0 0 1
> x
< STORED
> add a 0 0 5
> get a
< NOT_STORED
> replace b 0 0 8
> delete a
< NOT_STORED
> get a
< VALUE a 0 1
< x
< END

# delete
> delete a
< NOT_FOUND
> set a 0 0 1
> x
< STORED
> delete a
< DELETED
> delete a
< NOT_FOUND
> get a
< END

# delete takes what old clients add
> set a 0 0 1
> x
< STORED
> delete a 0
< DELETED
> set a 0 0 1
> x
< STORED
> delete a 10
< DELETED
> set a 0 0 1
> x
< STORED
> delete a foo bar
< DELETED

# delete with five arguments is refused
> set a 0 0 1
> x
< STORED
> delete a 0 0 0 0
< CLIENT_ERROR bad command line format
> delete a
< DELETED

# surplus words of a storage line are ignored
> set a 0 0 1 foo
> x
< STORED
> replace a 0 0 1 foo bar
> y
< STORED
> get a
< VALUE a 0 1
< y
< END

# a longer value, then a shorter one, then a longer one
> set a 0 0 5000
> {a*5000}
> set a 0 0 10
> {b*10}
> get a
> set a 0 0 70000
> {c*70000}
> get a
< STORED
< STORED
< VALUE a 0 10
< {b*10}
< END
< STORED
< VALUE a 0 70000
< {c*70000}
< END

# values of every order of size
> set a 0 0 100
> {a*100}
> set b 0 0 1000
> {b*1000}
> set c 0 0 10000
> {c*10000}
> set d 0 0 16384
> {d*16384}
> set e 0 0 100000
> {e*100000}
> set f 0 0 1000000
> {f*1000000}
< STORED
< STORED
< STORED
< STORED
< STORED
< STORED
> get f e d c b a
< VALUE f 0 1000000
< {f*1000000}
< VALUE e 0 100000
< {e*100000}
< VALUE d 0 16384
< {d*16384}
< VALUE c 0 10000
< {c*10000}
< VALUE b 0 1000
< {b*1000}
< VALUE a 0 100
< {a*100}
< END

# appending to a large value
> set a 0 0 600000
> {a*600000}
< STORED
> append a 0 0 200000
> {b*200000}
< STORED
> prepend a 0 0 1
> c
< STORED
> get a
< VALUE a 0 800001
< c{a*600000}{b*200000}
< END
";
