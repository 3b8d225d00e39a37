//! What the headers of libibverbs call in a device's table: posting and polling.

use std::ffi::c_int;

use frevo_verbs::sys::{self, Cq, Qp, RecvWr, SendWr, Sge, WorkCompletion};

use crate::misuse;
use crate::world::{key, wake, world, Receive, Send, State};

pub unsafe extern "C" fn req_notify_cq(queue: *mut Cq, _: c_int) -> c_int {
    let mut world = world();
    world.queues.get_mut(&key(queue)).unwrap_or_else(|| misuse("no completion queue")).armed = true;
    0
}

pub unsafe extern "C" fn poll_cq(queue: *mut Cq, room: c_int, place: *mut WorkCompletion) -> c_int {
    let mut world = world();
    let world = &mut *world;
    let completions = world.queues.get_mut(&key(queue)).unwrap_or_else(|| misuse("no completion queue"));
    let count = completions.waiting.len().min(room as usize);
    for (at, completion) in completions.waiting.drain(..count).enumerate() {
        if let Some(pair) = world.pairs.get_mut(&completion.qp_num) {
            if let Some(index) = pair.unpolled.iter().position(|id| *id == completion.wr_id) {
                pair.unpolled.remove(index);
            }
        }
        // SAFETY: the caller has room for so many.
        unsafe { place.add(at).write(completion) };
    }
    count as c_int
}

/// The places that a request names.
///
/// # Safety
/// The list has so many.
unsafe fn places(list: *const Sge, count: c_int) -> Vec<Sge> {
    match count {
        0 => vec![],
        // SAFETY: as the caller says.
        _ => unsafe { std::slice::from_raw_parts(list, count as usize) }.to_vec(),
    }
}

pub unsafe extern "C" fn post_send(pair: *mut Qp, mut request: *mut SendWr, bad: *mut *mut SendWr) -> c_int {
    let mut world = world();
    while !request.is_null() {
        // SAFETY: the caller gives a list of requests, a place, and a queue pair.
        let (wr, number) = unsafe {
            *bad = request;
            (*request, (*pair).qp_num)
        };
        let pair = world.pairs.get_mut(&number).unwrap_or_else(|| misuse("no queue pair"));
        if pair.state == State::Init || wr.num_sge > 1 {
            return libc::EINVAL;
        }
        if pair.unpolled.len() >= pair.room.0 {
            return libc::ENOMEM;
        }
        pair.unpolled.push_back(wr.wr_id);
        pair.sends.push_back(Send {
            id: wr.wr_id,
            opcode: wr.opcode,
            signaled: wr.send_flags & sys::SEND_SIGNALED != 0,
            // SAFETY: the caller gives such a list.
            places: unsafe { places(wr.sg_list, wr.num_sge) },
            invalidate: wr.invalidate_rkey,
            remote: (wr.rkey, wr.remote_addr),
        });
        request = wr.next;
    }
    drop(world);
    wake();
    0
}

pub unsafe extern "C" fn post_recv(pair: *mut Qp, mut request: *mut RecvWr, bad: *mut *mut RecvWr) -> c_int {
    let mut world = world();
    while !request.is_null() {
        // SAFETY: the caller gives a list of requests, a place, and a queue pair.
        let (wr, number) = unsafe {
            *bad = request;
            (*request, (*pair).qp_num)
        };
        let pair = world.pairs.get_mut(&number).unwrap_or_else(|| misuse("no queue pair"));
        if wr.num_sge > 1 {
            return libc::EINVAL;
        }
        if pair.receives.len() >= pair.room.1 {
            return libc::ENOMEM;
        }
        // SAFETY: the caller gives such a list.
        let places = unsafe { places(wr.sg_list, wr.num_sge) };
        pair.receives.push_back(Receive { id: wr.wr_id, places });
        request = wr.next;
    }
    drop(world);
    wake();
    0
}
