//! What was measured: as data, as text, as HdrHistogram's files, as a page with charts.

pub(crate) mod build;
pub(crate) mod hdr;
pub(crate) mod html;
pub(crate) mod model;
pub(crate) mod text;
