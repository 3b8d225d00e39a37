//! How a connection begins: MPA's frames (RFC 5044, 7.1; RFC 6581), or those of neighbours on one machine.

use super::{Neighbour, Settings};
use crate::iwarp::{Depths, Frame, Limits, Side};

/// What a neighbour's frame begins with.
const KEY: &[u8; 16] = b"frevo neighbours";
/// Key, address of the nonce, nonce.
const HELLO_BYTES: usize = KEY.len() + size_of::<u64>() + NONCE_BYTES;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 32;

/// RDMA READs of a peer that does not say how many it takes.
const READS_UNSAID: u16 = 1;

/// How far a beginning is.
#[derive(Debug)]
enum Stage {
    /// Waits for the first frame of the other side.
    Frame,
    /// A neighbour that waits for the word whether its memory can be read. `fetches`: whether this side reads the peer's.
    Word { fetches: bool },
}

/// A connection that has not begun yet.
#[derive(Debug)]
pub(super) struct Startup {
    stage: Stage,
    /// What has come of a frame.
    kept: Vec<u8>,
}

impl Startup {
    /// The beginning, and what an initiator sends at once.
    pub(super) fn new(settings: &Settings, neighbour: Option<&dyn Neighbour>) -> (Startup, Vec<u8>) {
        let first = match (settings.side, neighbour) {
            (Side::Responder, _) => Vec::new(),
            (Side::Initiator, Some(neighbour)) => hello(neighbour),
            (Side::Initiator, None) => {
                let (incoming, outgoing) = (settings.incoming_reads, settings.outgoing_reads);
                let depths = Depths { incoming, outgoing, ..Depths::default() };
                let frame = Frame {
                    markers: false,
                    crc: settings.checks,
                    rejected: false,
                    revision: 2,
                    depths: Some(depths),
                    private_data: private_data(settings),
                };
                frame.pack(Side::Initiator)
            }
        };
        (Startup { stage: Stage::Frame, kept: Vec::new() }, first)
    }

    /// Takes received bytes, as many as belong to the beginning: they are removed. Gives what is to be sent, and what was agreed
    /// upon once the connection has begun.
    pub(super) fn feed(
        &mut self,
        bytes: &mut &[u8],
        settings: &Settings,
        neighbour: Option<&mut Box<dyn Neighbour>>,
    ) -> Result<(Vec<u8>, Option<Limits>), String> {
        match neighbour {
            None => self.mpa(bytes, settings),
            Some(neighbour) => self.neighbours(bytes, settings, neighbour.as_mut()),
        }
    }

    fn mpa(&mut self, bytes: &mut &[u8], settings: &Settings) -> Result<(Vec<u8>, Option<Limits>), String> {
        let other = match settings.side {
            Side::Initiator => Side::Responder,
            Side::Responder => Side::Initiator,
        };
        let before = self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(crate::iwarp::MAX_STARTUP_BYTES)]);
        let parsed = Frame::parse(other, &self.kept).map_err(|error| error.to_string())?;
        let Some((frame, length)) = parsed else {
            *bytes = &[];
            return Ok((Vec::new(), None));
        };
        *bytes = &bytes[length - before..];
        self.kept = Vec::new();
        if frame.rejected {
            return Err("MPA: the peer refuses the connection".to_owned());
        }
        let checks = settings.checks || frame.crc;
        let limits = Limits {
            segment_bytes: settings.segment_bytes,
            incoming_reads: settings.incoming_reads,
            outgoing_reads: settings.outgoing_reads.min(reads_of(&frame)).max(1),
            checks,
            by_reference: false,
        };
        if settings.side == Side::Initiator {
            return match frame.markers {
                true => Err("MPA: the peer wants markers, which frevo does not send".to_owned()),
                false => Ok((Vec::new(), Some(limits))),
            };
        }
        let depths = frame.depths.map(|asked| Depths {
            // What the initiator asks for, as far as this side goes (RFC 6581, 9).
            incoming: settings.incoming_reads,
            outgoing: settings.outgoing_reads.min(asked.incoming),
            ..asked
        });
        let reply = Frame {
            markers: false,
            crc: checks,
            rejected: frame.markers,
            revision: frame.revision,
            depths,
            private_data: private_data(settings),
        };
        // Who wants markers is told that it gets none, and ends the connection.
        Ok((reply.pack(Side::Responder), (!frame.markers).then_some(limits)))
    }

    fn neighbours(
        &mut self,
        bytes: &mut &[u8],
        settings: &Settings,
        neighbour: &mut dyn Neighbour,
    ) -> Result<(Vec<u8>, Option<Limits>), String> {
        let mut answer = Vec::new();
        loop {
            let due = match self.stage {
                Stage::Frame => HELLO_BYTES,
                Stage::Word { .. } => 1,
            };
            let count = (due - self.kept.len()).min(bytes.len());
            self.kept.extend_from_slice(&bytes[..count]);
            *bytes = &bytes[count..];
            if !self.kept.starts_with(&KEY[..KEY.len().min(self.kept.len())])
                && matches!(self.stage, Stage::Frame)
            {
                return Err("emulated: the peer does not speak to a neighbour".to_owned());
            }
            if self.kept.len() < due {
                return Ok((answer, None));
            }
            let kept = std::mem::take(&mut self.kept);
            let fetches = match self.stage {
                Stage::Word { fetches } => match kept[0] {
                    word @ 0..=1 => return Ok((answer, Some(agreed(settings, fetches && word == 1)))),
                    _ => return Err("emulated: the peer does not say whether it can read memory".to_owned()),
                },
                Stage::Frame => {
                    let (address, nonce) = kept[KEY.len()..].split_first_chunk().expect("a whole hello");
                    let nonce = nonce.first_chunk().expect("a whole hello");
                    neighbour.meet(u64::from_ne_bytes(*address), *nonce)
                }
            };
            if settings.side == Side::Responder {
                answer.extend(hello(neighbour));
            }
            answer.push(u8::from(fetches));
            self.stage = Stage::Word { fetches };
        }
    }
}

/// By reference, if both can read the other's memory.
fn agreed(settings: &Settings, by_reference: bool) -> Limits {
    Limits {
        segment_bytes: settings.segment_bytes,
        incoming_reads: settings.incoming_reads,
        outgoing_reads: settings.outgoing_reads,
        checks: settings.checks,
        by_reference,
    }
}

fn hello(neighbour: &dyn Neighbour) -> Vec<u8> {
    let (address, nonce) = neighbour.hello();
    [&KEY[..], &address.to_ne_bytes(), &nonce].concat()
}

/// The depths as [MS-SMBD] has them where MPA says nothing: both as 32 bits ahead of the private data.
fn private_data(settings: &Settings) -> Vec<u8> {
    [settings.incoming_reads, settings.outgoing_reads].map(|reads| u32::from(reads).to_be_bytes()).concat()
}

/// How many READs a peer answers at a time, as it says.
fn reads_of(frame: &Frame) -> u16 {
    match (frame.depths, frame.private_data.first_chunk::<4>()) {
        (Some(depths), _) => depths.incoming,
        (None, Some(first)) => {
            let reads = u32::from_be_bytes(*first);
            // Some send it as their processor counts.
            u16::try_from(reads.min(reads.swap_bytes())).unwrap_or(u16::MAX)
        }
        (None, None) => READS_UNSAID,
    }
}
