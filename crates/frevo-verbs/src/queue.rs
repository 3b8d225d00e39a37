//! A queue pair, its completion queue, and the descriptor that wakes whoever waits for either or for the connection's events.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::domain::Domain;
use crate::manager::{checked, set_nonblocking};
use crate::sys::{self, CompChannel, Cq, Qp, QpCap, QpInitAttr, RecvWr, SendWr, Sge, WorkCompletion};

/// Completions that are taken at a time.
pub(crate) const BATCH: usize = 32;

/// Several descriptors behind one.
#[derive(Debug)]
pub(crate) struct Waiter(OwnedFd);

/// What is ready.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ready {
    pub(crate) events: bool,
    pub(crate) completions: bool,
}

impl Waiter {
    const EVENTS: u64 = 1;
    const COMPLETIONS: u64 = 2;

    /// Waits for the events of a connection.
    pub(crate) fn new(events: RawFd) -> io::Result<Waiter> {
        // SAFETY: it has no pointers; a fresh descriptor is nobody else's.
        let waiter = unsafe {
            let fd = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            Waiter(OwnedFd::from_raw_fd(fd))
        };
        waiter.add(events, Waiter::EVENTS)?;
        Ok(waiter)
    }

    fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: the event lives as long as the call.
        checked(unsafe { libc::epoll_ctl(self.descriptor(), libc::EPOLL_CTL_ADD, fd, &mut event) })
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// What can be taken now.
    pub(crate) fn ready(&self) -> Ready {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 2];
        // SAFETY: there is room for two events.
        let count = unsafe { libc::epoll_wait(self.descriptor(), events.as_mut_ptr(), 2, 0) };
        let mut ready = Ready::default();
        for event in &events[..usize::try_from(count).unwrap_or(0)] {
            match event.u64 {
                Waiter::EVENTS => ready.events = true,
                _ => ready.completions = true,
            }
        }
        ready
    }
}

/// One request of the send queue.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request {
    /// A message, and a key of the peer that it ends.
    Send { invalidate: Option<u32> },
    /// An RDMA WRITE to (key, address).
    Write(u32, u64),
    /// An RDMA READ from (key, address).
    Read(u32, u64),
}

/// Queue pair and completion queue. Dropped, the device is done with all memory that was posted.
#[derive(Debug)]
pub(crate) struct Queue {
    domain: Arc<Domain>,
    channel: NonNull<CompChannel>,
    completions: NonNull<Cq>,
    pair: Option<NonNull<Qp>>,
    poll: unsafe extern "C" fn(*mut Cq, c_int, *mut WorkCompletion) -> c_int,
    notify: unsafe extern "C" fn(*mut Cq, c_int) -> c_int,
    post_send: unsafe extern "C" fn(*mut Qp, *mut SendWr, *mut *mut SendWr) -> c_int,
    post_receive: unsafe extern "C" fn(*mut Qp, *mut RecvWr, *mut *mut RecvWr) -> c_int,
    /// Requests that the send queue takes.
    pub(crate) room: usize,
    /// Receives that can be posted.
    pub(crate) receives: usize,
}

// SAFETY: libibverbs may be called from any thread.
unsafe impl Send for Queue {}

/// What a driver that is not whole looks like.
fn missing() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "the driver of the RDMA device lacks a function")
}

impl Queue {
    /// A queue pair for so many requests and receives, or as many as the device lets.
    pub(crate) fn new(domain: &Arc<Domain>, waiter: &Waiter, sends: u32, receives: u32) -> io::Result<Queue> {
        let (context, library) = (domain.context(), domain.library());
        // SAFETY: the context is open.
        let ops = unsafe { &context.as_ref().ops };
        let sends = sends.min(domain.limits.queue).min(domain.limits.completions / 2);
        let receives = receives.min(domain.limits.queue).min(domain.limits.completions / 2);
        // SAFETY: the context is open.
        let channel = unsafe { (library.ibv_create_comp_channel)(context.as_ptr()) };
        let channel = NonNull::new(channel).ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the channel is of this context.
        let completions = unsafe {
            let entries = (sends + receives) as c_int;
            (library.ibv_create_cq)(context.as_ptr(), entries, ptr::null_mut(), channel.as_ptr(), 0)
        };
        let Some(completions) = NonNull::new(completions) else {
            let error = io::Error::last_os_error();
            // SAFETY: nothing refers to the channel.
            unsafe { (library.ibv_destroy_comp_channel)(channel.as_ptr()) };
            return Err(error);
        };
        let ops = (ops.poll_cq, ops.req_notify_cq, ops.post_send, ops.post_recv);
        let (Some(poll), Some(notify), Some(post_send), Some(post_receive)) = ops else {
            // SAFETY: nothing refers to either.
            unsafe {
                (library.ibv_destroy_cq)(completions.as_ptr());
                (library.ibv_destroy_comp_channel)(channel.as_ptr());
            }
            return Err(missing());
        };
        let mut queue = Queue {
            domain: domain.clone(),
            channel,
            completions,
            pair: None,
            poll,
            notify,
            post_send,
            post_receive,
            room: sends as usize,
            receives: receives as usize,
        };
        // From here on, dropping the queue destroys what there is.
        // SAFETY: a channel has a descriptor as long as it exists.
        let fd = unsafe { channel.as_ref() }.fd;
        set_nonblocking(fd)?;
        waiter.add(fd, Waiter::COMPLETIONS)?;
        queue.make_pair(sends, receives)?;
        queue.request_event()?;
        Ok(queue)
    }

