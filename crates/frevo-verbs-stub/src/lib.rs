//! RDMA devices that exist only in this process, for tests of what uses libibverbs and librdmacm on machines without any.
//!
//! The object is loaded in place of both libraries. It has a RoCE card, `stub_ib0`, at 127.0.0.1 and ::1, and an iWARP
//! card, `stub_iw0`, at 127.0.0.2. A thread is their hardware: what was posted is carried out later, and completions come after
//! that. It is as strict as the strictest card: keys, protection domains, bounds, access and states are checked, a send
//! without a posted receive fails, iWARP's rules for RDMA READ hold, queues that overrun and objects destroyed in the wrong
//! order end the process with a message.
#![allow(clippy::missing_safety_doc)] // every function is called as the manual pages of rdma-core say

mod control;
mod events;
mod happenings;
mod hardware;
mod manager;
mod posting;
mod verbs;
mod world;

/// A caller did what would block for ever or destroy memory with the real libraries.
fn misuse(text: &str) -> ! {
    eprintln!("verbs stub: {text}");
    std::process::abort()
}
