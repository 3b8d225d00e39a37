//! The fast path: simple READ and ECHO requests, answered without the control plane. Everything unusual is passed to
//! the control plane unchanged, which gives the same response.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, AtomicU8, Ordering};
use std::sync::Arc;

use crate::crypto::SignOnce;
use crate::gate::{Gate, Pass};
use crate::wire::{at, flags, put, u16_at, u32_at, u64_at, Header, HEADER_BYTES, PROTOCOL_SMB2};

/// An open that the control plane has attached to a connection: the fast path answers its READs.
#[derive(Clone, Debug)]
pub struct AttachedOpen {
    /// Its session.
    pub session_id: u64,
    /// Its tree connect.
    pub tree_id: u32,
    /// FileId.Persistent
    pub persistent_id: u64,
    /// FileId.Volatile, by which the connection finds it.
    pub volatile_id: u64,
    /// Only encrypted requests are answered: the share demands encryption, its session does not.
    pub encrypted_only: bool,
    /// Where the last read ended (FilePositionInformation); shared with the control plane.
    pub position: Arc<AtomicU64>,
    /// The gate of its file.
    pub gate: Arc<Gate>,
    /// The file.
    pub file: Arc<OpenFile>,
}

/// A file descriptor and what is known about it.
#[derive(Debug)]
pub struct OpenFile {
    fd: OwnedFd,
    /// One of the modes below.
    mode: AtomicU8,
}

/// RWF_NOWAIT tells whether a read would block; assumed until the file system refuses it.
const ASKS: u8 = 0;
/// Reads never block: the file system is in memory (tmpfs has no RWF_NOWAIT).
const IN_MEMORY: u8 = 1;
/// Reads may block and the file system does not tell: only small ones are tried.
const UNKNOWN: u8 = 2;

/// The result of a read without blocking.
#[derive(Debug, PartialEq, Eq)]
pub enum Attempt {
    /// This many bytes, fewer than requested only at the end of the file.
    Done(usize),
    /// It would block: a worker has to do it.
    WouldBlock,
    /// An error; the control plane decides the response.
    Failed,
}

impl OpenFile {
    /// Takes the descriptor.
    pub fn new(fd: OwnedFd) -> OpenFile {
        OpenFile { fd, mode: AtomicU8::new(ASKS) }
    }

    /// The descriptor, for an engine that reads by itself; it lives as long as `self`.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Reads what is in memory. Small reads block where the file system has no RWF_NOWAIT.
    pub fn read_nowait(&self, buffer: &mut [MaybeUninit<u8>], offset: u64) -> Attempt {
        let mut done = 0;
        while done < buffer.len() {
            let mode = self.mode.load(Ordering::Relaxed);
            if mode == UNKNOWN && buffer.len() > 64 * 1024 {
                return Attempt::WouldBlock;
            }
            let flags = if mode == ASKS { libc::RWF_NOWAIT } else { 0 };
            match self.preadv2(&mut buffer[done..], offset + done as u64, flags) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => (),
                    Some(libc::EAGAIN) => return Attempt::WouldBlock,
                    Some(libc::EOPNOTSUPP) if mode == ASKS => {
                        let mode = if self.is_in_memory() { IN_MEMORY } else { UNKNOWN };
                        self.mode.store(mode, Ordering::Relaxed);
                    }
                    _ => return Attempt::Failed,
                },
            }
        }
        Attempt::Done(done)
    }

    /// Reads all of `buffer` or to the end of the file; may block.
    pub fn read_blocking(&self, buffer: &mut [MaybeUninit<u8>], offset: u64) -> Attempt {
        let mut done = 0;
        while done < buffer.len() {
            match self.preadv2(&mut buffer[done..], offset + done as u64, 0) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(_) => return Attempt::Failed,
            }
        }
        Attempt::Done(done)
    }

    fn is_in_memory(&self) -> bool {
        // SAFETY: an all-zero statfs is valid.
        let mut status: libc::statfs = unsafe { std::mem::zeroed() };
        // SAFETY: status is a buffer of the right type that lives during the call.
        let result = unsafe { libc::fstatfs(self.fd.as_raw_fd(), &mut status) };
        result == 0 && status.f_type == libc::TMPFS_MAGIC
    }

    fn preadv2(&self, buffer: &mut [MaybeUninit<u8>], offset: u64, flags: i32) -> io::Result<usize> {
        let iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: the iovec describes `buffer`, which is exclusively borrowed for the call, and the descriptor is
        // owned by self. The kernel writes at most iov_len bytes.
        let count = unsafe { libc::preadv2(self.fd.as_raw_fd(), &iov, 1, offset as libc::off_t, flags) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }
}

