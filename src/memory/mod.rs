//! Memory that is counted: ranges of address space, values that live in them, and the one limit of the process.
//!
//! Four parts: [`Arena`] is address space that one owner reads and writes by offset, [`LargeMemory`] hands out memory
//! for values of their own ([`LargeValue`]), which readers share without a copy, [`TableMemory`] is where the tables
//! of an index stand, and [`Budget`] is what all shards take their memory from. All `unsafe` of the library stands in
//! `mapping.rs`, `arena.rs`, `large.rs` and `tables.rs`.

mod arena;
mod budget;
mod large;
mod mapping;
mod tables;

pub use arena::Arena;
pub use budget::Budget;
pub use large::{LargeMemory, LargeValue, NoMemory};
pub use tables::TableMemory;

/// The unit in which the kernel gives memory.
pub const PAGE_LEN: usize = 4096;
