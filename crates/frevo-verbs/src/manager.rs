//! Connections as librdmacm knows them: identifiers, the channel of their events, listening.

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;
use std::ptr::{self, NonNull};

use crate::library::Library;
use crate::sys::{self, CmEvent, CmId, ConnParam, Context, Pd, QpInitAttr};

/// How long addresses and routes may take to be found.
const RESOLVE_MS: c_int = 5000;

/// Linux's count of attempts, also while a receive is missing, which credits do not let happen: 7 would be without end.
const RETRIES: u8 = 6;

/// How an outcome of C, -1 and errno, is told.
pub(crate) fn checked(outcome: c_int) -> io::Result<()> {
    match outcome {
        0 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        errno => Err(io::Error::from_raw_os_error(errno.abs())),
    }
}

/// Makes reads of a library's descriptor return at once.
pub(crate) fn set_nonblocking(fd: RawFd) -> io::Result<()> {
    // SAFETY: F_GETFL and F_SETFL have no pointers.
    let outcome = unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK)
    };
    if outcome < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// An address as C has it.
struct Address(libc::sockaddr_storage);

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        // SAFETY: zeros are a value of this structure.
        let mut storage: libc::sockaddr_storage = unsafe { MaybeUninit::zeroed().assume_init() };
        let place: *mut libc::sockaddr_storage = &mut storage;
        match address {
            SocketAddr::V4(v4) => {
                let address = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                };
                // SAFETY: sockaddr_storage has the size and alignment of every address.
                unsafe { place.cast::<libc::sockaddr_in>().write(address) };
            }
            SocketAddr::V6(v6) => {
                let address = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                // SAFETY: as above.
                unsafe { place.cast::<libc::sockaddr_in6>().write(address) };
            }
        }
        Address(storage)
    }
}

impl Address {
    fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        ptr::from_mut(&mut self.0).cast()
    }
}

fn socket_address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let place: *const libc::sockaddr_storage = storage;
    match c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says what it is; the size and alignment fit every address.
            let v4 = unsafe { &*place.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddr::new(IpAddr::V4(ip), u16::from_be(v4.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*place.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddr::new(IpAddr::V6(ip), u16::from_be(v6.sin6_port)))
        }
        _ => None,
    }
}

/// RDMA READs that may be outstanding at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Depths {
    /// Those of the peer.
    pub(crate) incoming: u8,
    /// Those of this side.
    pub(crate) outgoing: u8,
}

/// What has happened.
#[derive(Debug)]
pub(crate) struct Event {
    /// Of `sys::event`.
    pub(crate) kind: c_int,
    /// Zero, a negative errno, or a reason of the transport.
    pub(crate) status: c_int,
    /// With a connect request, whose it is.
    requested: Option<NonNull<CmId>>,
    /// What both sides agree upon, seen from here; with connect requests and established connections.
    pub(crate) depths: Depths,
    /// What the peer's layer above says.
    pub(crate) private_data: Vec<u8>,
}

/// An identifier with its channel of events: what was a socket.
#[derive(Debug)]
pub(crate) struct Identifier {
    library: &'static Library,
    channel: NonNull<sys::EventChannel>,
    id: NonNull<CmId>,
}

// SAFETY: librdmacm may be called from any thread.
unsafe impl Send for Identifier {}
// SAFETY: as above; its functions lock what they share.
unsafe impl Sync for Identifier {}

impl Identifier {
    fn channel(library: &'static Library) -> io::Result<NonNull<sys::EventChannel>> {
        // SAFETY: it has no arguments.
        let channel = unsafe { (library.rdma_create_event_channel)() };
        let channel = NonNull::new(channel).ok_or_else(io::Error::last_os_error)?;
        // SAFETY: a channel has a descriptor as long as it exists.
        set_nonblocking(unsafe { channel.as_ref() }.fd)?;
        Ok(channel)
    }

    fn new(library: &'static Library) -> io::Result<Identifier> {
        let channel = Identifier::channel(library)?;
        let mut id = ptr::null_mut();
        // SAFETY: the channel exists, `id` is written to.
        let made = checked(unsafe {
            (library.rdma_create_id)(channel.as_ptr(), &mut id, ptr::null_mut(), sys::PS_TCP)
        });
        match (made, NonNull::new(id)) {
            (Ok(()), Some(id)) => Ok(Identifier { library, channel, id }),
            (made, _) => {
                // SAFETY: nothing refers to the channel.
                unsafe { (library.rdma_destroy_event_channel)(channel.as_ptr()) };
                Err(made.err().unwrap_or_else(|| io::ErrorKind::OutOfMemory.into()))
            }
        }
    }

