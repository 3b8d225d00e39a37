//! The system calls of the kernel's QUIC sockets, each through libc's function for it.

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::SocketAddr;
use std::os::fd::RawFd;

use libc::{c_int, c_void, socklen_t};

use crate::engine::socket::check;
use crate::event::Reason;
use crate::quic::kernel::interface::{
    Close, Config, Level, StreamInfo, TransportParam, ALPN, CONFIG, CONNECTION_CLOSE, CRYPTO_SECRET,
    PARAMETERS_MAX, QUIC_HANDSHAKE_INFO, QUIC_STREAM_INFO, SOL_QUIC, STREAM_DONTWAIT, STREAM_FIN,
    STREAM_OPEN, TRANSPORT_PARAM, TRANSPORT_PARAM_EXT,
};
use crate::quic::kernel::Kernel;
use crate::quic::refusal;

/// What the peer may have under way: the kernel has no other limit before log-on, and the largest is as much as TCP's.
const WINDOW: u64 = 8 * 1024 * 1024;
/// As in user space: see `quic/config.rs`.
const IDLE_OF_CLIENT_US: u32 = 30_000_000;
const IDLE_OF_SERVER_US: u32 = 60_000_000;
const KEEP_ALIVE_US: u32 = 10_000_000;
/// Clients that wait to be accepted.
const BACKLOG: c_int = 1024;
/// The one stream ([MS-SMB2] 2.1).
const STREAM: i64 = 0;
/// TLS messages that are passed over at once.
const STRAY_MESSAGES: usize = 16;
/// Bytes of control messages: one is put into each message.
const CONTROL: usize = 64;

/// Control messages lie where the kernel's headers may lie.
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// A QUIC socket, borrowed by number while its owner is there.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct QuicSocket(pub(in crate::engine) RawFd);

impl QuicSocket {
    /// Makes it ready to listen or to connect.
    pub(super) fn prepare(self, is_client: bool) -> io::Result<()> {
        let max_idle_timeout_us = if is_client { IDLE_OF_CLIENT_US } else { IDLE_OF_SERVER_US };
        let parameters = TransportParam { max_idle_timeout_us, max_streams: 1, window: WINDOW };
        self.set(TRANSPORT_PARAM, &parameters.record())?;
        let config = Config {
            stream_data_nodelay: true,
            keepalive_probe_interval_us: KEEP_ALIVE_US,
            ..Config::default()
        };
        self.set(CONFIG, &config.record())
    }

    /// Listens for clients that speak SMB; the kernel drops what others send.
    pub(super) fn listen(self) -> io::Result<()> {
        self.set(ALPN, crate::quic::ALPN)?;
        // SAFETY: no pointers.
        check(unsafe { libc::listen(self.0, BACKLOG) }).map(drop)
    }

    /// Asks new clients from now on to show first that they receive at their address.
    pub(super) fn validate_addresses(self) -> io::Result<()> {
        self.set(CONFIG, &Config { validate_peer_address: true, ..Config::default() }.record())
    }

    /// Says whom it belongs to; sends nothing yet.
    pub(super) fn connect(self, peer: SocketAddr) -> io::Result<()> {
        let result = match peer {
            SocketAddr::V4(peer) => {
                // SAFETY: an all-zero sockaddr_in is valid.
                let mut address: libc::sockaddr_in = unsafe { mem::zeroed() };
                address.sin_family = libc::AF_INET as libc::sa_family_t;
                address.sin_port = peer.port().to_be();
                address.sin_addr.s_addr = u32::from_ne_bytes(peer.ip().octets());
                self.connect_to(&address)
            }
            SocketAddr::V6(peer) => {
                // SAFETY: an all-zero sockaddr_in6 is valid.
                let mut address: libc::sockaddr_in6 = unsafe { mem::zeroed() };
                address.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                address.sin6_port = peer.port().to_be();
                address.sin6_addr.s6_addr = peer.ip().octets();
                address.sin6_scope_id = peer.scope_id();
                self.connect_to(&address)
            }
        };
        match result {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
            other => other,
        }
    }

    fn connect_to<A>(self, address: &A) -> io::Result<()> {
        let length = mem::size_of::<A>() as socklen_t;
        // SAFETY: address and length describe a buffer that lives during the call.
        check(unsafe { libc::connect(self.0, std::ptr::from_ref(address).cast(), length) }).map(drop)
    }

