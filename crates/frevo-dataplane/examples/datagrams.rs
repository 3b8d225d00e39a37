//! How a ring's thread best receives and sends QUIC's datagrams: one thread sends, one answers, over the loopback interface.
//!
//!     cargo run --release -p frevo-dataplane --example datagrams
//!
//! `ready`: poll, then recvmmsg and sendmsg, as the engine does. `multishot`: RECVMSG into provided buffers, and sendmsg. `ring`:
//! SENDMSG through the ring as well. `echo` is 100 bytes each way, one at a time; `bulk` is bursts of six times 44 datagrams of
//! 1472 bytes (GSO, GRO), each answered with 100 bytes, two under way. docs/decisions/0015-carrier.md has results.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use io_uring::types::{BufRingEntry, Fd, RecvMsgOut};
use io_uring::{cqueue, opcode, IoUring};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState, BATCH_SIZE};

const SMALL: usize = 100;
const SEGMENT: usize = 1472;
const CALL: usize = 44 * SEGMENT;
const CALLS: usize = 6;
const UNDER_WAY: usize = 2;
const SECONDS: Duration = Duration::from_secs(2);

/// Provided buffers: a header, room for address and control data, and what GRO puts together.
const BUFFERS: u16 = 64;
const BUFFER_BYTES: usize = 68 * 1024;
const RING_BYTES: usize = 4096;
const NAME_BYTES: u32 = 28;
const CONTROL_BYTES: usize = 128;

const POLL: u64 = 1;
const RECEIVE: u64 = 2;
const SEND: u64 = 3;

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Ready,
    Multishot,
    Ring,
}

/// One thread's socket and ring.
struct End {
    way: Way,
    socket: UdpSocket,
    udp: UdpSocketState,
    peer: SocketAddr,
    uring: IoUring,
    /// Ready: where datagrams come. Multishot: entries of the buffer ring, then the buffers.
    memory: Vec<u8>,
    start: usize,
    tail: u16,
    template: Box<libc::msghdr>,
    out: Vec<u8>,
    /// Ring: what has to stay in place until a send is done; all are alike but for their length.
    messages: Vec<Message>,
    free: Vec<usize>,
    armed: bool,
}

struct Message {
    header: libc::msghdr,
    slice: libc::iovec,
    address: libc::sockaddr_in,
    control: [u64; 4],
}

impl End {
    fn new(way: Way, (socket, udp): (UdpSocket, UdpSocketState), peer: SocketAddr) -> End {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(256)
            .expect("io_uring is available");
        let memory = vec![0u8; 2 * RING_BYTES + usize::from(BUFFERS) * BUFFER_BYTES];
        // SAFETY: msghdr is plain data, and all zeros is one without anything.
        let mut template: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        (template.msg_namelen, template.msg_controllen) = (NAME_BYTES, CONTROL_BYTES);
        let start = memory.as_ptr() as usize;
        let start = start.next_multiple_of(RING_BYTES) - start;
        let out = vec![7; CALL];
        let (messages, free) = ((0..16).map(|_| Message::new(peer)).collect(), (0..16).collect());
        let armed = false;
        let mut end = End {
            way,
            socket,
            udp,
            peer,
            uring,
            memory,
            start,
            tail: 0,
            template,
            out,
            messages,
            free,
            armed,
        };
        if way != Way::Ready {
            let ring = end.ring() as u64;
            // SAFETY: the memory is there as long as the ring.
            unsafe { end.uring.submitter().register_buf_ring_with_flags(ring, BUFFERS, 0, 0) }
                .expect("a ring of buffers");
            (0..BUFFERS).for_each(|buffer| end.give_back(buffer));
            end.publish();
        }
        end
    }

    fn ring(&mut self) -> *mut BufRingEntry {
        self.memory[self.start..].as_mut_ptr().cast()
    }

    fn offset(&self, buffer: u16) -> usize {
        self.start + RING_BYTES + usize::from(buffer) * BUFFER_BYTES
    }

