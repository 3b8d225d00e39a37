//! SMB Direct and what carries it: the state machine of [MS-SMBD] and RDMA providers; neither Python nor SMB2 here.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod iwarp;
pub mod memory;
pub mod provider;
#[cfg(test)]
mod random;
pub mod regions;
pub mod smbd;
pub mod stream;
