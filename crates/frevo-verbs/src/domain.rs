//! Protection domains and the memory that is registered in them.
//!
//! Each connection has a domain of its own: a key opens nothing to another peer. Programs have plain registrations only
//! (`ibv_reg_mr`): fast registration by work requests (FRWR) is the kernel's alone, and memory windows, the way of programs to what
//! peers invalidate, are missing in iWARP's drivers and many others. So what peers may touch is registered for one transfer and
//! deregistered by this side, and all the rest is registered once (`slab`).

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use frevo_rdma::provider::Refused;

use crate::library::Library;
use crate::manager::Identifier;
use crate::sys::{self, Context, DeviceAttr, Mr, Pd, PortAttr};

/// Bytes that this process has registered, in all connections.
static REGISTERED: AtomicUsize = AtomicUsize::new(0);

/// What a device lets a connection do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// iWARP: the sink of an RDMA READ has to be open to RDMA WRITEs.
    pub(crate) is_iwarp: bool,
    /// Messages can invalidate the peer's keys.
    pub(crate) invalidates: bool,
    /// RDMA READs at a time: those of the peer, and of this side.
    pub(crate) incoming_reads: u8,
    pub(crate) outgoing_reads: u8,
    /// Entries of a queue.
    pub(crate) queue: u32,
    /// Entries of a completion queue.
    pub(crate) completions: u32,
    /// Bytes of one message or one transfer.
    pub(crate) transfer: u32,
}

/// The keys under which memory can be used.
#[derive(Debug)]
pub(crate) struct Domain {
    identifier: Arc<Identifier>,
    context: NonNull<Context>,
    domain: NonNull<Pd>,
    pub(crate) limits: Limits,
}

// SAFETY: libibverbs may be called from any thread.
unsafe impl Send for Domain {}
// SAFETY: as above; a domain has no state that its users change.
unsafe impl Sync for Domain {}

fn device_attributes(library: &Library, context: NonNull<Context>) -> io::Result<DeviceAttr> {
    // SAFETY: zeros are a value of this structure.
    let mut attributes: DeviceAttr = unsafe { std::mem::zeroed() };
    // SAFETY: the context is open, the attributes are written to.
    crate::manager::checked(unsafe { (library.ibv_query_device)(context.as_ptr(), &mut attributes) })?;
    Ok(attributes)
}

impl Limits {
    fn of(identifier: &Identifier, context: NonNull<Context>) -> io::Result<Limits> {
        let library = identifier.library();
        let device = device_attributes(library, context)?;
        let mut port = PortAttr::default();
        // SAFETY: the context is open, the attributes are written to.
        let asked = unsafe { (library.ibv_query_port)(context.as_ptr(), identifier.port(), &mut port) };
        crate::manager::checked(asked)?;
        // SAFETY: an open context names its device.
        let transport = unsafe { (*context.as_ref().device).transport_type };
        // Linux's own SMB Direct lets peers have 32 outstanding; more than 8 bits do not go over the wire.
        let reads = |count: i32| count.clamp(1, 32) as u8;
        Ok(Limits {
            is_iwarp: transport == sys::TRANSPORT_IWARP,
            invalidates: device.device_cap_flags & sys::DEVICE_MEM_MGT_EXTENSIONS != 0,
            incoming_reads: reads(device.max_qp_rd_atom),
            outgoing_reads: reads(device.max_qp_init_rd_atom),
            queue: device.max_qp_wr.max(16) as u32,
            completions: device.max_cqe.max(16) as u32,
            transfer: port.max_msg_sz.max(4096),
        })
    }
}

impl Domain {
    /// A domain on the device of an identifier that has found one.
    pub(crate) fn new(identifier: Arc<Identifier>) -> io::Result<Arc<Domain>> {
        let context = identifier.device().ok_or(io::ErrorKind::NotConnected)?;
        let limits = Limits::of(&identifier, context)?;
        // SAFETY: the context is open.
        let domain = unsafe { (identifier.library().ibv_alloc_pd)(context.as_ptr()) };
        let domain = NonNull::new(domain).ok_or_else(io::Error::last_os_error)?;
        Ok(Arc::new(Domain { identifier, context, domain, limits }))
    }

    pub(crate) fn identifier(&self) -> &Identifier {
        &self.identifier
    }

    pub(crate) fn library(&self) -> &'static Library {
        self.identifier.library()
    }

    pub(crate) fn context(&self) -> NonNull<Context> {
        self.context
    }

    pub(crate) fn as_ptr(&self) -> NonNull<Pd> {
        self.domain
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        // SAFETY: regions and queues keep their domain, so that nothing is in it any more.
        unsafe { (self.library().ibv_dealloc_pd)(self.domain.as_ptr()) };
    }
}

/// Memory that the device knows. It does not own the bytes.
#[derive(Debug)]
pub(crate) struct Region {
    domain: Arc<Domain>,
    region: NonNull<Mr>,
    bytes: usize,
}

// SAFETY: libibverbs may be called from any thread; nothing else can be done with a region than to read its keys.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Registers memory.
    ///
    /// # Safety
    /// It stays mapped until the region is dropped, and is used meanwhile only as `access` and what is posted allow.
    pub(crate) unsafe fn new(
        domain: &Arc<Domain>,
        start: NonNull<u8>,
        bytes: usize,
        access: i32,
    ) -> Result<Region, Refused> {
        // SAFETY: the domain exists, and the memory is mapped.
        let region = unsafe {
            (domain.library().ibv_reg_mr)(domain.domain.as_ptr(), start.as_ptr().cast(), bytes, access)
        };
        match NonNull::new(region) {
            Some(region) => {
                REGISTERED.fetch_add(bytes, Ordering::Relaxed);
                Ok(Region { domain: domain.clone(), region, bytes })
            }
            None => Err(refusal(bytes, &io::Error::last_os_error())),
        }
    }

    /// The key of this side.
    pub(crate) fn local_key(&self) -> u32 {
        // SAFETY: the region exists.
        unsafe { self.region.as_ref() }.lkey
    }

    /// The key of the peer.
    pub(crate) fn remote_key(&self) -> u32 {
        // SAFETY: the region exists.
        unsafe { self.region.as_ref() }.rkey
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: it exists and is not used afterwards.
        unsafe { (self.domain.library().ibv_dereg_mr)(self.region.as_ptr()) };
        REGISTERED.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// How many bytes this process may lock. None: as many as there are.
pub fn lock_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is written to.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) };
    (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// Bytes that this process has registered with RDMA devices.
pub fn registered_bytes() -> usize {
    REGISTERED.load(Ordering::Relaxed)
}

/// Whether idle memory should be given up: half of what may be locked is registered.
pub(crate) fn is_scarce() -> bool {
    lock_limit().is_some_and(|limit| registered_bytes() as u64 > limit / 2)
}

/// What to tell whoever runs this.
fn refusal(bytes: usize, error: &io::Error) -> Refused {
    let limit = lock_limit().filter(|_| error.raw_os_error() == Some(libc::ENOMEM));
    Refused(match limit {
        Some(limit) => format!(
            "{bytes} bytes cannot be registered for RDMA: {} of the {limit} bytes that this process may lock are in use; raise \
             RLIMIT_MEMLOCK (LimitMEMLOCK= of its systemd unit, ulimit -l)",
            registered_bytes()
        ),
        None => format!("{bytes} bytes cannot be registered for RDMA: {error}"),
    })
}
