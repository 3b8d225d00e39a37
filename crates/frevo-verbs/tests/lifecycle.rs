//! How connections over the stub begin and end, what happens without memory, and that nothing is left behind. One test,
//! because it looks at everything that exists in the process.

mod common;

use std::ffi::{c_void, CStr, CString};
use std::net::SocketAddr;

use common::{address, library, wait, Connection};
use frevo_rdma::conformance::Bench;
use frevo_rdma::provider::{Access, Completion, Memory, Provider};
use frevo_verbs::{registered_bytes, Listener, Verbs};

/// A function of the stub that only tests have.
fn control(name: &CStr) -> *mut c_void {
    let stub = std::env::current_exe().unwrap().with_file_name("libfrevo_verbs_stub.so");
    let stub = CString::new(stub.to_str().unwrap()).unwrap();
    // SAFETY: the object is loaded already and has these symbols.
    let symbol = unsafe { libc::dlsym(libc::dlopen(stub.as_ptr(), libc::RTLD_NOW), name.as_ptr()) };
    assert!(!symbol.is_null(), "{name:?}");
    symbol
}

fn objects() -> usize {
    // SAFETY: this is its type.
    unsafe { std::mem::transmute::<*mut c_void, extern "C" fn() -> usize>(control(c"verbs_stub_objects"))() }
}

fn limit_memory(bytes: u64) {
    // SAFETY: this is its type.
    unsafe {
        std::mem::transmute::<*mut c_void, extern "C" fn(u64)>(control(c"verbs_stub_limit_memory"))(bytes);
    }
}

fn remove_devices() {
    // SAFETY: this is its type.
    unsafe { std::mem::transmute::<*mut c_void, extern "C" fn()>(control(c"verbs_stub_remove_devices"))() }
}

fn connecting(target: SocketAddr) -> Verbs {
    let mut end = Verbs::connect(library(), target).unwrap();
    end.post_receives(1, 1000);
    end
}

/// Polls until the connection has ended, and says why.
fn ending(end: &mut Verbs) -> String {
    for _ in 0..1000 {
        match end.poll() {
            Err(ended) => return ended.to_string(),
            Ok(Some(Completion::Received { .. } | Completion::Read { .. })) => (),
            Ok(None) => assert!(wait(&[end.descriptor().unwrap()], 10_000), "it does not end"),
        }
    }
    panic!("it does not end")
}

fn next_message(talk: &mut Connection, side: usize) -> Vec<u8> {
    loop {
        talk.ends[1 - side].as_mut().unwrap().poll().unwrap();
        if let Some(Completion::Received { message, .. }) = talk.ends[side].as_mut().unwrap().poll().unwrap()
        {
            return message.to_vec();
        }
        assert!(talk.turn(), "no message");
    }
}

#[test]
fn nothing_is_left_behind() {
    attempts_that_fail();
    connections_that_are_dropped();
    refusals_and_removals();
    memory_that_may_not_be_registered();
    assert_eq!((objects(), registered_bytes()), (0, 0));
}

fn attempts_that_fail() {
    let nobody = "127.0.0.1:9".parse().unwrap();
    let reason = ending(&mut connecting(nobody));
    assert_eq!(reason, "127.0.0.1:9 refused the RDMA connection");
    let refused = ending(&mut connecting("127.0.0.2:9".parse().unwrap()));
    assert_eq!(refused, "127.0.0.2:9 refused the RDMA connection: Connection refused (os error 111)");
    let reason = ending(&mut connecting("192.0.2.1:445".parse().unwrap()));
    assert_eq!(reason, "no RDMA device reaches 192.0.2.1:445: No such device (os error 19)");
    let listener = Listener::bind(library(), address("127.0.0.1"), 1).unwrap();
    let again = Listener::bind(library(), listener.local().unwrap(), 1).unwrap_err();
    assert_eq!(again.raw_os_error(), Some(libc::EADDRINUSE));
    let elsewhere = Listener::bind(library(), "192.0.2.1:0".parse().unwrap(), 1).unwrap_err();
    assert_eq!(elsewhere.raw_os_error(), Some(libc::ENODEV));
}

