//! What carries the messages of SMB Direct: a stream, which the engine moves, or a device, which moves by itself.

use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

use frevo_rdma::provider::{Completion, Ended, Provider};
use frevo_rdma::stream::{Leaving, Stream};

/// Either of them. What both do is the contract's ([`Provider`]).
#[derive(Debug)]
pub(super) enum Carrying {
    /// Bytes are given to it and taken from it.
    Stream(Box<Stream>),
    /// It has a descriptor, which says when to ask it.
    Device(Box<dyn Provider>),
}

impl Deref for Carrying {
    type Target = dyn Provider;

    fn deref(&self) -> &(dyn Provider + 'static) {
        match self {
            Carrying::Stream(stream) => &**stream,
            Carrying::Device(device) => &**device,
        }
    }
}

impl DerefMut for Carrying {
    fn deref_mut(&mut self) -> &mut (dyn Provider + 'static) {
        match self {
            Carrying::Stream(stream) => &mut **stream,
            Carrying::Device(device) => &mut **device,
        }
    }
}

impl Carrying {
    fn stream(&self) -> Option<&Stream> {
        match self {
            Carrying::Stream(stream) => Some(stream),
            Carrying::Device(_) => None,
        }
    }

    fn stream_mut(&mut self) -> Option<&mut Stream> {
        match self {
            Carrying::Stream(stream) => Some(stream),
            Carrying::Device(_) => None,
        }
    }

    /// True for a device.
    pub(super) fn is_device(&self) -> bool {
        self.stream().is_none()
    }

    /// The next thing that has arrived: with `chunk[*at..]`, or at the device.
    pub(super) fn next<'a>(
        &'a mut self,
        chunk: &'a mut [u8],
        at: &mut usize,
        now: Instant,
    ) -> Result<Option<Completion<'a>>, Ended> {
        match self {
            Carrying::Stream(stream) => stream.next(chunk, at, now),
            Carrying::Device(device) => device.poll(),
        }
    }

    /// Bytes that the engine, or the device, has to send.
    pub(super) fn leaving(&self) -> usize {
        match self {
            Carrying::Stream(stream) => stream.leaving(),
            Carrying::Device(device) => device.held(),
        }
    }

    // Of streams alone; devices have none of it.

    /// Whether data of RDMA are fetched out of the peer's memory.
    pub(super) fn is_by_reference(&self) -> bool {
        self.stream().is_some_and(Stream::is_by_reference)
    }

    /// Whether the peer has begun something and not ended it.
    pub(super) fn is_inside(&self) -> bool {
        self.stream().is_some_and(Stream::is_inside)
    }

    /// When there is something to flush, if that is only a question of time.
    pub(super) fn due(&self) -> Option<Instant> {
        self.stream()?.due()
    }

    /// So many of the next bytes belong in memory that the peer fills.
    pub(super) fn placed(&self) -> usize {
        self.stream().map_or(0, Stream::placed)
    }

    /// Where the next bytes belong, if at least `least` do.
    pub(super) fn room(&mut self, least: usize) -> Option<&mut [MaybeUninit<u8>]> {
        self.stream_mut()?.room(least)
    }

    /// Counts bytes that were received there.
    ///
    /// # Safety
    /// As [`Stream::filled`].
    pub(super) unsafe fn filled(&mut self, count: usize) {
        if let Some(stream) = self.stream_mut() {
            // SAFETY: the caller says so.
            unsafe { stream.filled(count) };
        }
    }

    /// Frames what was posted.
    pub(super) fn flush(&mut self, now: Instant) {
        if let Some(stream) = self.stream_mut() {
            stream.flush(now);
        }
    }

    /// The next bytes to send.
    pub(super) fn take(&mut self) -> Option<Leaving> {
        self.stream_mut()?.take()
    }

    /// An empty buffer for what leaves.
    pub(super) fn lend(&mut self, spare: Vec<u8>) {
        if let Some(stream) = self.stream_mut() {
            stream.lend(spare);
        }
    }

    /// The buffer that was lent, if it was not used.
    pub(super) fn reclaim(&mut self) -> Option<Vec<u8>> {
        self.stream_mut()?.reclaim()
    }
}
