//! Memory that a peer may read or write: who may what, and where.
//!
//! The bytes themselves belong to the caller. Each connection has a table of its own, so that a tag opens nothing to
//! another one.

/// What a peer may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// RDMA READ.
    pub read: bool,
    /// RDMA WRITE.
    pub write: bool,
}

impl Access {
    /// RDMA READ alone.
    pub const READ: Access = Access { read: true, write: false };
    /// RDMA WRITE alone.
    pub const WRITE: Access = Access { read: false, write: true };
    /// Nothing: memory for the answers to this side's own RDMA READs.
    pub const NONE: Access = Access { read: false, write: false };
}

/// Why memory is not touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No such tag, or no more.
    Tag,
    /// Outside of the memory.
    Bounds,
    /// The memory is not for this.
    Access,
}

/// A place in registered memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What the caller calls the memory.
    pub memory: u64,
    /// Bytes from its beginning.
    pub offset: u64,
}

#[derive(Debug)]
struct Region {
    memory: u64,
    base: u64,
    bytes: u64,
    access: Access,
    /// Nobody has invalidated its tag.
    open: bool,
}

#[derive(Debug, Default)]
struct Slot {
    /// The low byte of the tag, another one with each use.
    key: u8,
    region: Option<Region>,
}

/// The registered memory of a connection.
#[derive(Debug, Default)]
pub struct Regions {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// How many tags open something to the peer.
    open: usize,
}

/// Tags have 24 bits for the slot.
const MAX_REGIONS: usize = 1 << 24;

impl Regions {
    /// Registers `bytes` of what the caller calls `memory`; the peer counts from `base`. Gives the tag; None: there are
    /// too many.
    pub fn register(&mut self, memory: u64, base: u64, bytes: u64, access: Access) -> Option<u32> {
        base.checked_add(bytes)?;
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots.len() < MAX_REGIONS => {
                self.slots.push(Slot::default());
                self.slots.len() as u32 - 1
            }
            None => return None,
        };
        let slot = &mut self.slots[index as usize];
        slot.key = slot.key.wrapping_add(1);
        slot.region = Some(Region { memory, base, bytes, access, open: true });
        self.open += usize::from(access.read || access.write);
        Some(index << 8 | u32::from(slot.key))
    }

    fn slot(&mut self, tag: u32) -> Option<&mut Slot> {
        let slot = self.slots.get_mut((tag >> 8) as usize)?;
        (slot.key == tag as u8).then_some(slot)
    }

    /// Ends what a tag allows: whether it allowed anything. The tag is not given again before it is released.
    pub fn invalidate(&mut self, tag: u32) -> bool {
        let region = self.slot(tag).and_then(|slot| slot.region.as_mut());
        let Some(region) = region.filter(|region| region.open) else { return false };
        region.open = false;
        let counts = region.access.read || region.access.write;
        self.open -= usize::from(counts);
        true
    }

    /// Forgets a tag, invalidated or not, and says which memory it was for. None: there is no such tag.
    pub fn release(&mut self, tag: u32) -> Option<u64> {
        self.invalidate(tag);
        let region = self.slot(tag)?.region.take()?;
        self.free.push(tag >> 8);
        Some(region.memory)
    }

    /// How many tags open something to the peer.
    pub fn count(&self) -> usize {
        self.open
    }

    /// Where `bytes` at `offset`, as the peer counts, are, when the peer may do that. With `access` none, only tag
    /// and bounds are looked at.
    pub fn find(&self, tag: u32, offset: u64, bytes: u64, access: Access) -> Result<Place, Denied> {
        let slot = self.slots.get((tag >> 8) as usize).filter(|slot| slot.key == tag as u8);
        let region = slot.and_then(|slot| slot.region.as_ref()).filter(|region| region.open);
        let region = region.ok_or(Denied::Tag)?;
        let start = offset.checked_sub(region.base).ok_or(Denied::Bounds)?;
        let end = start.checked_add(bytes).ok_or(Denied::Bounds)?;
        if end > region.bytes {
            return Err(Denied::Bounds);
        }
        if access.read && !region.access.read || access.write && !region.access.write {
            return Err(Denied::Access);
        }
        Ok(Place { memory: region.memory, offset: start })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bounds and rights to the byte, and offsets that wrap.
    #[test]
    fn what_a_tag_opens() {
        let mut regions = Regions::default();
        let tag = regions.register(7, 1000, 100, Access::READ).unwrap();
        let find = |tag, offset, bytes, access| regions.find(tag, offset, bytes, access);
        assert_eq!(find(tag, 1000, 100, Access::READ), Ok(Place { memory: 7, offset: 0 }));
        assert_eq!(find(tag, 1099, 1, Access::NONE), Ok(Place { memory: 7, offset: 99 }));
        assert_eq!(find(tag, 1100, 0, Access::READ), Ok(Place { memory: 7, offset: 100 }));
        for (offset, bytes) in
            [(999, 1), (1000, 101), (1099, 2), (1101, 0), (1050, u64::MAX), (0, 0), (u64::MAX, 2)]
        {
            assert_eq!(find(tag, offset, bytes, Access::READ), Err(Denied::Bounds), "{offset} {bytes}");
        }
        assert_eq!(find(tag, 1000, 1, Access::WRITE), Err(Denied::Access));
        for wrong in [tag ^ 1, tag ^ 0x100, 0, u32::MAX] {
            assert_eq!(find(wrong, 1000, 1, Access::READ), Err(Denied::Tag));
        }
    }

    /// A tag that was invalidated opens nothing, also when its slot is used again.
    #[test]
    fn tags_that_are_over() {
        let mut regions = Regions::default();
        let mut before = vec![];
        for memory in 0..200 {
            let tag = regions.register(memory, 0, 10, Access::WRITE).unwrap();
            assert!(!before.contains(&tag) && regions.count() == 1);
            for old in &before {
                assert_eq!(regions.find(*old, 0, 1, Access::WRITE), Err(Denied::Tag));
                assert!(!regions.invalidate(*old));
            }
            assert!(regions.invalidate(tag) && !regions.invalidate(tag) && regions.count() == 0);
            assert_eq!(regions.find(tag, 0, 1, Access::WRITE), Err(Denied::Tag));
            assert_eq!((regions.release(tag), regions.release(tag)), (Some(memory), None));
            before.push(tag);
        }
        assert_eq!(regions.register(1, u64::MAX, 1, Access::READ), None);
    }

    /// A tag has eight bits that change: one that was invalidated, and is not released, is not given again by then.
    #[test]
    fn a_tag_is_not_given_again_before_it_is_released() {
        let mut regions = Regions::default();
        let held = regions.register(7, 0, 10, Access::READ).unwrap();
        assert!(regions.invalidate(held));
        for memory in 100..1000 {
            let tag = regions.register(memory, 0, 10, Access::READ).unwrap();
            assert_ne!(tag, held);
            assert_eq!(regions.release(tag), Some(memory));
        }
        assert_eq!(regions.release(held), Some(7));
    }
}
