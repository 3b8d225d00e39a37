//! SMB Direct beneath a connection: hostile bytes, and hostile segments of a peer that has begun well.

use std::sync::atomic::AtomicBool;
use std::sync::Arc;
use std::time::{Duration, Instant};

use frevo_dataplane::conn::direct::{Direct, Process, Provider, Settings};
use frevo_dataplane::conn::{self, Connection, Host, Role, Room, Submission};
use frevo_dataplane::event::{Event, Flow, Reason};
use frevo_dataplane::framing::Framing;
use frevo_dataplane::limits::Limits;

/// One end.
struct End {
    connection: Connection,
    host: Host,
    /// Requests that were not answered.
    owed: Vec<Vec<u8>>,
}

impl End {
    fn new(provider: Provider, role: Role, authenticated: bool, checksums: bool) -> End {
        let limits = Arc::new(Limits::default());
        let now = Instant::now();
        let mut connection = Connection::new(1, Framing::Tcp, role, Arc::new(Flow::new(None)), &limits);
        let process = (provider == Provider::Emulated).then(|| Box::new(Process::myself()) as _);
        let settings = Settings { checksums, ..Settings::new(provider) };
        connection.run_over(Direct::new(&settings, role, now, process));
        let multi_credit = true;
        connection.set_settings(conn::Settings { authenticated, multi_credit, ..Default::default() });
        let host = Host::new(limits, Arc::default(), Arc::new(AtomicBool::new(true)), now);
        End { connection, host, owed: Vec::new() }
    }

    fn output(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while self.connection.load(&mut self.host).is_ok() {
            let some = self.connection.output().take_all(&mut self.host.pool);
            if some.is_empty() {
                break;
            }
            all.extend(some);
        }
        assert!(self.connection.output_bytes() <= self.host.limits.output_high_water + (17 << 20));
        all
    }

    fn feed(&mut self, bytes: &[u8], piece: usize) -> Result<(), Reason> {
        let mut rest = bytes.to_vec();
        let mut rest = &mut rest[..];
        while !rest.is_empty() {
            let count = piece.min(rest.len());
            let (now, later) = rest.split_at_mut(count);
            rest = later;
            self.receive(now)?;
        }
        self.connection.resume(&mut self.host)?;
        for event in self.host.events.drain(..) {
            if let Event::Message { payload, .. } = event {
                self.owed.push(payload.to_vec());
            }
        }
        Ok(())
    }

    /// Bytes come, where they belong.
    fn receive(&mut self, mut bytes: &mut [u8]) -> Result<(), Reason> {
        while !bytes.is_empty() {
            let Room::Own(room) = self.connection.room(&mut self.host) else {
                return self.connection.feed(bytes, &mut self.host);
            };
            let count = room.len().min(bytes.len());
            for (to, from) in room.iter_mut().zip(&*bytes) {
                to.write(*from);
            }
            // SAFETY: `count` bytes were written there just now.
            unsafe { self.connection.direct_filled(count, &mut self.host)? };
            bytes = &mut bytes[count..];
        }
        Ok(())
    }
}

/// Bytes that say what happens.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn word(&mut self) -> u32 {
        // Small numbers are the likely ones.
        let byte = self.byte().unwrap_or(0);
        match byte {
            0xFF => u32::MAX,
            0xF0..=0xFE => 1 << (byte & 15),
            _ => u32::from(byte),
        }
    }

    fn some(&mut self, most: usize) -> Vec<u8> {
        let count = usize::from(self.byte().unwrap_or(0)).min(most).min(self.0.len());
        let (some, rest) = self.0.split_at(count);
        self.0 = rest;
        some.to_vec()
    }
}

