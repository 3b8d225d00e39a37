//! The client's pumps against the server's fast path, and against its control plane.

use super::*;

/// Sizes that are not aligned to anything, less than the threshold, and more than a segment of iWARP.
const SIZES: [(u32, usize); 4] =
    [(4096, 40_000), (5001, 20_003), (1 << 20, (3 << 20) + 17), (8 << 20, 8 << 20)];

#[test]
fn reads_go_to_where_they_are_wanted() {
    for (provider, session) in BOTH.into_iter().flat_map(|one| SESSIONS.map(|session| (one, session))) {
        for (io_size, length) in SIZES {
            let data = content(length);
            let mut both = Both::new(provider, session, ALL_WAYS, Some(&data));
            let mut buffer = vec![0; length];
            let settings = both.settings(Kind::Read, io_size, length as u64, place(&mut buffer));
            both.client.add_pump(settings, &mut both.client_host);
            both.run();
            assert_eq!(both.end(), End::Done, "{provider:?} {session:?} {io_size}");
            assert!(buffer == data, "{provider:?} {session:?} {io_size}");
            let operations = length.div_ceil(io_size as usize) as u64;
            let rest = (length % io_size as usize) as u64;
            let inline = if rest < 4096 { rest } else { 0 };
            assert_eq!(both.counts(), (operations, length as u64 - inline, 0));
            assert_eq!(both.registered(), (0, 0));
            if provider == Provider::Emulated {
                assert!(
                    both.carried.1 < length / 3 + 8192,
                    "addresses go over the socket: {:?}",
                    both.carried
                );
            }
        }
    }
}

#[test]
fn writes_are_fetched_from_where_they_are() {
    for (provider, session) in BOTH.into_iter().flat_map(|one| SESSIONS.map(|session| (one, session))) {
        for (io_size, length) in SIZES {
            let mut data = content(length);
            let mut both = Both::new(provider, session, ALL_WAYS, Some(b"before"));
            let settings = both.settings(Kind::Write, io_size, length as u64, place(&mut data));
            both.client.add_pump(settings, &mut both.client_host);
            both.run();
            assert_eq!(both.end(), End::Done, "{provider:?} {session:?} {io_size}");
            assert!(both.file() == data, "{provider:?} {session:?} {io_size}");
            let rest = (length % io_size as usize) as u64;
            let inline = if rest < 4096 { rest } else { 0 };
            assert_eq!((both.counts().1, both.counts().2), (0, length as u64 - inline));
            assert_eq!(both.registered(), (0, 0));
            assert!(both.gate.hold(Levels::ALL).is_drained());
        }
    }
}

#[test]
fn the_control_plane_sees_no_rdma() {
    for (provider, session) in BOTH.into_iter().flat_map(|one| SESSIONS.map(|session| (one, session))) {
        let (mut data, mut stored, mut buffer) = (content(100_000), Vec::new(), vec![0; 120_000]);
        let mut both = Both::new(provider, session, ALL_WAYS, None);
        let settings = both.settings(Kind::Write, 33_333, 100_000, place(&mut data));
        both.client.add_pump(settings, &mut both.client_host);
        while both.control(&mut stored) > 0 || both.turn().unwrap() {}
        assert_eq!(both.end(), End::Done);
        assert!(stored == data);
        // Beyond the end of the file, too: that READ is answered with an error.
        let settings = both.settings(Kind::Read, 33_333, 120_000, place(&mut buffer));
        both.client.add_pump(settings, &mut both.client_host);
        while both.control(&mut stored) > 0 || both.turn().unwrap() {}
        assert_eq!(both.end(), End::Eof(100_000), "{provider:?} {session:?}");
        assert!(buffer[..100_000] == data);
        assert_eq!(both.registered(), (0, 0));
        let (fast, sent, received) = both.counts();
        assert_eq!((fast, sent >= 99_999, received >= 99_999), (0, true, true));
    }
}

#[test]
fn a_file_is_read_and_written_like_memory() {
    for session in SESSIONS {
        let data = content(1 << 20);
        let mut both = Both::new(Provider::Iwarp, session, ALL_WAYS, Some(&data));
        let target = Arc::new(crate::fast::OpenFile::new(crate::fast::temporary_file(b"")));
        let settings = both.settings(Kind::Read, 300_000, 1 << 20, Place::File(target.clone(), 0));
        both.client.add_pump(settings, &mut both.client_host);
        both.run();
        assert_eq!(both.end(), End::Done);
        let settings = both.settings(Kind::Write, 300_000, 1 << 20, Place::File(target, 0));
        let settings = pump::Settings { offset: 5, ..settings };
        both.client.add_pump(settings, &mut both.client_host);
        both.run();
        assert_eq!(both.end(), End::Done);
        assert!(both.file()[5..] == data[..]);
    }
}

