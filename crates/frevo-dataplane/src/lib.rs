//! The data plane of frevo: connections, framing, packet protection, credits and the fast path; no Python here.
#![deny(clippy::undocumented_unsafe_blocks)]

pub mod syscalls;
