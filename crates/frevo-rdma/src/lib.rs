//! SMB Direct and what carries it: the state machine of [MS-SMBD] and RDMA providers; neither Python nor SMB2 here.

pub mod iwarp;
#[cfg(test)]
mod random;
pub mod regions;
pub mod smbd;
