//! What goes right: messages of any size, and data by RDMA.

use super::*;

/// Sizes around those of a fragment, of what is copied, and of what is kept.
const SIZES: [usize; 9] = [64, 1340, 1341, 8168, 8169, 16_384, 16_385, 70_000, 700_001];

#[test]
fn messages_arrive_as_they_were() {
    for provider in PROVIDERS {
        for (checksums, size) in [(false, 64 * 1024), (true, 64 * 1024), (false, 1), (true, 1000)] {
            let settings = Settings { checksums, segment_bytes: 900, ..Settings::new(provider) };
            let mut pair = Pair::established(&settings);
            pair.size = size;
            // A client begins with the only credit that it has.
            for (id, bytes) in SIZES.into_iter().enumerate().filter(|(_, bytes)| size > 1 || *bytes < 70_000)
            {
                let (request, response) =
                    (message(id as u64, bytes, false), message(id as u64, bytes + 1, true));
                pair.client.submit(&request);
                pair.run();
                assert_eq!(pair.server.messages.pop().as_deref(), Some(&request[..]), "{provider:?} {bytes}");
                pair.server.submit(&response);
                pair.run();
                let arrived = pair.client.messages.pop().unwrap();
                assert_eq!((arrived.len(), arrived[64..] == response[64..]), (bytes + 1, true));
            }
            assert!(pair.client.connection.is_flushed() && pair.server.connection.is_flushed());
        }
    }
}

/// More than the peer's receives take: the rest waits for credits, and no credit is lost.
#[test]
fn messages_wait_for_credits() {
    let few = Settings { credits: 3, send_bytes: 200, receive_bytes: 200, ..Settings::new(Provider::Iwarp) };
    let mut pair = Pair::established(&few);
    for round in 0..20 {
        let request = message(round, 5000, false);
        pair.client.submit(&request);
        let at_once = pair.client.output();
        assert!(at_once.len() < 3 * 300, "{}", at_once.len());
        assert!(!pair.client.connection.is_flushed() && pair.client.connection.output_bytes() > 4000);
        pair.server.feed(&at_once, usize::MAX).unwrap();
        pair.run();
        assert_eq!(pair.server.messages.pop().as_deref(), Some(&request[..]));
        pair.server.submit(&message(round, 5000, true));
        pair.run();
        assert_eq!(pair.client.messages.pop().unwrap().len(), 5000);
    }
}

/// A READ: its data stand in the client's memory when the response is there.
#[test]
fn data_are_written_ahead_of_a_response() {
    for provider in PROVIDERS {
        for checksums in [false, true] {
            let settings = Settings { checksums, ..Settings::new(provider) };
            let mut pair = Pair::established(&settings);
            let data: Vec<u8> = (0..300_000u32).map(|index| (index % 251) as u8).collect();
            let (first, second) = (vec![0; 200_000], Vec::with_capacity(100_000));
            let first = pair.client.direct().register(first.into(), Access::WRITE).unwrap();
            let second = Memory::new(second, 100_000, drop);
            let second = pair.client.direct().register(second, Access::WRITE).unwrap();
            pair.client.submit(&message(0, 100, false));
            pair.run();
            pair.server.direct().write(data.clone().into(), 0, data.len(), &[first, second]);
            pair.server.submit(&message(0, 100, true));
            pair.run();
            assert_eq!(pair.client.messages.len(), 1);
            let first = pair.client.direct().release(first.tag).unwrap();
            let second = pair.client.direct().release(second.tag).unwrap();
            assert_eq!([first.as_slice(), second.as_slice()].concat(), data);
            assert!(pair.client.direct().release(0).is_none());
            assert!(pair.server.connection.is_flushed(), "its memory is free");
            assert_eq!(pair.server.direct().stream.moved(), (300_000, 0));
            assert_eq!(pair.client.direct().stream.moved(), (0, 300_000));
        }
    }
}

/// A WRITE: the server gets the data, and its response invalidates the token.
#[test]
fn data_are_read_and_a_token_is_invalidated() {
    for provider in PROVIDERS {
        let mut pair = Pair::established(&Settings::new(provider));
        let data: Vec<u8> = (0..200_000u32).map(|index| (index % 249) as u8).collect();
        let place = pair.client.direct().register(data.clone().into(), Access::READ).unwrap();
        pair.client.submit(&message(0, 100, false));
        pair.run();
        let parts = [(0, 70_000), (70_000, 1), (70_001, 129_999)];
        let sources = parts.map(|(offset, bytes)| Remote { offset, bytes, ..place });
        let mut sink = Memory::new(Vec::with_capacity(200_112), 200_112, drop);
        sink.fill(0, &[9; 112]);
        pair.server.direct().read(7, sink, 112, &sources);
        let mut arrived = Vec::new();
        loop {
            let (up, down) = (pair.client.output(), pair.server.output());
            if up.is_empty() && down.is_empty() {
                break;
            }
            pair.client.feed(&down, 5000).unwrap();
            let (mut up, mut at) = (up, 0);
            while let Some(one) = pair.server.direct().next(&mut up, &mut at, 0, &host(pair.now)).unwrap() {
                arrived.push(one);
            }
        }
        let [super::incoming::Arrived::Read { work: 7, memory }] = &arrived[..] else {
            panic!("{arrived:?}")
        };
        assert_eq!(
            (memory.len(), &memory.as_slice()[..112], &memory.as_slice()[112..]),
            (200_112, &[9; 112][..], &data[..])
        );
        assert_eq!(pair.client.direct().stream.registered(), 1);
        let response = message(0, 100, true);
        pair.server.submit(&response);
        let end = pair.server.connection.common.output.end();
        pair.server.direct().invalidate_with(end, place.tag);
        pair.run();
        assert_eq!((pair.client.messages.len(), pair.client.direct().stream.registered()), (1, 0));
        assert_eq!(pair.client.direct().release(place.tag).unwrap().as_slice(), data);
    }
}

fn host(now: Instant) -> Host {
    Host::new(Arc::default(), Arc::default(), Arc::default(), now)
}

/// Who is silent is asked, and answers.
#[test]
fn a_silent_peer_is_asked() {
    let settings = Settings { keepalive: Duration::from_secs(10), ..Settings::new(Provider::Iwarp) };
    let mut pair = Pair::established(&settings);
    for _ in 0..5 {
        pair.now += Duration::from_secs(11);
        (pair.client.host.now, pair.server.host.now) = (pair.now, pair.now);
        assert!(pair.server.connection.on_time(&pair.server.host).unwrap());
        assert!(pair.client.connection.on_time(&pair.client.host).unwrap());
        pair.run();
        assert!(!pair.server.connection.on_time(&pair.server.host).unwrap(), "it was heard");
    }
    pair.server.host.now += Duration::from_secs(11);
    assert!(pair.server.connection.on_time(&pair.server.host).unwrap());
    pair.server.host.now += Duration::from_secs(6);
    let error = pair.server.connection.on_time(&pair.server.host).unwrap_err();
    assert_eq!(&*error, "SMB Direct: the peer does not answer");
}
