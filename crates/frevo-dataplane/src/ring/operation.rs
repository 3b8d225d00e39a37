//! The operations of a [`super::Ring`], each with the memory that the kernel uses for it.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use io_uring::{opcode, squeue, types};

use crate::syscalls::{FileStatus, STATX_MASK};

/// Memory that the kernel reads or writes while an operation runs.
///
/// # Safety
/// `pointer` and `length` must describe memory that neither moves nor is freed while the value lives, wherever the
/// value itself is moved; it is writable when the operation writes into it.
pub unsafe trait StableBuffer: Send {
    /// Start of the memory.
    fn pointer(&self) -> *mut u8;
    /// Its length in bytes.
    fn length(&self) -> usize;
}

// SAFETY: the heap memory of a vector stays where it is when the Vec is moved, and nothing here resizes it.
unsafe impl StableBuffer for Vec<u8> {
    fn pointer(&self) -> *mut u8 {
        self.as_ptr().cast_mut()
    }
    fn length(&self) -> usize {
        self.len()
    }
}

/// A buffer handed to an operation.
pub type Buffer = Box<dyn StableBuffer>;

/// One operation with everything that the kernel needs for it.
#[allow(missing_docs)] // the fields are the arguments of the system call of the same name
pub enum Operation {
    Openat2 {
        dirfd: RawFd,
        path: CString,
        how: Box<types::OpenHow>,
    },
    Statx {
        dirfd: RawFd,
        path: CString,
        flags: i32,
        result: Box<MaybeUninit<libc::statx>>,
    },
    /// `offset` of `u64::MAX` is the file's own position.
    Read {
        fd: RawFd,
        offset: u64,
        buffer: Buffer,
    },
    Write {
        fd: RawFd,
        offset: u64,
        buffer: Buffer,
    },
    Fsync {
        fd: RawFd,
        datasync: bool,
    },
    Fallocate {
        fd: RawFd,
        mode: i32,
        offset: u64,
        length: u64,
    },
    Unlinkat {
        dirfd: RawFd,
        path: CString,
        flags: i32,
    },
    Renameat2 {
        olddirfd: RawFd,
        old: CString,
        newdirfd: RawFd,
        new: CString,
        flags: u32,
    },
    Mkdirat {
        dirfd: RawFd,
        path: CString,
        mode: u32,
    },
    Linkat {
        olddirfd: RawFd,
        old: CString,
        newdirfd: RawFd,
        new: CString,
        flags: i32,
    },
    Fgetxattr {
        fd: RawFd,
        name: CString,
        buffer: Buffer,
    },
    Fsetxattr {
        fd: RawFd,
        name: CString,
        buffer: Buffer,
        flags: i32,
    },
    Splice {
        fd_in: RawFd,
        offset_in: i64,
        fd_out: RawFd,
        offset_out: i64,
        length: u32,
        flags: u32,
    },
}

impl Operation {
    /// An openat2 with its `open_how`.
    pub fn openat2(dirfd: RawFd, path: CString, flags: u64, mode: u64, resolve: u64) -> Self {
        let how = Box::new(types::OpenHow::new().flags(flags).mode(mode).resolve(resolve));
        Operation::Openat2 { dirfd, path, how }
    }

    /// A statx with room for its answer.
    pub fn statx(dirfd: RawFd, path: CString, flags: i32) -> Self {
        Operation::Statx { dirfd, path, flags, result: Box::new(MaybeUninit::zeroed()) }
    }

    /// The answer of a statx that completed with 0.
    pub fn status(&self) -> Option<FileStatus> {
        match self {
            // SAFETY: zeroed at first, then filled by the kernel; every bit pattern is a valid statx.
            Operation::Statx { result, .. } => Some(FileStatus::from(unsafe { result.assume_init_ref() })),
            _ => None,
        }
    }

    /// The path (or the first of two) of the operation, for error messages.
    pub fn path(&self) -> Option<&CString> {
        match self {
            Operation::Openat2 { path, .. }
            | Operation::Statx { path, .. }
            | Operation::Unlinkat { path, .. }
            | Operation::Mkdirat { path, .. } => Some(path),
            Operation::Renameat2 { old, .. } | Operation::Linkat { old, .. } => Some(old),
            _ => None,
        }
    }

