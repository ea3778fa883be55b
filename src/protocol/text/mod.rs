//! The classic text dialect (PROTOCOL §1 to §3).

pub mod request;
pub mod response;