/// A READ request that the fast path may try ([MS-SMB2] 2.2.19).
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest {
    /// Bytes wanted.
    pub length: u32,
    /// Where in the file.
    pub offset: u64,
    /// FileId.Persistent
    pub persistent_id: u64,
    /// FileId.Volatile
    pub volatile_id: u64,
    /// Fewer bytes than this are an error.
    pub minimum_count: u32,
}

impl ReadRequest {
    /// The request after the header of `message`; None when it is malformed or not plain.
    pub fn parse(message: &[u8]) -> Option<ReadRequest> {
        let body = message.get(HEADER_BYTES..)?;
        // StructureSize 49 counts one byte of Buffer, which some clients leave out.
        if body.len() < 48 || u16_at(body, 0) != 49 {
            return None;
        }
        let (read_flags, channel) = (body[3], u32_at(body, 36));
        // READ_UNBUFFERED (1) does not change the response; anything else does.
        if read_flags & !1 != 0 || channel != 0 || u32_at(body, 44) != 0 {
            return None;
        }
        let request = ReadRequest {
            length: u32_at(body, 4),
            offset: u64_at(body, 8),
            persistent_id: u64_at(body, 16),
            volatile_id: u64_at(body, 24),
            minimum_count: u32_at(body, 32),
        };
        let end = request.offset.checked_add(u64::from(request.length))?;
        (request.length > 0 && end <= i64::MAX as u64).then_some(request)
    }
}

/// Bytes before the data of a READ response: header and fixed part.
pub const READ_RESPONSE_BYTES: usize = HEADER_BYTES + 16;

/// Writes the header of a response to `request` over the first 64 bytes of `message`.
pub fn write_response_header(message: &mut [u8], request: &Header, status: u32, credits: u16) {
    let header = &mut message[..HEADER_BYTES];
    header.fill(0);
    header[..4].copy_from_slice(&PROTOCOL_SMB2);
    put(header, 4, 64u16.to_le_bytes());
    put(header, at::CREDIT_CHARGE, request.credit_charge.to_le_bytes());
    put(header, at::STATUS, status.to_le_bytes());
    put(header, at::COMMAND, request.command.to_le_bytes());
    put(header, at::CREDITS, credits.to_le_bytes());
    let response_flags = flags::SERVER_TO_REDIR | request.flags & flags::PRIORITY_MASK;
    put(header, at::FLAGS, response_flags.to_le_bytes());
    put(header, at::MESSAGE_ID, request.message_id.to_le_bytes());
    put(header, at::PROCESS_ID, request.process_id.to_le_bytes());
    put(header, at::TREE_ID, request.tree_id.to_le_bytes());
    put(header, at::SESSION_ID, request.session_id.to_le_bytes());
}

/// The fixed part of a READ response ([MS-SMB2] 2.2.20) after the header.
pub fn write_read_body(message: &mut [u8], length: usize) {
    let body = &mut message[HEADER_BYTES..READ_RESPONSE_BYTES];
    body.fill(0);
    put(body, 0, 17u16.to_le_bytes());
    body[2] = READ_RESPONSE_BYTES as u8;
    put(body, 4, (length as u32).to_le_bytes());
}

