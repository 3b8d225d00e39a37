//! What follows the head of a WRITE that a job does: data in pipes, or in memory that the ring knows.

use std::io;
use std::ops::Range;

use crate::arena::Slot;
use crate::fast::OpenFile;
use crate::ladder::WriteRung;
use crate::pipe::{PipeRun, Pipes};

/// The data, or the rest of it.
#[derive(Debug)]
pub struct Rest {
    place: Place,
    length: usize,
    /// Bytes that went to the file in the way that is meant for them.
    moved: usize,
}

#[derive(Debug)]
enum Place {
    Pipes(PipeRun),
    /// What had to be taken out of pipes.
    Copied(Vec<u8>),
    Slot(Slot, Range<usize>),
}

impl Rest {
    /// All that is in some pipes.
    pub fn piped(pipes: PipeRun) -> Rest {
        Rest { length: pipes.len(), place: Place::Pipes(pipes), moved: 0 }
    }

    /// All that is in a slot from `start` on.
    pub fn registered(slot: Slot, start: usize) -> Rest {
        let range = start..slot.len();
        Rest { length: range.len(), place: Place::Slot(slot, range), moved: 0 }
    }

    /// How many bytes it was at first.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Ends at the first `length` bytes: what is behind them is padding.
    pub fn truncate(&mut self, length: usize) {
        if let Place::Slot(_, range) = &mut self.place {
            range.end = range.end.min(range.start + length);
            self.length = range.len();
        }
    }

    /// The bytes, if they are in memory that the ring knows.
    pub fn for_the_ring(&self) -> Option<&[u8]> {
        match &self.place {
            Place::Slot(slot, range) => Some(&slot[range.clone()]),
            _ => None,
        }
    }

    /// Counts bytes that the ring has written.
    pub fn written(&mut self, count: usize) {
        self.moved += count;
    }

    /// Writes it; may block. How many bytes, fewer than all only if the file system took no more. An error: none.
    pub fn store(&mut self, file: &OpenFile, offset: u64) -> io::Result<usize> {
        match &mut self.place {
            Place::Pipes(pipes) => {
                let (count, result) = pipes.store(file.descriptor(), offset);
                self.moved = count;
                match result {
                    Err(error) if count == 0 && error.raw_os_error() == Some(libc::EINVAL) => (),
                    Err(error) if count == 0 => return Err(error),
                    _ => return Ok(count),
                }
                // A file system without splice.
                let mut bytes = Vec::new();
                pipes.take_into(&mut bytes)?;
                self.place = Place::Copied(bytes);
                self.store(file, offset)
            }
            Place::Copied(bytes) => file.write_blocking(bytes, offset, 0),
            Place::Slot(slot, range) => file.write_blocking(&slot[range.clone()], offset, 0),
        }
    }

    /// Adds it to the head, for whom has to see the whole message. Only when nothing was stored.
    pub fn append_to(self, message: &mut Vec<u8>) -> io::Result<()> {
        match self.place {
            Place::Pipes(mut pipes) => pipes.take_into(message)?,
            Place::Copied(bytes) => message.extend_from_slice(&bytes),
            Place::Slot(slot, range) => message.extend_from_slice(&slot[range.start..]),
        }
        Ok(())
    }

    /// Gives what it was in back. The way that was meant for it, and how many bytes went in it.
    pub fn give_back(self, pipes: &mut Pipes) -> (WriteRung, usize) {
        match self.place {
            Place::Pipes(run) => run.into_iter().for_each(|pipe| pipes.put(pipe)),
            Place::Copied(_) => (),
            Place::Slot(..) => return (WriteRung::Fixed, self.moved),
        }
        (WriteRung::Splice, self.moved)
    }
}
