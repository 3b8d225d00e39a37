//! What happens to QUIC connections in time: both ends are data planes, with a network in memory and virtual time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use frevo_dataplane::conn::{Role, Settings, Submission};
use frevo_dataplane::engine::stepped::Stepped;
use frevo_dataplane::engine::Config;
use frevo_dataplane::event::{ConnectionId, Event};
use frevo_dataplane::limits::Limits;
use frevo_dataplane::quic::client::ClientTls;
use frevo_dataplane::quic::server::ServerTls;

mod handshake;
#[allow(dead_code)]
#[path = "../../../fuzz/carrier/network.rs"]
mod network;

use network::Net;

/// One end, with the events that have come.
struct End {
    us: Stepped,
    net: Arc<Net>,
    events: Vec<Event>,
}

impl End {
    fn new(role: Role, now: Instant) -> End {
        let us = Stepped::new(Config::with(role, Limits::default()), now).unwrap();
        End { us, net: Net::new(false), events: vec![] }
    }

    fn statistic(&self, name: &str) -> u64 {
        self.us.plane.statistics().into_iter().find(|(it, _)| *it == name).unwrap().1
    }
}

/// Both ends, connected.
struct Pair {
    ends: [End; 2],
    now: Instant,
    /// Whether the next datagram from each end arrives.
    arrives: [bool; 2],
    connection: ConnectionId,
}

impl Pair {
    fn connected() -> Pair {
        let now = Instant::now();
        let mut ends = [End::new(Role::Client, now), End::new(Role::Server, now)];
        let addresses: [SocketAddr; 2] = [([10, 0, 0, 1], 50_000).into(), ([10, 0, 0, 2], 443).into()];
        let root = handshake::ca("root", None);
        let certificates = [handshake::server(&["files.example"], &root).with(&[])];
        let server_tls = ServerTls::new(handshake::server_parts(&certificates)).unwrap();
        let client_tls = ClientTls::new(handshake::client_parts("files.example", root.alone())).unwrap();
        let [client, server] = &mut ends;
        server.us.listen(vec![server.net.wire(addresses[1]).1], &server_tls);
        let connection = client.us.connect(client.net.wire(addresses[0]).1, addresses[1], client_tls);
        let mut pair = Pair { ends, now, arrives: [true; 2], connection };
        pair.pass(Duration::from_secs(1));
        assert!(pair.ends[0].events.iter().any(|event| matches!(event, Event::Secured { .. })));
        pair
    }

    /// Lets time pass, a millisecond on every way.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            while self.turn() {}
            let next = self.ends.iter().filter_map(|end| end.us.next(0)).min();
            self.now = next.map_or(end, |next| next.max(self.now + Duration::from_millis(1))).min(end);
        }
    }

    /// True: something was sent.
    fn turn(&mut self) -> bool {
        let mut any = false;
        for from in [0, 1] {
            let end = &mut self.ends[from];
            end.us.turn(0, self.now, true, true);
            end.events.extend(end.us.plane.poll(1000));
            let busy = end.us.is_busy(0);
            let sent = end.net.take_sent();
            any |= busy || !sent.is_empty();
            for datagram in sent {
                if self.arrives[from] {
                    self.ends[1 - from].net.deliver(0, datagram);
                }
            }
        }
        any
    }

    /// The client sends a message of a size.
    fn send(&mut self, size: usize) {
        let mut message = b"\xfeSMB\x40\0".to_vec();
        message.resize(size.max(64), 0);
        self.ends[0].us.plane.submit(vec![(self.connection, Submission::new(0, 0, &[&message]))]);
    }

    /// How many seconds an end takes to notice that nothing arrives any more.
    fn noticed_s(&mut self, who: usize) -> u64 {
        self.arrives = [false; 2];
        let closed = |event: &Event| matches!(event, Event::Closed { .. });
        (0..)
            .find(|_| {
                self.pass(Duration::from_secs(1));
                self.ends[who].events.iter().any(closed)
            })
            .unwrap()
            + 1
    }
}

#[test]
fn a_client_notices_a_vanished_server_as_soon_as_over_tcp() {
    let mut idle = Pair::connected();
    assert!((38..=41).contains(&idle.noticed_s(0)), "keep-alive after 10 seconds, then 30");
    let mut waiting = Pair::connected();
    waiting.send(1000);
    assert!((29..=32).contains(&waiting.noticed_s(0)), "30 seconds from the request");
}

#[test]
fn silence_ends_no_connection() {
    let mut pair = Pair::connected();
    pair.send(100); // a server knows of a stream when something comes on it
    pair.pass(Duration::from_secs(1));
    let accepted = pair.ends[1].events.iter().find_map(|event| match event {
        Event::Accepted { connection, .. } => Some(*connection),
        _ => None,
    });
    let logged_on = Settings { authenticated: true, multi_credit: true, user: 1, ..Settings::default() };
    pair.ends[1].us.plane.set_connection(accepted.unwrap(), logged_on);
    pair.pass(Duration::from_secs(600));
    assert_eq!(pair.ends.each_ref().map(|end| end.statistic("connections")), [1, 1]);
}

#[test]
fn lost_datagrams_of_live_connections_are_in_the_statistics() {
    let mut pair = Pair::connected();
    pair.arrives[0] = false;
    pair.send(5000);
    pair.turn();
    pair.arrives[0] = true;
    pair.pass(Duration::from_secs(5));
    assert!(pair.ends[1].events.iter().any(|event| matches!(event, Event::Message { .. })));
    assert!((1..20).contains(&pair.ends[0].statistic("quic_datagrams_lost")));
    assert_eq!(pair.ends[0].statistic("connections"), 1);
}
