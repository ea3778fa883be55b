//! What was measured: as data, as text.

pub(crate) mod build;
pub(crate) mod model;
pub(crate) mod text;
