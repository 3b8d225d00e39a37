//! Acting as a Unix user in one thread: the kernel then decides on files by that user's rights.
//!
//! Facts that the code follows: - Credentials belong to a thread. glibc's wrappers change every thread of the process,
//! so the calls are made raw. - setfsuid from root to another user takes the capabilities over files (CAP_DAC_OVERRIDE,
//! FOWNER, CHOWN, FSETID, ...) out of the effective set, and gives them back on the way to root; CAP_SETUID and
//! CAP_SETGID stay. - setfsuid and setfsgid never report an error; called with -1, they return the current ID. - A new
//! thread has the credentials of the one that created it, so a thread's identity is unknown before its first switch. -
//! A switch costs one to three microseconds, so it is skipped if the identity is already in force.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::OnceLock;

/// The process's own identity in [`Current::user`].
const OWN: u64 = 0;
/// Not determined yet, or a switch failed half-way.
const UNKNOWN: u64 = u64::MAX;
const SUPERUSER: u32 = 0;

/// Credentials for file access: a user, its group for new files, and all its groups.
#[derive(Debug)]
pub struct Credentials {
    /// Identifies this object; the same user created twice has two.
    number: u64,
    /// The Unix user.
    pub uid: u32,
    /// The group of new files.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Current {
    user: u64,
    groups_of: u64,
}

static NEXT: AtomicU64 = AtomicU64::new(OWN + 1);
static PROCESS: OnceLock<Credentials> = OnceLock::new();

thread_local! {
    static CURRENT: Cell<Current> = const { Cell::new(Current { user: UNKNOWN, groups_of: UNKNOWN }) };
}

impl Credentials {
    /// Credentials that can be entered any number of times by any thread.
    pub fn new(uid: u32, gid: u32, groups: Vec<u32>) -> Self {
        Credentials { number: NEXT.fetch_add(1, Ordering::Relaxed), uid, gid, groups }
    }

    /// Makes this thread act as this user; does nothing if it already does. After an error, the thread acts as the
    /// process; EPERM also if the kernel did not switch.
    pub fn enter(&self) -> io::Result<()> {
        if CURRENT.get().user == self.number {
            return Ok(());
        }
        process();
        match self.switch() {
            Ok(()) => Ok(()),
            Err(error) => {
                leave()?;
                Err(error)
            }
        }
    }

    fn switch(&self) -> io::Result<()> {
        let before = CURRENT.get();
        CURRENT.set(Current { user: UNKNOWN, groups_of: UNKNOWN });
        if before.groups_of != self.number {
            set_groups(&self.groups)?;
        }
        set_filesystem_id(libc::SYS_setfsgid, self.gid)?;
        set_filesystem_id(libc::SYS_setfsuid, self.uid)?;
        CURRENT.set(Current { user: self.number, groups_of: self.number });
        Ok(())
    }
}

/// Makes this thread act as the process does; does nothing if it already does, or if no thread has ever switched.
pub fn leave() -> io::Result<()> {
    let before = CURRENT.get();
    if before.user == OWN {
        return Ok(());
    }
    let Some(process) = PROCESS.get() else { return Ok(()) };
    CURRENT.set(Current { user: UNKNOWN, groups_of: UNKNOWN });
    // Groups do not matter for the superuser: they stay, which makes a return to the same user cheap.
    let mut groups_of = before.groups_of;
    if process.uid != SUPERUSER || before.user == UNKNOWN {
        set_groups(&process.groups)?;
        groups_of = OWN;
    }
    set_filesystem_id(libc::SYS_setfsgid, process.gid)?;
    set_filesystem_id(libc::SYS_setfsuid, process.uid)?;
    CURRENT.set(Current { user: OWN, groups_of });
    Ok(())
}

/// Whether this thread acts as the process does, as far as known.
pub fn is_own() -> bool {
    PROCESS.get().is_none() || CURRENT.get().user == OWN
}

/// Removes a capability (a number of capabilities(7)) from this thread's effective set; threads that it creates lack
/// it, too. CAP_SYS_RESOURCE would let every user exceed quotas and use the blocks reserved for root.
pub fn drop_capability(capability: u32) -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let mut header = [VERSION_3, 0];
    let mut data = [[0u32; 3]; 2]; // effective, permitted, inheritable of 32 capabilities each
    let (word, bit) = (capability as usize / 32, 1u32 << (capability % 32));
    // SAFETY: the header and two structures of three words each, as version 3 of the call requires.
    if unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), data.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let Some(sets) = data.get_mut(word) else { return Err(io::Error::from_raw_os_error(libc::EINVAL)) };
    if sets[0] & bit == 0 {
        return Ok(());
    }
    sets[0] &= !bit;
    // SAFETY: as above.
    if unsafe { libc::syscall(libc::SYS_capset, header.as_mut_ptr(), data.as_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The identity of the process, determined before the first thread switches.
fn process() -> &'static Credentials {
    PROCESS.get_or_init(|| {
        // SAFETY: these calls change nothing; getgroups gets room for as many groups as it reported.
        let (uid, gid, groups) = unsafe {
            let count = libc::getgroups(0, std::ptr::null_mut()).max(0);
            let mut groups = vec![0u32; count as usize];
            let filled = libc::getgroups(count, groups.as_mut_ptr()).max(0);
            groups.truncate(filled as usize);
            (libc::geteuid(), libc::getegid(), groups)
        };
        Credentials { number: OWN, uid, gid, groups }
    })
}

fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: the list has the given length; this changes only the calling thread, unlike the wrapper of the C library.
    if unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// setfsuid or setfsgid, and whether it took effect.
fn set_filesystem_id(call: libc::c_long, id: u32) -> io::Result<()> {
    // SAFETY: plain numbers; -1 is never an ID, so the second call changes nothing.
    let now = unsafe {
        libc::syscall(call, libc::c_long::from(id));
        libc::syscall(call, -1 as libc::c_long)
    };
    if now == libc::c_long::from(id) {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::EPERM))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscalls::openat2;

    fn is_root() -> bool {
        // SAFETY: changes nothing.
        unsafe { libc::geteuid() == 0 }
    }

    fn opens_shadow() -> bool {
        openat2(libc::AT_FDCWD, c"/etc/shadow", libc::O_RDONLY as u64, 0, 0).is_ok()
    }

    #[test]
    fn a_thread_acts_as_a_user_and_comes_back() {
        // Goal: rights go and come with the user, in one thread only. Method: root's file, as root, as nobody, as root.
        if !is_root() {
            return;
        }
        let nobody = Credentials::new(65534, 65534, vec![]);
        assert!(opens_shadow());
        nobody.enter().unwrap();
        assert!(!is_own() && !opens_shadow());
        std::thread::scope(|scope| {
            // A thread created meanwhile has the rights of `nobody` until it switches.
            scope.spawn(|| {
                assert!(!opens_shadow());
                leave().unwrap();
                assert!(opens_shadow());
            });
        });
        assert!(!opens_shadow());
        leave().unwrap();
        assert!(is_own() && opens_shadow());
    }

    #[test]
    fn an_id_that_the_kernel_refuses_is_an_error() {
        // Goal: never go on as somebody else. Method: the one number that no user can have.
        if !is_root() {
            return;
        }
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(Credentials::new(u32::MAX, 65534, vec![]).enter().is_err());
                assert!(opens_shadow());
            });
        });
    }
}
