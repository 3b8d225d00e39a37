//! RDMA devices: InfiniBand, RoCE and iWARP by libibverbs and librdmacm, which are loaded when they are needed.
//!
//! [`Verbs`] is a provider ([`frevo_rdma::provider`]); [`Listener`] accepts connections for it. Without the libraries, or
//! without a device, everything here says so and nothing else is affected.

mod connection;
mod domain;
mod library;
mod manager;
mod provider;
mod queue;
mod slab;
mod startup;
pub mod sys;
mod work;

pub use connection::Verbs;
pub use domain::{lock_limit, registered_bytes};
pub use library::{Library, Missing};
pub use manager::{Incoming, Listener};
