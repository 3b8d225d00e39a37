//! The few socket calls that the standard library does not have in this form.

use std::io::{self, IoSlice};
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// -1 becomes the error of the call.
pub(super) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// The next connection of a listening socket and its peer's address.
pub(super) fn accept(listener: RawFd) -> io::Result<(OwnedFd, String)> {
    // SAFETY: an all-zero sockaddr_storage is valid (AF_UNSPEC).
    let mut address: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut length = mem::size_of_val(&address) as libc::socklen_t;
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: address and length describe a buffer that lives during the call.
    let fd = check(unsafe {
        libc::accept4(listener, std::ptr::from_mut(&mut address).cast(), &mut length, flags)
    })?;
    // SAFETY: a new descriptor that nothing else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    Ok((fd, text(&address)))
}

/// Our own address of a connection.
pub(super) fn local_address(fd: RawFd) -> String {
    // SAFETY: an all-zero sockaddr_storage is valid (AF_UNSPEC).
    let mut address: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut length = mem::size_of_val(&address) as libc::socklen_t;
    // SAFETY: address and length describe a buffer that lives during the call.
    let result = unsafe { libc::getsockname(fd, std::ptr::from_mut(&mut address).cast(), &mut length) };
    if result < 0 {
        return "unknown".to_owned();
    }
    text(&address)
}

/// The peer's address of a connection, None when it has none any more.
pub(super) fn peer_address(fd: RawFd) -> Option<String> {
    // SAFETY: an all-zero sockaddr_storage is valid (AF_UNSPEC).
    let mut address: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut length = mem::size_of_val(&address) as libc::socklen_t;
    // SAFETY: address and length describe a buffer that lives during the call.
    let result = unsafe { libc::getpeername(fd, std::ptr::from_mut(&mut address).cast(), &mut length) };
    (result == 0).then(|| text(&address))
}

/// "ip:port", "[ip6]:port"; a mapped IPv4 address as IPv4; "unix" for what is not IP.
fn text(address: &libc::sockaddr_storage) -> String {
    let pointer = std::ptr::from_ref(address);
    let (ip, port) = match libc::c_int::from(address.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage, large and aligned enough for any, holds a sockaddr_in.
            let v4 = unsafe { &*pointer.cast::<libc::sockaddr_in>() };
            (IpAddr::V4(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr))), v4.sin_port)
        }
        libc::AF_INET6 => {
            // SAFETY: as above, a sockaddr_in6.
            let v6 = unsafe { &*pointer.cast::<libc::sockaddr_in6>() };
            (Ipv6Addr::from(v6.sin6_addr.s6_addr).to_canonical(), v6.sin6_port)
        }
        _ => return "unix".to_owned(),
    };
    SocketAddr::new(ip, u16::from_be(port)).to_string()
}

/// Non-blocking, no Nagle. Errors (a unix socket has no TCP options) do not matter.
pub(super) fn prepare(fd: RawFd) {
    // SAFETY: fcntl without pointers.
    unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK);
    }
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
}

/// Keepalive probes, for connections that we made: accepted ones have those of their listener.
pub(super) fn keep_alive(fd: RawFd) {
    set_option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1);
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 300);
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 30);
}

fn set_option(fd: RawFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) {
    let size = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: value outlives the call and has the size given.
    unsafe { libc::setsockopt(fd, level, option, std::ptr::from_ref(&value).cast(), size) };
}

/// Receives without blocking.
pub(super) fn receive(fd: RawFd, buffer: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most buffer.len() bytes into the borrowed buffer.
    let count = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Sends without blocking. `more`: something else follows at once, and is worth to wait for.
pub(super) fn send(fd: RawFd, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
    // SAFETY: an all-zero msghdr is valid.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    // IoSlice has the layout of iovec; sendmsg does not write through the pointer.
    message.msg_iov = slices.as_ptr().cast_mut().cast();
    message.msg_iovlen = slices.len() as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
    // SAFETY: the slices are borrowed for the call and their number is given.
    let count = unsafe { libc::sendmsg(fd, &message, flags) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Waits for events of an epoll descriptor, without limit if `timeout` is None, and says how many there are.
pub(super) fn wait(epoll: RawFd, events: &mut [libc::epoll_event], timeout: Option<Duration>) -> usize {
    let pointer = events.as_mut_ptr();
    let length = events.len() as libc::c_int;
    let time = timeout.map(|left| libc::timespec {
        tv_sec: left.as_secs() as libc::time_t,
        tv_nsec: left.subsec_nanos() as libc::c_long,
    });
    let time_pointer = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the kernel writes at most events.len() events and reads the timespec, which lives during the call.
    let count = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll,
            pointer,
            length,
            time_pointer,
            std::ptr::null::<()>(),
            0usize,
        )
    };
    if count < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) {
        // Before Linux 5.11 and in some containers: whole milliseconds, rounded up.
        let ms =
            timeout.map_or(-1, |left| left.as_micros().div_ceil(1000).min(i32::MAX as u128) as libc::c_int);
        // SAFETY: as above.
        return usize::try_from(unsafe { libc::epoll_wait(epoll, pointer, length, ms) }).unwrap_or(0);
    }
    usize::try_from(count).unwrap_or(0) // EINTR: nothing
}

/// Waits until one of the sockets may be read, or, where it says so, takes more; for each whether it does.
pub(super) fn poll(sockets: &[(RawFd, bool)], timeout: Duration) -> Vec<(bool, bool)> {
    let wanted = |writes| libc::POLLIN | if writes { libc::POLLOUT } else { 0 };
    let mut polled: Vec<_> = sockets
        .iter()
        .map(|(fd, writes)| libc::pollfd { fd: *fd, events: wanted(*writes), revents: 0 })
        .collect();
    let ms = timeout.as_micros().div_ceil(1000).min(i32::MAX as u128) as libc::c_int;
    // SAFETY: the entries are there during the call, and their number is given.
    if unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, ms) } <= 0 {
        return vec![(false, false); sockets.len()];
    }
    polled.iter().map(|one| (one.revents & !libc::POLLOUT != 0, one.revents & libc::POLLOUT != 0)).collect()
}

/// Says that nothing more will be sent.
pub(super) fn shutdown_write(fd: &OwnedFd) {
    // SAFETY: no pointers.
    unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_WR) };
}
