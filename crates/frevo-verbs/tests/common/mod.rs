//! The stub's libraries, or the system's, and connections over them.

use std::env::{current_exe, var_os};
use std::ffi::CString;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;

use frevo_rdma::conformance::Bench;
use frevo_rdma::provider::Provider;
use frevo_verbs::{Library, Listener, Verbs};

/// Names an address of a real device; without it, the stub is used.
const REAL: &str = "FREVO_RDMA_ADDRESS";

fn open() -> Library {
    if var_os(REAL).is_some() {
        return Library::open(c"libibverbs.so.1", c"librdmacm.so.1").unwrap();
    }
    let stub = current_exe().unwrap().with_file_name("libfrevo_verbs_stub.so");
    let stub = CString::new(stub.as_os_str().as_bytes()).unwrap();
    Library::open(&stub, &stub).unwrap()
}

pub fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| open().prepared())
}

/// Where the device is; the stub has several.
pub fn address(stub: &str) -> SocketAddr {
    let ip = var_os(REAL).map_or(stub.to_owned(), |real| real.into_string().unwrap());
    SocketAddr::new(ip.parse().unwrap(), 0)
}

/// Waits until one of the descriptors is readable, or some time.
pub fn wait(descriptors: &[i32], ms: i32) -> bool {
    let mut polled: Vec<libc::pollfd> =
        descriptors.iter().map(|fd| libc::pollfd { fd: *fd, events: libc::POLLIN, revents: 0 }).collect();
    // SAFETY: the list lives as long as the call.
    unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, ms) > 0 }
}

/// A connection of this process with itself.
#[derive(Debug)]
pub struct Connection {
    pub ends: [Option<Verbs>; 2],
}

impl Connection {
    pub fn new(address: SocketAddr) -> Connection {
        let listener = Listener::bind(library(), address, 10).unwrap();
        let mut active = Verbs::connect(library(), listener.local().unwrap()).unwrap();
        // The request leaves when a receive is posted.
        active.post_receives(1, 1364);
        let incoming = loop {
            assert!(active.poll().unwrap().is_none());
            if let Some(incoming) = listener.accept().unwrap() {
                break incoming;
            }
            assert!(wait(&[listener.descriptor(), active.descriptor().unwrap()], 10_000), "nobody connects");
        };
        Connection { ends: [Some(active), Some(Verbs::accept(incoming).unwrap())] }
    }
}

impl Bench for Connection {
    fn end(&mut self, side: usize) -> Option<&mut dyn Provider> {
        self.ends[side].as_mut().map(|end| end as &mut dyn Provider)
    }

    fn is_lenient(&self) -> bool {
        // Linux 6.12's siw.
        var_os("FREVO_RDMA_LENIENT").is_some()
    }

    fn lets_invalidate(&self) -> bool {
        // siw, and the stub's iWARP card.
        self.is_lenient()
            || self.ends.iter().flatten().any(|end| {
                end.addresses().0.is_some_and(|at| at.ip() == std::net::Ipv4Addr::new(127, 0, 0, 2))
            })
    }

    fn drop_end(&mut self, side: usize) {
        self.ends[side] = None;
    }

    fn turn(&mut self) -> bool {
        let descriptors: Vec<i32> = self.ends.iter().flatten().filter_map(|end| end.descriptor()).collect();
        wait(&descriptors, 10)
    }
}
