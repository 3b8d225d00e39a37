//! How a connection begins: addresses, routes, and what both sides say of their RDMA READs.

use std::io;
use std::net::SocketAddr;

use crate::domain::Limits;
use crate::manager::{Depths, Event};
use crate::sys::event;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Looks for a device that reaches the peer.
    Resolving,
    /// Looks for a way to the peer.
    Routing,
    /// Has a queue pair, and asks or answers as soon as a receive is posted.
    Prepared { asks: bool },
    /// Waits for the peer.
    Waiting,
    /// Messages go both ways.
    Established,
}

/// The depths of RDMA READs as [MS-SMBD] has them on iWARP, where older devices say nothing else.
pub(crate) fn private_data(limits: &Limits, depths: Depths) -> Vec<u8> {
    match limits.is_iwarp {
        true => [depths.incoming, depths.outgoing].map(|reads| u32::from(reads).to_be_bytes()).concat(),
        false => vec![],
    }
}

/// What this side offers.
pub(crate) fn offered(limits: &Limits) -> Depths {
    Depths { incoming: limits.incoming_reads, outgoing: limits.outgoing_reads }
}

/// What both agree upon, when the peer has said `said` and `private_data`.
pub(crate) fn agreed(limits: &Limits, said: Depths, private_data: &[u8]) -> Depths {
    let mut said = said;
    let words = private_data.first_chunk::<8>().filter(|_| limits.is_iwarp && said.outgoing == 0);
    if let Some(words) = words {
        // What the peer answers is what this side may have outstanding. Some count as their processor does.
        let word = u32::from_be_bytes([words[0], words[1], words[2], words[3]]);
        said.outgoing = u8::try_from(word.min(word.swap_bytes())).unwrap_or(u8::MAX);
    }
    Depths {
        incoming: said.incoming.min(limits.incoming_reads),
        outgoing: said.outgoing.min(limits.outgoing_reads),
    }
}

/// How an event that ends a connection is told. None: it does not.
pub(crate) fn ending(happened: &Event, peer: Option<SocketAddr>, name: &str) -> Option<String> {
    let peer = peer.map_or_else(|| "the peer".to_owned(), |peer| peer.to_string());
    let status = match happened.status {
        errno @ -4095..=-1 => format!(": {}", io::Error::from_raw_os_error(-errno)),
        _ => String::new(),
    };
    match happened.kind {
        event::ADDR_ERROR => Some(format!("no RDMA device reaches {peer}{status}")),
        event::ROUTE_ERROR => Some(format!("no RDMA route to {peer}{status}")),
        event::REJECTED => Some(format!("{peer} refused the RDMA connection{status}")),
        event::UNREACHABLE | event::CONNECT_ERROR => Some(format!("no RDMA connection to {peer}{status}")),
        event::DISCONNECTED => Some("closed by the peer".to_owned()),
        event::DEVICE_REMOVAL => Some("the RDMA device was removed".to_owned()),
        // The kernel has nothing more to say of it.
        event::TIMEWAIT_EXIT => None,
        event::ADDR_RESOLVED | event::ROUTE_RESOLVED | event::ESTABLISHED => None,
        _ => Some(format!("RDMA connection to {peer}: {name}{status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(is_iwarp: bool) -> Limits {
        Limits {
            is_iwarp,
            invalidates: true,
            incoming_reads: 16,
            outgoing_reads: 8,
            queue: 100,
            completions: 100,
            transfer: 1 << 30,
        }
    }

    /// The smaller count holds; private data speak only for iWARP, where nothing else does, in either order of bytes.
    #[test]
    fn depths_are_what_both_can() {
        let depths = |incoming, outgoing| Depths { incoming, outgoing };
        let [iwarp, ib] = [limits(true), limits(false)];
        assert_eq!(agreed(&ib, depths(32, 32), &[]), depths(16, 8));
        assert_eq!(agreed(&ib, depths(1, 0), &[0, 0, 0, 5, 0, 0, 0, 0]), depths(1, 0));
        assert_eq!(agreed(&iwarp, depths(1, 2), &[0, 0, 0, 5, 0, 0, 0, 0]), depths(1, 2));
        for words in [[0, 0, 0, 5, 0, 0, 0, 1], [5, 0, 0, 0, 1, 0, 0, 0]] {
            assert_eq!(agreed(&iwarp, depths(1, 0), &words), depths(1, 5));
        }
        assert_eq!(agreed(&iwarp, depths(1, 0), &[0xFF; 8]), depths(1, 8));
        assert_eq!(agreed(&iwarp, depths(1, 0), &[0; 7]), depths(1, 0));
        assert_eq!(private_data(&iwarp, depths(3, 4)), [0, 0, 0, 3, 0, 0, 0, 4]);
        assert_eq!(private_data(&ib, depths(3, 4)), []);
    }
}