/// A segment with no checksum, as the script says.
fn segment(script: &mut Script<'_>) -> Vec<u8> {
    let control =
        [0x41, 0xC1, 0x01, 0x81, script.byte().unwrap_or(0)][usize::from(script.byte().unwrap_or(0)) % 5];
    let operation = 0x40 | script.byte().unwrap_or(3) & 0x0F;
    let mut ulpdu = vec![control, operation];
    if control & 0x80 != 0 {
        ulpdu.extend(script.word().to_be_bytes());
        ulpdu.extend(u64::from(script.word()).to_be_bytes());
    } else {
        for _ in 0..4 {
            ulpdu.extend(script.word().to_be_bytes());
        }
    }
    if script.byte().unwrap_or(0) & 1 == 0 {
        // Something that looks like a message of SMB Direct.
        for _ in 0..2 {
            ulpdu.extend((script.word() as u16).to_le_bytes());
        }
        ulpdu.extend([0; 4]);
        let data = script.some(200);
        for word in [script.word(), 24, data.len() as u32, 0] {
            ulpdu.extend(word.to_le_bytes());
        }
        ulpdu.extend(data);
    } else {
        ulpdu.extend(script.some(200));
    }
    let mut bytes = (ulpdu.len() as u16).to_be_bytes().to_vec();
    bytes.extend(ulpdu);
    bytes.resize(bytes.len().next_multiple_of(4) + 4, 0);
    bytes
}

/// A message that may be sent.
fn message(id: u64, bytes: usize, is_response: bool) -> Vec<u8> {
    let mut message = vec![id as u8; 64 + bytes];
    message[..64].fill(0);
    message[..6].copy_from_slice(b"\xfeSMB\x40\0");
    message[6] = 1;
    (message[12], message[14], message[16]) = (11, 100, u8::from(is_response));
    message[24..32].copy_from_slice(&id.to_le_bytes());
    message
}

/// Two ends talk, as the script says; then what one says is changed, or somebody else's segments come. No panic, bounded output, and what
/// ends says why.
pub fn direct(data: &[u8]) {
    let mut script = Script(data);
    let choice = script.byte().unwrap_or(0);
    let provider = if choice & 1 == 0 { Provider::Iwarp } else { Provider::Emulated };
    let (authenticated, checksums) = (choice & 2 == 0, choice & 4 != 0);
    let mut ends =
        [Role::Client, Role::Server].map(|role| End::new(provider, role, authenticated, checksums));
    let piece = [usize::MAX, 1, 7, 1000][usize::from(choice >> 3) % 4];
    let (mut id, mut steps) = (0, 0);
    while let (Some(step), true) = (script.byte(), steps < 200) {
        steps += 1;
        let side = usize::from(step >> 7);
        let mut bytes = match step & 7 {
            0 => {
                let size = script.word() as usize % 100_000;
                id += u64::from(side == 0);
                let message = match side {
                    0 => message(id - 1, size, false),
                    _ => {
                        ends[1].owed.pop().map_or_else(|| message(9, size, true), |request| answer(&request))
                    }
                };
                let stats = ends[side].host.stats.clone();
                drop(ends[side].connection.submit(Submission::new(0, 0, &[&message]), &stats));
                ends[side].output()
            }
            1 => segment(&mut script),
            2 => {
                let mut bytes = ends[side].output();
                let at = script.word() as usize;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= step >> 3 | 1;
                }
                bytes
            }
            3 => script.some(100),
            4 => {
                let time = Duration::from_millis(u64::from(script.word()) * 10);
                ends.iter_mut().for_each(|end| end.host.now += time);
                continue;
            }
            _ => ends[side].output(),
        };
        let other = &mut ends[1 - side];
        if step & 8 != 0 {
            bytes.truncate(bytes.len() / 2);
        }
        if let Err(reason) = other.feed(&bytes, piece) {
            assert!(!reason.is_empty() && reason.chars().count() < 200, "{reason}");
            return;
        }
    }
}

fn answer(request: &[u8]) -> Vec<u8> {
    let mut answer = request.to_vec();
    if let Some(flags) = answer.get_mut(16) {
        *flags |= 1;
    }
    answer
}
