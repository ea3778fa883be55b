//! `ma`: counting.

use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    transcript(TRANSCRIPT)
}

const TRANSCRIPT: &str = r"
# ma counts up by one
> ms a 1
> 5
< HD
> ma a
< HD
> ma a v
< VA 1
< 7
> mg a v
< VA 1
< 7

# both ways, by any number
> ms a 2
> 10
< HD
> ma a D5 v
< VA 2
< 15
> ma a MD D20 v
< VA 1
< 0
> ma a MI D18446744073709551615 v
< VA 20
< 18446744073709551615
> ma a M+ v
< VA 1
< 0
> ma a M- v
< VA 1
< 0
> ma a Mincr v
< CLIENT_ERROR invalid mode for ma M token
> ma a MINCR v
< VA 1
< 1

# what is not there
> ma none
< NF
> ma none v q k O5
< NF knone O5

# quiet hides a success with its value
> ms a 1
> 5
< HD
> ma a q
> ma a q v
> ma none q
> ma a q C1
> mn
< NF
< EX
< MN
> mg a v
< VA 1
< 7

# making what is not there
> ma a N100 v t
< VA 1 t100
< 0
> ma a N5 J50 v t
< VA 1 t100
< 1
> ma b N0 J13 D9 v t c k Oq
< VA 2 t-1 c{b} kb Oq
< 13
> ma b J99 v
< VA 2
< 14
> ma none J5 v
< NF
within 0.9

# what is returned
> ms a 1 T100 c
> 5
< HD c{a}
> ma a c k Oq t v
< VA 1 c{b>a} ka Oq t100
< 6
> ma a t
< HD t100
within 0.9

# a new time
> ms a 1 T100
> 5
< HD
> ma a t T200
< HD t100
> ma a T300 t
< HD t300
> mg a t
< HD t300
> ma b N30 T60 t
< HD t60
> mg b t
< HD t60
> ma c T60 N30
< HD
> mg c t
< HD t30
within 0.9

# versions
> ms a 1 c
> 5
< HD c{a}
> ma a C1 k
< EX ka
> ma a C{a} c
< HD c{b>a}
> ma a C0 v
< VA 1
< 7
> ma a E1000 c
< HD c1000
> ma a C1000 E900 c v
< VA 1 c900
< 9
> ma b N0 E77 c
< HD c77

# a value that is no number
> ms a 2
> no
< HD
> ma a
< CLIENT_ERROR cannot increment or decrement non-numeric value
> ma a q v
< CLIENT_ERROR cannot increment or decrement non-numeric value
> ms a 0
>
< HD
> ma a
< CLIENT_ERROR cannot increment or decrement non-numeric value

# a shorter number is padded in the store and not in the reply
> ms a 3
> 100
< HD
> ma a MD v
< VA 2
< 99
> mg a v
< VA 3
< 99\x20

# whatever is wrong with the flags
> ma a z
< CLIENT_ERROR invalid or duplicate flag
> ma a v v
< CLIENT_ERROR invalid or duplicate flag
> ma a D
< CLIENT_ERROR invalid or duplicate flag
> ma a Dx
< CLIENT_ERROR invalid or duplicate flag
> ma a D-1
< CLIENT_ERROR invalid or duplicate flag
> ma a J
< CLIENT_ERROR invalid or duplicate flag
> ma a N
< CLIENT_ERROR invalid or duplicate flag
> ma a b
< CLIENT_ERROR invalid or duplicate flag
> ma a MX
< CLIENT_ERROR invalid mode for ma M token
> ma a O{o*32}
< CLIENT_ERROR opaque token too long
> ma
< CLIENT_ERROR bad command line format

# counting by a key in base64
> ma Zm9v b N0 J5 k v
< VA 1 kZm9v b
< 5
> mg foo k v
< VA 1 kZm9v b
< 5
> ma Zm9v b k
< HD kZm9v b

# classic and meta count the same number
> ms a 1
> 5
< HD
> incr a 5
< 10
> ma a v
< VA 2
< 11
> decr a 1
< 10
";
