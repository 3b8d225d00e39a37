//! libibverbs and librdmacm, loaded when they are needed first: a machine without them builds and runs all the rest.
//!
//! The interface is small and its layout promised, so that declarations of our own (`sys`) and the dynamic linker do; a crate
//! that wraps all of it would bring a C compiler, CMake and libclang into every build.

use std::ffi::{c_char, c_int, c_uint, c_void, CStr};
use std::fmt;
use std::ptr::NonNull;
use std::sync::{Mutex, OnceLock};

use crate::sys::{
    CmEvent, CmId, CompChannel, ConnParam, Context, Cq, Device, DeviceAttr, EventChannel, Mr, Pd, PortAttr,
    QpInitAttr,
};

/// Why there are no libraries: what the dynamic linker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Missing(reason) = self;
        write!(f, "{reason}; Debian's packages are librdmacm1 and ibverbs-providers")
    }
}

impl std::error::Error for Missing {}

/// A loaded shared object. It is never unloaded: its functions may be called at any time.
struct Object(NonNull<c_void>);

/// What the dynamic linker has to say about its last failure in this thread.
fn linker_error() -> Missing {
    // SAFETY: dlerror's text lives until the thread's next call of the linker, and is copied at once.
    let text = unsafe {
        let text = libc::dlerror();
        if text.is_null() {
            c"unknown error"
        } else {
            CStr::from_ptr(text)
        }
    };
    Missing(text.to_string_lossy().into_owned())
}

impl Object {
    fn open(name: &CStr) -> Result<Object, Missing> {
        // SAFETY: the name is a C string; what the object's initialisers do is up to the system's libraries.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        NonNull::new(handle).map(Object).ok_or_else(linker_error)
    }

    fn symbol(&self, name: &CStr) -> Result<NonNull<c_void>, Missing> {
        // SAFETY: the handle is a loaded object's, the name a C string.
        let symbol = unsafe { libc::dlsym(self.0.as_ptr(), name.as_ptr()) };
        NonNull::new(symbol).ok_or_else(linker_error)
    }
}

