//! Buffers for received datagrams, used again unless they were given away.

use bytes::BytesMut;

/// Largest datagram, or batch of datagrams that the kernel has put together.
const DATAGRAM_BYTES: usize = 64 * 1024;

/// An empty buffer for datagrams.
pub(super) fn new_buffer() -> BytesMut {
    BytesMut::zeroed(DATAGRAM_BYTES)
}

/// Makes a buffer whole again of which something was given away: the same memory when nobody has it any more.
pub(super) fn make_room(buffer: &mut BytesMut) {
    if buffer.len() == DATAGRAM_BYTES {
        return;
    }
    buffer.clear();
    if buffer.try_reclaim(DATAGRAM_BYTES) {
        // SAFETY: `new_buffer` has initialised all of the allocation, which has at least this capacity again.
        unsafe { buffer.set_len(DATAGRAM_BYTES) };
    } else {
        *buffer = new_buffer();
    }
}
