//! The functions of librdmacm.

use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

use frevo_verbs::sys::{
    event, CmId, ConnParam, Context, EventChannel, Pd, Qp, QpInitAttr, OPTION_ID, OPTION_ID_AFONLY,
};

use crate::events::{set_errno, Events};
use crate::misuse;
use crate::verbs::{contexts, is_iwarp};
use crate::world::{key, wake, world, Cqs, Happening, Identifier, Pair, State, World};

/// The least private data that a side of InfiniBand's connection manager is told of.
const PRIVATE_BYTES: usize = 56;

fn fail(errno: c_int) -> c_int {
    set_errno(errno);
    -1
}

/// The address and the port in it.
fn parse(address: *const libc::sockaddr) -> Option<(IpAddr, u16)> {
    // SAFETY: callers give addresses, whose family says what they are.
    unsafe {
        match c_int::from((*address).sa_family) {
            libc::AF_INET => {
                let v4 = &*address.cast::<libc::sockaddr_in>();
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Some((IpAddr::V4(ip), u16::from_be(v4.sin_port)))
            }
            libc::AF_INET6 => {
                let v6 = &*address.cast::<libc::sockaddr_in6>();
                Some((IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)), u16::from_be(v6.sin6_port)))
            }
            _ => None,
        }
    }
}

/// Where an address is kept.
fn store(place: &mut libc::sockaddr_storage, address: *const libc::sockaddr, port: u16) {
    // SAFETY: the place is larger than either kind of address, and the family says which it is.
    unsafe {
        let v6 = c_int::from((*address).sa_family) == libc::AF_INET6;
        let bytes = if v6 { size_of::<libc::sockaddr_in6>() } else { size_of::<libc::sockaddr_in>() };
        ptr::copy_nonoverlapping(address.cast::<u8>(), ptr::from_mut(place).cast(), bytes);
        // The port is at the same place in both.
        (*ptr::from_mut(place).cast::<libc::sockaddr_in>()).sin_port = port.to_be();
    }
}

/// The card that has an address.
fn card(address: IpAddr) -> Option<*mut Context> {
    let [ib, iwarp] = contexts();
    let none = std::env::var_os("VERBS_STUB_NO_DEVICES").is_some();
    match address {
        _ if none => None,
        IpAddr::V4(v4) if v4 == Ipv4Addr::new(127, 0, 0, 2) => Some(iwarp),
        address if address.is_loopback() => Some(ib),
        _ => None,
    }
}

/// Whether who listens at one address is asked for by connections to another one.
fn serves(at: IpAddr, v6_only: bool, asked: IpAddr) -> bool {
    at == asked || at.is_unspecified() && (at.is_ipv4() == asked.is_ipv4() || at.is_ipv6() && !v6_only)
}

#[no_mangle]
pub unsafe extern "C" fn rdma_set_option(
    id: *mut CmId,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    bytes: usize,
) -> c_int {
    if (level, name, bytes) != (OPTION_ID, OPTION_ID_AFONLY, size_of::<c_int>()) {
        return fail(libc::ENOSYS);
    }
    // SAFETY: the caller gives so many bytes.
    let value = unsafe { *value.cast::<c_int>() };
    let mut world = world();
    world.identifiers.get_mut(&key(id)).unwrap_or_else(|| misuse("no identifier")).v6_only = value != 0;
    0
}

fn happening(id: usize, event: c_int, status: c_int) -> Happening {
    Happening { id, listener: 0, event, status, private_data: vec![], reads: (0, 0) }
}

#[no_mangle]
pub extern "C" fn rdma_create_event_channel() -> *mut EventChannel {
    let events = Events::new();
    let channel = Box::into_raw(Box::new(EventChannel { fd: events.fd() }));
    world().event_channels.insert(key(channel), events);
    channel
}

#[no_mangle]
pub unsafe extern "C" fn rdma_destroy_event_channel(channel: *mut EventChannel) {
    let mut world = world();
    let used = world.identifiers.values().any(|identifier| identifier.channel == key(channel));
    if used || world.event_channels.remove(&key(channel)).is_none() {
        misuse("an event channel that is used, or is none, was destroyed");
    }
    // SAFETY: it was made here, and is not used afterwards.
    drop(unsafe { Box::from_raw(channel) });
}

fn new_id(world: &mut World, channel: usize) -> *mut CmId {
    // SAFETY: zeros are a value of this structure.
    let id = Box::into_raw(Box::new(unsafe { std::mem::zeroed::<CmId>() }));
    world.identifiers.insert(key(id), Identifier { channel, ..Identifier::default() });
    id
}

