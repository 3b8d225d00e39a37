//! The functions of libibverbs.

use std::collections::VecDeque;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::ptr;
use std::sync::OnceLock;

use frevo_verbs::sys::{
    self, access, CompChannel, Context, ContextOps, Cq, Device, DeviceAttr, Mr, Pd, PortAttr,
};

use crate::events::{set_errno, Events};
use crate::misuse;
use crate::posting::{poll_cq, post_recv, post_send, req_notify_cq};
use crate::world::{key, world, Completions, Memory};

/// The devices, which are there for ever.
pub struct Devices([usize; 2]);

fn device(name: &str, node: c_int, transport: c_int) -> usize {
    // SAFETY: zeros are a value of this structure.
    let mut device: Device = unsafe { std::mem::zeroed() };
    (device.node_type, device.transport_type) = (node, transport);
    for (place, byte) in device.name.iter_mut().zip(name.bytes()) {
        *place = byte as c_char;
    }
    Box::into_raw(Box::new(device)) as usize
}

/// The device, by its number: 0 the RoCE card, 1 the iWARP card.
pub fn devices() -> [*mut Device; 2] {
    static DEVICES: OnceLock<Devices> = OnceLock::new();
    let Devices(devices) = DEVICES.get_or_init(|| {
        Devices([device("stub_ib0", 1, sys::TRANSPORT_IB), device("stub_iw0", 4, sys::TRANSPORT_IWARP)])
    });
    devices.map(|device| device as *mut Device)
}

/// The context of the connection manager for each device.
pub fn contexts() -> [*mut Context; 2] {
    static CONTEXTS: OnceLock<Devices> = OnceLock::new();
    let Devices(contexts) =
        CONTEXTS.get_or_init(|| Devices(devices().map(|device| context(device) as usize)));
    contexts.map(|context| context as *mut Context)
}

fn context(device: *mut Device) -> *mut Context {
    let ops = ContextOps {
        before_poll: [ptr::null_mut(); 11],
        poll_cq: Some(poll_cq),
        req_notify_cq: Some(req_notify_cq),
        before_post: [ptr::null_mut(); 12],
        post_send: Some(post_send),
        post_recv: Some(post_recv),
        after_post: [ptr::null_mut(); 5],
    };
    Box::into_raw(Box::new(Context { device, ops, cmd_fd: -1, async_fd: -1, num_comp_vectors: 1 }))
}

pub fn is_iwarp(context: *mut Context) -> bool {
    // SAFETY: contexts and devices are there for ever.
    unsafe { (*(*context).device).transport_type == sys::TRANSPORT_IWARP }
}

#[no_mangle]
pub extern "C" fn ibv_fork_init() -> c_int {
    0
}

#[no_mangle]
pub unsafe extern "C" fn ibv_get_device_list(count: *mut c_int) -> *mut *mut Device {
    let devices =
        if std::env::var_os("VERBS_STUB_NO_DEVICES").is_some() { vec![] } else { devices().to_vec() };
    if !count.is_null() {
        // SAFETY: the caller gives a place, or none.
        unsafe { *count = devices.len() as c_int };
    }
    let mut list = [devices, vec![ptr::null_mut()]].concat().into_boxed_slice();
    let start = list.as_mut_ptr();
    std::mem::forget(list);
    start
}

#[no_mangle]
pub unsafe extern "C" fn ibv_free_device_list(list: *mut *mut Device) {
    let mut count = 0;
    // SAFETY: lists end with null, and are boxed slices.
    unsafe {
        while !(*list.add(count)).is_null() {
            count += 1;
        }
        drop(Box::from_raw(ptr::slice_from_raw_parts_mut(list, count + 1)));
    }
}

#[no_mangle]
pub extern "C" fn ibv_open_device(device: *mut Device) -> *mut Context {
    world().contexts += 1;
    context(device)
}

#[no_mangle]
pub unsafe extern "C" fn ibv_close_device(context: *mut Context) -> c_int {
    world().contexts -= 1;
    // SAFETY: it was opened, and is not used afterwards.
    drop(unsafe { Box::from_raw(context) });
    0
}