    fn make_pair(&mut self, sends: u32, receives: u32) -> io::Result<()> {
        let mut attributes = QpInitAttr {
            qp_context: ptr::null_mut(),
            send_cq: self.completions.as_ptr(),
            recv_cq: self.completions.as_ptr(),
            srq: ptr::null_mut(),
            cap: QpCap {
                max_send_wr: sends,
                max_recv_wr: receives,
                max_send_sge: 1,
                max_recv_sge: 1,
                max_inline_data: 0,
            },
            qp_type: sys::QPT_RC,
            sq_sig_all: 1,
        };
        let identifier = self.domain.identifier();
        self.pair = Some(identifier.create_pair(self.domain.as_ptr(), &mut attributes)?);
        Ok(())
    }

    fn pair(&self) -> *mut Qp {
        self.pair.expect("made with the queue").as_ptr()
    }

    /// Posts a receive.
    ///
    /// # Safety
    /// The memory is registered under its key, and the device's alone until the completion with `id` came or the queue is dropped.
    pub(crate) unsafe fn post_receive(&self, id: u64, mut place: Sge) -> io::Result<()> {
        let mut request = RecvWr { wr_id: id, next: ptr::null_mut(), sg_list: &mut place, num_sge: 1 };
        let mut bad = ptr::null_mut();
        // SAFETY: the queue pair exists, and copies the request.
        checked(unsafe { (self.post_receive)(self.pair(), &mut request, &mut bad) })
    }

    /// Posts a request.
    ///
    /// # Safety
    /// The memory is registered under its key, and nobody changes it (or, for READs, touches it) until the completion with `id`
    /// came or the queue is dropped.
    pub(crate) unsafe fn post_send(&self, id: u64, request: Request, mut place: Sge) -> io::Result<()> {
        let (opcode, invalidate, remote) = match request {
            Request::Send { invalidate: None } => (sys::wr::SEND, 0, (0, 0)),
            // siw's library looks for the key where that of RDMA WRITEs is.
            Request::Send { invalidate: Some(key) } => (sys::wr::SEND_WITH_INV, key, (key, 0)),
            Request::Write(key, address) => (sys::wr::RDMA_WRITE, 0, (key, address)),
            Request::Read(key, address) => (sys::wr::RDMA_READ, 0, (key, address)),
        };
        let mut request = SendWr {
            wr_id: id,
            next: ptr::null_mut(),
            sg_list: &mut place,
            num_sge: 1,
            opcode,
            send_flags: sys::SEND_SIGNALED,
            invalidate_rkey: invalidate,
            remote_addr: remote.1,
            rkey: remote.0,
            rest: [0; 9],
        };
        let mut bad = ptr::null_mut();
        // SAFETY: the queue pair exists, and copies the request.
        checked(unsafe { (self.post_send)(self.pair(), &mut request, &mut bad) })
    }

    /// Takes completions; how many there were.
    pub(crate) fn poll(&self, batch: &mut [WorkCompletion; BATCH]) -> io::Result<usize> {
        // SAFETY: the queue exists, the batch has room for so many.
        let count = unsafe { (self.poll)(self.completions.as_ptr(), BATCH as c_int, batch.as_mut_ptr()) };
        usize::try_from(count).map_err(|_| io::Error::other("the completion queue of the RDMA device broke"))
    }

    /// Takes the event that woke the waiter, and asks for another one: poll once more after that.
    pub(crate) fn rearm(&self) -> io::Result<()> {
        let (mut queue, mut context) = (ptr::null_mut(), ptr::null_mut());
        let library = self.domain.library();
        // SAFETY: the channel exists, and both places are written to. There is one queue only in this channel.
        if unsafe { (library.ibv_get_cq_event)(self.channel.as_ptr(), &mut queue, &mut context) } == 0 {
            // SAFETY: the event was got from this queue.
            unsafe { (library.ibv_ack_cq_events)(queue, 1) };
        }
        self.request_event()
    }

    fn request_event(&self) -> io::Result<()> {
        // SAFETY: the queue exists.
        checked(unsafe { (self.notify)(self.completions.as_ptr(), 0) })
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let library = self.domain.library();
        if self.pair.is_some() {
            self.domain.identifier().destroy_pair();
        }
        // SAFETY: the queue pair is gone, all events were acknowledged, and neither is used afterwards.
        unsafe {
            (library.ibv_destroy_cq)(self.completions.as_ptr());
            (library.ibv_destroy_comp_channel)(self.channel.as_ptr());
        }
    }
}