/// Declares the table of functions, and how it is filled.
macro_rules! functions {
    ($($object:ident $name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions of both libraries, by their names in C.
        #[allow(missing_docs)] // as the manual pages of rdma-core have it
        pub struct Library {
            $(pub $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Library {
            /// Loads the libraries of these names, or from these paths.
            pub fn open(ibverbs: &CStr, rdmacm: &CStr) -> Result<Library, Missing> {
                let (ibverbs, rdmacm) = (Object::open(ibverbs)?, Object::open(rdmacm)?);
                Ok(Library {
                    $($name: {
                        let object = if stringify!($object) == "rdmacm" { &rdmacm } else { &ibverbs };
                        let symbol = object.symbol(
                            CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes())
                                .expect("one zero at the end"),
                        )?;
                        // SAFETY: this is the function's type in the library's headers.
                        unsafe {
                            std::mem::transmute::<
                                *mut c_void,
                                unsafe extern "C" fn($($argument),*) $(-> $result)?,
                            >(symbol.as_ptr())
                        }
                    },)*
                })
            }
        }
    };
}

functions! {
    ibverbs ibv_fork_init() -> c_int;
    ibverbs ibv_get_device_list(*mut c_int) -> *mut *mut Device;
    ibverbs ibv_free_device_list(*mut *mut Device);
    ibverbs ibv_open_device(*mut Device) -> *mut Context;
    ibverbs ibv_close_device(*mut Context) -> c_int;
    ibverbs ibv_query_device(*mut Context, *mut DeviceAttr) -> c_int;
    ibverbs ibv_query_port(*mut Context, u8, *mut PortAttr) -> c_int;
    ibverbs ibv_alloc_pd(*mut Context) -> *mut Pd;
    ibverbs ibv_dealloc_pd(*mut Pd) -> c_int;
    ibverbs ibv_reg_mr(*mut Pd, *mut c_void, usize, c_int) -> *mut Mr;
    ibverbs ibv_dereg_mr(*mut Mr) -> c_int;
    ibverbs ibv_create_comp_channel(*mut Context) -> *mut CompChannel;
    ibverbs ibv_destroy_comp_channel(*mut CompChannel) -> c_int;
    ibverbs ibv_create_cq(*mut Context, c_int, *mut c_void, *mut CompChannel, c_int) -> *mut Cq;
    ibverbs ibv_destroy_cq(*mut Cq) -> c_int;
    ibverbs ibv_get_cq_event(*mut CompChannel, *mut *mut Cq, *mut *mut c_void) -> c_int;
    ibverbs ibv_ack_cq_events(*mut Cq, c_uint);
    ibverbs ibv_wc_status_str(c_int) -> *const c_char;
    rdmacm rdma_create_event_channel() -> *mut EventChannel;
    rdmacm rdma_destroy_event_channel(*mut EventChannel);
    rdmacm rdma_create_id(*mut EventChannel, *mut *mut CmId, *mut c_void, c_int) -> c_int;
    rdmacm rdma_destroy_id(*mut CmId) -> c_int;
    rdmacm rdma_bind_addr(*mut CmId, *mut libc::sockaddr) -> c_int;
    rdmacm rdma_set_option(*mut CmId, c_int, c_int, *mut c_void, usize) -> c_int;
    rdmacm rdma_resolve_addr(*mut CmId, *mut libc::sockaddr, *mut libc::sockaddr, c_int) -> c_int;
    rdmacm rdma_resolve_route(*mut CmId, c_int) -> c_int;
    rdmacm rdma_create_qp(*mut CmId, *mut Pd, *mut QpInitAttr) -> c_int;
    rdmacm rdma_destroy_qp(*mut CmId);
    rdmacm rdma_connect(*mut CmId, *mut ConnParam) -> c_int;
    rdmacm rdma_listen(*mut CmId, c_int) -> c_int;
    rdmacm rdma_accept(*mut CmId, *mut ConnParam) -> c_int;
    rdmacm rdma_reject(*mut CmId, *const c_void, u8) -> c_int;
    rdmacm rdma_disconnect(*mut CmId) -> c_int;
    rdmacm rdma_migrate_id(*mut CmId, *mut EventChannel) -> c_int;
    rdmacm rdma_get_cm_event(*mut EventChannel, *mut *mut CmEvent) -> c_int;
    rdmacm rdma_ack_cm_event(*mut CmEvent) -> c_int;
    rdmacm rdma_event_str(c_int) -> *const c_char;
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Library")
    }
}

impl Library {
    /// The system's libraries, loaded by the first call that finds them.
    pub fn of_system() -> Result<&'static Library, Missing> {
        static LIBRARY: OnceLock<Library> = OnceLock::new();
        static LOADING: Mutex<()> = Mutex::new(());
        let _one = LOADING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(library) = LIBRARY.get() {
            return Ok(library);
        }
        let library = Library::open(c"libibverbs.so.1", c"librdmacm.so.1")?;
        Ok(LIBRARY.get_or_init(|| library.prepared()))
    }

    /// Before anything is registered: on old kernels, children of fork must not share registered pages, or a write would move them
    /// away from the device.
    #[must_use]
    pub fn prepared(self) -> Library {
        // SAFETY: it has no arguments; nothing was registered yet. A failure leaves things as they were.
        unsafe { (self.ibv_fork_init)() };
        self
    }

    /// What a status of a completion means, in the library's words.
    pub(crate) fn status_text(&self, status: c_int) -> String {
        // SAFETY: it takes any number.
        static_text(unsafe { (self.ibv_wc_status_str)(status) })
    }

    /// What an event is called.
    pub(crate) fn event_text(&self, event: c_int) -> String {
        // SAFETY: it takes any number.
        static_text(unsafe { (self.rdma_event_str)(event) })
    }
}

/// A text that belongs to a library.
fn static_text(text: *const c_char) -> String {
    if text.is_null() {
        return "unknown".to_owned();
    }
    // SAFETY: both libraries give constant C strings.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
