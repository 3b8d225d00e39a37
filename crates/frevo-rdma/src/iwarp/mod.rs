//! iWARP over a plain stream socket: MPA (RFC 5044, 6581), DDP (RFC 5041) and RDMAP (RFC 5040).
//!
//! Nothing here sends, waits or touches memory: see `Endpoint`.

mod decoder;
mod endpoint;
mod header;
mod outgoing;
mod startup;
mod terminate;
#[cfg(test)]
mod tests;

pub use decoder::TRAILER_BYTES;
pub use endpoint::{Completion, Endpoint, Event, Placement};

pub use outgoing::{Limits, Local, Outgoing};
pub use startup::{Depths, Frame, Side, StartupError, MAX_STARTUP_BYTES};
pub use terminate::{Fault, Terminate};
