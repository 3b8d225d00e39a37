//! Arrays of descriptors against a plain copy: of any lengths, in any order, empty, overlapping, more than is needed.

use super::*;
use crate::wire::HEADER_BYTES;
use frevo_rdma::provider::{Access, Remote};
use frevo_rdma::smbd::BufferDescriptor;
use zerocopy::IntoBytes;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// Parts of the memory: (which, where, how many bytes); the first is not empty.
fn parts(random: &mut Random, memories: &[usize], bytes: usize) -> Vec<(usize, usize, usize)> {
    let (mut found, mut all) = (Vec::new(), 0);
    while all < bytes || random.below(3) == 0 {
        let memory = random.below(memories.len());
        let start = random.below(memories[memory]);
        let most = (memories[memory] - start).min(if random.below(2) == 0 { 40 } else { 30_000 });
        let count = if found.is_empty() { 1 + random.below(most) } else { random.below(most + 1) };
        all += count;
        found.push((memory, start, count));
    }
    found
}

/// The body of a request for `length` bytes of descriptors behind it.
fn body(is_read: bool, bytes: u32, offset: u64, length: u16) -> Vec<u8> {
    if is_read {
        let read = ReadRequest {
            length: bytes.into(),
            offset: offset.into(),
            file_id: (11, 12).into(),
            channel: 1.into(),
            channel_info_offset: 112.into(),
            channel_info_length: length.into(),
            ..ReadRequest::new()
        };
        return read.as_bytes().to_vec();
    }
    let write = WriteRequest {
        offset: offset.into(),
        file_id: (11, 12).into(),
        channel: 1.into(),
        remaining_bytes: bytes.into(),
        channel_info_offset: 112.into(),
        channel_info_length: length.into(),
        ..WriteRequest::new()
    };
    write.as_bytes().to_vec()
}

#[test]
fn any_descriptors() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for round in 0..60 {
        let provider = BOTH[round % 2];
        let file = content(70_000);
        let mut both = Both::new(provider, Session::Plain, ALL_WAYS, Some(&file));
        let sizes: Vec<usize> = (0..1 + random.below(3)).map(|_| 1 + random.below(40_000)).collect();
        let is_read = random.below(2) == 0;
        let (bytes, offset) = (1 + random.below(60_000), random.below(5000));
        let parts = parts(&mut random, &sizes, bytes);
        let before: Vec<Vec<u8>> = sizes.iter().map(|size| content(*size + 3)[3..].to_vec()).collect();
        let access = if is_read { Access::WRITE } else { Access::READ };
        let direct = both.client.common.direct.as_mut().unwrap();
        let lent: Vec<Remote> =
            before.iter().map(|one| direct.register(one.clone().into(), access).unwrap()).collect();
        let info: Vec<u8> = parts
            .iter()
            .flat_map(|(memory, start, count)| {
                let place = &lent[*memory];
                let offset = place.offset + *start as u64;
                let part = Remote { offset, bytes: *count as u32, ..*place };
                BufferDescriptor::from(part).as_bytes().to_vec()
            })
            .collect();
        let body = body(is_read, bytes as u32, offset as u64, info.len() as u16);
        assert!(both.credits.reserve(1));
        let command = if is_read { command::READ } else { command::WRITE };
        let mut header = Header::request(command, both.credits.take(1).unwrap());
        (header.tree_id, header.session_id, header.credits) = (5.into(), SESSION.into(), 1.into());
        let message = [header.as_bytes(), &body, &info].concat();
        both.client.submit(Submission::new(SESSION, 0, &[&message]), &both.client_host.stats).unwrap();
        both.run();
        let mut events = std::mem::take(&mut both.client_host.events);
        let Some(Event::Message { payload, .. }) = events.pop() else { panic!("no answer in round {round}") };
        assert_eq!(u32_at(&payload, at::STATUS), 0, "round {round}");

        // The same by copies.
        let (mut memories, mut expected_file, mut done) = (before, file.clone(), 0);
        for (memory, start, count) in parts {
            let count = count.min(bytes - done);
            let (mine, theirs) = (start..start + count, offset + done..offset + done + count);
            match is_read {
                true => memories[memory][mine].copy_from_slice(&file[theirs]),
                false => expected_file[theirs].copy_from_slice(&memories[memory][mine]),
            }
            done += count;
        }
        assert_eq!(u32_at(&payload, HEADER_BYTES + if is_read { 8 } else { 4 }) as usize, bytes);
        assert!(both.file() == expected_file, "round {round}");
        let direct = both.client.common.direct.as_mut().unwrap();
        for (place, expected) in lent.iter().zip(memories) {
            assert!(direct.release(place.tag).unwrap().into_vec() == expected, "round {round}");
        }
    }
}