    fn give_back(&mut self, buffer: u16) {
        let address = self.memory[self.offset(buffer)..].as_ptr() as u64;
        let slot = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: one of the entries at the start of the memory, behind the tail.
        let entry = unsafe { &mut *self.ring().add(slot) };
        entry.set_addr(address);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&mut self) {
        // SAFETY: the tail is in the first entry and shared with the kernel only.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    fn push(&mut self, entry: io_uring::squeue::Entry) {
        // SAFETY: what the operations point to stays in place: the template, the messages, the memory.
        while unsafe { self.uring.submission().push(&entry) }.is_err() {
            self.uring.submit().expect("the ring takes operations");
        }
    }

    /// Waits for datagrams and says how many bytes came.
    fn receive(&mut self) -> usize {
        let fd = Fd(self.socket.as_raw_fd());
        loop {
            if !self.armed {
                let entry = if self.way == Way::Ready {
                    opcode::PollAdd::new(fd, libc::POLLIN as u32).build().user_data(POLL)
                } else {
                    opcode::RecvMsgMulti::new(fd, &*self.template, 0).build().user_data(RECEIVE)
                };
                self.push(entry);
                self.armed = true;
            }
            self.uring.submit_and_wait(1).expect("the ring waits");
            let done: Vec<(u64, i32, u32)> =
                self.uring.completion().map(|one| (one.user_data(), one.result(), one.flags())).collect();
            let mut bytes = 0;
            for (what, result, flags) in done {
                match what {
                    POLL => {
                        self.armed = false;
                        bytes += self.receive_ready();
                    }
                    RECEIVE => {
                        self.armed &= cqueue::more(flags);
                        if let Some(buffer) = cqueue::buffer_select(flags) {
                            let at = self.offset(buffer);
                            let filled = &self.memory[at..at + result as usize];
                            let found = RecvMsgOut::parse(filled, &self.template).expect("a datagram");
                            bytes += found.payload_data().len();
                            self.give_back(buffer);
                        }
                    }
                    sent => self.free.push((sent - SEND) as usize),
                }
            }
            if self.way != Way::Ready {
                self.publish();
            }
            if bytes > 0 {
                return bytes;
            }
        }
    }

