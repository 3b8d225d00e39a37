//! What only tests ask of the devices.

use std::ffi::c_int;

use frevo_verbs::sys::event;

use crate::world::{wake, world, Happening};

/// How many objects exist: with none in use, none is left.
#[no_mangle]
pub extern "C" fn verbs_stub_objects() -> usize {
    world().objects()
}

/// Lets so many bytes be registered in all; u64::MAX: any.
#[no_mangle]
pub extern "C" fn verbs_stub_limit_memory(bytes: u64) {
    world().lock_limit = Some(bytes).filter(|bytes| *bytes != u64::MAX);
}

/// Takes all devices away from whoever is connected.
#[no_mangle]
pub extern "C" fn verbs_stub_remove_devices() {
    let mut world = world();
    let connected: Vec<usize> =
        world.identifiers.iter().filter(|(_, of)| of.peer.is_some()).map(|(id, _)| *id).collect();
    for id in connected {
        let event: c_int = event::DEVICE_REMOVAL;
        world.tell(Happening { id, listener: 0, event, status: 0, private_data: vec![], reads: (0, 0) });
    }
    drop(world);
    wake();
}
