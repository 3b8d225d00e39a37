//! What the devices do with posted requests.

use std::ptr;

use frevo_verbs::sys::{access, status, wc, wr, Sge, WorkCompletion};

use crate::world::{Memory, Pair, Send, State, World};

/// How a request fails: at whoever has posted it, and at the peer, if that learns of it.
struct Failure {
    own: i32,
    peer: Option<i32>,
}

impl Failure {
    const fn own(own: i32) -> Failure {
        Failure { own, peer: None }
    }
}

impl World {
    /// Carries out one request: whether there was any.
    pub fn step(&mut self) -> bool {
        let mut numbers: Vec<u32> = self.pairs.keys().copied().collect();
        numbers.sort_unstable();
        let mut worked = false;
        for number in numbers {
            let Some(pair) = self.pairs.get_mut(&number) else { continue };
            match pair.state {
                State::Error => worked |= self.flush(number),
                State::ReadyToSend => {
                    if let Some(send) = pair.take_send() {
                        self.carry_out(number, &send);
                        worked = true;
                    }
                }
                State::Init => (),
            }
        }
        worked
    }

    /// Gives back what is posted to a queue pair that has failed.
    fn flush(&mut self, number: u32) -> bool {
        let Some(pair) = self.pairs.get_mut(&number) else { return false };
        let (sends, receives) = (std::mem::take(&mut pair.sends), std::mem::take(&mut pair.receives));
        let cqs = pair.cqs;
        let any = !sends.is_empty() || !receives.is_empty();
        let flushed = |id| WorkCompletion {
            wr_id: id,
            status: status::WR_FLUSH_ERR,
            // Of failures, nothing but number and status has a meaning.
            opcode: -1,
            byte_len: u32::MAX,
            wc_flags: u32::MAX,
            qp_num: number,
            ..WorkCompletion::default()
        };
        sends.iter().for_each(|send| self.complete(cqs.send, flushed(send.id)));
        receives.iter().for_each(|receive| self.complete(cqs.receive, flushed(receive.id)));
        any
    }

    /// Puts a queue pair into the error state.
    pub fn fail(&mut self, number: u32) {
        if let Some(pair) = self.pairs.get_mut(&number) {
            pair.state = State::Error;
        }
    }

    fn carry_out(&mut self, number: u32, send: &Send) {
        let pair = &self.pairs[&number];
        let (cqs, peer) = (pair.cqs, pair.peer.filter(|peer| self.pairs.contains_key(peer)));
        let done = match (send.opcode, peer) {
            (_, None) => Err(Failure::own(status::WR_FLUSH_ERR)),
            (wr::SEND | wr::SEND_WITH_INV, Some(peer)) => self.send(number, peer, send),
            (wr::RDMA_WRITE, Some(peer)) => self.write(number, peer, send),
            (wr::RDMA_READ, Some(peer)) => self.read(number, peer, send),
            _ => Err(Failure::own(status::LOC_QP_OP_ERR)),
        };
        let opcode = match send.opcode {
            wr::RDMA_WRITE => wc::RDMA_WRITE,
            wr::RDMA_READ => wc::RDMA_READ,
            _ => wc::SEND,
        };
        let mut completion =
            WorkCompletion { wr_id: send.id, opcode, qp_num: number, ..WorkCompletion::default() };
        match done {
            Ok(()) if !send.signaled => (),
            Ok(()) => self.complete(cqs.send, completion),
            Err(failure) => {
                completion.status = failure.own;
                completion.opcode = -1;
                self.fail(number);
                self.complete(cqs.send, completion);
                if let (Some(_), Some(peer)) = (failure.peer, peer) {
                    self.fail(peer);
                }
                self.disconnected(number);
            }
        }
    }

    /// The bytes that `places` of a queue pair say, when its domain allows them.
    fn local(&self, pair: &Pair, places: &[Sge], access: i32) -> Result<Vec<(*mut u8, usize)>, Failure> {
        places
            .iter()
            .map(|place| {
                let memory = self.memory.get(&place.lkey).filter(|memory| memory.pd == pair.pd);
                memory
                    .filter(|memory| memory.has(place.addr, u64::from(place.length), access))
                    .map(|_| (place.addr as *mut u8, place.length as usize))
                    .ok_or(Failure::own(status::LOC_PROT_ERR))
            })
            .collect()
    }

    /// The bytes that a request of a peer says.
    fn remote(&self, peer: u32, remote: (u32, u64), bytes: usize, access: i32) -> Result<*mut u8, Failure> {
        let pd = self.pairs[&peer].pd;
        self.memory
            .get(&remote.0)
            .filter(|memory| memory.pd == pd && memory.has(remote.1, bytes as u64, access))
            .map(|_| remote.1 as *mut u8)
            .ok_or(Failure { own: status::REM_ACCESS_ERR, peer: Some(status::LOC_QP_OP_ERR) })
    }

