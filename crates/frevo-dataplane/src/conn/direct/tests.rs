//! Both ends of SMB Direct connections in memory.

mod endings;
mod moving;

use std::sync::atomic::AtomicBool;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::conn::{Connection, Host, Role, Settings as Agreements, Submission};
use crate::event::{Event, Flow, Payload, Reason};
use crate::framing::Framing;
use crate::limits::Limits;
use crate::wire::raw::{at, put};

const PROVIDERS: [Provider; 2] = [Provider::Iwarp, Provider::Emulated];

/// One end.
struct End {
    connection: Connection,
    host: Host,
    messages: Vec<Payload>,
}

impl End {
    fn new(role: Role, settings: &Settings, now: Instant) -> End {
        let limits = Arc::new(Limits::default());
        let mut connection = Connection::new(1, Framing::Tcp, role, Arc::new(Flow::new(None)), &limits);
        let emulated = settings.provider == Provider::Emulated;
        let process = emulated.then(|| Box::new(Process::myself()) as Box<dyn Neighbour>);
        connection.run_over(Direct::new(settings, role, now, process));
        connection.set_settings(Agreements { authenticated: true, multi_credit: true, ..Default::default() });
        let host = Host::new(limits, Arc::default(), Arc::new(AtomicBool::new(false)), now);
        End { connection, host, messages: Vec::new() }
    }

    fn direct(&mut self) -> &mut Direct {
        self.connection.common.direct.as_mut().unwrap()
    }

    /// What its carrier sends.
    fn output(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            self.connection.load(&mut self.host).unwrap();
            let some = self.connection.output().take_all(&mut self.host.pool);
            if some.is_empty() {
                return all;
            }
            all.extend(some);
        }
    }

    /// Gives it bytes in pieces of at most `size`, where it wants them.
    fn feed(&mut self, mut bytes: &[u8], size: usize) -> Result<(), Reason> {
        while !bytes.is_empty() {
            let count = size.min(bytes.len());
            let count = match self.connection.room(&mut self.host) {
                crate::conn::Room::Own(room) => {
                    let count = count.min(room.len());
                    for (to, from) in room.iter_mut().zip(bytes).take(count) {
                        to.write(*from);
                    }
                    // SAFETY: they were written just now.
                    unsafe { self.connection.direct_filled(count, &mut self.host)? };
                    count
                }
                _ => {
                    self.connection.feed(&mut bytes[..count].to_vec(), &mut self.host)?;
                    count
                }
            };
            bytes = &bytes[count..];
        }
        self.connection.resume(&mut self.host)?;
        for event in std::mem::take(&mut self.host.events) {
            match event {
                Event::Message { payload, .. } => self.messages.push(payload),
                other => panic!("{other:?}"),
            }
        }
        Ok(())
    }

    fn submit(&mut self, message: &[u8]) {
        self.connection.submit(Submission::new(0, 0, &[message]), &self.host.stats).unwrap();
    }
}

/// Two ends.
struct Pair {
    client: End,
    server: End,
    now: Instant,
    /// Bytes that come at a time.
    size: usize,
}

impl Pair {
    /// Nothing was said yet.
    fn new(settings: &Settings) -> Pair {
        let now = Instant::now();
        let (client, server) = (End::new(Role::Client, settings, now), End::new(Role::Server, settings, now));
        Pair { client, server, now, size: 64 * 1024 }
    }

    /// SMB Direct is negotiated.
    fn established(settings: &Settings) -> Pair {
        let mut pair = Pair::new(settings);
        pair.run();
        pair.wait(Duration::from_millis(25)); // a client is patient
        assert!(pair.client.direct().agreed().is_some() && pair.server.direct().agreed().is_some());
        pair
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        (self.client.host.now, self.server.host.now) = (self.now, self.now);
        self.run();
    }

    /// Until neither has anything to say.
    fn run(&mut self) {
        loop {
            let (up, down) = (self.client.output(), self.server.output());
            if up.is_empty() && down.is_empty() {
                return;
            }
            self.server.feed(&up, self.size).unwrap();
            self.client.feed(&down, self.size).unwrap();
        }
    }
}

/// A message with `bytes` in all, each of its own.
fn message(id: u64, bytes: usize, is_response: bool) -> Vec<u8> {
    let mut message: Vec<u8> = (0..bytes).map(|index| (index as u64 * 31 + id) as u8).collect();
    message[..64].fill(0);
    message[..4].copy_from_slice(b"\xfeSMB");
    put(&mut message, 4, 64u16.to_le_bytes());
    put(&mut message, at::CREDIT_CHARGE, 1u16.to_le_bytes());
    put(&mut message, at::COMMAND, crate::wire::command::IOCTL.to_le_bytes());
    put(&mut message, at::CREDITS, 10u16.to_le_bytes());
    put(&mut message, at::FLAGS, u32::from(is_response).to_le_bytes());
    put(&mut message, at::MESSAGE_ID, id.to_le_bytes());
    message
}
