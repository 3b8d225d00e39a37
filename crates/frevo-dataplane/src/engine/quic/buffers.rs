//! Buffers for received datagrams, used again unless they were given away.

use bytes::BytesMut;

/// Largest datagram, or batch of datagrams that the kernel has put together.
const DATAGRAM_BYTES: usize = 64 * 1024;

/// So many buffers with room for datagrams, those that are there first.
pub(super) fn provide(buffers: &mut Vec<BytesMut>, count: usize) -> &mut [BytesMut] {
    if buffers.len() < count {
        buffers.resize_with(count, new_buffer);
    }
    let provided = &mut buffers[..count];
    provided.iter_mut().for_each(make_room);
    provided
}

fn new_buffer() -> BytesMut {
    BytesMut::zeroed(DATAGRAM_BYTES)
}

/// Makes a buffer whole again of which something was given away: the same memory when nobody has it any more.
fn make_room(buffer: &mut BytesMut) {
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