#[no_mangle]
pub unsafe extern "C" fn ibv_query_device(context: *mut Context, attributes: *mut DeviceAttr) -> c_int {
    // SAFETY: zeros are a value of this structure, and the caller gives a place for it.
    let attributes = unsafe {
        attributes.write(std::mem::zeroed());
        &mut *attributes
    };
    attributes.max_qp_wr = 1024;
    attributes.max_cqe = 4096;
    attributes.max_sge = if is_iwarp(context) { 2 } else { 16 };
    attributes.max_sge_rd = 1;
    attributes.max_qp_rd_atom = 16;
    attributes.max_qp_init_rd_atom = 16;
    attributes.device_cap_flags = sys::DEVICE_MEM_MGT_EXTENSIONS;
    attributes.phys_port_cnt = 1;
    0
}

#[no_mangle]
pub unsafe extern "C" fn ibv_query_port(_: *mut Context, port: u8, attributes: *mut PortAttr) -> c_int {
    if port != 1 {
        return libc::EINVAL;
    }
    // SAFETY: the caller gives a place.
    let attributes = unsafe { &mut *attributes };
    attributes.state = sys::PORT_ACTIVE;
    attributes.max_msg_sz = 1 << 30;
    (attributes.active_width, attributes.active_speed) = (2, 32); // 4 lanes of 25 Gbit/s
    attributes.link_layer = 2; // Ethernet
    0
}

#[no_mangle]
pub extern "C" fn ibv_alloc_pd(context: *mut Context) -> *mut Pd {
    let domain = Box::into_raw(Box::new(Pd { context, handle: 0 }));
    world().domains.insert(key(domain), 0);
    domain
}

#[no_mangle]
pub unsafe extern "C" fn ibv_dealloc_pd(domain: *mut Pd) -> c_int {
    let mut world = world();
    let pd = key(domain);
    let used =
        world.memory.values().any(|memory| memory.pd == pd) || world.pairs.values().any(|pair| pair.pd == pd);
    if used || world.domains.remove(&pd).is_none() {
        misuse("a protection domain that is used, or is none, was destroyed");
    }
    // SAFETY: it was made here, and is not used afterwards.
    drop(unsafe { Box::from_raw(domain) });
    0
}

#[no_mangle]
pub unsafe extern "C" fn ibv_reg_mr(
    domain: *mut Pd,
    start: *mut c_void,
    bytes: usize,
    rights: c_int,
) -> *mut Mr {
    let mut world = world();
    if !world.domains.contains_key(&key(domain)) {
        misuse("memory was registered in no protection domain");
    }
    let registered = world.memory.values().map(|memory| memory.bytes).sum::<u64>();
    let too_much = world.lock_limit.is_some_and(|limit| registered + bytes as u64 > limit);
    let refused = rights & access::REMOTE_WRITE != 0 && rights & access::LOCAL_WRITE == 0;
    if too_much || refused {
        set_errno(if refused { libc::EINVAL } else { libc::ENOMEM });
        return ptr::null_mut();
    }
    // Keys are never used again, and do not follow each other.
    world.next_key += 1;
    let number = world.next_key.wrapping_mul(0x9E37_79B1);
    let memory = Memory {
        pd: key(domain),
        address: start as u64,
        bytes: bytes as u64,
        access: rights,
        is_valid: true,
    };
    world.memory.insert(number, memory);
    // SAFETY: the domain exists.
    let context = unsafe { (*domain).context };
    let region =
        Mr { context, pd: domain, addr: start, length: bytes, handle: 0, lkey: number, rkey: number };
    Box::into_raw(Box::new(region))
}

#[no_mangle]
pub unsafe extern "C" fn ibv_dereg_mr(region: *mut Mr) -> c_int {
    // SAFETY: it was made here, and is not used afterwards.
    let region = unsafe { Box::from_raw(region) };
    if world().memory.remove(&region.lkey).is_none() {
        misuse("memory was deregistered twice");
    }
    0
}