fn connections_that_are_dropped() {
    let listener = Listener::bind(library(), address("::1"), 1).unwrap();
    let target = listener.local().unwrap();
    drop(Verbs::connect(library(), target).unwrap());
    // Events go one by one: dropped after each of them.
    for polls in 0..4 {
        let mut active = connecting(target);
        (0..polls).for_each(|_| assert!(active.poll().unwrap().is_none()));
        drop(active);
        while let Some(incoming) = listener.accept().unwrap() {
            assert!(incoming.peer().unwrap().ip().is_loopback());
            if let Ok(mut passive) = Verbs::accept(incoming) {
                passive.post_receives(1, 1000);
                assert!(!ending(&mut passive).is_empty());
            }
        }
    }
    // In the middle of everything, with memory of theirs outside.
    let mut talk = Connection::new(address("127.0.0.2"));
    talk.ends[1].as_mut().unwrap().post_receives(5, 1364);
    talk.ends[0].as_mut().unwrap().send(b"hello", &mut std::iter::empty(), None);
    assert_eq!(next_message(&mut talk, 1), b"hello");
    let end = talk.ends[0].as_mut().unwrap();
    let lent = end.memory(100_000).unwrap();
    end.send(b"more", &mut std::iter::empty(), None);
    drop(talk);
    assert!(lent.as_slice().iter().all(|byte| *byte == 0));
    // Nobody will accept this one.
    let mut active = connecting(target);
    assert!(active.poll().unwrap().is_none());
    drop(listener);
    assert!(ending(&mut active).contains("refused"));
}

fn refusals_and_removals() {
    let listener = Listener::bind(library(), address("127.0.0.2"), 1).unwrap();
    let mut active = connecting(listener.local().unwrap());
    assert!(active.poll().unwrap().is_none());
    listener.accept().unwrap().unwrap().refuse();
    assert!(ending(&mut active).contains("refused the RDMA connection"));
    let mut talk = Connection::new(address("127.0.0.1"));
    talk.ends[1].as_mut().unwrap().post_receives(5, 1364);
    talk.ends[0].as_mut().unwrap().send(b"hello", &mut std::iter::empty(), None);
    assert_eq!(next_message(&mut talk, 1), b"hello");
    remove_devices();
    for end in talk.ends.iter_mut().flatten() {
        assert_eq!(ending(end), "the RDMA device was removed");
        assert!(end.memory(10).is_none() || end.register(Memory::from(vec![1]), Access::READ).is_err());
    }
}

/// The message says what to do; idle memory is given up first; the connection goes on.
fn memory_that_may_not_be_registered() {
    let may_lock = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
    // SAFETY: the structure lives as long as the call. It is lowered only.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &may_lock) }, 0);
    let mut talk = Connection::new(address("127.0.0.1"));
    talk.ends[1].as_mut().unwrap().post_receives(1, 1364);
    talk.ends[0].as_mut().unwrap().send(b"hello", &mut std::iter::empty(), None);
    assert_eq!(next_message(&mut talk, 1), b"hello");
    let used = registered_bytes() as u64;
    limit_memory(1 << 20);
    let end = talk.ends[0].as_mut().unwrap();
    let (refused, memory) = end.register(Memory::from(vec![9; 2 << 20]), Access::READ).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "2097152 bytes cannot be registered for RDMA: {used} of the 1048576 bytes that this process may lock are in use; \
             raise RLIMIT_MEMLOCK (LimitMEMLOCK= of its systemd unit, ulimit -l)"
        )
    );
    assert_eq!(memory.len(), 2 << 20);
    assert!(end.memory(2 << 20).is_none());
    // 400 KiB, in steps of 32, are idle when 700 KiB are wanted.
    let slab = end.memory(400 << 10).unwrap();
    assert_eq!(registered_bytes() as u64, used + (416 << 10));
    drop(slab);
    let remote = end.register(Memory::from(vec![9; 700 << 10]), Access::READ).unwrap();
    assert_eq!(registered_bytes() as u64, used + (700 << 10));
    assert_eq!(end.release(remote.tag).unwrap().len(), 700 << 10);
    talk.ends[1].as_mut().unwrap().send(b"still", &mut std::iter::empty(), None);
    assert_eq!(next_message(&mut talk, 0), b"still");
    // A WRITE whose memory cannot be registered ends the connection, and says so.
    let end = talk.ends[0].as_mut().unwrap();
    end.write(memory, 0, 100, &[]);
    assert!(ending(end).contains("RLIMIT_MEMLOCK"));
    limit_memory(u64::MAX);
}
