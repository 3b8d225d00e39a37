//! The functions of librdmacm that tell of events.

use std::ffi::{c_char, c_int};
use std::ptr;

use frevo_verbs::sys::{event, CmEvent, CmId, ConnParam, EventChannel};

use crate::misuse;
use crate::world::{key, world};

#[no_mangle]
pub unsafe extern "C" fn rdma_get_cm_event(channel: *mut EventChannel, place: *mut *mut CmEvent) -> c_int {
    let mut world = world();
    let events = world.event_channels.get_mut(&key(channel)).unwrap_or_else(|| misuse("no event channel"));
    let Some(happened) = events.pop() else { return -1 };
    let named = if happened.listener == 0 { happened.id } else { happened.listener };
    world.identifiers.get_mut(&named).expect("its events go with it").unacknowledged += 1;
    let data = happened.private_data.into_boxed_slice();
    let event = CmEvent {
        id: happened.id as *mut CmId,
        listen_id: happened.listener as *mut CmId,
        event: happened.event,
        status: happened.status,
        conn: ConnParam {
            private_data: data.as_ptr().cast(),
            private_data_len: data.len() as u8,
            responder_resources: happened.reads.0,
            initiator_depth: happened.reads.1,
            flow_control: 0,
            retry_count: 0,
            rnr_retry_count: 0,
            srq: 0,
            qp_num: 0,
        },
        rest: [0; 4],
    };
    std::mem::forget(data);
    // SAFETY: the caller gives a place.
    unsafe { *place = Box::into_raw(Box::new(event)) };
    0
}

#[no_mangle]
pub unsafe extern "C" fn rdma_ack_cm_event(event: *mut CmEvent) -> c_int {
    // SAFETY: it was got from here, with its data, and is not used afterwards.
    let event = unsafe {
        let event = Box::from_raw(event);
        let data = event.conn.private_data.cast::<u8>().cast_mut();
        drop(Box::from_raw(ptr::slice_from_raw_parts_mut(data, usize::from(event.conn.private_data_len))));
        event
    };
    let named = if event.listen_id.is_null() { event.id } else { event.listen_id };
    if let Some(identifier) = world().identifiers.get_mut(&key(named)) {
        identifier.unacknowledged -= 1;
    }
    0
}

#[no_mangle]
pub extern "C" fn rdma_event_str(number: c_int) -> *const c_char {
    let text = match number {
        event::DISCONNECTED => c"RDMA_CM_EVENT_DISCONNECTED",
        event::REJECTED => c"RDMA_CM_EVENT_REJECTED",
        _ => c"RDMA_CM_EVENT",
    };
    text.as_ptr()
}
