//! The io_uring socket driver shared by ringcached and its load generator.
