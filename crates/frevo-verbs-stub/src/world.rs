//! Everything there is: protection domains, memory, queues, connections. One lock for all of it.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock};

use frevo_verbs::sys::{Sge, WorkCompletion};

use crate::events::Events;

/// What a memory key opens.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub pd: usize,
    pub address: u64,
    pub bytes: u64,
    pub access: i32,
    /// False: the peer has invalidated it.
    pub is_valid: bool,
}

/// How far a queue pair is (`enum ibv_qp_state`, as far as there is a difference here).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Init,
    ReadyToSend,
    Error,
}

/// A posted receive.
#[derive(Debug)]
pub struct Receive {
    pub id: u64,
    pub places: Vec<Sge>,
}

/// A posted request of the send queue.
#[derive(Debug)]
pub struct Send {
    pub id: u64,
    pub opcode: i32,
    pub signaled: bool,
    pub places: Vec<Sge>,
    pub invalidate: u32,
    pub remote: (u32, u64),
}

/// A queue pair.
#[derive(Debug)]
pub struct Pair {
    pub pd: usize,
    pub cqs: Cqs,
    pub is_iwarp: bool,
    pub state: State,
    pub peer: Option<u32>,
    /// What fits into the queues.
    pub room: (usize, usize),
    pub sends: VecDeque<Send>,
    pub receives: VecDeque<Receive>,
    /// Numbers of what was posted to the send queue and has not been polled.
    pub unpolled: VecDeque<u64>,
    /// RDMA READs that the peer lets through: none at 0.
    pub reads: u8,
}

/// Its completion queues.
#[derive(Clone, Copy, Debug)]
pub struct Cqs {
    pub send: usize,
    pub receive: usize,
}

/// A completion queue.
#[derive(Debug)]
pub struct Completions {
    pub waiting: VecDeque<WorkCompletion>,
    pub room: usize,
    pub armed: bool,
    pub channel: usize,
    /// Events that were taken and not acknowledged.
    pub unacknowledged: u32,
}

/// Something that happened to a connection.
#[derive(Debug)]
pub struct Happening {
    pub id: usize,
    pub listener: usize,
    pub event: i32,
    pub status: i32,
    pub private_data: Vec<u8>,
    pub reads: (u8, u8),
}

/// An identifier of the connection manager.
#[derive(Debug, Default)]
pub struct Identifier {
    pub channel: usize,
    pub listens: Option<(IpAddr, u16)>,
    /// Its IPv6 address stands for IPv6 alone.
    pub v6_only: bool,
    pub peer: Option<usize>,
    pub unacknowledged: u32,
    pub is_passive: bool,
    pub disconnected: bool,
    /// Of a connect request that was not answered: (responder resources, initiator depth).
    pub requested: Option<(u8, u8)>,
}

/// All of it.
#[derive(Debug, Default)]
pub struct World {
    pub contexts: usize,
    pub domains: HashMap<usize, usize>,
    pub memory: HashMap<u32, Memory>,
    pub next_key: u32,
    pub pairs: HashMap<u32, Pair>,
    pub next_pair: u32,
    pub queues: HashMap<usize, Completions>,
    pub channels: HashMap<usize, Events<usize>>,
    pub event_channels: HashMap<usize, Events<Happening>>,
    pub identifiers: HashMap<usize, Identifier>,
    /// How many bytes may be registered; None: all.
    pub lock_limit: Option<u64>,
}

/// Addresses as keys of the tables.
pub fn key<T>(pointer: *const T) -> usize {
    pointer as usize
}

static WORK: Condvar = Condvar::new();

/// The world, locked.
pub fn world() -> MutexGuard<'static, World> {
    static WORLD: OnceLock<Mutex<World>> = OnceLock::new();
    WORLD.get_or_init(Mutex::default).lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Wakes the hardware, which the first call starts.
pub fn wake() {
    static HARDWARE: OnceLock<()> = OnceLock::new();
    HARDWARE.get_or_init(|| {
        std::thread::spawn(|| {
            let mut world = world();
            loop {
                if !world.step() {
                    world = WORK.wait(world).unwrap_or_else(|poisoned| poisoned.into_inner());
                }
            }
        });
    });
    WORK.notify_all();
}

impl World {
    /// Puts a completion into a queue, and an event into its channel when one was asked for.
    pub fn complete(&mut self, queue: usize, completion: WorkCompletion) {
        let Some(completions) = self.queues.get_mut(&queue) else { return };
        if completions.waiting.len() >= completions.room {
            crate::misuse("a completion queue overran");
        }
        completions.waiting.push_back(completion);
        if std::mem::take(&mut completions.armed) {
            let channel = completions.channel;
            self.channels.get_mut(&channel).expect("channels outlive their queues").push(queue);
        }
    }

    /// Tells the owner of an identifier what has happened.
    pub fn tell(&mut self, happening: Happening) {
        let named = if happening.listener == 0 { happening.id } else { happening.listener };
        let Some(identifier) = self.identifiers.get(&named) else { return };
        let channel = identifier.channel;
        self.event_channels.get_mut(&channel).expect("channels outlive their identifiers").push(happening);
    }

    /// How many objects exist that somebody has to destroy.
    pub fn objects(&self) -> usize {
        let managed = self.event_channels.len() + self.identifiers.len();
        let queues = self.pairs.len() + self.queues.len() + self.channels.len();
        self.contexts + self.domains.len() + self.memory.len() + queues + managed
    }
}
