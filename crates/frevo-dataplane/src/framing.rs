//! The 4-byte transport headers: direct TCP ([MS-SMB2] 2.1) and NetBIOS session service ([RFC 1002] 4.3).

/// How messages are delimited on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Eight zero bits and a 24-bit big-endian length.
    Tcp,
    /// Packet type, seven reserved bits, a 17-bit length.
    Nbt,
}

/// What a transport header announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A message of this many bytes follows.
    Message(usize),
    /// A NetBIOS SESSION REQUEST with this many bytes of names follows.
    SessionRequest(usize),
    /// A NetBIOS POSITIVE SESSION RESPONSE (a client sees it).
    SessionAccepted,
    /// A NetBIOS NEGATIVE SESSION RESPONSE, one byte of error code follows.
    SessionRefused,
    /// A keepalive, to be ignored.
    KeepAlive,
}

/// NEGATIVE SESSION RESPONSE: not listening on called name ([RFC 1002] 4.3.4).
pub const NOT_LISTENING_ON_CALLED_NAME: u8 = 0x80;
/// NEGATIVE SESSION RESPONSE: called name not present.
pub const CALLED_NAME_NOT_PRESENT: u8 = 0x82;
/// NEGATIVE SESSION RESPONSE: called name present, but insufficient resources.
pub const INSUFFICIENT_RESOURCES: u8 = 0x83;
/// NEGATIVE SESSION RESPONSE: unspecified error.
pub const UNSPECIFIED_ERROR: u8 = 0x8F;

impl Framing {
    /// The framing named in configuration: "tcp" or "nbt".
    pub fn by_name(name: &str) -> Option<Framing> {
        match name {
            "tcp" => Some(Framing::Tcp),
            "nbt" => Some(Framing::Nbt),
            _ => None,
        }
    }

    /// The largest message that the length field can carry.
    pub fn max_message(self) -> usize {
        match self {
            Framing::Tcp => 0xFF_FFFF,
            Framing::Nbt => 0x1_FFFF,
        }
    }

    /// Reads a transport header; None when it is malformed.
    pub fn parse(self, header: [u8; 4]) -> Option<FrameKind> {
        let low = usize::from(header[2]) << 8 | usize::from(header[3]);
        match (self, header[0]) {
            (Framing::Tcp, 0) => Some(FrameKind::Message(usize::from(header[1]) << 16 | low)),
            // Some clients also send NetBIOS keepalives on direct TCP.
            (_, 0x85) if header[1..] == [0, 0, 0] => Some(FrameKind::KeepAlive),
            (Framing::Tcp, _) => None,
            (Framing::Nbt, kind) if header[1] <= 1 => {
                Self::nbt_kind(kind, usize::from(header[1]) << 16 | low)
            }
            (Framing::Nbt, _) => None,
        }
    }

    fn nbt_kind(kind: u8, length: usize) -> Option<FrameKind> {
        match (kind, length) {
            (0x00, _) => Some(FrameKind::Message(length)),
            (0x81, 0..=1024) => Some(FrameKind::SessionRequest(length)),
            (0x82, 0) => Some(FrameKind::SessionAccepted),
            (0x83, 1) => Some(FrameKind::SessionRefused),
            _ => None,
        }
    }

    /// The transport header of a message of `length` bytes; None when it does not fit.
    pub fn header(self, length: usize) -> Option<[u8; 4]> {
        if length > self.max_message() {
            return None;
        }
        Some((length as u32).to_be_bytes())
    }
}

/// Checks the names of a SESSION REQUEST ([RFC 1002] 4.3.2): the error code to answer if they are invalid. Any
/// well-formed called name is accepted, as by all current SMB servers: clients that only know an address send
/// `*SMBSERVER`.
pub fn check_session_request(names: &[u8]) -> Result<(), u8> {
    let called = encoded_name_length(names).ok_or(CALLED_NAME_NOT_PRESENT)?;
    let calling = encoded_name_length(&names[called..]).ok_or(UNSPECIFIED_ERROR)?;
    if called + calling != names.len() {
        return Err(UNSPECIFIED_ERROR);
    }
    Ok(())
}

/// Length of one encoded NetBIOS name with its scope and final zero ([RFC 1001] 14.1); None when malformed.
fn encoded_name_length(bytes: &[u8]) -> Option<usize> {
    if *bytes.first()? != 32 || !bytes.get(1..33)?.iter().all(|b| (b'A'..=b'P').contains(b)) {
        return None;
    }
    let mut position = 33;
    loop {
        let label = usize::from(*bytes.get(position)?);
        position += 1;
        if label == 0 {
            return (position <= 255).then_some(position);
        }
        if label > 63 || position + label > bytes.len() {
            return None;
        }
        position += label;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(name: &[u8; 16]) -> Vec<u8> {
        let mut out = vec![32];
        for byte in name {
            out.push(b'A' + (byte >> 4));
            out.push(b'A' + (byte & 15));
        }
        out.push(0);
        out
    }

    #[test]
    fn tcp_headers() {
        assert_eq!(Framing::Tcp.parse([0, 1, 2, 3]), Some(FrameKind::Message(0x10203)));
        assert_eq!(Framing::Tcp.parse([0x81, 0, 0, 68]), None);
        assert_eq!(Framing::Tcp.parse([0x85, 0, 0, 0]), Some(FrameKind::KeepAlive));
        assert_eq!(Framing::Tcp.header(0xFF_FFFF), Some([0, 255, 255, 255]));
        assert_eq!(Framing::Tcp.header(0x100_0000), None);
    }

    #[test]
    fn nbt_headers() {
        assert_eq!(Framing::Nbt.parse([0, 1, 0xFF, 0xFF]), Some(FrameKind::Message(0x1FFFF)));
        assert_eq!(Framing::Nbt.parse([0, 2, 0, 0]), None);
        assert_eq!(Framing::Nbt.parse([0x81, 0, 0, 68]), Some(FrameKind::SessionRequest(68)));
        assert_eq!(Framing::Nbt.parse([0x85, 0, 0, 0]), Some(FrameKind::KeepAlive));
        assert_eq!(Framing::Nbt.parse([0x85, 0, 0, 1]), None);
        assert_eq!(Framing::Nbt.parse([0x99, 0, 0, 0]), None);
        assert_eq!(Framing::Nbt.header(0x20000), None);
    }

    #[test]
    fn session_requests() {
        let mut names = encoded(b"*SMBSERVER      ");
        names.extend(encoded(b"CLIENT         \0"));
        assert_eq!(check_session_request(&names), Ok(()));
        assert_eq!(check_session_request(&names[..67]), Err(UNSPECIFIED_ERROR));
        assert_eq!(check_session_request(&[]), Err(CALLED_NAME_NOT_PRESENT));
        names[5] = b'a';
        assert_eq!(check_session_request(&names), Err(CALLED_NAME_NOT_PRESENT));
        names[5] = b'A';
        names.push(0);
        assert_eq!(check_session_request(&names), Err(UNSPECIFIED_ERROR));
    }
}