    fn set(self, option: c_int, value: &[u8]) -> io::Result<()> {
        let (pointer, length) = (value.as_ptr().cast::<c_void>(), value.len() as socklen_t);
        // SAFETY: pointer and length describe a buffer that lives during the call.
        check(unsafe { libc::setsockopt(self.0, SOL_QUIC, option, pointer, length) }).map(drop)
    }

    /// Asks for an option with what `value` says; how many bytes came.
    fn get(self, option: c_int, value: &mut [u8]) -> io::Result<usize> {
        let mut length = value.len() as socklen_t;
        let pointer = value.as_mut_ptr().cast::<c_void>();
        // SAFETY: pointer and length describe a buffer that lives during the call.
        check(unsafe { libc::getsockopt(self.0, SOL_QUIC, option, pointer, &mut length) })?;
        Ok((length as usize).min(value.len()))
    }

    /// Sets what the peer is told when the last descriptor closes.
    pub(super) fn set_close(self, close: &Close) {
        let _ = self.set(CONNECTION_CLOSE, &close.record());
    }

    /// Says that nothing more will be sent on the stream. What was sent is still delivered: shutdown(2) would end the
    /// connection at once.
    pub(in crate::engine) fn finish(self) {
        let _ =
            self.send_with(QUIC_STREAM_INFO, &StreamInfo { id: STREAM, flags: STREAM_FIN }.record(), &[], 0);
    }

    /// Whether the peer has everything, as far as the kernel knows.
    pub(super) fn is_delivered(self) -> bool {
        let mut unacknowledged: c_int = 0;
        // SAFETY: the kernel writes an int, which lives during the call. TIOCOUTQ is SIOCOUTQ.
        let result = unsafe { libc::ioctl(self.0, libc::TIOCOUTQ, &mut unacknowledged) };
        result < 0 || unacknowledged == 0
    }

    /// Ends the connection.
    fn end(self) {
        // SAFETY: no pointers.
        unsafe { libc::shutdown(self.0, libc::SHUT_RDWR) };
    }

