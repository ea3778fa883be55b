//! `touch`, `gat` and `gats`. What they do to the life of an item stands in `expiry.rs`.

use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    transcript(TRANSCRIPT)
}

const TRANSCRIPT: &str = r"
# touch finds or not
> touch a 100
< NOT_FOUND
> set a 3 0 1
> x
< STORED
> touch a 100
< TOUCHED
> get a
< VALUE a 3 1
< x
< END

# a negative exptime ends the item
> set a 0 0 1
> x
< STORED
> touch a -1
< TOUCHED
> get a
< END
> touch a 100
< NOT_FOUND

# gat answers like get
> gat 100 a
< END
> set a 3 0 1
> x
< STORED
> gat 100 a
< VALUE a 3 1
< x
< END

# gats answers like gets
> set a 3 0 1
> x
< STORED
> gats 100 a
< VALUE a 3 1 {a}
< x
< END
> gets a
< VALUE a 3 1 {a}
< x
< END

# gat of many keys, in the order asked
> set a 0 0 1
> x
> set b 0 0 1
> y
< STORED
< STORED
> gat 100 b nothing a b
< VALUE b 0 1
< y
< VALUE a 0 1
< x
< VALUE b 0 1
< y
< END

# gat with a negative exptime shows the item for the last time
> set a 0 0 1
> x
< STORED
> gat -1 a
< VALUE a 0 1
< x
< END
> get a
< END

# noreply is a key for gat
> set noreply 0 0 1
> x
< STORED
> gat 100 noreply
< VALUE noreply 0 1
< x
< END

# an exptime that is no number
> set a 0 0 1
> x
< STORED
> touch a foo
< CLIENT_ERROR invalid exptime argument
> gat foo a
< CLIENT_ERROR invalid exptime argument
> gats foo a
< CLIENT_ERROR invalid exptime argument
> touch a 1.5
< CLIENT_ERROR invalid exptime argument
> get a
< VALUE a 0 1
< x
< END

# an exptime of more than 32 bits
> set a 0 0 1
> x
< STORED
> touch a 2147483648
< CLIENT_ERROR invalid exptime argument
> touch a -2147483649
< CLIENT_ERROR invalid exptime argument
> gat 2147483648 a
< CLIENT_ERROR invalid exptime argument
> gats 4294967296 a
< CLIENT_ERROR invalid exptime argument
> touch a 2147483647
< TOUCHED
> get a
< VALUE a 0 1
< x
< END

# too few words
> touch a
< CLIENT_ERROR bad command line format
> touch
< CLIENT_ERROR bad command line format
> gat
< CLIENT_ERROR bad command line format

# gat without a key
> gat 100
< CLIENT_ERROR bad command line format
> gats 100
< CLIENT_ERROR bad command line format

# surplus words of touch are ignored
> set a 0 0 1
> x
< STORED
> touch a 100 foo
< TOUCHED
";