#[no_mangle]
pub unsafe extern "C" fn rdma_create_id(
    channel: *mut EventChannel,
    place: *mut *mut CmId,
    context: *mut c_void,
    _: c_int,
) -> c_int {
    let id = new_id(&mut world(), key(channel));
    // SAFETY: the caller gives a place, and the identifier exists.
    unsafe {
        ((*id).channel, (*id).context) = (channel, context);
        *place = id;
    }
    0
}

#[no_mangle]
pub unsafe extern "C" fn rdma_destroy_id(id: *mut CmId) -> c_int {
    let mut world = world();
    // SAFETY: the caller gives an identifier.
    if unsafe { !(*id).qp.is_null() } {
        misuse("an identifier with a queue pair was destroyed");
    }
    world.part(key(id));
    let Some(identifier) = world.identifiers.remove(&key(id)) else {
        misuse("an identifier was destroyed twice")
    };
    if identifier.unacknowledged > 0 {
        misuse("an identifier with unacknowledged events was destroyed: this waits for ever");
    }
    let events = world.event_channels.get_mut(&identifier.channel).expect("channels outlive identifiers");
    for request in events.remove(|of| of.id == key(id) || of.listener == key(id)) {
        if request.listener == key(id) {
            // Nobody will ever accept it.
            world.part(request.id);
            world.identifiers.remove(&request.id);
            // SAFETY: it was made for the request, which nobody has seen.
            drop(unsafe { Box::from_raw(request.id as *mut CmId) });
        }
    }
    // SAFETY: it was made here, and is not used afterwards.
    drop(unsafe { Box::from_raw(id) });
    0
}

#[no_mangle]
pub unsafe extern "C" fn rdma_bind_addr(id: *mut CmId, address: *mut libc::sockaddr) -> c_int {
    let Some((ip, mut port)) = parse(address) else { return fail(libc::EINVAL) };
    let found = card(ip);
    if found.is_none() && !ip.is_unspecified() {
        return fail(libc::ENODEV);
    }
    let world = world();
    let v6_only = world.identifiers.get(&key(id)).is_some_and(|identifier| identifier.v6_only);
    let taken = |port| {
        let mut others = world.identifiers.values().filter_map(|of| Some((of.listens?, of.v6_only)));
        others
            .any(|((other, at), only)| at == port && (serves(other, only, ip) || serves(ip, v6_only, other)))
    };
    if port == 0 {
        port = (49152..).find(|port| !taken(*port)).expect("few listen");
    }
    if taken(port) {
        return fail(libc::EADDRINUSE);
    }
    drop(world);
    // SAFETY: the caller gives an identifier.
    let place = unsafe { &mut *id };
    store(&mut place.source, address, port);
    (place.verbs, place.port_num) = (found.unwrap_or(ptr::null_mut()), 1);
    if let Some(identifier) = crate::world::world().identifiers.get_mut(&key(id)) {
        identifier.listens = Some((ip, port));
    }
    0
}

#[no_mangle]
pub extern "C" fn rdma_listen(id: *mut CmId, _: c_int) -> c_int {
    let listens = world().identifiers.get(&key(id)).is_some_and(|identifier| identifier.listens.is_some());
    if listens {
        0
    } else {
        fail(libc::EINVAL)
    }
}

#[no_mangle]
pub unsafe extern "C" fn rdma_resolve_addr(
    id: *mut CmId,
    _: *mut libc::sockaddr,
    target: *mut libc::sockaddr,
    _: c_int,
) -> c_int {
    let Some((ip, port)) = parse(target) else { return fail(libc::EINVAL) };
    // SAFETY: the caller gives an identifier.
    let place = unsafe { &mut *id };
    store(&mut place.target, target, port);
    let mut world = world();
    match card(ip) {
        Some(context) => {
            store(&mut place.source, target, 1);
            (place.verbs, place.port_num) = (context, 1);
            world.tell(happening(key(id), event::ADDR_RESOLVED, 0));
        }
        None => world.tell(happening(key(id), event::ADDR_ERROR, -libc::ENODEV)),
    }
    0
}

#[no_mangle]
pub unsafe extern "C" fn rdma_resolve_route(id: *mut CmId, _: c_int) -> c_int {
    // SAFETY: the caller gives an identifier.
    if unsafe { (*id).verbs.is_null() } {
        return fail(libc::EINVAL);
    }
    world().tell(happening(key(id), event::ROUTE_RESOLVED, 0));
    0
}

