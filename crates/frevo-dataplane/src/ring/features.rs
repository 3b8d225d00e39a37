//! What this kernel's io_uring supports, determined by queries and small trials, never by version number.
//!
//! The probe call lists opcodes; flags of an opcode (multishot) and setup and registration calls are tried once with
//! throw-away sockets. Distributions backport features and containers forbid them, so versions say little.

use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use io_uring::{cqueue, opcode, squeue, types, Builder, IoUring, Probe};

/// Every opcode by its kernel name in lower case, indexed by its number.
const OPERATIONS: [&str; 63] = [
    "nop",
    "readv",
    "writev",
    "fsync",
    "read_fixed",
    "write_fixed",
    "poll_add",
    "poll_remove",
    "sync_file_range",
    "sendmsg",
    "recvmsg",
    "timeout",
    "timeout_remove",
    "accept",
    "async_cancel",
    "link_timeout",
    "connect",
    "fallocate",
    "openat",
    "close",
    "files_update",
    "statx",
    "read",
    "write",
    "fadvise",
    "madvise",
    "send",
    "recv",
    "openat2",
    "epoll_ctl",
    "splice",
    "provide_buffers",
    "remove_buffers",
    "tee",
    "shutdown",
    "renameat",
    "unlinkat",
    "mkdirat",
    "symlinkat",
    "linkat",
    "msg_ring",
    "fsetxattr",
    "setxattr",
    "fgetxattr",
    "getxattr",
    "socket",
    "uring_cmd",
    "send_zc",
    "sendmsg_zc",
    "read_multishot",
    "waitid",
    "futex_wait",
    "futex_wake",
    "futex_waitv",
    "fixed_fd_install",
    "ftruncate",
    "bind",
    "listen",
    "recv_zc",
    "epoll_wait",
    "readv_fixed",
    "writev_fixed",
    "pipe",
];

/// The result of probing.
#[derive(Debug, Clone, Default)]
pub struct Features {
    /// Why there is no io_uring at all; empty when there is.
    pub reason: String,
    /// Names of the opcodes that the kernel supports.
    pub operations: Vec<&'static str>,
    /// Results of the feature mask and of trials: name and result.
    pub abilities: Vec<(&'static str, bool)>,
}

impl Features {
    /// Whether a ring can be made here.
    pub fn available(&self) -> bool {
        self.reason.is_empty()
    }

    /// Whether an ability of that name was found.
    pub fn has(&self, ability: &str) -> bool {
        self.abilities.iter().any(|(name, found)| *name == ability && *found)
    }

