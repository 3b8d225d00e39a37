//! RC4 for NTLM's key exchange and signatures ([MS-NLMP] 3.4.3, 3.4.4): a few bytes per log-on, and no library has it
//! any more.

/// `data` XORed with the first bytes of the key stream of `key`, which must not be empty.
pub fn rc4(key: &[u8], data: &mut [u8]) {
    let mut state: [u8; 256] = std::array::from_fn(|index| index as u8);
    let mut j = 0u8;
    for i in 0..256 {
        j = j.wrapping_add(state[i]).wrapping_add(key[i % key.len()]);
        state.swap(i, usize::from(j));
    }
    let (mut i, mut j) = (0u8, 0u8);
    for byte in data {
        i = i.wrapping_add(1);
        j = j.wrapping_add(state[usize::from(i)]);
        state.swap(usize::from(i), usize::from(j));
        *byte ^= state[usize::from(state[usize::from(i)].wrapping_add(state[usize::from(j)]))];
    }
}

#[cfg(test)]
mod tests {
    use super::rc4;

    #[test]
    fn vectors_of_rfc_6229() {
        let key: Vec<u8> = (1..=16).collect();
        let mut stream = [0u8; 16];
        rc4(&key, &mut stream);
        let expected =
            [0x9a, 0xc7, 0xcc, 0x9a, 0x60, 0x9d, 0x1e, 0xf7, 0xb2, 0x93, 0x28, 0x99, 0xcd, 0xe4, 0x1b, 0x97];
        assert_eq!(stream, expected);
        let mut stream = [0u8; 16];
        rc4(&key[..5], &mut stream);
        let expected =
            [0xb2, 0x39, 0x63, 0x05, 0xf0, 0x3d, 0xc0, 0x27, 0xcc, 0xc3, 0x52, 0x4a, 0x0a, 0x11, 0x18, 0xa8];
        assert_eq!(stream, expected);
    }

    #[test]
    fn twice_is_nothing() {
        let mut data = *b"some bytes";
        rc4(b"key", &mut data);
        assert_ne!(&data, b"some bytes");
        rc4(b"key", &mut data);
        assert_eq!(&data, b"some bytes");
    }
}
