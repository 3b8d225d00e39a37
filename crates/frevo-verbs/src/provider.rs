//! The contract of providers, by a connection over an RDMA device.

use std::os::fd::RawFd;

use frevo_rdma::provider::{Access, Completion, Ended, Memory, Piece, Provider, Refused, Remote};

use crate::connection::{register, Verbs, MESSAGE_BYTES};
use crate::queue::Request;
use crate::slab::Slots;
use crate::startup::Stage;
use crate::sys::{access, Sge};
use crate::work::{pieces, Early, End, Finished, Shared, Source, Step};

impl Provider for Verbs {
    fn name(&self) -> &'static str {
        "verbs"
    }

    fn memory(&mut self, bytes: usize) -> Option<Memory> {
        self.slabs.as_ref()?.lend(bytes).ok()
    }

    fn post_receives(&mut self, count: u32, bytes: usize) {
        if self.ended.is_none() {
            self.receive_bytes = bytes;
            self.wanted += count;
            self.open_receives();
        }
    }

    fn send(&mut self, head: &[u8], data: &mut dyn Iterator<Item = Piece<'_>>, invalidate: Option<u32>) {
        if self.ended.is_some() {
            return;
        }
        let parts: Vec<Piece<'_>> = data.collect();
        let bytes = head.len() + parts.iter().map(|piece| piece.as_ref().len()).sum::<usize>();
        let Some(domain) = self.domain.clone() else {
            let parts = std::iter::once(head).chain(parts.iter().map(AsRef::as_ref));
            self.held += bytes;
            self.early.push(Early::Send(parts.collect::<Vec<_>>().concat(), invalidate));
            return;
        };
        let size = bytes.next_power_of_two().max(MESSAGE_BYTES);
        let index = self.messages.iter().position(|slots| slots.bytes() == size);
        let index = index.unwrap_or_else(|| {
            self.messages.push(Slots::new(domain.clone(), size));
            self.messages.len() - 1
        });
        let slots = &mut self.messages[index];
        let slot = match slots.take() {
            Ok(slot) => slot,
            Err(refused) => return self.end(refused.to_string()),
        };
        let (start, key) = slots.place(slot);
        let mut at = 0;
        for part in std::iter::once(head).chain(parts.iter().map(AsRef::as_ref)) {
            // SAFETY: the slot has room for all parts, is nobody else's, and they are elsewhere.
            unsafe { std::ptr::copy_nonoverlapping(part.as_ptr(), start.as_ptr().add(at), part.len()) };
            at += part.len();
        }
        self.add(Step {
            request: Request::Send { invalidate: invalidate.filter(|_| domain.limits.invalidates) },
            place: Sge { addr: start.as_ptr() as u64, length: bytes as u32, lkey: key },
            end: Some(End::Slot(size, slot)),
        });
        self.go_on();
    }

    fn write(&mut self, memory: Memory, start: usize, bytes: usize, targets: &[Remote]) {
        assert!(start.checked_add(bytes).is_some_and(|end| end <= memory.len()), "within the memory");
        if bytes == 0 || self.ended.is_some() {
            return;
        }
        if self.domain.is_none() {
            self.held += bytes;
            return self.early.push(Early::Write(memory, start, bytes, targets.to_vec()));
        }
        // SAFETY: `start` is within the memory.
        let at = unsafe { memory.start().add(start) };
        let (source, key) = match self.source(memory, false) {
            Ok(found) => found,
            Err(refused) => return self.end(refused.to_string()),
        };
        let limit = self.domain.as_ref().map_or(u32::MAX, |domain| domain.limits.transfer);
        let pieces = pieces(at, bytes, targets, limit);
        let mut end = Some(End::Written(source));
        for (number, &(addr, length, tag, offset)) in pieces.iter().enumerate() {
            let end = if number + 1 == pieces.len() { end.take() } else { None };
            let place = Sge { addr, length, lkey: key };
            self.add(Step { request: Request::Write(tag, offset), place, end });
        }
        self.go_on();
    }

    fn read(&mut self, work: u64, memory: Memory, start: usize, sources: &[Remote]) {
        let bytes = sources.iter().map(|source| source.bytes as usize).sum::<usize>();
        assert!(start.checked_add(bytes).is_some_and(|end| end <= memory.len()), "within the memory");
        if self.ended.is_some() {
            return;
        }
        if bytes == 0 {
            self.empty.push_back((work, memory));
            return;
        }
        if self.domain.is_none() {
            return self.early.push(Early::Read(work, memory, start, sources.to_vec()));
        }
        // SAFETY: `start` is within the memory.
        let at = unsafe { memory.start().add(start) };
        let (sink, key) = match self.source(memory, true) {
            Ok(found) => found,
            Err(refused) => return self.end(refused.to_string()),
        };
        let limit = self.domain.as_ref().map_or(u32::MAX, |domain| domain.limits.transfer);
        let pieces = pieces(at, bytes, sources, limit);
        let mut end = Some(End::Read { work, sink, start, bytes });
        for (number, &(addr, length, tag, offset)) in pieces.iter().enumerate() {
            let end = if number + 1 == pieces.len() { end.take() } else { None };
            let place = Sge { addr, length, lkey: key };
            self.add(Step { request: Request::Read(tag, offset), place, end });
        }
        self.go_on();
    }

    fn register(&mut self, memory: Memory, allowed: Access) -> Result<Remote, (Refused, Memory)> {
        let (Some(domain), Some(slabs), None) = (&self.domain, &self.slabs, &self.ended) else {
            return Err((Refused("there is no RDMA connection".to_owned()), memory));
        };
        let rights = match (allowed.read, allowed.write) {
            (true, false) => access::REMOTE_READ,
            // Without the first, the second is refused.
            (false, true) => access::LOCAL_WRITE | access::REMOTE_WRITE,
            _ => return Err((Refused("memory is read or written, never both".to_owned()), memory)),
        };
        let Ok(bytes) = u32::try_from(memory.len()) else {
            return Err((Refused(format!("{} bytes are too many", memory.len())), memory));
        };
        let region = match register(domain, slabs, &memory, rights) {
            Ok(region) => region,
            Err(refused) => return Err((refused, memory)),
        };
        let remote = Remote { tag: region.remote_key(), offset: memory.start().as_ptr() as u64, bytes };
        let shared = Shared { source: Source::new(Some(region), memory), is_open: true };
        self.shared.insert(remote.tag, shared);
        Ok(remote)
    }

    fn release(&mut self, tag: u32) -> Option<Memory> {
        // With the registration, what the peer's device still wanted of it is refused, and nothing of it comes later.
        self.shared.remove(&tag).map(|shared| shared.source.into_memory())
    }

    fn poll(&mut self) -> Result<Option<Completion<'_>>, Ended> {
        if let (Some(slot), Some(receives)) = (self.current.take(), &mut self.receives) {
            receives.give(slot);
        }
        let Some(finished) = self.next()? else { return Ok(None) };
        Ok(Some(match finished {
            Finished::Read(work, memory) => Completion::Read { work, memory },
            Finished::Received { slot, bytes, invalidated } => {
                let (start, _) = self.receives.as_ref().expect("one was filled").place(slot);
                // SAFETY: the device has filled so many bytes of the slot and is done with it; the slot is not posted again
                // before the next poll, which ends the borrow.
                let message = unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), bytes) };
                Completion::Received { message, invalidated }
            }
        }))
    }

    fn can_be_invalidated(&self) -> bool {
        // What programs register is not for peers to invalidate.
        false
    }

    fn descriptor(&self) -> Option<RawFd> {
        Some(self.waiter.descriptor())
    }

    fn held(&self) -> usize {
        self.held
    }

    fn registered(&self) -> usize {
        self.shared.values().filter(|shared| shared.is_open).count()
    }

    fn moved(&self) -> (u64, u64) {
        self.moved
    }

    fn close(&mut self) {
        self.is_closing = true;
        if self.stage == Stage::Established {
            self.go_on();
        } else {
            self.end("closed");
        }
    }
}
