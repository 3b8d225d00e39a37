//! The numbers and records of the kernel's QUIC sockets (uapi/linux/quic.h): each record as the bytes that the kernel
//! reads, in this machine's byte order.

use libc::c_int;

/// The protocol of a stream socket that speaks QUIC.
pub const IPPROTO_QUIC: c_int = 261;
/// The level of its options and control messages.
pub const SOL_QUIC: c_int = 288;

/// Control message of stream data: [`StreamInfo`].
pub const QUIC_STREAM_INFO: c_int = 0;
/// Control message of TLS messages: one byte, the [`Level`].
pub const QUIC_HANDSHAKE_INFO: c_int = 1;

/// Option: opens a stream ([`StreamInfo`], to get).
pub const STREAM_OPEN: c_int = 1;
/// Option: why a connection ends or has ended ([`Close`]).
pub const CONNECTION_CLOSE: c_int = 5;
/// Option: what this end announces.
pub const TRANSPORT_PARAM: c_int = 8;
/// Option: how this end behaves.
pub const CONFIG: c_int = 9;
/// Option: the protocols of a listener, as text.
pub const ALPN: c_int = 11;
/// Option: a key.
pub const CRYPTO_SECRET: c_int = 13;
/// Option: the extension of TLS with the parameters of this end (to get) and of the peer (to set).
pub const TRANSPORT_PARAM_EXT: c_int = 14;

/// Flag of a stream: its last bytes. The number is that of MSG_FIN.
pub const STREAM_FIN: u32 = 0x200;
/// Flag of a stream: opening it does not wait until the peer allows it. The number is that of MSG_WAITFORONE.
pub const STREAM_DONTWAIT: u32 = 0x1_0000;

/// Bytes of a secret at most.
pub const SECRET_MAX: usize = 48;
/// Bytes of the extension of TLS with the parameters at most.
pub const PARAMETERS_MAX: usize = 512;

/// The protection of a TLS message: enum quic_crypto_level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Level {
    /// 1-RTT packets.
    Application = 0,
    /// Initial packets.
    Initial = 1,
    /// Handshake packets.
    Handshake = 2,
}

impl Level {
    /// None: one that no TLS message of ours has.
    pub fn of(byte: u8) -> Option<Level> {
        [Level::Application, Level::Initial, Level::Handshake].into_iter().find(|level| *level as u8 == byte)
    }
}

/// The ciphers of linux/tls.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Cipher {
    /// TLS_CIPHER_AES_GCM_128
    Aes128Gcm = 51,
    /// TLS_CIPHER_AES_GCM_256
    Aes256Gcm = 52,
    /// TLS_CIPHER_CHACHA20_POLY1305
    ChaCha20Poly1305 = 54,
}

/// struct quic_crypto_secret: a key for one direction.
pub fn crypto_secret(send: bool, level: Level, cipher: Cipher, secret: &[u8]) -> [u8; 56] {
    let mut record = [0; 56];
    record[0] = send.into();
    record[1] = level as u8;
    record[4..8].copy_from_slice(&(cipher as u32).to_ne_bytes());
    let length = secret.len().min(SECRET_MAX);
    record[8..8 + length].copy_from_slice(&secret[..length]);
    record
}

/// Of struct quic_transport_param what differs from the kernel's defaults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransportParam {
    /// Microseconds of silence after which the connection is lost.
    pub max_idle_timeout_us: u32,
    /// Streams of each kind that the peer may have open.
    pub max_streams: u16,
    /// Bytes that the peer may have under way, on each stream and on all.
    pub window: u64,
}

impl TransportParam {
    /// The record; zero leaves a default alone.
    pub fn record(&self) -> [u8; 56] {
        let mut record = [0; 56];
        record[12..16].copy_from_slice(&self.max_idle_timeout_us.to_ne_bytes());
        record[20..22].copy_from_slice(&self.max_streams.to_ne_bytes());
        record[22..24].copy_from_slice(&self.max_streams.to_ne_bytes());
        for at in [24, 32, 40] {
            record[at..at + 8].copy_from_slice(&self.window.to_ne_bytes());
        }
        record
    }
}

/// Of struct quic_config what differs from the kernel's defaults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Config {
    /// Clients have to show first that they receive at their address. It cannot be taken back.
    pub validate_peer_address: bool,
    /// Small messages are not held back until an earlier one is acknowledged.
    pub stream_data_nodelay: bool,
    /// Microseconds of silence after which the peer is probed.
    pub keepalive_probe_interval_us: u32,
}

impl Config {
    /// The record; zero leaves a default alone.
    pub fn record(&self) -> [u8; 28] {
        let mut record = [0; 28];
        record[17] = self.validate_peer_address.into();
        record[18] = self.stream_data_nodelay.into();
        record[24..28].copy_from_slice(&self.keepalive_probe_interval_us.to_ne_bytes());
        record
    }
}

/// struct quic_stream_info.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its number.
    pub id: i64,
    /// Flags of a stream.
    pub flags: u32,
}