    /// Receives from the stream: how many bytes, None when nothing is there.
    ///
    /// recv(2) would give whatever comes. The kernel takes TLS messages also after the handshake, and the keys of
    /// Initial packets are everybody's: what is not of the stream must not be taken for it.
    pub(in crate::engine) fn receive_data(
        self,
        buffer: &mut [MaybeUninit<u8>],
        is_client: bool,
    ) -> Result<Option<usize>, Reason> {
        for _ in 0..STRAY_MESSAGES {
            let received = match self.receive_with(buffer) {
                Ok(received) => received,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => return Ok(None),
                    io::ErrorKind::NotConnected => return Err(self.reason(is_client)),
                    _ => return Err(Reason::Owned(error.to_string())),
                },
            };
            match (received.stream, received.level) {
                (Some(StreamInfo { id: STREAM, flags }), _) => {
                    if flags & STREAM_FIN != 0 {
                        // As over TCP, nothing is sent after the client's end. Told together with the last bytes,
                        // it is not told again.
                        self.end();
                    }
                    return match received.count {
                        0 if flags & STREAM_FIN != 0 => Err(Reason::Borrowed("closed by the peer")),
                        0 => Ok(None),
                        count => Ok(Some(count)),
                    };
                }
                (Some(_), _) => return Err(Reason::Borrowed("the peer has opened a second stream")),
                (None, Some(_)) => (),
                (None, None) if received.count == 0 => return Err(self.reason(is_client)),
                (None, None) => {
                    return Err(Reason::Borrowed("the kernel does not say what stream data is of"))
                }
            }
        }
        Ok(None) // The socket is readable still.
    }

    fn reason(self, is_client: bool) -> Reason {
        let close = self.closed();
        refusal::of_close(close.code, &close.phrase, is_client).into()
    }

    fn receive_with(self, buffer: &mut [MaybeUninit<u8>]) -> io::Result<Received> {
        let mut control = Control([0; CONTROL]);
        let mut piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: an all-zero msghdr is valid.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_iov = &mut piece;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = CONTROL as _;
        // SAFETY: the message describes buffers that live during the call; bytes are only written.
        let count = unsafe { libc::recvmsg(self.0, &mut message, libc::MSG_DONTWAIT) };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        let mut received = Received { count, stream: None, level: None };
        // SAFETY: the kernel has set the length of the control messages, which lie in `control`.
        let mut header = unsafe { libc::CMSG_FIRSTHDR(&message) };
        while !header.is_null() {
            // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give whole headers inside the buffer, aligned as it is.
            let (kind, length, data) =
                unsafe { (*header, (*header).cmsg_len as usize, libc::CMSG_DATA(header)) };
            let start = (data as usize).saturating_sub(control.0.as_ptr() as usize);
            // SAFETY: CMSG_LEN only computes.
            let length = length.saturating_sub(unsafe { libc::CMSG_LEN(0) } as usize);
            let data = control.0.get(start..start + length).unwrap_or_default();
            match (kind.cmsg_level, kind.cmsg_type) {
                (SOL_QUIC, QUIC_STREAM_INFO) => received.stream = StreamInfo::parse(data),
                (SOL_QUIC, QUIC_HANDSHAKE_INFO) => received.level = data.first().copied(),
                _ => (),
            }
            // SAFETY: as above.
            header = unsafe { libc::CMSG_NXTHDR(&message, header) };
        }
        Ok(received)
    }

    fn send_with(self, kind: c_int, record: &[u8], data: &[u8], flags: c_int) -> io::Result<usize> {
        let mut control = Control([0; CONTROL]);
        let mut piece = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
        // SAFETY: an all-zero msghdr is valid.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_iov = &mut piece;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        // SAFETY: CMSG_SPACE and CMSG_LEN only compute; records have 16 bytes at most, so the buffer has room.
        let (space, length) =
            unsafe { (libc::CMSG_SPACE(record.len() as u32), libc::CMSG_LEN(record.len() as u32)) };
        debug_assert!(space as usize <= CONTROL);
        message.msg_controllen = space as _;
        // SAFETY: the buffer has room for a header and the record.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = SOL_QUIC;
            (*header).cmsg_type = kind;
            (*header).cmsg_len = length as _;
            std::ptr::copy_nonoverlapping(record.as_ptr(), libc::CMSG_DATA(header), record.len());
        }
        let flags = flags | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the message describes buffers that live during the call; sendmsg only reads.
        let count = unsafe { libc::sendmsg(self.0, &message, flags) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }
}

/// What one message had.
struct Received {
    count: usize,
    stream: Option<StreamInfo>,
    level: Option<u8>,
}

impl Kernel for QuicSocket {
    fn parameters(&self) -> io::Result<Vec<u8>> {
        let mut encoded = vec![0; PARAMETERS_MAX];
        let length = self.get(TRANSPORT_PARAM_EXT, &mut encoded)?;
        encoded.truncate(length);
        Ok(encoded)
    }

    fn set_peer_parameters(&self, encoded: &[u8]) -> io::Result<()> {
        self.set(TRANSPORT_PARAM_EXT, encoded)
    }

    fn set_secret(&self, record: &[u8; 56]) -> io::Result<()> {
        self.set(CRYPTO_SECRET, record)
    }

    fn send(&self, level: Level, data: &[u8], more: bool) -> io::Result<usize> {
        self.send_with(QUIC_HANDSHAKE_INFO, &[level as u8], data, if more { libc::MSG_MORE } else { 0 })
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<(Option<Level>, usize)> {
        // SAFETY: the layouts are the same, and only initialised bytes are written.
        let buffer = unsafe { &mut *(std::ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) };
        let received = self.receive_with(buffer)?;
        Ok((received.level.and_then(Level::of), received.count))
    }

    fn open_stream(&self) -> io::Result<()> {
        let mut record = StreamInfo { id: STREAM, flags: STREAM_DONTWAIT }.record();
        self.get(STREAM_OPEN, &mut record).map(drop)
    }

    fn closed(&self) -> Close {
        let mut record = [0; Close::BYTES];
        match self.get(CONNECTION_CLOSE, &mut record) {
            Ok(_) => Close::parse(&record),
            Err(_) => Close::default(),
        }
    }
}
