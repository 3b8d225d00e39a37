//! The process at the other end of a Unix socket, and its memory.
//!
//! Memory is read only when the process has said so itself, by the first frame of its own endpoint: that has a nonce, and
//! where the nonce is in its memory. With everything that is read the nonce is read again, from the same process by the same call: if
//! it is not there, the number of the process is somebody else's by now, and nothing was received. A process of another user is not
//! read at all, whatever the kernel allows: it might make itself a program with more rights than its user has, and name
//! addresses of that.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use frevo_rdma::stream::{Neighbour, NONCE_BYTES};

/// Who may read this process's memory, to the security module Yama (PR_SET_PTRACER).
const PR_SET_PTRACER: libc::c_int = 0x5961_6d61;
const PR_SET_PTRACER_ANY: libc::c_long = -1;

/// Another process of this machine, or this one.
#[derive(Debug)]
pub struct Process {
    pid: libc::pid_t,
    /// In a place of its own, which does not move.
    nonce: Box<[u8; NONCE_BYTES]>,
    /// Its nonce, and where that is, once it has said so.
    theirs: Option<(u64, [u8; NONCE_BYTES])>,
    _reader: Option<Reader>,
}

impl Process {
    /// The process that has connected or listens at the other end of a Unix socket. That it is not known, not of this user, or not to
    /// be read, is no error: data come over the socket then.
    pub fn at_the_end_of(socket: RawFd) -> Process {
        let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
        let mut size = size_of_val(&peer) as libc::socklen_t;
        let value = std::ptr::from_mut(&mut peer).cast();
        // SAFETY: the kernel writes at most `size` bytes to the value.
        let result =
            unsafe { libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_PEERCRED, value, &mut size) };
        // SAFETY: no pointers.
        let own = unsafe { libc::geteuid() };
        Process::with_pid(if result == 0 && peer.uid == own { peer.pid } else { 0 })
    }

    /// This process itself, for both ends in one.
    pub fn myself() -> Process {
        Process::with_pid(std::process::id() as libc::pid_t)
    }

    fn with_pid(pid: libc::pid_t) -> Process {
        let mut nonce = Box::new([0; NONCE_BYTES]);
        // Without random numbers no connection is secure, and there would have been no process.
        SystemRandom::new().fill(nonce.as_mut()).expect("the kernel has random numbers");
        let is_other = pid > 0 && pid != std::process::id() as libc::pid_t;
        Process { pid, nonce, theirs: None, _reader: is_other.then(|| Reader::new(pid)) }
    }

    /// Copies bytes of the other process, with its nonce behind them.
    fn copy(
        &self,
        address: u64,
        to: *mut u8,
        bytes: usize,
        theirs: &(u64, [u8; NONCE_BYTES]),
    ) -> io::Result<()> {
        let mut nonce = [0u8; NONCE_BYTES];
        let part = |base: *mut libc::c_void, length| libc::iovec { iov_base: base, iov_len: length };
        let local = [part(to.cast(), bytes), part(nonce.as_mut_ptr().cast(), NONCE_BYTES)];
        let remote = [part(address as *mut libc::c_void, bytes), part(theirs.0 as *mut _, NONCE_BYTES)];
        // SAFETY: the caller has room for `bytes`, and `nonce` is as long as said; the other addresses are of another process,
        // and checked by the kernel.
        let count = unsafe { libc::process_vm_readv(self.pid, local.as_ptr(), 2, remote.as_ptr(), 2, 0) };
        match usize::try_from(count) {
            Err(_) => Err(io::Error::last_os_error()),
            Ok(count) if count == bytes + NONCE_BYTES && nonce == theirs.1 => Ok(()),
            Ok(_) => Err(io::Error::from_raw_os_error(libc::EFAULT)),
        }
    }
}

/// The processes that may read this one, as they are named to Yama, and how many connections each has. Elsewhere nothing has to be
/// allowed.
static READERS: Mutex<BTreeMap<libc::pid_t, usize>> = Mutex::new(BTreeMap::new());

/// A process may read this one while this exists.
#[derive(Debug)]
struct Reader(libc::pid_t);

impl Reader {
    fn new(pid: libc::pid_t) -> Reader {
        let mut readers = READERS.lock().unwrap_or_else(PoisonError::into_inner);
        *readers.entry(pid).or_default() += 1;
        allow(&readers);
        Reader(pid)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut readers = READERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = readers.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                readers.remove(&self.0);
                allow(&readers);
            }
        }
    }
}

/// Yama knows one process, or all of this user.
fn allow(readers: &BTreeMap<libc::pid_t, usize>) {
    let who = match readers.len() {
        0 => 0,
        1 => readers.keys().next().map_or(0, |pid| libc::c_long::from(*pid)),
        _ => PR_SET_PTRACER_ANY,
    };
    // SAFETY: no pointers.
    unsafe { libc::prctl(PR_SET_PTRACER, who) };
}

impl Neighbour for Process {
    fn hello(&self) -> (u64, [u8; NONCE_BYTES]) {
        (self.nonce.as_ptr() as u64, *self.nonce)
    }

    fn meet(&mut self, address: u64, nonce: [u8; NONCE_BYTES]) -> bool {
        let theirs = (address, nonce);
        let known = self.pid > 0 && self.copy(address, std::ptr::null_mut(), 0, &theirs).is_ok();
        self.theirs = known.then_some(theirs);
        known
    }

    /// # Safety
    /// As the trait says: there is room for `bytes` at `to`.
    unsafe fn fetch(&self, address: u64, to: NonNull<u8>, bytes: usize) -> Result<(), String> {
        let Some(theirs) = &self.theirs else {
            return Err("the peer's memory cannot be read".to_owned());
        };
        self.copy(address, to.as_ptr(), bytes, theirs)
            .map_err(|error| format!("the peer's memory cannot be read any more: {error}"))
    }
}
