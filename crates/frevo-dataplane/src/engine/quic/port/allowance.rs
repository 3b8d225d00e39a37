//! What may be sent to an address that may be somebody else's (RFC 9000 8.1).
//!
//! quinn-proto sends one more datagram than three times of what it received allows. A server adds up itself, until a datagram
//! has an ID that it chose: who sent that has received something at the address.

use std::net::SocketAddr;

use quinn_proto::ConnectionId;

use super::super::routing;

/// So much more than was received may be sent.
const TIMES: usize = 3;

/// Bytes exchanged with the address of a client that begins.
#[derive(Debug)]
pub(super) struct Allowance {
    address: SocketAddr,
    /// The ID that the client chose for us.
    first_id: ConnectionId,
    received: usize,
    sent: usize,
}

/// What matters of a datagram that comes during a handshake.
#[derive(Debug)]
pub(super) struct Arrival {
    from: SocketAddr,
    bytes: usize,
    /// None: it is not in the datagram's header, or that is short, as only one for an ID of ours is.
    id: Option<ConnectionId>,
}

impl Arrival {
    pub(super) fn new(from: SocketAddr, datagram: &[u8]) -> Arrival {
        Arrival { from, bytes: datagram.len(), id: routing::long_id(datagram) }
    }
}

impl Allowance {
    pub(super) fn new(address: SocketAddr, first_id: ConnectionId, received: usize) -> Allowance {
        Allowance { address, first_id, received, sent: 0 }
    }

    /// A datagram has come. True: the address is known to be true.
    pub(super) fn receive(&mut self, arrival: &Arrival) -> bool {
        let is_here = arrival.from == self.address;
        self.received += if is_here { arrival.bytes } else { 0 };
        is_here && arrival.id != Some(self.first_id)
    }

    /// How many datagrams of a size may be sent.
    pub(super) fn datagrams(&self, size: usize) -> usize {
        (TIMES * self.received).saturating_sub(self.sent) / size.max(1)
    }

    pub(super) fn send(&mut self, bytes: usize) {
        self.sent += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_times_what_came_from_the_address_may_be_sent_until_one_of_our_ids_comes() {
        let address: SocketAddr = "192.0.2.1:5000".parse().unwrap();
        let elsewhere = "192.0.2.2:5000".parse().unwrap();
        let first = ConnectionId::new(&[1; 8]);
        let mut allowance = Allowance::new(address, first, 1200);
        let long = |id: u8, bytes| {
            let mut datagram = vec![0xC0, 0, 0, 0, 1, 8, id, id, id, id, id, id, id, id];
            datagram.resize(bytes, 0);
            datagram
        };
        assert_eq!(allowance.datagrams(1200), 3);
        allowance.send(82);
        assert_eq!(allowance.datagrams(1200), 2, "3,682 bytes would be too many");
        assert!(!allowance.receive(&Arrival::new(elsewhere, &long(1, 1200))), "from elsewhere");
        assert_eq!(allowance.datagrams(1200), 2);
        assert!(!allowance.receive(&Arrival::new(address, &long(1, 1200))));
        assert_eq!(allowance.datagrams(1200), 5);
        assert!(!allowance.receive(&Arrival::new(elsewhere, &long(2, 1200))), "from elsewhere");
        assert!(allowance.receive(&Arrival::new(address, &long(2, 40))));
        assert!(allowance.receive(&Arrival::new(address, &[0x40; 30])), "a short header");
    }
}