    /// Whether the opcode of that name is supported.
    pub fn operation(&self, name: &str) -> bool {
        self.operations.contains(&name)
    }
}

/// Probes the kernel. Takes well under a millisecond and leaves nothing behind.
pub fn probe() -> Features {
    let ring = match IoUring::new(8) {
        Ok(ring) => ring,
        Err(error) => return Features { reason: reason(&error), ..Features::default() },
    };
    let mut probe = Probe::new();
    if let Err(error) = ring.submitter().register_probe(&mut probe) {
        return Features {
            reason: format!("the kernel cannot list its opcodes: {error}"),
            ..Features::default()
        };
    }
    let supported = |code: &usize| probe.is_supported(*code as u8);
    let operations = (0..OPERATIONS.len()).filter(supported).map(|code| OPERATIONS[code]).collect();
    let mut features = Features { reason: String::new(), operations, abilities: Vec::new() };
    drop(ring);
    features.abilities = abilities(&features);
    features
}

/// Why a ring could not be made, with the remedy.
pub fn reason(error: &io::Error) -> String {
    let sysctl = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    match (error.raw_os_error(), sysctl.trim()) {
        (Some(libc::ENOSYS), _) => {
            "ENOSYS: the kernel has no io_uring, or the container's seccomp profile hides it".into()
        }
        (Some(libc::EPERM), "2") => "EPERM: switched off by sysctl kernel.io_uring_disabled=2".into(),
        (Some(libc::EPERM), "1") => {
            "EPERM: sysctl kernel.io_uring_disabled=1 allows it only with CAP_SYS_ADMIN or in kernel.io_uring_group"
                .into()
        }
        (Some(libc::EPERM | libc::EACCES), _) => {
            "EPERM: forbidden by a security policy (most often the container's seccomp profile)".into()
        }
        (Some(libc::ENOMEM), _) => "ENOMEM: RLIMIT_MEMLOCK leaves no room for a ring (ulimit -l)".into(),
        _ => error.to_string(),
    }
}

fn abilities(features: &Features) -> Vec<(&'static str, bool)> {
    let Ok(mut ring) = IoUring::new(8) else { return Vec::new() };
    let parameters = ring.params();
    let mut found = vec![
        ("nodrop", parameters.is_feature_nodrop()),
        ("fast_poll", parameters.is_feature_fast_poll()),
        ("ext_arg", parameters.is_feature_ext_arg()),
        ("cqe_skip", parameters.is_feature_skip_cqe_on_success()),
        ("recvsend_bundle", parameters.is_feature_recvsend_bundle()),
        ("min_timeout", parameters.is_feature_min_timeout()),
        ("no_iowait", parameters.is_feature_no_iowait()),
    ];
    found.push(("coop_taskrun", buildable(|builder| builder.setup_coop_taskrun())));
    found.push(("single_issuer", buildable(|builder| builder.setup_single_issuer())));
    found.push(("defer_taskrun", buildable(|builder| builder.setup_single_issuer().setup_defer_taskrun())));
    found.push(("fixed_buffers", try_fixed_buffers(&ring)));
    found.push(("fixed_files", ring.submitter().register_files_sparse(2).is_ok()));
    found.push(("multishot_accept", try_multishot_accept(&mut ring).unwrap_or(false)));
    let (provided, multishot) = try_provided_buffers(&mut ring);
    found.push(("provided_buffer_ring", provided));
    found.push(("multishot_recv", multishot));
    found.push(("send_zc", features.operation("send_zc")));
    found.push(("sendmsg_zc", features.operation("sendmsg_zc")));
    found.push(("recv_zc", features.operation("recv_zc")));
    found.push(("xattr", features.operation("fgetxattr") && features.operation("fsetxattr")));
    found
}

/// Whether the kernel makes a ring with these setup flags.
fn buildable(flags: impl FnOnce(&mut Builder) -> &mut Builder) -> bool {
    let mut builder: Builder = IoUring::builder();
    flags(&mut builder).build(2).is_ok()
}

fn try_fixed_buffers(ring: &IoUring) -> bool {
    let mut memory = vec![0u8; 4096];
    let buffer = libc::iovec { iov_base: memory.as_mut_ptr().cast(), iov_len: memory.len() };
    // SAFETY: the memory outlives its registration, which ends two lines below.
    let registered = unsafe { ring.submitter().register_buffers(&[buffer]) }.is_ok();
    registered && ring.submitter().unregister_buffers().is_ok()
}

/// Submits one entry and takes one completion, if there is one without waiting.
fn once(ring: &mut IoUring, entry: &squeue::Entry) -> io::Result<Option<cqueue::Entry>> {
    // SAFETY: the callers keep everything that the entry points to until they drop the ring or see the completion.
    unsafe { ring.submission().push(entry) }.map_err(|_| io::Error::from_raw_os_error(libc::EBUSY))?;
    ring.submit()?;
    Ok(ring.completion().next())
}

/// A connection waits in the queue already, so a multishot accept answers at once and says that more will come.
fn try_multishot_accept(ring: &mut IoUring) -> io::Result<bool> {
    let name = format!("frevo-probe-{}-{:p}", std::process::id(), &raw const *ring);
    let address = SocketAddr::from_abstract_name(name)?;
    let listener = UnixListener::bind_addr(&address)?;
    let client = UnixStream::connect_addr(&address)?;
    let entry = opcode::AcceptMulti::new(types::Fd(listener.as_raw_fd())).build().user_data(1);
    let Some(done) = once(ring, &entry)? else { return Ok(false) };
    drop(client);
    if done.result() >= 0 {
        // SAFETY: the accept created the descriptor, which has no other owner.
        unsafe { libc::close(done.result()) };
    }
    let more = cqueue::more(done.flags());
    if more {
        let _ = once(ring, &opcode::AsyncCancel::new(1).build().user_data(2));
        ring.completion().for_each(drop);
    }
    Ok(done.result() >= 0 && more)
}

/// Registers a ring of one buffer and lets a multishot receive fill it: (ring works, multishot works).
fn try_provided_buffers(ring: &mut IoUring) -> (bool, bool) {
    const GROUP: u16 = 7;
    let page = 4096;
    let (kind, access) = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: a fresh anonymous mapping of two pages: the ring and its buffer.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), 2 * page, access, kind, -1, 0) };
    if memory == libc::MAP_FAILED {
        return (false, false);
    }
    // SAFETY: the mapping holds one entry and is unmapped only after the registration has ended.
    let provided =
        unsafe { ring.submitter().register_buf_ring_with_flags(memory as u64, 1, GROUP, 0) }.is_ok();
    let multishot = provided && {
        let entry = memory.cast::<types::BufRingEntry>();
        // SAFETY: entry is the first (only) slot of the registered page, the buffer is the second page; the tail is
        // written last, and the kernel looks at it only when we submit.
        unsafe {
            (*entry).set_addr(memory as u64 + page as u64);
            (*entry).set_len(page as u32);
            (*entry).set_bid(0);
            types::BufRingEntry::tail(entry).cast_mut().write_volatile(1);
        }
        try_multishot_receive(ring, GROUP).unwrap_or(false)
    };
    if provided {
        let _ = ring.submitter().unregister_buf_ring(GROUP);
    }
    // SAFETY: the mapping from above; the receive is over (its socket was closed and its completion seen).
    unsafe { libc::munmap(memory, 2 * page) };
    (provided, multishot)
}

fn try_multishot_receive(ring: &mut IoUring, group: u16) -> io::Result<bool> {
    let (receiver, mut sender) = UnixStream::pair()?;
    sender.write_all(b"x")?;
    let entry = opcode::RecvMulti::new(types::Fd(receiver.as_raw_fd()), group).build().user_data(3);
    let Some(done) = once(ring, &entry)? else { return Ok(false) };
    let works = done.result() == 1 && cqueue::more(done.flags());
    let _ = once(ring, &opcode::AsyncCancel::new(3).build().user_data(4));
    ring.completion().for_each(drop);
    Ok(works)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probing_gives_an_answer() {
        // Goal: either a reason or a list of opcodes. Method: probe the kernel that runs the test.
        let features = probe();
        assert_eq!(features.available(), features.operation("nop"));
        println!("{features:?}");
    }

    #[test]
    fn reasons_name_the_cause() {
        // Goal: a person can act on the text. Method: the errors that containers produce.
        assert!(reason(&io::Error::from_raw_os_error(libc::ENOSYS)).contains("seccomp"));
        assert!(reason(&io::Error::from_raw_os_error(libc::EPERM)).starts_with("EPERM"));
    }
}
