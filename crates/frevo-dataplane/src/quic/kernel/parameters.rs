//! What an end announces to its peer (RFC 9000 18): the kernel's own parameters, without the streams that nobody needs.

const INITIAL_MAX_STREAMS_BIDI: u64 = 0x08;
const INITIAL_MAX_STREAMS_UNI: u64 = 0x09;

/// The encoded parameters of the kernel without those that allow the peer what SMB has no use for: unidirectional
/// streams, and, of a server, any ([MS-SMB2] 2.1: the client opens the one stream). The kernel's own options cannot
/// say "none". None: they are not encoded as they should be.
pub(super) fn announced(encoded: &[u8], is_client: bool) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while !rest.is_empty() {
        let start = rest;
        let id = integer(&mut rest)?;
        let length = usize::try_from(integer(&mut rest)?).ok()?;
        rest = rest.get(length..)?;
        let dropped = id == INITIAL_MAX_STREAMS_UNI || (is_client && id == INITIAL_MAX_STREAMS_BIDI);
        if !dropped {
            kept.extend_from_slice(&start[..start.len() - rest.len()]);
        }
    }
    Some(kept)
}

/// A variable-length integer (RFC 9000 16).
fn integer(bytes: &mut &[u8]) -> Option<u64> {
    let length = 1usize << (bytes.first()? >> 6);
    let (own, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    let first = u64::from(own[0] & 0x3f);
    Some(own[1..].iter().fold(first, |value, byte| value << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_stream_of_the_client_is_allowed() {
        let idle = [0x01, 4, 0x80, 0, 0xea, 0x60];
        let (bidi, uni) = ([0x08, 1, 1], [0x09, 2, 0x40, 0x64]);
        let unknown = [0x40, 0x57, 2, 9, 9];
        let all = [&idle[..], &bidi, &uni, &unknown].concat();
        assert_eq!(announced(&all, false).unwrap(), [&idle[..], &bidi, &unknown].concat());
        assert_eq!(announced(&all, true).unwrap(), [&idle[..], &unknown].concat());
        assert_eq!(announced(&[], true).unwrap(), Vec::<u8>::new());
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        for broken in [&[0x01][..], &[0x01, 4, 0], &[0x40], &[0x01, 0x80, 0]] {
            assert_eq!(announced(broken, false), None, "{broken:?}");
        }
    }
}