#[no_mangle]
pub unsafe extern "C" fn rdma_create_qp(
    id: *mut CmId,
    domain: *mut Pd,
    attributes: *mut QpInitAttr,
) -> c_int {
    // SAFETY: the caller gives these; the domain names its context.
    let (id, domain_context, attributes) = unsafe { (&mut *id, (*domain).context, &*attributes) };
    let cap = attributes.cap;
    let mut world = world();
    if id.verbs.is_null() || id.verbs != domain_context || !id.qp.is_null() {
        return fail(libc::EINVAL);
    }
    if cap.max_send_wr > 1024 || cap.max_recv_wr > 1024 || cap.max_send_sge > 16 {
        return fail(libc::EINVAL);
    }
    world.next_pair += 1;
    let number = world.next_pair;
    let pair = Pair {
        pd: key(domain),
        cqs: Cqs { send: key(attributes.send_cq), receive: key(attributes.recv_cq) },
        is_iwarp: is_iwarp(id.verbs),
        state: State::Init,
        peer: None,
        room: (cap.max_send_wr as usize, cap.max_recv_wr as usize),
        sends: VecDeque::new(),
        receives: VecDeque::new(),
        unpolled: VecDeque::new(),
        reads: 0,
    };
    world.pairs.insert(number, pair);
    id.qp = Box::into_raw(Box::new(Qp {
        context: id.verbs,
        qp_context: attributes.qp_context,
        pd: domain,
        send_cq: attributes.send_cq,
        recv_cq: attributes.recv_cq,
        srq: ptr::null_mut(),
        handle: 0,
        qp_num: number,
        state: 1,
        qp_type: attributes.qp_type,
    }));
    0
}

#[no_mangle]
pub unsafe extern "C" fn rdma_destroy_qp(id: *mut CmId) {
    // SAFETY: the caller gives an identifier with a queue pair, which is not used afterwards.
    let pair = unsafe { Box::from_raw(std::mem::replace(&mut (*id).qp, ptr::null_mut())) };
    let mut world = world();
    world.pairs.remove(&pair.qp_num);
    // What waits in the queues for it is gone with it.
    for queue in world.queues.values_mut() {
        queue.waiting.retain(|completion| completion.qp_num != pair.qp_num);
    }
}

/// The private data of a caller, as the peer sees them.
fn private_data(parameters: &ConnParam, iwarp: bool) -> Option<Vec<u8>> {
    let bytes = usize::from(parameters.private_data_len);
    if bytes > PRIVATE_BYTES {
        return None;
    }
    let mut data = match bytes {
        0 => vec![],
        // SAFETY: the caller gives so many bytes.
        _ => unsafe { std::slice::from_raw_parts(parameters.private_data.cast::<u8>(), bytes) }.to_vec(),
    };
    if !iwarp {
        data.resize(PRIVATE_BYTES, 0);
    }
    Some(data)
}

#[no_mangle]
pub unsafe extern "C" fn rdma_connect(id: *mut CmId, parameters: *mut ConnParam) -> c_int {
    // SAFETY: the caller gives these.
    let (place, parameters) = unsafe { (&*id, &*parameters) };
    if place.qp.is_null() {
        return fail(libc::EINVAL);
    }
    let iwarp = is_iwarp(place.verbs);
    let Some(data) = private_data(parameters, iwarp) else { return fail(libc::EINVAL) };
    let target = ptr::from_ref(&place.target).cast();
    let Some((ip, port)) = parse(target) else { return fail(libc::EINVAL) };
    let mut world = world();
    let listener = world
        .identifiers
        .iter()
        .find(|(_, of)| of.listens.is_some_and(|(at, number)| number == port && serves(at, of.v6_only, ip)));
    let listener = listener.map(|(id, _)| *id as *mut CmId);
    let Some(listener) = listener else {
        let status = if iwarp { -libc::ECONNREFUSED } else { 8 }; // invalid service id
        world.tell(happening(key(id), event::REJECTED, status));
        return 0;
    };
    let channel = world.identifiers[&key(listener)].channel;
    let passive = new_id(&mut world, channel);
    // SAFETY: it was just made.
    let other = unsafe { &mut *passive };
    (other.verbs, other.port_num, other.ps) = (place.verbs, 1, place.ps);
    store(&mut other.source, target, port);
    store(&mut other.target, ptr::from_ref(&place.source).cast(), 1);
    let requested = (parameters.responder_resources, parameters.initiator_depth);
    if let Some(other) = world.identifiers.get_mut(&key(passive)) {
        (other.peer, other.is_passive, other.requested) = (Some(key(id)), true, Some(requested));
    }
    world.identifiers.get_mut(&key(id)).expect("it exists").peer = Some(key(passive));
    world.tell(Happening {
        id: key(passive),
        listener: key(listener),
        event: event::CONNECT_REQUEST,
        status: 0,
        private_data: data,
        // What the one may have outstanding, the other has to answer.
        reads: (requested.1, requested.0),
    });
    0
}