#[no_mangle]
pub extern "C" fn ibv_create_comp_channel(context: *mut Context) -> *mut CompChannel {
    let events = Events::new();
    let channel = Box::into_raw(Box::new(CompChannel { context, fd: events.fd(), refcnt: 0 }));
    world().channels.insert(key(channel), events);
    channel
}

#[no_mangle]
pub unsafe extern "C" fn ibv_destroy_comp_channel(channel: *mut CompChannel) -> c_int {
    let mut world = world();
    let used = world.queues.values().any(|queue| queue.channel == key(channel));
    if used || world.channels.remove(&key(channel)).is_none() {
        misuse("a completion channel that is used, or is none, was destroyed");
    }
    // SAFETY: it was made here, and is not used afterwards.
    drop(unsafe { Box::from_raw(channel) });
    0
}

#[no_mangle]
pub extern "C" fn ibv_create_cq(
    context: *mut Context,
    entries: c_int,
    cq_context: *mut c_void,
    channel: *mut CompChannel,
    _: c_int,
) -> *mut Cq {
    let queue = Box::into_raw(Box::new(Cq { context, channel, cq_context, handle: 0, cqe: entries }));
    let completions = Completions {
        waiting: VecDeque::new(),
        room: entries as usize,
        armed: false,
        channel: key(channel),
        unacknowledged: 0,
    };
    world().queues.insert(key(queue), completions);
    queue
}

#[no_mangle]
pub unsafe extern "C" fn ibv_destroy_cq(queue: *mut Cq) -> c_int {
    let mut world = world();
    let used = world.pairs.values().any(|pair| pair.cqs.send == key(queue) || pair.cqs.receive == key(queue));
    let Some(completions) = world.queues.remove(&key(queue)).filter(|_| !used) else {
        misuse("a completion queue that is used, or is none, was destroyed")
    };
    if completions.unacknowledged > 0 {
        misuse("a completion queue with unacknowledged events was destroyed: this waits for ever");
    }
    if let Some(events) = world.channels.get_mut(&completions.channel) {
        events.remove(|of| *of == key(queue));
    }
    // SAFETY: it was made here, and is not used afterwards.
    drop(unsafe { Box::from_raw(queue) });
    0
}

#[no_mangle]
pub unsafe extern "C" fn ibv_get_cq_event(
    channel: *mut CompChannel,
    queue: *mut *mut Cq,
    context: *mut *mut c_void,
) -> c_int {
    let mut world = world();
    let events = world.channels.get_mut(&key(channel)).unwrap_or_else(|| misuse("no completion channel"));
    let Some(of) = events.pop() else { return -1 };
    world.queues.get_mut(&of).expect("its events go with it").unacknowledged += 1;
    // SAFETY: the caller gives places, and the queue exists.
    unsafe {
        *queue = of as *mut Cq;
        *context = (**queue).cq_context;
    }
    0
}

#[no_mangle]
pub extern "C" fn ibv_ack_cq_events(queue: *mut Cq, count: c_uint) {
    let mut world = world();
    let completions = world.queues.get_mut(&key(queue)).unwrap_or_else(|| misuse("no completion queue"));
    completions.unacknowledged = completions
        .unacknowledged
        .checked_sub(count)
        .unwrap_or_else(|| misuse("too many events acknowledged"));
}

#[no_mangle]
pub extern "C" fn ibv_wc_status_str(number: c_int) -> *const c_char {
    use sys::status;
    let text = match number {
        status::SUCCESS => c"success",
        status::LOC_LEN_ERR => c"local length error",
        status::LOC_QP_OP_ERR => c"local QP operation error",
        status::LOC_PROT_ERR => c"local protection error",
        status::WR_FLUSH_ERR => c"Work Request Flushed Error",
        status::REM_INV_REQ_ERR => c"remote invalid request error",
        status::REM_ACCESS_ERR => c"remote access error",
        status::REM_OP_ERR => c"remote operation error",
        status::RNR_RETRY_EXC_ERR => c"RNR retry counter exceeded",
        _ => c"unknown",
    };
    text.as_ptr()
}
