//! A connected socket, and what of the bytes that were written to it has arrived.
//!
//! Pages of a file that were spliced into a socket stay in its queue, and are sent again when they are lost, until the peer
//! has acknowledged them: then they are in the memory of the peer's host. That is so where a device copies what it sends.
//! The loopback device and veth pairs hand on the pages themselves, which are then read when the peer's program receives,
//! however long ago they were acknowledged.

use std::mem;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Which NAPI instance of a device the last packet came through, 0 if through none.
const SO_INCOMING_NAPI_ID: libc::c_int = 56;

/// A connected socket, which is closed with the last reference to this.
#[derive(Debug)]
pub struct Delivery {
    socket: OwnedFd,
    /// Bytes written to it, counted afterwards.
    sent: Arc<AtomicU64>,
    /// Where in the stream the last byte ends that may not be sent once nobody waits for it any more.
    awaited: AtomicU64,
    cut: AtomicBool,
    leaves_host: OnceLock<bool>,
}

impl Delivery {
    /// Of a socket to which nothing was written yet, or nothing that matters.
    pub fn new(socket: OwnedFd) -> Delivery {
        Delivery {
            socket,
            sent: Arc::default(),
            awaited: AtomicU64::new(0),
            cut: AtomicBool::new(false),
            leaves_host: OnceLock::new(),
        }
    }

    /// The socket, to say that nothing more is written.
    pub(crate) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Who writes to the socket adds here what was written.
    pub(crate) fn counter(&self) -> Arc<AtomicU64> {
        self.sent.clone()
    }

    /// How far the stream has arrived, at least: the peer's host has acknowledged so many of its bytes.
    pub fn arrived(&self) -> u64 {
        // In this order: what is written in between only makes the result too small.
        let sent = self.sent.load(Ordering::Acquire);
        sent.saturating_sub(self.queued())
    }

    /// Bytes that were not acknowledged; more than there can be when the socket does not tell.
    fn queued(&self) -> u64 {
        let mut queued: libc::c_int = 0;
        // SAFETY: SIOCOUTQ, which is TIOCOUTQ, writes one int.
        match unsafe { libc::ioctl(self.as_raw_fd(), libc::TIOCOUTQ, &mut queued) } {
            0 => u64::try_from(queued).unwrap_or(u64::MAX),
            _ => u64::MAX,
        }
    }

    /// True if its packets come from a device that receives by itself (NAPI), as network cards do, and so go to one. Not so
    /// for the loopback device, and for veth pairs as they are made.
    pub fn leaves_host(&self) -> bool {
        *self.leaves_host.get_or_init(|| {
            let mut device: libc::c_uint = 0;
            let mut size = mem::size_of_val(&device) as libc::socklen_t;
            let (level, value) = (libc::SOL_SOCKET, std::ptr::from_mut(&mut device).cast());
            // SAFETY: the kernel writes at most `size` bytes to the value.
            let result =
                unsafe { libc::getsockopt(self.as_raw_fd(), level, SO_INCOMING_NAPI_ID, value, &mut size) };
            result == 0 && device != 0
        })
    }

    /// Somebody waits until the stream has arrived up to `end`; if the socket is closed before, what has not arrived is not
    /// sent any more.
    pub(crate) fn await_arrival(&self, end: u64) {
        self.awaited.fetch_max(end, Ordering::Relaxed);
    }

    /// Ends the connection at once: what was not acknowledged is not sent any more.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
        // SAFETY: an all-zero sockaddr is valid, and means AF_UNSPEC.
        let nowhere: libc::sockaddr = unsafe { mem::zeroed() };
        let size = mem::size_of_val(&nowhere) as libc::socklen_t;
        // SAFETY: the address lives during the call and has that size. TCP resets the connection and empties its queue.
        unsafe { libc::connect(self.as_raw_fd(), &nowhere, size) };
    }

    /// True once it was cut.
    pub(crate) fn was_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }
}

impl AsRawFd for Delivery {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if self.was_cut() || self.arrived() >= *self.awaited.get_mut() {
            return;
        }
        let reset = libc::linger { l_onoff: 1, l_linger: 0 };
        let (value, size) = (std::ptr::from_ref(&reset).cast(), mem::size_of_val(&reset) as libc::socklen_t);
        // SAFETY: the value lives during the call and has that size. Closing the socket now resets the connection.
        unsafe { libc::setsockopt(self.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, value, size) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};

    /// A connection, and its other end.
    fn pair() -> (Delivery, TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ours = listener.accept().unwrap().0;
        (Delivery::new(ours.try_clone().unwrap().into()), ours, theirs)
    }

    /// Fills the queue of a socket whose peer does not read, and says how many bytes that took.
    fn fill(delivery: &Delivery, mut ours: &TcpStream) -> u64 {
        ours.set_nonblocking(true).unwrap();
        let mut count = 0;
        loop {
            match ours.write(&[7; 65536]) {
                Ok(more) => count += more as u64,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    delivery.counter().fetch_add(count, Ordering::Release);
                    return count;
                }
            }
        }
    }

    #[test]
    fn what_has_arrived_is_what_was_acknowledged() {
        let (delivery, ours, mut theirs) = pair();
        assert_eq!(delivery.arrived(), 0);
        let sent = fill(&delivery, &ours);
        assert!(delivery.arrived() < sent);
        let mut all = vec![0; sent as usize];
        theirs.read_exact(&mut all).unwrap();
        while delivery.arrived() < sent {
            std::thread::yield_now(); // the last acknowledgement
        }
    }

    #[test]
    fn bytes_that_were_written_and_not_counted_yet_have_not_arrived() {
        let (delivery, mut ours, mut theirs) = pair();
        ours.write_all(&[7; 100]).unwrap();
        theirs.read_exact(&mut [0; 100]).unwrap();
        assert_eq!(delivery.arrived(), 0);
    }

    #[test]
    fn the_loopback_device_copies_nothing() {
        let (delivery, ours, mut theirs) = pair();
        theirs.write_all(&[1]).unwrap();
        (&ours).read_exact(&mut [0]).unwrap();
        assert!(!delivery.leaves_host());
    }

    #[test]
    fn a_connection_that_is_cut_or_closed_too_early_sends_nothing_more() {
        for by_closing in [false, true] {
            let (delivery, ours, mut theirs) = pair();
            let sent = fill(&delivery, &ours);
            drop(ours);
            if by_closing {
                delivery.await_arrival(sent);
                drop(delivery);
            } else {
                delivery.cut();
                assert!(delivery.was_cut());
            }
            let mut all = Vec::new();
            let result = theirs.read_to_end(&mut all);
            assert_eq!(result.unwrap_err().kind(), ErrorKind::ConnectionReset);
            assert!((all.len() as u64) < sent);
        }
    }

    #[test]
    fn a_connection_for_which_nobody_waits_is_closed_in_order() {
        let (delivery, ours, mut theirs) = pair();
        let sent = fill(&delivery, &ours);
        drop((ours, delivery));
        let mut all = Vec::new();
        assert_eq!(theirs.read_to_end(&mut all).unwrap() as u64, sent);
    }
}
