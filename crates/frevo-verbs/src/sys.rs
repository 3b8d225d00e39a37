//! The parts of libibverbs' and librdmacm's interface that are used here, as their headers lay them out.
//!
//! Both promise this layout to programs (symbol versions IBVERBS_1.1 and RDMACM_1.0, since 2006). Fields that nobody looks at have
//! their place all the same; what follows the last field of interest in structures that only the libraries make is
//! left out, and said so.
#![allow(missing_docs)] // the names are those of the headers, which document them

use std::ffi::{c_char, c_int, c_uint, c_void};

/// `enum ibv_node_type`: an iWARP card.
pub const NODE_RNIC: c_int = 4;
/// `enum ibv_transport_type`.
pub const TRANSPORT_IB: c_int = 0;
/// `enum ibv_transport_type`.
pub const TRANSPORT_IWARP: c_int = 1;
/// `enum ibv_port_state`.
pub const PORT_ACTIVE: c_int = 4;
/// Of `ibv_port_attr.link_layer`.
pub const LINK_LAYER_INFINIBAND: u8 = 1;
/// `enum ibv_qp_type`: a reliable connection.
pub const QPT_RC: c_int = 2;

/// Bits of `enum ibv_access_flags`.
pub mod access {
    pub const LOCAL_WRITE: i32 = 1;
    pub const REMOTE_WRITE: i32 = 1 << 1;
    pub const REMOTE_READ: i32 = 1 << 2;
}

/// `enum ibv_device_cap_flags`: the device knows SEND_WITH_INV (and what kernels use besides).
pub const DEVICE_MEM_MGT_EXTENSIONS: c_uint = 1 << 21;

/// `enum ibv_wr_opcode`.
pub mod wr {
    pub const RDMA_WRITE: i32 = 0;
    pub const SEND: i32 = 2;
    pub const RDMA_READ: i32 = 4;
    pub const SEND_WITH_INV: i32 = 9;
}

/// `enum ibv_send_flags`: a completion is wanted.
pub const SEND_SIGNALED: c_uint = 1 << 1;

/// `enum ibv_wc_opcode`.
pub mod wc {
    pub const SEND: i32 = 0;
    pub const RDMA_WRITE: i32 = 1;
    pub const RDMA_READ: i32 = 2;
    pub const RECV: i32 = 1 << 7;
    /// `enum ibv_wc_flags`: `invalidated_rkey` says something.
    pub const WITH_INV: u32 = 1 << 3;
}

/// `enum ibv_wc_status`.
pub mod status {
    pub const SUCCESS: i32 = 0;
    pub const LOC_LEN_ERR: i32 = 1;
    pub const LOC_QP_OP_ERR: i32 = 2;
    pub const LOC_PROT_ERR: i32 = 4;
    pub const WR_FLUSH_ERR: i32 = 5;
    pub const REM_INV_REQ_ERR: i32 = 9;
    pub const REM_ACCESS_ERR: i32 = 10;
    pub const REM_OP_ERR: i32 = 11;
    pub const RNR_RETRY_EXC_ERR: i32 = 13;
}

/// `enum rdma_cm_event_type`.
pub mod event {
    pub const ADDR_RESOLVED: i32 = 0;
    pub const ADDR_ERROR: i32 = 1;
    pub const ROUTE_RESOLVED: i32 = 2;
    pub const ROUTE_ERROR: i32 = 3;
    pub const CONNECT_REQUEST: i32 = 4;
    pub const CONNECT_ERROR: i32 = 6;
    pub const UNREACHABLE: i32 = 7;
    pub const REJECTED: i32 = 8;
    pub const ESTABLISHED: i32 = 9;
    pub const DISCONNECTED: i32 = 10;
    pub const DEVICE_REMOVAL: i32 = 11;
    pub const TIMEWAIT_EXIT: i32 = 15;
}

/// `enum rdma_port_space`: reliable connections.
pub const PS_TCP: c_int = 0x0106;

/// Level and name of an option of identifiers, an int: IPv6 addresses stand for IPv6 alone.
pub const OPTION_ID: c_int = 0;
pub const OPTION_ID_AFONLY: c_int = 2;

/// `struct ibv_device`.
#[repr(C)]
pub struct Device {
    pub ops: [*mut c_void; 2],
    pub node_type: c_int,
    pub transport_type: c_int,
    pub name: [c_char; 64],
    pub dev_name: [c_char; 64],
    pub dev_path: [c_char; 256],
    pub ibdev_path: [c_char; 256],
}

