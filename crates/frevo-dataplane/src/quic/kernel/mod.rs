//! SMB over the QUIC sockets of the kernel (IPPROTO_QUIC): the kernel has QUIC, TLS stays here.
//!
//! Pure, like the rest of `quic`. The interface is that of github.com/lxin/quic (draft-lxin-quic-socket-apis):
//! `interface` has its numbers and records, `parameters` what is announced to the peer, `secrets` the keys that TLS
//! agrees on, and `handshake` runs TLS with the messages of a socket until the kernel has all of them.

mod handshake;
pub mod interface;
mod parameters;
mod secrets;

pub use handshake::{Failure, Handshake, Kernel, Progress, Whose};
