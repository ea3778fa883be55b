//! The classic text dialect (PROTOCOL §1 to §3).

mod admin;
pub mod dump;
pub mod request;
pub mod response;