    fn send(&mut self, number: u32, peer: u32, send: &Send) -> Result<(), Failure> {
        let source = self.local(&self.pairs[&number], &send.places, 0)?;
        let bytes = source.iter().map(|(_, bytes)| bytes).sum::<usize>();
        let Some(receive) = self.pairs.get_mut(&peer).and_then(|peer| peer.receives.pop_front()) else {
            return Err(Failure { own: status::RNR_RETRY_EXC_ERR, peer: None });
        };
        let (there, cqs) = (&self.pairs[&peer], self.pairs[&peer].cqs);
        let sink = self.local(there, &receive.places, access::LOCAL_WRITE);
        let mut completion = WorkCompletion {
            wr_id: receive.id,
            opcode: wc::RECV,
            byte_len: bytes as u32,
            qp_num: peer,
            ..WorkCompletion::default()
        };
        let room = sink.as_ref().map_or(0, |sink| sink.iter().map(|(_, bytes)| bytes).sum());
        completion.status = match &sink {
            Err(failure) => failure.own,
            Ok(_) if room < bytes => status::LOC_LEN_ERR,
            Ok(_) => status::SUCCESS,
        };
        if completion.status == status::SUCCESS && send.opcode == wr::SEND_WITH_INV {
            let (pd, is_iwarp) = (there.pd, there.is_iwarp);
            // On InfiniBand, plain registrations are not for peers to invalidate.
            match self.memory.get_mut(&send.invalidate).filter(|memory| is_iwarp && memory.pd == pd) {
                Some(memory) => memory.is_valid = false,
                None => completion.status = status::LOC_PROT_ERR,
            }
            (completion.wc_flags, completion.invalidated_rkey) = (wc::WITH_INV, send.invalidate);
        }
        let failed = completion.status != status::SUCCESS;
        if let (Ok(sink), false) = (sink, failed) {
            scatter(&source, &sink);
        }
        self.complete(cqs.receive, completion);
        match failed {
            true if send.opcode == wr::SEND_WITH_INV => {
                Err(Failure { own: status::REM_ACCESS_ERR, peer: Some(status::LOC_PROT_ERR) })
            }
            true => Err(Failure { own: status::REM_INV_REQ_ERR, peer: Some(status::LOC_LEN_ERR) }),
            false => Ok(()),
        }
    }

    fn write(&mut self, number: u32, peer: u32, send: &Send) -> Result<(), Failure> {
        let source = self.local(&self.pairs[&number], &send.places, 0)?;
        let bytes = source.iter().map(|(_, bytes)| bytes).sum::<usize>();
        let target = self.remote(peer, send.remote, bytes, access::REMOTE_WRITE)?;
        scatter(&source, &[(target, bytes)]);
        Ok(())
    }

    fn read(&mut self, number: u32, peer: u32, send: &Send) -> Result<(), Failure> {
        let pair = &self.pairs[&number];
        if pair.reads == 0 {
            return Err(Failure::own(status::REM_OP_ERR));
        }
        let mut rights = access::LOCAL_WRITE;
        if pair.is_iwarp {
            if send.places.len() > 1 {
                return Err(Failure::own(status::LOC_QP_OP_ERR));
            }
            rights |= access::REMOTE_WRITE;
        }
        let sink = self.local(pair, &send.places, rights)?;
        let bytes = sink.iter().map(|(_, bytes)| bytes).sum::<usize>();
        let source = self.remote(peer, send.remote, bytes, access::REMOTE_READ)?;
        scatter(&[(source, bytes)], &sink);
        Ok(())
    }
}

impl Pair {
    /// What is carried out next. On the iWARP card, what follows RDMA READs overtakes them, as it does in siw.
    fn take_send(&mut self) -> Option<Send> {
        let overtakes = |send: &Send| self.is_iwarp && send.opcode != wr::RDMA_READ;
        let next = self.sends.iter().position(overtakes).unwrap_or(0);
        self.sends.remove(next)
    }
}

impl Memory {
    fn has(&self, address: u64, bytes: u64, access: i32) -> bool {
        let inside = address.checked_sub(self.address).and_then(|start| start.checked_add(bytes));
        self.is_valid && inside.is_some_and(|end| end <= self.bytes) && self.access & access == access
    }
}

/// Moves bytes from some places to others that have room for them.
fn scatter(from: &[(*mut u8, usize)], to: &[(*mut u8, usize)]) {
    let mut to = to.iter().copied();
    let (mut at, mut room) = (ptr::null_mut::<u8>(), 0);
    for &(mut start, mut bytes) in from {
        while bytes > 0 {
            if room == 0 {
                (at, room) = to.next().expect("the sizes were compared");
            }
            let now = bytes.min(room);
            // SAFETY: both places are in memory that was registered for this and not deregistered since.
            unsafe {
                ptr::copy(start, at, now);
                (start, at) = (start.add(now), at.add(now));
            }
            (bytes, room) = (bytes - now, room - now);
        }
    }
}