    /// One that begins to look for `target`. Events say how that goes on.
    pub(crate) fn resolving(library: &'static Library, target: SocketAddr) -> io::Result<Identifier> {
        let identifier = Identifier::new(library)?;
        let mut target = Address::from(target);
        // SAFETY: the identifier exists; the address lives as long as the call, and no source is named.
        checked(unsafe {
            (library.rdma_resolve_addr)(
                identifier.id.as_ptr(),
                ptr::null_mut(),
                target.as_mut_ptr(),
                RESOLVE_MS,
            )
        })?;
        Ok(identifier)
    }

    /// The identifier of a connect request, with a channel of its own. When that fails, the request is refused.
    fn requested(library: &'static Library, id: NonNull<CmId>) -> io::Result<Identifier> {
        let moved = Identifier::channel(library).and_then(|channel| {
            // SAFETY: both exist, and the event that brought the identifier was acknowledged.
            let moved = checked(unsafe { (library.rdma_migrate_id)(id.as_ptr(), channel.as_ptr()) });
            if moved.is_err() {
                // SAFETY: nothing refers to the channel.
                unsafe { (library.rdma_destroy_event_channel)(channel.as_ptr()) };
            }
            moved.map(|()| channel)
        });
        match moved {
            Ok(channel) => Ok(Identifier { library, channel, id }),
            Err(error) => {
                // SAFETY: the identifier exists, and nobody else has it.
                unsafe { (library.rdma_destroy_id)(id.as_ptr()) };
                Err(error)
            }
        }
    }

    pub(crate) fn library(&self) -> &'static Library {
        self.library
    }

    /// What becomes readable when something happens.
    pub(crate) fn descriptor(&self) -> RawFd {
        // SAFETY: a channel has a descriptor as long as it exists.
        unsafe { self.channel.as_ref() }.fd
    }

    fn id(&self) -> &CmId {
        // SAFETY: it exists as long as this; the library only writes to it inside of its functions, which nobody else calls
        // meanwhile.
        unsafe { self.id.as_ref() }
    }

    /// The device, as soon as one is chosen.
    pub(crate) fn device(&self) -> Option<NonNull<Context>> {
        NonNull::new(self.id().verbs)
    }

    pub(crate) fn port(&self) -> u8 {
        self.id().port_num
    }

    pub(crate) fn local(&self) -> Option<SocketAddr> {
        socket_address(&self.id().source)
    }

    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        socket_address(&self.id().target)
    }

    /// The next thing that has happened, if anything has.
    pub(crate) fn event(&self) -> io::Result<Option<Event>> {
        let mut event: *mut CmEvent = ptr::null_mut();
        // SAFETY: the channel exists, `event` is written to.
        let got = checked(unsafe { (self.library.rdma_get_cm_event)(self.channel.as_ptr(), &mut event) });
        match got {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            got => got?,
        }
        // SAFETY: the library gave it, and it exists until it is acknowledged.
        let seen = unsafe { &*event };
        let is_request = seen.event == sys::event::CONNECT_REQUEST;
        let has_parameters = is_request || seen.event == sys::event::ESTABLISHED;
        let connection = &seen.conn;
        let copied = Event {
            kind: seen.event,
            status: seen.status,
            requested: NonNull::new(seen.id).filter(|_| is_request),
            depths: match has_parameters {
                true => {
                    Depths { incoming: connection.responder_resources, outgoing: connection.initiator_depth }
                }
                false => Depths::default(),
            },
            private_data: match has_parameters && !connection.private_data.is_null() {
                // SAFETY: so many bytes belong to the event.
                true => unsafe {
                    std::slice::from_raw_parts(
                        connection.private_data.cast::<u8>(),
                        usize::from(connection.private_data_len),
                    )
                }
                .to_vec(),
                false => vec![],
            },
        };
        // SAFETY: it was got, and is not used afterwards.
        unsafe { (self.library.rdma_ack_cm_event)(event) };
        Ok(Some(copied))
    }

    /// Looks for a way to the address that was found.
    pub(crate) fn resolve_route(&self) -> io::Result<()> {
        // SAFETY: the identifier exists.
        checked(unsafe { (self.library.rdma_resolve_route)(self.id.as_ptr(), RESOLVE_MS) })
    }

    /// Makes the queue pair, which is the identifier's.
    pub(crate) fn create_pair(
        &self,
        domain: NonNull<Pd>,
        attributes: &mut QpInitAttr,
    ) -> io::Result<NonNull<sys::Qp>> {
        // SAFETY: identifier and domain exist and are of one device; the attributes name completion queues of it.
        checked(unsafe { (self.library.rdma_create_qp)(self.id.as_ptr(), domain.as_ptr(), attributes) })?;
        NonNull::new(self.id().qp).ok_or_else(|| io::ErrorKind::Other.into())
    }

    /// Destroys it: the device is done with all memory that was posted.
    pub(crate) fn destroy_pair(&self) {
        // SAFETY: called once for a pair that was made, by its owner.
        unsafe { (self.library.rdma_destroy_qp)(self.id.as_ptr()) };
    }

    fn parameters(depths: Depths, private_data: &[u8]) -> ConnParam {
        ConnParam {
            private_data: if private_data.is_empty() { ptr::null() } else { private_data.as_ptr().cast() },
            private_data_len: private_data.len() as u8,
            responder_resources: depths.incoming,
            initiator_depth: depths.outgoing,
            flow_control: 0,
            retry_count: RETRIES,
            rnr_retry_count: RETRIES,
            srq: 0,
            qp_num: 0,
        }
    }

    /// Asks the peer for a connection.
    pub(crate) fn connect(&self, depths: Depths, private_data: &[u8]) -> io::Result<()> {
        let mut parameters = Identifier::parameters(depths, private_data);
        // SAFETY: the identifier exists and has a queue pair; the parameters live as long as the call.
        checked(unsafe { (self.library.rdma_connect)(self.id.as_ptr(), &mut parameters) })
    }

    /// Says yes to a connect request.
    pub(crate) fn accept(&self, depths: Depths, private_data: &[u8]) -> io::Result<()> {
        let mut parameters = Identifier::parameters(depths, private_data);
        // SAFETY: as in `connect`.
        checked(unsafe { (self.library.rdma_accept)(self.id.as_ptr(), &mut parameters) })
    }

    /// Says no to a connect request.
    pub(crate) fn reject(&self) {
        // SAFETY: the identifier exists. When it fails, there is nobody to refuse any more.
        unsafe { (self.library.rdma_reject)(self.id.as_ptr(), ptr::null(), 0) };
    }

    /// Ends the connection, if there is one.
    pub(crate) fn disconnect(&self) {
        // SAFETY: the identifier exists. It fails when there is no connection (any more).
        unsafe { (self.library.rdma_disconnect)(self.id.as_ptr()) };
    }
}

