//! What a data plane is started with.

use crate::conn::Role;
use crate::ladder::Splicing;
use crate::limits::{descriptor_shares, Limits};

/// How a data plane is started.
#[derive(Clone, Debug)]
pub struct Config {
    /// Number of I/O threads, at least 1.
    pub threads: usize,
    /// "auto", "epoll" or "uring".
    pub engine: String,
    /// Which end of its connections it is.
    pub role: Role,
    /// How large answers leave: "auto" or the name of a [`Rung`](crate::ladder::Rung).
    pub read_path: String,
    /// How the data of large WRITEs come: "auto" or the name of a [`WriteRung`](crate::ladder::WriteRung).
    pub write_path: String,
    /// When pages of files may be sent as they are.
    pub splicing: Splicing,
    /// Its bounds.
    pub limits: Limits,
}

impl Config {
    /// One thread that chooses everything by itself.
    pub fn with(role: Role, limits: Limits) -> Config {
        Config {
            threads: 1,
            engine: "auto".into(),
            role,
            read_path: "auto".into(),
            write_path: "auto".into(),
            splicing: Splicing::Auto,
            limits,
        }
    }
}

/// No more connections than there are descriptors for: the control plane opens files with the others.
pub(super) fn within_descriptors(mut limits: Limits) -> Limits {
    limits.max_connections = limits.max_connections.min(descriptor_shares().0);
    limits
}
