//! The bodies of a pump's requests.

use zerocopy::{Immutable, IntoBytes};

use crate::fast::READ_RESPONSE_BYTES;
use crate::pump::{Class, Operation, Pump};
use crate::wire::{CloseRequest, Empty, FlushRequest, ReadRequest, WriteRequest, HEADER_BYTES};

/// The largest body: that of a READ, with the byte of Buffer that it must have.
const FIXED_BYTES: usize = size_of::<ReadRequest>() + 1;

/// The body of a request without the data of a WRITE.
pub(super) enum Body<'a> {
    Fixed([u8; FIXED_BYTES], usize),
    Given(&'a [u8]),
}

/// A body, and as many bytes of Buffer behind it.
fn fixed<'a>(body: impl IntoBytes + Immutable, buffer: usize) -> Body<'a> {
    let mut bytes = [0; FIXED_BYTES];
    let body = body.as_bytes();
    bytes[..body.len()].copy_from_slice(body);
    Body::Fixed(bytes, body.len() + buffer)
}

impl<'a> Body<'a> {
    pub(super) fn of(pump: &'a Pump, operation: &Operation) -> Body<'a> {
        let file_id = operation.file.into();
        let (length, offset) = (operation.size.into(), operation.offset.into());
        match operation.class {
            Class::Create => Body::Given(&pump.settings.bodies[operation.body]),
            Class::Read => {
                let padding = READ_RESPONSE_BYTES as u8;
                fixed(ReadRequest { padding, length, offset, file_id, ..ReadRequest::new() }, 1)
            }
            Class::Write => {
                let data_offset = ((HEADER_BYTES + size_of::<WriteRequest>()) as u16).into();
                fixed(WriteRequest { data_offset, length, offset, file_id, ..WriteRequest::new() }, 0)
            }
            Class::Flush => fixed(FlushRequest { file_id, ..FlushRequest::new() }, 0),
            Class::Close => fixed(CloseRequest { file_id, ..CloseRequest::new() }, 0),
            Class::Echo => fixed(Empty::new(), 0),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Body::Fixed(bytes, length) => &bytes[..*length],
            Body::Given(bytes) => bytes,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes().len()
    }
}