#[no_mangle]
pub unsafe extern "C" fn rdma_accept(id: *mut CmId, parameters: *mut ConnParam) -> c_int {
    // SAFETY: the caller gives these.
    let (place, parameters) = unsafe { (&*id, &*parameters) };
    if place.qp.is_null() {
        return fail(libc::EINVAL);
    }
    let Some(data) = private_data(parameters, is_iwarp(place.verbs)) else { return fail(libc::EINVAL) };
    let mut world = world();
    let identifier = world.identifiers.get_mut(&key(id)).unwrap_or_else(|| misuse("no identifier"));
    let (Some(requested), Some(peer)) = (identifier.requested.take(), identifier.peer) else {
        return fail(libc::EINVAL);
    };
    if parameters.initiator_depth > requested.0 || parameters.responder_resources > requested.1 {
        return fail(libc::EINVAL);
    }
    // SAFETY: peers that are gone are not in the table any more.
    let active = unsafe { &*(peer as *const CmId) };
    // SAFETY: both have a queue pair.
    let (own, other) = unsafe { ((*place.qp).qp_num, (*active.qp).qp_num) };
    let link = |world: &mut World, number: u32, to: u32, reads: u8| {
        let pair = world.pairs.get_mut(&number).expect("queue pairs exist as long as they are named");
        (pair.state, pair.peer, pair.reads) = (State::ReadyToSend, Some(to), reads);
    };
    link(&mut world, own, other, parameters.initiator_depth);
    link(&mut world, other, own, parameters.responder_resources);
    world.tell(happening(key(id), event::ESTABLISHED, 0));
    world.tell(Happening {
        private_data: data,
        reads: (parameters.initiator_depth, parameters.responder_resources),
        ..happening(peer, event::ESTABLISHED, 0)
    });
    drop(world);
    wake();
    0
}

#[no_mangle]
pub extern "C" fn rdma_reject(id: *mut CmId, _: *const c_void, _: u8) -> c_int {
    let mut world = world();
    let Some(identifier) = world.identifiers.get_mut(&key(id)) else { return fail(libc::EINVAL) };
    let (Some(_), Some(peer)) = (identifier.requested.take(), identifier.peer.take()) else {
        return fail(libc::EINVAL);
    };
    world.tell(happening(peer, event::REJECTED, 28)); // by whoever listens
    0
}

#[no_mangle]
pub extern "C" fn rdma_disconnect(id: *mut CmId) -> c_int {
    let mut world = world();
    if world.identifiers.get(&key(id)).is_none_or(|identifier| identifier.peer.is_none()) {
        return fail(libc::EINVAL);
    }
    world.part(key(id));
    drop(world);
    wake();
    0
}

#[no_mangle]
pub unsafe extern "C" fn rdma_migrate_id(id: *mut CmId, channel: *mut EventChannel) -> c_int {
    let mut world = world();
    let identifier = world.identifiers.get_mut(&key(id)).unwrap_or_else(|| misuse("no identifier"));
    if identifier.unacknowledged > 0 {
        misuse("an identifier with unacknowledged events was migrated: this waits for ever");
    }
    let before = std::mem::replace(&mut identifier.channel, key(channel));
    let events = world.event_channels.get_mut(&before).expect("channels outlive their identifiers");
    let moved = events.remove(|of| of.id == key(id) && of.listener == 0);
    moved.into_iter().for_each(|of| world.tell(of));
    // SAFETY: the caller gives an identifier.
    unsafe { (*id).channel = channel };
    0
}

impl World {
    /// Ends the connection of an identifier, at both ends.
    pub fn part(&mut self, id: usize) {
        let Some(identifier) = self.identifiers.get_mut(&id) else { return };
        let asked = identifier.requested.take().is_some();
        let Some(peer) = identifier.peer.take() else { return };
        let first = !std::mem::replace(&mut identifier.disconnected, true);
        for end in [id, peer] {
            // SAFETY: identifiers in the table exist.
            let pair = self.identifiers.get(&end).map(|_| unsafe { (*(end as *const CmId)).qp });
            if let Some(pair) = pair.filter(|pair| !pair.is_null()) {
                // SAFETY: an identifier's queue pair exists.
                self.fail(unsafe { (*pair).qp_num });
            }
        }
        if first {
            self.tell(happening(id, event::DISCONNECTED, 0));
        }
        let Some(other) = self.identifiers.get_mut(&peer) else { return };
        other.peer = None;
        if !std::mem::replace(&mut other.disconnected, true) {
            let event = if asked { event::REJECTED } else { event::DISCONNECTED };
            self.tell(happening(peer, event, 0));
        }
    }

    /// A queue pair has failed: the connection ends.
    pub fn disconnected(&mut self, number: u32) {
        let ids: Vec<usize> = self.identifiers.keys().copied().collect();
        let owner = ids.into_iter().find(|id| {
            // SAFETY: identifiers in the table exist, and so do their queue pairs.
            unsafe {
                let pair = (*(*id as *const CmId)).qp;
                !pair.is_null() && (*pair).qp_num == number
            }
        });
        if let Some(owner) = owner {
            self.part(owner);
        }
    }
}
