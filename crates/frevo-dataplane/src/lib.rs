//! The data plane of frevo: connections, framing, packet protection, credits and the fast path; no Python here.
#![deny(clippy::undocumented_unsafe_blocks)]

pub mod acting;
pub mod arena;
pub mod attached;
pub mod budget;
pub mod buffer;
pub mod conn;
pub mod credits;
pub mod crypto;
pub mod delivery;
pub mod engine;
pub mod event;
pub mod fast;
pub mod file_job;
pub mod framing;
pub mod gate;
pub mod ladder;
pub mod leases;
pub mod limits;
pub mod memory;
pub mod pipe;
pub mod pump;
pub mod quic;
pub mod rest;
pub mod ring;
pub mod stats;
pub mod syscalls;
mod waiting;
pub mod window;
pub mod wire;
pub mod writing;

/// The tests have the allocator of the module.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: memory::Blocks = memory::Blocks;