    fn receive_ready(&mut self) -> usize {
        let mut bytes = 0;
        loop {
            let mut metas = [RecvMeta::default(); BATCH_SIZE];
            let mut rooms = self.memory.chunks_mut(64 * 1024);
            let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
                std::array::from_fn(|_| IoSliceMut::new(rooms.next().unwrap_or_default()));
            match self.udp.recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas) {
                Ok(count) => {
                    bytes += metas[..count].iter().map(|meta| meta.len).sum::<usize>();
                    if count < BATCH_SIZE {
                        return bytes;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return bytes,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn send(&mut self, size: usize) {
        if self.way == Way::Ring {
            while self.free.is_empty() {
                self.uring.submit_and_wait(1).expect("the ring waits");
                let sent: Vec<u64> = self.uring.completion().map(|one| one.user_data()).collect();
                self.free.extend(sent.into_iter().map(|sent| (sent - SEND) as usize));
            }
            let slot = self.free.pop().expect("there is one");
            let header = self.messages[slot].fill(&self.out[..size]);
            let fd = Fd(self.socket.as_raw_fd());
            self.push(opcode::SendMsg::new(fd, header).build().user_data(SEND + slot as u64));
            return;
        }
        let transmit = Transmit {
            destination: self.peer,
            ecn: None,
            contents: &self.out[..size],
            segment_size: (size > SEGMENT).then_some(SEGMENT),
            src_ip: None,
        };
        while self.udp.try_send(UdpSockRef::from(&self.socket), &transmit).is_err() {
            std::thread::yield_now();
        }
    }
}

impl Message {
    fn new(peer: SocketAddr) -> Message {
        let SocketAddr::V4(peer) = peer else { panic!("the loopback interface has IPv4") };
        // SAFETY: plain data.
        let mut message: Message = unsafe { std::mem::zeroed() };
        message.address.sin_family = libc::AF_INET as u16;
        message.address.sin_port = peer.port().to_be();
        message.address.sin_addr.s_addr = u32::from(*peer.ip()).to_be();
        message
    }

    fn fill(&mut self, bytes: &[u8]) -> *const libc::msghdr {
        self.slice = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        self.header.msg_name = (&raw mut self.address).cast();
        self.header.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
        (self.header.msg_iov, self.header.msg_iovlen) = (&raw mut self.slice, 1);
        self.header.msg_controllen = 0;
        if bytes.len() > SEGMENT {
            self.header.msg_control = self.control.as_mut_ptr().cast();
            // SAFETY: the control data is aligned and has room for a header and a number.
            unsafe {
                self.header.msg_controllen = libc::CMSG_SPACE(2) as usize;
                let control = &mut *libc::CMSG_FIRSTHDR(&self.header);
                (control.cmsg_level, control.cmsg_type) = (libc::SOL_UDP, libc::UDP_SEGMENT);
                control.cmsg_len = libc::CMSG_LEN(2) as usize;
                libc::CMSG_DATA(control).cast::<u16>().write_unaligned(SEGMENT as u16);
            }
        }
        &self.header
    }
}

/// Processor time of this thread.
fn used() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists, and the pointer is to a timespec of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Answers until told to stop, by a datagram of one byte.
fn answer(mut end: End, bulk: bool) -> f64 {
    let (begun, mut waiting) = (used(), 0);
    loop {
        let bytes = end.receive();
        if bytes % SMALL == 1 {
            return used() - begun;
        }
        if !bulk {
            end.send(SMALL);
            continue;
        }
        waiting += bytes;
        while waiting >= CALLS * CALL {
            waiting -= CALLS * CALL;
            end.send(SMALL);
        }
    }
}

fn measure(way: Way, bulk: bool) {
    let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a port"));
    let [client, server] = [0, 1].map(|at: usize| sockets[at].local_addr().expect("an address"));
    // Before anything is sent: the first datagrams, too, have room and come put together.
    let [one, other] = sockets.map(|socket| {
        let udp = UdpSocketState::new(UdpSockRef::from(&socket)).expect("a UDP socket");
        let _ = udp.set_recv_buffer_size(UdpSockRef::from(&socket), 4 << 20);
        let _ = udp.set_send_buffer_size(UdpSockRef::from(&socket), 4 << 20);
        (socket, udp)
    });
    let answering = std::thread::spawn(move || answer(End::new(way, other, client), bulk));
    let mut end = End::new(way, one, server);
    let (begun, before, mut done) = (Instant::now(), used(), 0u64);
    let burst = |end: &mut End| {
        if bulk {
            (0..CALLS).for_each(|_| end.send(CALL));
        } else {
            end.send(SMALL);
        }
    };
    (0..if bulk { UNDER_WAY } else { 1 }).for_each(|_| burst(&mut end));
    while begun.elapsed() < SECONDS {
        for _ in 0..end.receive() / SMALL {
            done += 1;
            burst(&mut end);
        }
    }
    let (took, sender) = (begun.elapsed().as_secs_f64(), used() - before);
    while !answering.is_finished() {
        end.way = Way::Ready;
        end.send(1);
        std::thread::sleep(Duration::from_millis(1));
    }
    let receiver = answering.join().expect("it has answered");
    let name = ["ready", "multishot", "ring"][way as usize];
    if bulk {
        let gigabytes = done as f64 * (CALLS * CALL) as f64 / 1e9;
        println!(
            "bulk {name:10} {:6.2} GB/s  sender {:.3} s/GB  receiver {:.3} s/GB",
            gigabytes / took,
            sender / gigabytes,
            receiver / gigabytes
        );
    } else {
        let each = |seconds: f64| seconds / done as f64 * 1e6;
        println!(
            "echo {name:10} {:6.0} /s  {:.2} and {:.2} us",
            done as f64 / took,
            each(sender),
            each(receiver)
        );
    }
}

fn main() {
    for round in 0..3 {
        let mut ways = [Way::Ready, Way::Multishot, Way::Ring];
        if round % 2 == 1 {
            ways.reverse();
        }
        for bulk in [false, true] {
            ways.iter().for_each(|way| measure(*way, bulk));
        }
    }
}
