//! `noreply` silences a command, its errors included.

use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    transcript(TRANSCRIPT)
}

const TRANSCRIPT: &str = r"
# every command that changes
> set a 1 0 1 noreply
> 1
> get a
< VALUE a 1 1
< 1
< END
> add b 2 0 1 noreply
> 2
> replace a 3 0 1 noreply
> 3
> append a 0 0 1 noreply
> 4
> prepend a 0 0 1 noreply
> 2
> get a b
< VALUE a 3 3
< 234
< VALUE b 2 1
< 2
< END
> incr a 1 noreply
> decr b 1 noreply
> touch a 100 noreply
> get a b
< VALUE a 3 3
< 235
< VALUE b 2 1
< 1
< END
> delete a noreply
> get a b
< VALUE b 2 1
< 1
< END
> flush_all noreply
> get b
< END
> verbosity 1 noreply
> verbosity 0 noreply
> get b
< END

# refusals are silent
> add a 0 0 1
> x
< STORED
> add a 0 0 1 noreply
> y
> replace b 0 0 1 noreply
> y
> append b 0 0 1 noreply
> y
> prepend b 0 0 1 noreply
> y
> incr b 1 noreply
> decr b 1 noreply
> touch b 1 noreply
> delete b noreply
> cas b 0 0 1 1 noreply
> y
> cas a 0 0 1 0 noreply
> y
> get a b
< VALUE a 0 1
< x
< END

# cas
> set a 0 0 1
> x
< STORED
> gets a
< VALUE a 0 1 {a}
< x
< END
> cas a 0 0 1 {a} noreply
> y
> get a
< VALUE a 0 1
< y
< END

# errors are silent
> set a 0 0 3
> foo
< STORED
> incr a 1 noreply
> decr a 1 noreply
> incr a foo noreply
> touch a foo noreply
> flush_all foo noreply
> get a
< VALUE a 0 3
< foo
< END

# errors of a storage line are silent after its data
> set a foo 0 5 noreply
> get a
> set a 0 foo 5 noreply
> get a
> set {k*251} 0 0 5 noreply
> get a
> cas a 0 0 5 foo noreply
> get a
> get a
< END

# a bad data chunk is silent
>| set a 0 0 1 noreply\r\nxyz
> get a
< END

# a value that is too large is silent and takes the old one with it
> set a 0 0 1
> x
< STORED
> set a 0 0 2000000 noreply
> {x*2000000}
> get a
< END

# it counts only as the last word
> set a 0 0 1 noreply foo
> x
< STORED
> delete a noreply foo
< DELETED

# it counts only in lower case
> set a 0 0 1 NOREPLY
> x
< STORED

# it may be followed by blanks
>| set a 0 0 1 noreply  \r\nx\r\n
> get a
< VALUE a 0 1
< x
< END

# the order of what is not answered is kept
> set a 0 0 1 noreply
> 1
> get a
> set a 0 0 1 noreply
> 2
> get a
> delete a noreply
> get a
> set a 0 0 1
> 3
> get a
< VALUE a 0 1
< 1
< END
< VALUE a 0 1
< 2
< END
< END
< STORED
< VALUE a 0 1
< 3
< END

# half-close waits for what is not answered
> set a 0 0 1 noreply
> x
half-close
closed
2> get a
2< VALUE a 0 1
2< x
2< END

# quit waits for what is not answered
> set a 0 0 1 noreply
> y
> quit
closed
2> get a
2< VALUE a 0 1
2< y
2< END
";
