//! Memory that a provider is given, and gives back when neither it nor the peer uses it any more.

use std::any::Any;
use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::Range;
use std::ptr::NonNull;

/// Where a buffer goes that nobody needs any more.
type Back = fn(Vec<u8>);

/// Whose the bytes are.
enum Kept {
    /// Those of a buffer, as far as its capacity goes.
    Buffer { buffer: ManuallyDrop<Vec<u8>>, back: Back },
    /// Of something that keeps them in place for as long as it exists.
    Else { _keeper: Box<dyn Any + Send> },
}

/// Bytes that stay in place. Whoever has a `Memory` is the only one to touch them: while a provider has it, that is the
/// provider, and through it the peer.
pub struct Memory {
    start: NonNull<u8>,
    bytes: usize,
    /// So many from the beginning have a value.
    known: usize,
    kept: Kept,
}

// SAFETY: the bytes are owned, or kept by something that is Send, and nobody else refers to them.
unsafe impl Send for Memory {}
// SAFETY: through a shared reference, bytes are only read.
unsafe impl Sync for Memory {}

impl Memory {
    /// `bytes` of a buffer from its beginning, at most its capacity; those beyond its length have no value yet.
    /// The buffer goes to `back` when the memory is dropped.
    pub fn new(buffer: Vec<u8>, bytes: usize, back: Back) -> Memory {
        assert!(bytes <= buffer.capacity(), "{bytes} bytes of a buffer of {}", buffer.capacity());
        let mut buffer = ManuallyDrop::new(buffer);
        let start = NonNull::new(buffer.as_mut_ptr()).expect("the pointer of a Vec is never null");
        Memory { start, bytes, known: buffer.len().min(bytes), kept: Kept::Buffer { buffer, back } }
    }

    /// `bytes` at `start`, which `keeper` keeps in place until it is dropped.
    ///
    /// # Safety
    /// Nobody else may write to them meanwhile, nor read them when a peer or [`Memory::as_mut_slice`] may write. All of
    /// them have a value.
    pub unsafe fn of(start: NonNull<u8>, bytes: usize, keeper: Box<dyn Any + Send>) -> Memory {
        Memory { start, bytes, known: bytes, kept: Kept::Else { _keeper: keeper } }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The first byte. For devices: what is done there has to keep to what this type promises.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// The bytes that have a value: all from the beginning that were there, or were received without a gap.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `known` bytes have a value, and nobody else writes.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.known) }
    }

    /// The same, to change them.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above, and this is the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.known) }
    }

    /// Says that these bytes have a value now.
    ///
    /// # Safety
    /// It is so.
    pub unsafe fn filled(&mut self, range: Range<usize>) {
        debug_assert!(range.start <= range.end && range.end <= self.bytes);
        if range.start <= self.known {
            self.known = self.known.max(range.end);
        }
    }

    /// All of it, to be filled anew: none of the bytes counts as having a value until [`Memory::filled`] says so.
    pub fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        self.known = 0;
        // SAFETY: the bytes are there, and this is the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.bytes) }
    }

    /// Puts `data` at `at`.
    pub fn fill(&mut self, at: usize, data: &[u8]) {
        let end = at.checked_add(data.len()).filter(|end| *end <= self.bytes).expect("within the memory");
        // SAFETY: the bounds were checked; `data` is another object, as this one is borrowed mutably.
        unsafe {
            std::ptr::copy_nonoverlapping(data.as_ptr(), self.start.as_ptr().add(at), data.len());
            self.filled(at..end);
        }
    }

    /// The bytes that have a value, as a buffer: without a copy if it began as one.
    pub fn into_vec(self) -> Vec<u8> {
        let mut memory = ManuallyDrop::new(self);
        match &mut memory.kept {
            Kept::Buffer { buffer, .. } => {
                // SAFETY: the buffer is taken once: the memory is not dropped.
                let mut buffer = unsafe { ManuallyDrop::take(buffer) };
                // SAFETY: `known` bytes have a value, and are within the capacity.
                unsafe { buffer.set_len(memory.known) };
                buffer
            }
            Kept::Else { .. } => ManuallyDrop::into_inner(memory).as_slice().to_vec(),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Kept::Buffer { buffer, back } = &mut self.kept {
            // SAFETY: it is taken once: nothing comes after this.
            back(unsafe { ManuallyDrop::take(buffer) });
        }
    }
}

impl From<Vec<u8>> for Memory {
    fn from(buffer: Vec<u8>) -> Memory {
        let bytes = buffer.len();
        Memory::new(buffer, bytes, drop)
    }
}

impl AsRef<[u8]> for Memory {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} bytes)", self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_buffer_comes_back_as_far_as_it_was_filled() {
        let mut memory = Memory::new(Vec::with_capacity(100), 50, drop);
        assert_eq!((memory.len(), memory.as_slice()), (50, &[][..]));
        memory.fill(10, &[2; 10]); // a gap before it
        assert_eq!(memory.as_slice(), &[]);
        memory.fill(0, &[1; 10]);
        memory.fill(10, &[2; 10]);
        let start = memory.start();
        let buffer = memory.into_vec();
        assert_eq!((buffer.len(), buffer[9], buffer[10]), (20, 1, 2));
        assert_eq!(buffer.as_ptr(), start.as_ptr());
    }

    #[test]
    fn room_is_filled_anew() {
        let mut memory = Memory::from(vec![7; 10]);
        memory.room()[..4].fill(MaybeUninit::new(1));
        assert_eq!(memory.as_slice(), &[]);
        // SAFETY: they were filled just now.
        unsafe { memory.filled(0..4) };
        assert_eq!(memory.as_slice(), &[1; 4]);
        assert_eq!((memory.room().len(), memory.as_slice().len()), (10, 0));
    }

    #[test]
    fn nothing_is_put_behind_the_end() {
        let mut memory = Memory::from(vec![0; 10]);
        memory.fill(6, &[1; 4]);
        assert_eq!(memory.as_slice()[5..], [0, 1, 1, 1, 1]);
        let outside = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| memory.fill(7, &[1; 4])));
        assert!(outside.is_err());
    }

    #[test]
    fn who_dropped_it_gave_the_buffer_back() {
        static CAPACITY: AtomicUsize = AtomicUsize::new(0);
        let back = |buffer: Vec<u8>| CAPACITY.store(buffer.capacity(), Ordering::Relaxed);
        drop(Memory::new(Vec::with_capacity(77), 7, back));
        assert_eq!(CAPACITY.load(Ordering::Relaxed), 77);
    }

    #[test]
    fn what_somebody_else_keeps_is_kept_and_copied_at_the_end() {
        let keeper = Box::new(vec![3u8; 8]);
        let start = NonNull::new(keeper.as_ptr().cast_mut()).unwrap();
        // SAFETY: the bytes are the keeper's, which nobody else has.
        let memory = unsafe { Memory::of(start, 8, keeper) };
        assert_eq!(memory.as_slice(), [3; 8]);
        assert_eq!(memory.into_vec(), [3; 8]);
    }
}
