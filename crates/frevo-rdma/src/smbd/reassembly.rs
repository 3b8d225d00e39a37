//! Fragments of a message that arrives ([MS-SMBD] 3.1.5.8).

use super::message::DataTransfer;
use super::violation::Violation;

/// What is missing of a message.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    /// FragmentReassemblyRemaining.
    missing: u32,
}

/// The place of a fragment in its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The length of the whole message, with its first fragment.
    pub(super) begins: Option<usize>,
    /// This is the last one.
    pub(super) ends: bool,
}

impl Reassembly {
    /// A fragment with data has come. The largest message has `limit` bytes.
    pub(super) fn add(&mut self, header: &DataTransfer, limit: u32) -> Result<Place, Violation> {
        let (length, remaining) = (header.data_length.get(), header.remaining_data_length.get());
        let total = u64::from(length) + u64::from(remaining);
        if total > u64::from(limit) {
            return Err(Violation::TooLarge(total));
        }
        let begins = self.missing == 0;
        // The specification looks at RemainingDataLength only when it is zero, which lets a message grow while it comes.
        if !begins && u64::from(self.missing) != total {
            return Err(Violation::Fragments);
        }
        self.missing = remaining;
        Ok(Place { begins: begins.then_some(total as usize), ends: remaining == 0 })
    }
}