impl StreamInfo {
    /// The record.
    pub fn record(&self) -> [u8; 16] {
        let mut record = [0; 16];
        record[..8].copy_from_slice(&self.id.to_ne_bytes());
        record[8..12].copy_from_slice(&self.flags.to_ne_bytes());
        record
    }

    /// From a record.
    pub fn parse(record: &[u8]) -> Option<StreamInfo> {
        let id = i64::from_ne_bytes(record.get(..8)?.try_into().ok()?);
        let flags = u32::from_ne_bytes(record.get(8..12)?.try_into().ok()?);
        Some(StreamInfo { id, flags })
    }
}

/// struct quic_connection_close.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Close {
    /// The code: 0x0100 and the alert when TLS is the reason (RFC 9001 4.8).
    pub code: u32,
    /// What the peer is told besides.
    pub phrase: String,
}

impl Close {
    /// The bytes of the record.
    pub const BYTES: usize = 72;
    const PHRASE_MAX: usize = 63;

    /// The record: the phrase ends with a zero, so it has none in it.
    pub fn record(&self) -> [u8; Close::BYTES] {
        let mut record = [0; Close::BYTES];
        record[..4].copy_from_slice(&self.code.to_ne_bytes());
        let end = (0..=self.phrase.len().min(Close::PHRASE_MAX)).rev();
        let end = end.into_iter().find(|at| self.phrase.is_char_boundary(*at)).unwrap_or(0);
        let phrase = self.phrase[..end].split('\0').next().unwrap_or_default();
        record[8..8 + phrase.len()].copy_from_slice(phrase.as_bytes());
        record
    }

    /// From a record.
    pub fn parse(record: &[u8; Close::BYTES]) -> Close {
        let code = u32::from_ne_bytes([record[0], record[1], record[2], record[3]]);
        let phrase = record[8..].split(|byte| *byte == 0).next().unwrap_or_default();
        Close { code, phrase: String::from_utf8_lossy(phrase).into_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_laid_out_as_the_kernel_reads_it() {
        let record = crypto_secret(true, Level::Handshake, Cipher::Aes256Gcm, &[7; 48]);
        assert_eq!(record[..4], [1, 2, 0, 0]);
        assert_eq!(record[4..8], 52u32.to_ne_bytes());
        assert_eq!(record[8..], [7; 48]);
        let short = crypto_secret(false, Level::Application, Cipher::ChaCha20Poly1305, &[7; 32]);
        assert_eq!((short[0], short[1], &short[8..40], &short[40..]), (0, 0, &[7; 32][..], &[0; 16][..]));
    }

    #[test]
    fn parameters_and_configuration_have_their_fields_where_the_kernel_has_them() {
        let parameters =
            TransportParam { max_idle_timeout_us: 60_000_000, max_streams: 1, window: 1 << 23 }.record();
        assert_eq!(parameters[..12], [0; 12]);
        assert_eq!(parameters[12..16], 60_000_000u32.to_ne_bytes());
        assert_eq!(parameters[16..20], [0; 4], "max_ack_delay keeps its default");
        assert_eq!(parameters[20..24], [1u16.to_ne_bytes(), 1u16.to_ne_bytes()].concat());
        assert_eq!(parameters[24..48], [(1u64 << 23).to_ne_bytes(); 3].concat());
        assert_eq!(parameters[48..], [0; 8], "no unidirectional stream gets a window of ours");
        let config = Config {
            validate_peer_address: true,
            stream_data_nodelay: true,
            keepalive_probe_interval_us: 10_000_000,
        };
        let config = config.record();
        assert_eq!(
            (&config[..16], config[16], &config[17..24]),
            (&[0; 16][..], 0, &[1, 1, 0, 0, 0, 0, 0][..])
        );
        assert_eq!(config[24..], 10_000_000u32.to_ne_bytes());
    }

    #[test]
    fn a_stream_comes_back_as_it_went() {
        let info = StreamInfo { id: 4, flags: STREAM_FIN };
        assert_eq!(StreamInfo::parse(&info.record()), Some(info));
        assert_eq!(StreamInfo::parse(&info.record()[..11]), None);
    }

    #[test]
    fn a_phrase_is_cut_between_characters_and_before_a_zero() {
        let of = |phrase: &str| Close { code: 0x131, phrase: phrase.into() };
        assert_eq!(Close::parse(&of("denied").record()), of("denied"));
        let long = format!("{}ä", "x".repeat(62));
        assert_eq!(Close::parse(&of(&long).record()), of(&"x".repeat(62)));
        assert_eq!(Close::parse(&of("one\0two").record()), of("one"));
        let mut full = of("").record();
        full[8..].fill(b'y');
        assert_eq!(Close::parse(&full).phrase.len(), 64, "a phrase without an end ends with the record");
    }

    #[test]
    fn levels_are_the_kernels() {
        assert_eq!(
            [0, 1, 2].map(Level::of),
            [Level::Application, Level::Initial, Level::Handshake].map(Some)
        );
        assert_eq!([3, 4, 255].map(Level::of), [None; 3]);
    }
}