    /// Whether the copy alone would block the submitting loop for longer than a worker thread costs.
    pub(super) fn is_bulk(&self) -> bool {
        match self {
            Operation::Read { buffer, .. } | Operation::Write { buffer, .. } => buffer.length() >= BULK_BYTES,
            _ => false,
        }
    }

    /// The submission entry; its pointers stay good as long as `self` is kept, also when `self` is moved.
    pub(super) fn entry(&mut self) -> squeue::Entry {
        match self {
            Operation::Openat2 { dirfd, path, how } => {
                opcode::OpenAt2::new(types::Fd(*dirfd), path.as_ptr(), &**how).build()
            }
            Operation::Statx { dirfd, path, flags, result } => {
                opcode::Statx::new(types::Fd(*dirfd), path.as_ptr(), result.as_mut_ptr().cast())
                    .flags(*flags)
                    .mask(STATX_MASK)
                    .build()
            }
            Operation::Unlinkat { dirfd, path, flags } => {
                opcode::UnlinkAt::new(types::Fd(*dirfd), path.as_ptr()).flags(*flags).build()
            }
            Operation::Renameat2 { olddirfd, old, newdirfd, new, flags } => {
                opcode::RenameAt::new(types::Fd(*olddirfd), old.as_ptr(), types::Fd(*newdirfd), new.as_ptr())
                    .flags(*flags)
                    .build()
            }
            Operation::Mkdirat { dirfd, path, mode } => {
                opcode::MkDirAt::new(types::Fd(*dirfd), path.as_ptr()).mode(*mode).build()
            }
            Operation::Linkat { olddirfd, old, newdirfd, new, flags } => {
                opcode::LinkAt::new(types::Fd(*olddirfd), old.as_ptr(), types::Fd(*newdirfd), new.as_ptr())
                    .flags(*flags)
                    .build()
            }
            _ => self.data_entry(),
        }
    }

    /// `entry` for the operations on an open file.
    fn data_entry(&mut self) -> squeue::Entry {
        match self {
            Operation::Read { fd, offset, buffer } => {
                opcode::Read::new(types::Fd(*fd), buffer.pointer(), clamp(buffer.length()))
                    .offset(*offset)
                    .build()
            }
            Operation::Write { fd, offset, buffer } => {
                opcode::Write::new(types::Fd(*fd), buffer.pointer(), clamp(buffer.length()))
                    .offset(*offset)
                    .build()
            }
            Operation::Fsync { fd, datasync } => {
                let flags = if *datasync { types::FsyncFlags::DATASYNC } else { types::FsyncFlags::empty() };
                opcode::Fsync::new(types::Fd(*fd)).flags(flags).build()
            }
            Operation::Fallocate { fd, mode, offset, length } => {
                opcode::Fallocate::new(types::Fd(*fd), *length).offset(*offset).mode(*mode).build()
            }
            Operation::Fgetxattr { fd, name, buffer } => opcode::FGetXattr::new(
                types::Fd(*fd),
                name.as_ptr(),
                buffer.pointer().cast(),
                clamp(buffer.length()),
            )
            .build(),
            Operation::Fsetxattr { fd, name, buffer, flags } => opcode::FSetXattr::new(
                types::Fd(*fd),
                name.as_ptr(),
                buffer.pointer().cast(),
                clamp(buffer.length()),
            )
            .flags(*flags)
            .build(),
            Operation::Splice { fd_in, offset_in, fd_out, offset_out, length, flags } => {
                opcode::Splice::new(types::Fd(*fd_in), *offset_in, types::Fd(*fd_out), *offset_out, *length)
                    .flags(*flags)
                    .build()
            }
            _ => unreachable!("entry() handles the operations on names"),
        }
    }
}

/// The kernel moves at most 0x7ffff000 bytes in one call; a longer buffer gives a short count, as read(2) does.
fn clamp(length: usize) -> u32 {
    length.min(0x7fff_f000) as u32
}

/// Reads and writes from this size on are copied by a kernel worker instead of in the submitting loop.
const BULK_BYTES: usize = 256 * 1024;