impl Drop for Identifier {
    fn drop(&mut self) {
        // SAFETY: both exist and are not used afterwards; all events were acknowledged, the queue pair is destroyed.
        unsafe {
            (self.library.rdma_destroy_id)(self.id.as_ptr());
            (self.library.rdma_destroy_event_channel)(self.channel.as_ptr());
        }
    }
}

/// Where connections are asked for.
#[derive(Debug)]
pub struct Listener {
    identifier: Identifier,
}

/// A connection that was asked for, and not accepted yet.
#[derive(Debug)]
pub struct Incoming {
    pub(crate) identifier: Identifier,
    pub(crate) depths: Depths,
    pub(crate) private_data: Vec<u8>,
}

impl Listener {
    /// Listens at an address of an RDMA device, or, where it is unspecified, at all of them.
    pub fn bind(library: &'static Library, address: SocketAddr, backlog: u16) -> io::Result<Listener> {
        let identifier = Identifier::new(library)?;
        if address.is_ipv6() {
            let mut alone: c_int = 1;
            let (option, bytes) = (ptr::from_mut(&mut alone).cast(), size_of::<c_int>());
            // SAFETY: the identifier exists, the option lives as long as the call.
            checked(unsafe {
                let id = identifier.id.as_ptr();
                (library.rdma_set_option)(id, sys::OPTION_ID, sys::OPTION_ID_AFONLY, option, bytes)
            })?;
        }
        let mut address = Address::from(address);
        // SAFETY: the identifier exists, the address lives as long as the call.
        checked(unsafe { (library.rdma_bind_addr)(identifier.id.as_ptr(), address.as_mut_ptr()) })?;
        // SAFETY: the identifier exists.
        checked(unsafe { (library.rdma_listen)(identifier.id.as_ptr(), c_int::from(backlog)) })?;
        Ok(Listener { identifier })
    }

    /// Becomes readable when somebody connects.
    pub fn descriptor(&self) -> RawFd {
        self.identifier.descriptor()
    }

    /// Where it listens, with the port that was chosen.
    pub fn local(&self) -> Option<SocketAddr> {
        self.identifier.local()
    }

    /// The next connect request, if there is one. An error may concern a single request.
    pub fn accept(&self) -> io::Result<Option<Incoming>> {
        while let Some(event) = self.identifier.event()? {
            let Some(id) = event.requested else { continue };
            let identifier = Identifier::requested(self.identifier.library, id)?;
            let Event { depths, private_data, .. } = event;
            return Ok(Some(Incoming { identifier, depths, private_data }));
        }
        Ok(None)
    }
}

impl Incoming {
    /// Who asks.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.identifier.peer()
    }

    /// Says no.
    pub fn refuse(self) {
        self.identifier.reject();
    }
}
