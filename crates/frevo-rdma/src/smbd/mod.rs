//! SMB Direct ([MS-SMBD]): messages in fragments over an RDMA connection, under control of credits.
//!
//! The machine neither sends nor waits: it is told what has arrived and what time it is, and asked what is to be done.

mod credits;
mod keepalive;
mod machine;
mod message;
mod reassembly;
mod settings;
#[cfg(test)]
mod tests;
mod violation;

pub use machine::{Machine, Outgoing, Part, State, FIRST_RECEIVE_BYTES};
pub use message::{BufferDescriptor, DATA_OFFSET};
pub use settings::{Agreed, Settings, MIN_FRAGMENTED_BYTES, MIN_RECEIVE_BYTES};
pub use violation::Violation;
