//! What a data plane is started with.

use crate::conn::Role;
use crate::limits::Limits;

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
    /// Its bounds.
    pub limits: Limits,
}
