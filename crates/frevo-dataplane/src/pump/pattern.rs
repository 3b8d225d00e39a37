//! Data that identifies its position: each 8-byte word of a file is computed from its offset, so mix-ups are detected.

const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

#[inline]
fn word(index: u64, seed: u64) -> u64 {
    finished(index.wrapping_add(seed).wrapping_mul(FACTOR))
}

#[inline]
fn finished(mixed: u64) -> u64 {
    mixed ^ mixed >> 29
}

/// Calls `each` with pieces of up to 8 bytes: the position in the range and the bytes.
fn edges(offset: u64, length: usize) -> (usize, usize) {
    let head = ((8 - offset % 8) % 8) as usize;
    let head = head.min(length);
    (head, head + (length - head) / 8 * 8)
}

/// The byte at `offset` of the file.
fn byte(offset: u64, seed: u64) -> u8 {
    word(offset / 8, seed).to_le_bytes()[(offset % 8) as usize]
}

/// Appends the `length` bytes that belong at `offset` of the file.
pub fn append(out: &mut Vec<u8>, offset: u64, length: usize, seed: u64) {
    let (head, body) = edges(offset, length);
    out.reserve(length);
    out.extend((0..head as u64).map(|i| byte(offset + i, seed)));
    // A sum for each word instead of a product: the compiler makes several at a time.
    let mut mixed = ((offset + head as u64) / 8).wrapping_add(seed).wrapping_mul(FACTOR);
    let (mut piece, mut left) = ([0; 4096], body - head);
    while left > 0 {
        let part = &mut piece[..left.min(4096)];
        for place in part.as_chunks_mut().0 {
            *place = finished(mixed).to_le_bytes();
            mixed = mixed.wrapping_add(FACTOR);
        }
        out.extend_from_slice(part);
        left -= part.len();
    }
    out.extend((body as u64..length as u64).map(|i| byte(offset + i, seed)));
}

/// True when `data` is what belongs at `offset` of the file.
pub fn matches(data: &[u8], offset: u64, seed: u64) -> bool {
    let (head, body) = edges(offset, data.len());
    let single =
        |range: std::ops::Range<usize>| range.into_iter().all(|i| data[i] == byte(offset + i as u64, seed));
    let first = (offset + head as u64) / 8;
    let wrong = data[head..body].chunks_exact(8).zip(first..).fold(0, |wrong, (bytes, index)| {
        wrong | (u64::from_le_bytes(bytes.try_into().expect("eight bytes")) ^ word(index, seed))
    });
    wrong == 0 && single(0..head) && single(body..data.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_is_a_part_of_the_whole() {
        let mut whole = Vec::new();
        append(&mut whole, 0, 3000, 7);
        for (offset, length) in [(0, 0), (0, 1), (3, 4), (3, 5), (5, 2000), (8, 1024), (15, 2985), (2999, 1)]
        {
            let mut part = Vec::new();
            append(&mut part, offset, length, 7);
            assert_eq!(part, whole[offset as usize..][..length], "{offset} {length}");
            assert!(matches(&part, offset, 7));
            if let Some(last) = part.last_mut() {
                *last ^= 1;
                assert!(!matches(&part, offset, 7));
            }
        }
        assert!(!matches(&whole, 8, 7) && !matches(&whole, 0, 8));
    }
}
