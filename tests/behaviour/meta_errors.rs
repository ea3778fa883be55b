//! Meta lines that are refused.

use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    transcript(TRANSCRIPT)
}

const TRANSCRIPT: &str = r"
# a key is missing
> mg
< CLIENT_ERROR bad command line format
> ms
< CLIENT_ERROR bad command line format
> md
< CLIENT_ERROR bad command line format
> me
< CLIENT_ERROR bad command line format

# there is no such command
> mx a
< ERROR
> mG a
< ERROR
> m a
< ERROR

# mn is too short with a bare line end
>| mn\n
< CLIENT_ERROR bad command line format
>| mn \n
< MN

# unknown and repeated flags
> mg a z
< CLIENT_ERROR invalid flag
> mg a v v
< CLIENT_ERROR duplicate flag
> mg a 1
< CLIENT_ERROR invalid flag
> md a Q
< CLIENT_ERROR invalid flag
> md a q q
< CLIENT_ERROR duplicate flag

# a flag that is no letter
> mg a !
< CLIENT_ERROR bad command line format
> mg a v \x01
< CLIENT_ERROR bad command line format

# numbers that are none
> mg a T
< CLIENT_ERROR bad token in command line format
> mg a Tx
< CLIENT_ERROR bad token in command line format
> mg a T99999999999
< CLIENT_ERROR bad token in command line format
> mg a N
< CLIENT_ERROR bad token in command line format
> mg a R1x
< CLIENT_ERROR bad token in command line format
> md a C
< CLIENT_ERROR bad token in command line format
> md a Cx
< CLIENT_ERROR bad token in command line format
> mg a E-1
< CLIENT_ERROR bad token in command line format
> mg a J
< CLIENT_ERROR invalid numeric initial value
> mg a Dx
< CLIENT_ERROR invalid numeric delta value
> md a F-1
< CLIENT_ERROR bad command line format

# errors are never quiet
> mg a q z
< CLIENT_ERROR invalid flag
> md a q T
< CLIENT_ERROR bad token in command line format
> ms a 1 q Tx
> x
< CLIENT_ERROR bad token in command line format

# an unknown flag decides over a bad number before it
> mg a Tx z
< CLIENT_ERROR invalid flag
> mg a Tx v v
< CLIENT_ERROR duplicate flag
> mg a Tx Jx
< CLIENT_ERROR invalid numeric initial value

# more than twenty words
> mg a b k q Ox P L v c f s t h l u C1 T1 N1 R1 F1
< CLIENT_ERROR options flags are too long
> mg a k Ox P L v c f s t h l u C1 T1
< EN ka Ox
";
