//! Options to a configuration, the configuration to a running server, its end to an exit code.

fn main() {}