/// `struct ibv_context_ops`: what the headers call without a function of the library.
#[repr(C)]
pub struct ContextOps {
    pub before_poll: [*mut c_void; 11],
    pub poll_cq: Option<unsafe extern "C" fn(*mut Cq, c_int, *mut WorkCompletion) -> c_int>,
    pub req_notify_cq: Option<unsafe extern "C" fn(*mut Cq, c_int) -> c_int>,
    pub before_post: [*mut c_void; 12],
    pub post_send: Option<unsafe extern "C" fn(*mut Qp, *mut SendWr, *mut *mut SendWr) -> c_int>,
    pub post_recv: Option<unsafe extern "C" fn(*mut Qp, *mut RecvWr, *mut *mut RecvWr) -> c_int>,
    pub after_post: [*mut c_void; 5],
}

/// `struct ibv_context`, up to `num_comp_vectors`.
#[repr(C)]
pub struct Context {
    pub device: *mut Device,
    pub ops: ContextOps,
    pub cmd_fd: c_int,
    pub async_fd: c_int,
    pub num_comp_vectors: c_int,
}

/// `struct ibv_pd`.
#[repr(C)]
pub struct Pd {
    pub context: *mut Context,
    pub handle: u32,
}

/// `struct ibv_mr`.
#[repr(C)]
pub struct Mr {
    pub context: *mut Context,
    pub pd: *mut Pd,
    pub addr: *mut c_void,
    pub length: usize,
    pub handle: u32,
    pub lkey: u32,
    pub rkey: u32,
}

/// `struct ibv_comp_channel`.
#[repr(C)]
pub struct CompChannel {
    pub context: *mut Context,
    pub fd: c_int,
    pub refcnt: c_int,
}

/// `struct ibv_cq`, up to `cqe`.
#[repr(C)]
pub struct Cq {
    pub context: *mut Context,
    pub channel: *mut CompChannel,
    pub cq_context: *mut c_void,
    pub handle: u32,
    pub cqe: c_int,
}

/// `struct ibv_qp`, up to `qp_type`.
#[repr(C)]
pub struct Qp {
    pub context: *mut Context,
    pub qp_context: *mut c_void,
    pub pd: *mut Pd,
    pub send_cq: *mut Cq,
    pub recv_cq: *mut Cq,
    pub srq: *mut c_void,
    pub handle: u32,
    pub qp_num: u32,
    pub state: c_int,
    pub qp_type: c_int,
}

/// `struct ibv_sge`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Sge {
    pub addr: u64,
    pub length: u32,
    pub lkey: u32,
}

/// `struct ibv_send_wr`, with the union's member for RDMA.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SendWr {
    pub wr_id: u64,
    pub next: *mut SendWr,
    pub sg_list: *mut Sge,
    pub num_sge: c_int,
    pub opcode: c_int,
    pub send_flags: c_uint,
    pub invalidate_rkey: u32,
    pub remote_addr: u64,
    pub rkey: u32,
    pub rest: [u64; 9],
}

/// `struct ibv_recv_wr`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RecvWr {
    pub wr_id: u64,
    pub next: *mut RecvWr,
    pub sg_list: *mut Sge,
    pub num_sge: c_int,
}

/// `struct ibv_wc`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkCompletion {
    pub wr_id: u64,
    pub status: c_int,
    pub opcode: c_int,
    pub vendor_err: u32,
    pub byte_len: u32,
    pub invalidated_rkey: u32,
    pub qp_num: u32,
    pub src_qp: u32,
    pub wc_flags: c_uint,
    pub pkey_index: u16,
    pub slid: u16,
    pub sl: u8,
    pub dlid_path_bits: u8,
}

/// `struct ibv_qp_cap`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct QpCap {
    pub max_send_wr: u32,
    pub max_recv_wr: u32,
    pub max_send_sge: u32,
    pub max_recv_sge: u32,
    pub max_inline_data: u32,
}

/// `struct ibv_qp_init_attr`.
#[repr(C)]
pub struct QpInitAttr {
    pub qp_context: *mut c_void,
    pub send_cq: *mut Cq,
    pub recv_cq: *mut Cq,
    pub srq: *mut c_void,
    pub cap: QpCap,
    pub qp_type: c_int,
    pub sq_sig_all: c_int,
}

/// `struct ibv_device_attr`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct DeviceAttr {
    pub fw_ver: [c_char; 64],
    pub node_guid: u64,
    pub sys_image_guid: u64,
    pub max_mr_size: u64,
    pub page_size_cap: u64,
    pub vendor_id: u32,
    pub vendor_part_id: u32,
    pub hw_ver: u32,
    pub max_qp: c_int,
    pub max_qp_wr: c_int,
    pub device_cap_flags: c_uint,
    pub max_sge: c_int,
    pub max_sge_rd: c_int,
    pub max_cq: c_int,
    pub max_cqe: c_int,
    pub max_mr: c_int,
    pub max_pd: c_int,
    pub max_qp_rd_atom: c_int,
    pub max_ee_rd_atom: c_int,
    pub max_res_rd_atom: c_int,
    pub max_qp_init_rd_atom: c_int,
    pub rest: [c_int; 16],
    pub max_pkeys: u16,
    pub local_ca_ack_delay: u8,
    pub phys_port_cnt: u8,
}

