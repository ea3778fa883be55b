//! Which keys, which values, and which request comes next, and when. Pure: a seed decides everything.

pub(crate) mod access;
pub(crate) mod arrivals;
pub(crate) mod distribution;
pub(crate) mod keyspace;
mod lines;
pub(crate) mod mix;
mod operation;
pub(crate) mod plan;
pub(crate) mod presets;
pub(crate) mod random;
pub(crate) mod source;
pub(crate) mod trace;
pub(crate) mod zipf;

pub(crate) use operation::Operation;
