//! The bodies of a pump's requests.

use crate::pump::{Class, Operation, Pump};
use crate::wire::put;

/// The body of a request without the data of a WRITE.
pub(super) enum Body<'a> {
    Fixed([u8; 49], usize),
    Given(&'a [u8]),
}

impl<'a> Body<'a> {
    pub(super) fn of(pump: &'a Pump, operation: &Operation) -> Body<'a> {
        let mut body = [0u8; 49];
        let file_id = |body: &mut [u8], place: usize| {
            put(body, place, operation.file.0.to_le_bytes());
            put(body, place + 8, operation.file.1.to_le_bytes());
        };
        let length = match operation.class {
            Class::Create => return Body::Given(&pump.settings.bodies[operation.body]),
            Class::Read | Class::Write => {
                // [MS-SMB2] 2.2.19, 2.2.21: the third byte is the wanted or the given DataOffset.
                let write = operation.class == Class::Write;
                body[0] = 49;
                body[2] = if write { 112 } else { 0x50 };
                put(&mut body, 4, operation.size.to_le_bytes());
                put(&mut body, 8, operation.offset.to_le_bytes());
                file_id(&mut body, 16);
                if write {
                    48
                } else {
                    49
                }
            }
            Class::Flush | Class::Close => {
                body[0] = 24;
                file_id(&mut body, 8);
                24
            }
            Class::Echo => {
                body[0] = 4;
                4
            }
        };
        Body::Fixed(body, length)
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