#[test]
fn what_rdma_would_not_protect_goes_with_its_message() {
    for (session, ways) in [
        (Session::Signed, may::CHANNEL | may::ENCRYPTION),
        (Session::Encrypted, may::CHANNEL | may::SIGNING),
        (Session::Plain, 0),
    ] {
        let data = content(100_000);
        let mut both = Both::new(Provider::Emulated, session, ways, Some(&data));
        let mut buffer = vec![0; 100_000];
        let settings = both.settings(Kind::Read, 50_000, 100_000, place(&mut buffer));
        both.client.add_pump(settings, &mut both.client_host);
        both.run();
        assert_eq!((both.end(), both.counts()), (End::Done, (2, 0, 0)));
        assert!(buffer == data);
    }
}

#[test]
fn a_request_that_is_too_large_for_a_message_becomes_smaller() {
    let (mut data, size) = (content(5 << 20), 4 << 20);
    let mut both = Both::new(Provider::Iwarp, Session::Plain, 0, Some(b""));
    let settings = both.settings(Kind::Write, size, 5 << 20, place(&mut data));
    both.client.add_pump(settings, &mut both.client_host);
    both.run();
    assert_eq!(both.end(), End::Done);
    let mut buffer = vec![0; 5 << 20];
    let settings = both.settings(Kind::Read, size, 5 << 20, place(&mut buffer));
    both.client.add_pump(settings, &mut both.client_host);
    both.run();
    assert_eq!(both.end(), End::Done);
    assert!(buffer == data);
}

/// A server says how much RDMA moves at most for one request; with hardly anything it is not asked to.
#[test]
fn what_rdma_moves_at_most() {
    for (most, requests, by_rdma) in [(30_000, 4, 100_000), (4096, 26, 98_304), (4095, 2, 0)] {
        let data = content(100_000);
        let settings = |provider| direct::Settings {
            read_write_bytes: most,
            fragmented_bytes: 1 << 20,
            ..direct::Settings::new(provider)
        };
        let mut both = Both::with(settings(Provider::Iwarp), Session::Plain, ALL_WAYS, Some(&data));
        let mut buffer = vec![0; 100_000];
        let settings = both.settings(Kind::Read, 50_000, 100_000, place(&mut buffer));
        both.client.add_pump(settings, &mut both.client_host);
        both.run();
        assert_eq!((both.end(), both.counts()), (End::Done, (requests, by_rdma, 0)), "{most}");
        assert!(buffer == data);
    }
}

/// A worker reads: the data go where they are wanted when it is done.
#[test]
fn a_read_that_has_to_wait() {
    let data = content(200_000);
    let mut both = Both::new(Provider::Emulated, Session::Signed, ALL_WAYS, Some(&data));
    both.opens.find(12).unwrap().file.forget_that_it_tells();
    both.server_host.can_defer = true;
    let mut buffer = vec![0; 200_000];
    let settings = both.settings(Kind::Read, 100_000, 200_000, place(&mut buffer));
    both.client.add_pump(settings, &mut both.client_host);
    both.run();
    let jobs = std::mem::take(&mut both.server_host.jobs);
    assert_eq!((jobs.len(), both.registered()), (2, (2, 0)));
    assert!(!both.gate.hold(Levels::ALL).is_drained());
    for mut job in jobs {
        job.run();
        both.server.finish_job(job, &mut both.server_host).unwrap();
    }
    both.run();
    assert_eq!(both.end(), End::Done);
    assert!(buffer == data);
}

/// While data are on their way, nobody who holds the file waits for them.
#[test]
fn a_write_enters_no_gate_before_its_data_are_there() {
    let mut data = content(500_000);
    let mut both = Both::new(Provider::Iwarp, Session::Plain, ALL_WAYS, Some(b""));
    let settings = both.settings(Kind::Write, 500_000, 500_000, place(&mut data));
    both.client.add_pump(settings, &mut both.client_host);
    both.client.load(&mut both.client_host).unwrap();
    let mut request = both.client.output().take_all(&mut both.client_host.pool);
    both.server.feed(&mut request, &mut both.server_host).unwrap();
    assert!(both.server().is_fetching());
    assert!(both.server().due_bytes() >= 500_000, "what is fetched counts for the budget");
    let held = both.gate.hold(Levels::ALL);
    assert!(held.is_drained());
    // Meanwhile somebody holds the file: then it is for the control plane, with its data.
    both.run();
    let mut stored = Vec::new();
    assert_eq!(both.control(&mut stored), 1);
    assert!(stored == data && both.file().is_empty());
    assert!(!both.server().is_fetching());
    both.run();
    assert_eq!(both.end(), End::Done);
}

impl Both {
    pub(super) fn server(&self) -> &Server {
        match &self.server.side {
            Side::Server(server) => server,
            Side::Client(_) => unreachable!(),
        }
    }
}

