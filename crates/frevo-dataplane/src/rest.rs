//! What follows the head of a large message and is to be stored by a job: the data of a WRITE, or of a READ's answer that a
//! client gets, in pipes or in memory that the ring knows.

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

    /// Writes what is left of it; may block. How many bytes, fewer than all only if the file system took no more. An error:
    /// none.
    pub fn store(&mut self, file: &OpenFile, offset: u64) -> io::Result<usize> {
        match &mut self.place {
            Place::Pipes(pipes) => {
                let (count, result) = pipes.store(file.descriptor(), offset);
                self.moved += count;
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
            Place::Copied(bytes) => {
                let count = file.write_blocking(bytes, offset, 0)?;
                bytes.drain(..count);
                Ok(count)
            }
            Place::Slot(slot, range) => {
                let count = file.write_blocking(&slot[range.clone()], offset, 0)?;
                range.start += count;
                Ok(count)
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;
    use crate::fast::temporary_file;

    /// A file of one page that cannot grow.
    fn full_file() -> OpenFile {
        let file = OpenFile::new(temporary_file(&[0; 4096]));
        // SAFETY: no pointers; the descriptor is that of an open memfd.
        let sealed = unsafe { libc::fcntl(file.descriptor(), libc::F_ADD_SEALS, libc::F_SEAL_GROW) };
        assert_eq!(sealed, 0);
        file
    }

    /// A file system that had no room for all of it and then has: what was written is not written again.
    #[test]
    fn what_is_left_goes_on_where_it_stopped() {
        let data: Vec<u8> = (0..5000_u32).map(|index| index as u8 ^ (index >> 8) as u8).collect();
        let mut slot = Arena::new(1 << 16).unwrap().take(data.len()).unwrap();
        slot.extend_from_slice(&data);
        let copied = Rest { length: data.len(), place: Place::Copied(data.clone()), moved: 0 };
        for mut rest in [copied, Rest::registered(slot, 0)] {
            assert_eq!(rest.store(&full_file(), 0).unwrap(), 4096);
            let other = OpenFile::new(temporary_file(b""));
            assert_eq!(rest.store(&other, 4096).unwrap(), 5000 - 4096);
            let mut room = vec![std::mem::MaybeUninit::uninit(); 5000];
            assert_eq!(other.read_blocking(&mut room, 0).unwrap(), 5000);
            // SAFETY: so many bytes were read into it.
            let found: Vec<u8> = room.iter().map(|byte| unsafe { byte.assume_init() }).collect();
            assert_eq!((&found[..4096], &found[4096..]), (&[0; 4096][..], &data[4096..]));
        }
    }
}