/// `struct ibv_port_attr`. The exported function fills it up to `link_layer`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct PortAttr {
    pub state: c_int,
    pub max_mtu: c_int,
    pub active_mtu: c_int,
    pub gid_tbl_len: c_int,
    pub port_cap_flags: u32,
    pub max_msg_sz: u32,
    pub bad_pkey_cntr: u32,
    pub qkey_viol_cntr: u32,
    pub pkey_tbl_len: u16,
    pub lid: u16,
    pub sm_lid: u16,
    pub lmc: u8,
    pub max_vl_num: u8,
    pub sm_sl: u8,
    pub subnet_timeout: u8,
    pub init_type_reply: u8,
    pub active_width: u8,
    pub active_speed: u8,
    pub phys_state: u8,
    pub link_layer: u8,
    pub flags: u8,
    pub port_cap_flags2: u16,
}

/// `struct rdma_event_channel`.
#[repr(C)]
pub struct EventChannel {
    pub fd: c_int,
}

/// `struct rdma_cm_id`, up to `port_num`.
#[repr(C)]
pub struct CmId {
    pub verbs: *mut Context,
    pub channel: *mut EventChannel,
    pub context: *mut c_void,
    pub qp: *mut Qp,
    pub source: libc::sockaddr_storage,
    pub target: libc::sockaddr_storage,
    pub ib_address: [u64; 5],
    pub path_rec: *mut c_void,
    pub num_paths: c_int,
    pub padding: u32,
    pub ps: c_int,
    pub port_num: u8,
}

/// `struct rdma_conn_param`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ConnParam {
    pub private_data: *const c_void,
    pub private_data_len: u8,
    pub responder_resources: u8,
    pub initiator_depth: u8,
    pub flow_control: u8,
    pub retry_count: u8,
    pub rnr_retry_count: u8,
    pub srq: u8,
    pub qp_num: u32,
}

/// `struct rdma_cm_event`, with the union's member for connections.
#[repr(C)]
pub struct CmEvent {
    pub id: *mut CmId,
    pub listen_id: *mut CmId,
    pub event: c_int,
    pub status: c_int,
    pub conn: ConnParam,
    pub rest: [u64; 4],
}

// What a compiler says of the headers of rdma-core on 64-bit machines.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::{offset_of, size_of};
    assert!(size_of::<Device>() == 664 && offset_of!(Device, name) == 24);
    assert!(size_of::<ContextOps>() == 256 && offset_of!(Context, async_fd) == 268);
    assert!(offset_of!(Context, ops) + offset_of!(ContextOps, poll_cq) == 96);
    assert!(offset_of!(Context, ops) + offset_of!(ContextOps, post_send) == 208);
    assert!(size_of::<SendWr>() == 128 && offset_of!(SendWr, opcode) == 28);
    assert!(offset_of!(SendWr, invalidate_rkey) == 36 && offset_of!(SendWr, rkey) == 48);
    assert!(size_of::<RecvWr>() == 32 && size_of::<Sge>() == 16);
    assert!(size_of::<WorkCompletion>() == 48 && offset_of!(WorkCompletion, invalidated_rkey) == 24);
    assert!(offset_of!(WorkCompletion, wc_flags) == 36);
    assert!(size_of::<QpInitAttr>() == 64 && offset_of!(QpInitAttr, cap) == 32);
    assert!(offset_of!(QpInitAttr, qp_type) == 52 && offset_of!(Qp, qp_num) == 52);
    assert!(size_of::<Mr>() == 48 && offset_of!(Mr, lkey) == 36 && offset_of!(Mr, rkey) == 40);
    assert!(size_of::<DeviceAttr>() == 232 && offset_of!(DeviceAttr, device_cap_flags) == 116);
    assert!(offset_of!(DeviceAttr, max_qp_rd_atom) == 144);
    assert!(offset_of!(DeviceAttr, max_qp_init_rd_atom) == 156);
    assert!(offset_of!(DeviceAttr, phys_port_cnt) == 227);
    assert!(size_of::<PortAttr>() == 52 && offset_of!(PortAttr, max_msg_sz) == 20);
    assert!(offset_of!(PortAttr, active_width) == 43 && offset_of!(PortAttr, link_layer) == 46);
    assert!(offset_of!(CmId, qp) == 24 && offset_of!(CmId, source) == 32 && offset_of!(CmId, target) == 160);
    assert!(offset_of!(CmId, ps) == 344 && offset_of!(CmId, port_num) == 348);
    assert!(size_of::<ConnParam>() == 24 && offset_of!(ConnParam, qp_num) == 16);
    assert!(size_of::<CmEvent>() == 80 && offset_of!(CmEvent, conn) == 24);
    assert!(size_of::<CompChannel>() == 16 && offset_of!(CompChannel, fd) == 8);
};
