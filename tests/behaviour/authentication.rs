//! Who may talk to the server (PROTOCOL §9): `-Y` for text, `-S` for packets.

use crate::transcript::{Case, cases as transcript};

pub(crate) fn cases() -> Vec<Case> {
    transcript(TRANSCRIPT)
}

const TRANSCRIPT: &str = r"
# nothing but authentication is answered
options -Y tests/behaviour/users
> get a
> set a 0 0
> set a 0 0 x
> ms a 1
> quit
> version
< CLIENT_ERROR unauthenticated
< CLIENT_ERROR unauthenticated
< CLIENT_ERROR unauthenticated
< CLIENT_ERROR unauthenticated
< CLIENT_ERROR unauthenticated
< CLIENT_ERROR unauthenticated

# a user gets in, whatever the words say, and stays in
options -Y tests/behaviour/users
> set x y z 10
> ann secret
> set a 0 0 1
> x
> get a
> delete a
< STORED
< STORED
< VALUE a 0 1
< x
< END
< DELETED
2> get a
2< CLIENT_ERROR unauthenticated

# a stranger stays out, and is answered late
options -Y tests/behaviour/users
> set x 0 0 9
> ann wrong
> get a
wait 0.1
< CLIENT_ERROR authentication failure
< CLIENT_ERROR unauthenticated

# attempts in one piece get a reply each
options -Y tests/behaviour/users
> set x 0 0 10
> bob secret
> set x 0 0 3
> a b
> set x 0 0 10
> ann secret
> get a
wait 0.4
< CLIENT_ERROR authentication failure
< CLIENT_ERROR authentication failure
< STORED
< END

# a password ends at the blank
options -Y tests/behaviour/users
> set x 0 0 21
> bob a:longer password
wait 0.1
< CLIENT_ERROR authentication failure

# what is no name and password
options -Y tests/behaviour/users
> set x 0 0 3
> ann
>| set x 0 0 10\r\nann secretxx
> set x 0 0 0
>
< CLIENT_ERROR bad authentication token format
< CLIENT_ERROR bad command line termination
< CLIENT_ERROR bad authentication token format

# a token too long is skipped
options -Y tests/behaviour/users
> set x 0 0 16385
> {x*16385}
> set x 0 0 10
> ann secret
< CLIENT_ERROR auth token too long
< STORED

# a line too short closes
options -Y tests/behaviour/users
> get a
> mn
> get a
< CLIENT_ERROR unauthenticated
closed

# a line without end closes
options -Y tests/behaviour/users
>| {x*2048}
closed

# packets have no way in where text is guarded
options -Y tests/behaviour/users
>| \x80\x01\x08\x01\r\n
< CLIENT_ERROR unauthenticated

# SASL: the mechanism and the way in
options -S -Y tests/behaviour/users
b> sasllist opaque=1
b> saslauth key=PLAIN value=\0ann\0secret opaque=2
b> set key=a value=x
b> get key=a
b< sasllist ok value=PLAIN\x20SCRAM-SHA-256 opaque=1
b< saslauth ok value=Authenticated opaque=2
b< set ok cas={a}
b< get ok flags=0 value=x cas={a}

# SASL: nothing but that is answered, and it closes
options -S -Y tests/behaviour/users
b> get key=a opaque=5
b> noop
b< get auth-failure opaque=5
closed
2b> setq key=a value={v*100000}
2b< setq auth-failure
2 closed
3b> 0x1b
3b< 0x1b auth-failure
3 closed

# SASL: a stranger stays out and may try again
options -S -Y tests/behaviour/users
b> saslauth key=PLAIN value=\0ann\0wrong opaque=1
b> saslauth key=SCRAM value=x opaque=2
wait 0.3
b< saslauth auth-failure opaque=1
b< saslauth auth-failure opaque=2
b> saslauth key=PLAIN value=\0bob\0a:longer\x20password opaque=3
b> noop
b< saslauth ok value=Authenticated opaque=3
b< noop ok

# SASL: PLAIN takes no further step
options -S -Y tests/behaviour/users
b> saslstep key=PLAIN value=\0ann\0secret
wait 0.1
b< saslstep auth-failure
b> noop
b< noop auth-failure
closed

# SASL: who fails to become somebody else is nobody
options -S -Y tests/behaviour/users
b> saslauth key=PLAIN value=\0ann\0secret
b> noop
b> saslauth key=PLAIN value=bob\0ann\0secret
b> noop
wait 0.1
b< saslauth ok value=Authenticated
b< noop ok
b< saslauth auth-failure
b< noop auth-failure
closed

# SASL: text has no way in
options -S -Y tests/behaviour/users
> version
closed
";