/// Body of an ECHO response ([MS-SMB2] 2.2.29).
pub const ECHO_BODY: [u8; 4] = [4, 0, 0, 0];
/// Body of an ERROR response without data ([MS-SMB2] 2.2.2).
pub const ERROR_BODY: [u8; 9] = [9, 0, 0, 0, 0, 0, 0, 0, 0];

/// A READ that a worker finishes.
#[derive(Debug)]
pub struct ReadJob {
    /// Its connection.
    pub connection: u64,
    /// The whole request, for the control plane if the read fails.
    pub request: Vec<u8>,
    /// SessionId of the transform header, None for a plain request.
    pub encrypted: Option<u64>,
    /// For the response, or that of the control plane.
    pub right: Option<SignOnce>,
    /// The file.
    pub file: Arc<OpenFile>,
    /// What to read.
    pub read: ReadRequest,
    /// Room for the frame, transform, header and data; the data starts at `data_start`.
    pub buffer: Vec<u8>,
    /// See `buffer`.
    pub data_start: usize,
    /// See [`AttachedOpen::position`].
    pub position: Arc<AtomicU64>,
    /// The result; None before.
    pub outcome: Option<Attempt>,
    /// Keeps the gate from closing until the response is queued.
    pub pass: Pass,
}

impl ReadJob {
    /// Performs the read; may block.
    pub fn run(&mut self) {
        self.make_room();
        let (file, offset) = (self.file.clone(), self.read.offset);
        self.outcome = Some(file.read_blocking(self.room(), offset));
    }

    /// Makes the buffer large enough for [`ReadJob::room`].
    pub(crate) fn make_room(&mut self) {
        self.buffer.clear();
        self.buffer.reserve(self.data_start + self.read.length as usize);
    }

    /// Where the data goes; it stays in place while the job moves.
    pub(crate) fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        let length = self.read.length as usize;
        &mut self.buffer.spare_capacity_mut()[self.data_start..][..length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    pub fn temporary_file(content: &[u8]) -> OwnedFd {
        // SAFETY: the name is a C string; the returned descriptor is checked and then owned by us alone.
        let fd = unsafe { libc::memfd_create(c"frevo-test".as_ptr(), 0) };
        assert!(fd >= 0);
        // SAFETY: see above.
        let fd = unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd) };
        let mut file = std::fs::File::from(fd);
        file.write_all(content).unwrap();
        OwnedFd::from(file)
    }

    #[test]
    fn reads_stop_at_the_end_of_the_file() {
        let file = OpenFile::new(temporary_file(b"0123456789"));
        let mut buffer = [MaybeUninit::new(0u8); 8];
        for read in [OpenFile::read_nowait, OpenFile::read_blocking] {
            assert_eq!(read(&file, &mut buffer, 4), Attempt::Done(6));
            assert_eq!(read(&file, &mut buffer, 10), Attempt::Done(0));
        }
        let directory = OpenFile::new(std::fs::File::open("/").unwrap().into());
        assert_eq!(directory.read_nowait(&mut buffer, 0), Attempt::Failed);
    }

    #[test]
    fn only_plain_reads_are_taken() {
        let mut message = vec![0u8; 113];
        put(&mut message, 64, 49u16.to_le_bytes());
        put(&mut message, 68, 4096u32.to_le_bytes());
        assert_eq!(ReadRequest::parse(&message).unwrap().length, 4096);
        assert!(ReadRequest::parse(&message[..112]).is_some());
        assert!(ReadRequest::parse(&message[..111]).is_none());
        for (offset, value) in [(64, 48), (67, 2), (100, 1), (108, 8), (79, 0x80)] {
            let mut other = message.clone();
            other[offset] = value;
            assert!(ReadRequest::parse(&other).is_none(), "byte {offset}");
        }
        put(&mut message, 68, 0u32.to_le_bytes());
        assert!(ReadRequest::parse(&message).is_none());
    }
}
