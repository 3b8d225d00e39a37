//! What a completion is about: the kind of its operation and a number, in its user data.

/// Kind of operation, in the top byte of the user data; the rest is the number of what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Wake,
    Listener,
    Receive,
    Readable,
    Writable,
    Sent,
    /// A large piece was sent, or is not needed any more.
    LargeSent,
    FileRead,
    FileWrite,
    Cancel,
    /// Datagrams wait on a UDP port.
    PortReadable,
    /// A UDP port takes more.
    PortWritable,
}

pub(super) const KINDS: [Kind; 12] = [
    Kind::Wake,
    Kind::Listener,
    Kind::Receive,
    Kind::Readable,
    Kind::Writable,
    Kind::Sent,
    Kind::LargeSent,
    Kind::FileRead,
    Kind::FileWrite,
    Kind::Cancel,
    Kind::PortReadable,
    Kind::PortWritable,
];
pub(super) const NUMBER_BITS: u32 = 56;
pub(super) const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;

pub(super) fn token(kind: Kind, number: u64) -> u64 {
    (kind as u64) << NUMBER_BITS | number & NUMBER_MASK
}
