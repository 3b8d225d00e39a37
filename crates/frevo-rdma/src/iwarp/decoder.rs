//! From a stream of bytes to segments (MPA's FPDUs, RFC 5044, 4).

use crc32c::crc32c_append;

use super::header::{BadHeader, Header, HEADER_BYTES, LENGTH_BYTES, TAGGED_HEADER_BYTES};

/// The longest end of an FPDU: padding to four bytes, and the checksum.
pub const TRAILER_BYTES: usize = 3 + 4;

const CRC_BYTES: usize = 4;

/// What has come of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// The header of a segment.
    Begins(Header),
    /// So many bytes of its data, the next ones of what was fed.
    Data(usize),
    /// All its data are at this address of the peer.
    Reference(u64),
    /// All its data have come, and the checksum fits.
    Ends,
}

/// What makes a stream unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The checksum of a segment is wrong.
    Checksum,
    /// Its header is.
    Header(BadHeader),
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Head,
    Reference,
    Data { left: usize },
    Trailer { pad: usize },
}

/// Takes a stream apart. The data themselves are not kept here: they can be received where they belong.
#[derive(Debug)]
pub(super) struct Decoder {
    checks: bool,
    by_reference: bool,
    stage: Stage,
    /// The header, or the trailer, as far as it has come.
    kept: [u8; HEADER_BYTES],
    have: usize,
    sum: u32,
    ulpdu: usize,
}

impl Decoder {
    /// At the beginning of a segment. `checks`: segments have checksums. `by_reference`: tagged ones have an address.
    pub(super) fn new(checks: bool, by_reference: bool) -> Decoder {
        Decoder {
            checks,
            by_reference,
            stage: Stage::Head,
            kept: [0; HEADER_BYTES],
            have: 0,
            sum: 0,
            ulpdu: 0,
        }
    }

    /// Whether a segment has begun and not ended.
    pub(super) fn is_inside(&self) -> bool {
        !matches!(self.stage, Stage::Head) || self.have > 0
    }

    /// How many bytes of data can be received where they belong; what follows them is the end of the segment.
    pub(super) fn direct(&self) -> usize {
        match self.stage {
            Stage::Data { left } => left,
            _ => 0,
        }
    }

    /// How many bytes come before the data of the next segment, if that says where in memory it belongs; 0 within data.
    pub(super) fn until_data(&self) -> usize {
        match self.stage {
            Stage::Head => TAGGED_HEADER_BYTES.saturating_sub(self.have),
            Stage::Trailer { pad } => pad + CRC_BYTES - self.have + TAGGED_HEADER_BYTES,
            Stage::Reference | Stage::Data { .. } => 0,
        }
    }

    /// Takes the next step with `bytes`, removing from them what it used. None: more has to come.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Segment>, Broken> {
        loop {
            match self.stage {
                Stage::Head => {
                    if !self.fill(bytes, LENGTH_BYTES) {
                        return Ok(None);
                    }
                    if self.kept[..LENGTH_BYTES] == [0; LENGTH_BYTES] {
                        self.skip_empty();
                        continue;
                    }
                    if !self.fill(bytes, LENGTH_BYTES + 1) {
                        return Ok(None);
                    }
                    let [high, low, control, ..] = self.kept;
                    let whole = Header::bytes_of([high, low, control]);
                    if LENGTH_BYTES + usize::from(u16::from_be_bytes([high, low])) < whole {
                        return Err(Broken::Header(BadHeader::Length)); // the rest of it may never come
                    }
                    if !self.fill(bytes, whole) {
                        return Ok(None);
                    }
                    let header = Header::parse(&self.kept[..whole]).map_err(Broken::Header)?;
                    self.sum = if self.checks { crc32c_append(0, &self.kept[..whole]) } else { 0 };
                    self.ulpdu = whole + header.data;
                    self.have = 0;
                    let refers = self.by_reference && header.operation.is_tagged() && header.data > 0;
                    self.stage = if refers { Stage::Reference } else { self.after(header.data) };
                    return Ok(Some(Segment::Begins(header)));
                }
                Stage::Reference => {
                    if !self.fill(bytes, size_of::<u64>()) {
                        return Ok(None);
                    }
                    let address = *self.kept.first_chunk().expect("longer than an address");
                    self.have = 0;
                    self.stage = self.after(0);
                    return Ok(Some(Segment::Reference(u64::from_ne_bytes(address))));
                }
                Stage::Data { left } => {
                    let count = left.min(bytes.len());
                    if count == 0 {
                        return Ok(None);
                    }
                    let (data, rest) = bytes.split_at(count);
                    *bytes = rest;
                    self.received(data);
                    return Ok(Some(Segment::Data(count)));
                }
                Stage::Trailer { pad } => {
                    if !self.fill(bytes, pad + CRC_BYTES) {
                        return Ok(None);
                    }
                    self.check(pad)?;
                    (self.stage, self.have) = (Stage::Head, 0);
                    if self.ulpdu > LENGTH_BYTES {
                        return Ok(Some(Segment::Ends));
                    }
                }
            }
        }
    }

    /// An FPDU of nothing, with which an initiator may begin (RFC 6581, 9).
    fn skip_empty(&mut self) {
        self.sum = if self.checks { crc32c_append(0, &[0; LENGTH_BYTES]) } else { 0 };
        (self.ulpdu, self.have) = (LENGTH_BYTES, 0);
        self.stage = self.after(0);
    }

    /// The next bytes of data, which were received where they belong. At most `direct()` of them.
    pub(super) fn received(&mut self, data: &[u8]) {
        let Stage::Data { left } = self.stage else { panic!("no data are expected") };
        if self.checks {
            self.sum = crc32c_append(self.sum, data);
        }
        self.stage = self.after(left - data.len());
    }

    fn after(&self, left: usize) -> Stage {
        match left {
            0 => Stage::Trailer { pad: self.ulpdu.wrapping_neg() % 4 },
            left => Stage::Data { left },
        }
    }

    /// Keeps bytes until there are `count`: whether there are.
    fn fill(&mut self, bytes: &mut &[u8], count: usize) -> bool {
        let taken = count.saturating_sub(self.have).min(bytes.len());
        let (now, rest) = bytes.split_at(taken);
        self.kept[self.have..self.have + taken].copy_from_slice(now);
        self.have += taken;
        *bytes = rest;
        self.have >= count
    }

    /// The checksum covers everything before it. Without checksums the field is there and says nothing.
    fn check(&mut self, pad: usize) -> Result<(), Broken> {
        if !self.checks {
            return Ok(());
        }
        let expected = crc32c_append(self.sum, &self.kept[..pad]);
        let found = &self.kept[pad..pad + CRC_BYTES];
        if found == expected.to_le_bytes() {
            Ok(())
        } else {
            Err(Broken::Checksum)
        }
    }
}

/// What follows the data of a segment: padding and checksum. `ulpdu`: how long the header with its length field and the
/// data are. `sum`: their checksum, None without.
pub(super) fn trailer(ulpdu: usize, sum: Option<u32>) -> ([u8; TRAILER_BYTES], usize) {
    let pad = ulpdu.wrapping_neg() % 4;
    let mut bytes = [0; TRAILER_BYTES];
    if let Some(sum) = sum {
        let sum = crc32c_append(sum, &bytes[..pad]);
        bytes[pad..pad + CRC_BYTES].copy_from_slice(&sum.to_le_bytes());
    }
    (bytes, pad + CRC_BYTES)
}