/// Memory of the caller is his again at once; who uses it after all has lost the connection.
#[test]
fn an_abandoned_pump_takes_its_memory_back() {
    let data = content(100_000);
    let mut both = Both::new(Provider::Emulated, Session::Plain, ALL_WAYS, Some(&data));
    let mut buffer = vec![0; 100_000];
    let settings = both.settings(Kind::Read, 100_000, 100_000, place(&mut buffer));
    both.client.add_pump(settings, &mut both.client_host);
    assert_eq!(both.registered(), (1, 0));
    both.client.stop_pump(5, true, &mut both.client_host);
    assert_eq!((both.end(), both.registered()), (End::Abandoned, (0, 0)));
    assert!(both.try_run().is_err());
    assert!(buffer.iter().all(|byte| *byte == 0), "not a byte came late");
}

/// What still leaves keeps its memory, and says so.
#[test]
fn memory_that_still_leaves_has_a_user() {
    let mut data = content(1 << 20);
    let mut both = Both::new(Provider::Iwarp, Session::Plain, ALL_WAYS, Some(b""));
    let place = place(&mut data);
    let Place::Memory(memory) = &place else { unreachable!() };
    let users = memory.users();
    let settings = both.settings(Kind::Write, 1 << 20, 1 << 20, place);
    both.client.add_pump(settings, &mut both.client_host);
    both.client.load(&mut both.client_host).unwrap();
    let mut request = both.client.output().take_all(&mut both.client_host.pool);
    both.server.feed(&mut request, &mut both.server_host).unwrap();
    both.server.load(&mut both.server_host).unwrap();
    let mut asked = both.server.output().take_all(&mut both.server_host.pool);
    both.client.feed(&mut asked, &mut both.client_host).unwrap();
    both.client.load(&mut both.client_host).unwrap(); // now its data are on the wire
    both.client.stop_pump(5, true, &mut both.client_host);
    assert_eq!(both.end(), End::Abandoned);
    assert!(Arc::strong_count(&users) > 1);
    drop(both);
    assert_eq!(Arc::strong_count(&users), 1);
}

/// As with a card, when no more memory may be locked: the data go with their messages, until it is possible again.
#[test]
fn memory_that_cannot_be_lent() {
    for session in SESSIONS {
        let mut data = content(200_000);
        let mut both = Both::new(Provider::Iwarp, session, ALL_WAYS, Some(b""));
        both.client.common.direct.as_mut().unwrap().refuses = true;
        let settings = both.settings(Kind::Write, 50_000, 200_000, place(&mut data));
        both.client.add_pump(settings, &mut both.client_host);
        both.run();
        assert_eq!((both.end(), both.counts().2), (End::Done, 0), "{session:?}");
        assert!(both.file() == data);
        let mut buffer = vec![0; 200_000];
        let settings = both.settings(Kind::Read, 10_000, 200_000, place(&mut buffer));
        both.client.add_pump(settings, &mut both.client_host);
        both.run();
        assert_eq!((both.end(), both.counts().1), (End::Done, 0), "{session:?}");
        assert!(buffer == data);
        assert_eq!(both.credits.free(), both.credits.total(), "no message ID is missing");
        both.client.common.direct.as_mut().unwrap().refuses = false;
        let settings = both.settings(Kind::Read, 10_000, 200_000, place(&mut buffer));
        both.client.add_pump(settings, &mut both.client_host);
        both.run();
        assert_eq!((both.end(), both.counts().1 >= 40_000), (End::Done, true), "{session:?}");
    }
}

/// Nor is a message larger than the server takes then, though an ID for more was taken to sign the data.
#[test]
fn large_memory_that_cannot_be_lent() {
    for session in SESSIONS {
        let mut data = content(3 << 20);
        let mut both = Both::new(Provider::Iwarp, session, ALL_WAYS, Some(b""));
        both.client.common.direct.as_mut().unwrap().refuses = true;
        let settings = both.settings(Kind::Write, 2 << 20, 3 << 20, place(&mut data));
        both.client.add_pump(settings, &mut both.client_host);
        both.run();
        assert_eq!((both.end(), both.counts().2), (End::Done, 0), "{session:?}");
        assert!(both.file() == data);
    }
}

/// The client is gone when its data are asked for, or on the way: nothing is written, and nothing kept.
#[test]
fn a_client_that_dies_leaves_nothing_behind() {
    for provider in BOTH {
        let mut data = content(300_000);
        let mut both = Both::new(provider, Session::Plain, ALL_WAYS, Some(b"before"));
        let settings = both.settings(Kind::Write, 300_000, 300_000, place(&mut data));
        both.client.add_pump(settings, &mut both.client_host);
        both.client.load(&mut both.client_host).unwrap();
        let mut request = both.client.output().take_all(&mut both.client_host.pool);
        both.server.feed(&mut request, &mut both.server_host).unwrap();
        assert!(both.server().is_fetching());
        both.client.end_pumps(&mut both.client_host);
        assert_eq!((both.end(), both.registered().0), (End::Lost, 0));
        // What the server asks for now is refused.
        assert!(both.try_run().is_err());
        assert_eq!(both.file(), b"before");
        assert!(both.gate.hold(Levels::ALL).is_drained());
    }
}
