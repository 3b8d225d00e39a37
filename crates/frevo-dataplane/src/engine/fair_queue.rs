//! Jobs that wait for a thread: by file system, and within a file system by connection.
//!
//! No file system has more than `max` threads, and those are only for it: one that does not answer stops no other. Its
//! connections take turns, and none has more threads than it leaves free for the others.

use std::collections::{HashMap, VecDeque};

use crate::event::ConnectionId;

/// Whose job it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// The file system.
    pub(super) device: u64,
    /// The connection.
    pub(super) connection: ConnectionId,
}

/// Jobs of type `T`.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    max: usize,
    filesystems: HashMap<u64, Filesystem<T>>,
    /// File systems of which a job may start, in turn.
    ready: VecDeque<u64>,
}

#[derive(Debug)]
struct Filesystem<T> {
    running: usize,
    ready: bool,
    connections: HashMap<ConnectionId, Waiting<T>>,
    /// Connections with waiting jobs, in turn.
    turns: VecDeque<ConnectionId>,
}

#[derive(Debug)]
struct Waiting<T> {
    running: usize,
    jobs: VecDeque<T>,
}

impl<T> FairQueue<T> {
    /// At most `max` jobs of one file system run at a time.
    pub(super) fn new(max: usize) -> FairQueue<T> {
        FairQueue { max, filesystems: HashMap::new(), ready: VecDeque::new() }
    }

    /// Adds a job.
    pub(super) fn push(&mut self, owner: Owner, job: T) {
        let filesystem = self.filesystems.entry(owner.device).or_default();
        let waiting = filesystem.connections.entry(owner.connection).or_default();
        if waiting.jobs.is_empty() {
            filesystem.turns.push_back(owner.connection);
        }
        waiting.jobs.push_back(job);
        self.renew(owner.device);
    }

    /// A job that may start now; `done` must follow.
    pub(super) fn start(&mut self) -> Option<(Owner, T)> {
        let device = self.ready.pop_front()?;
        let filesystem = self.filesystems.get_mut(&device)?;
        filesystem.ready = false;
        let started = filesystem.start(self.max);
        self.renew(device);
        started.map(|(connection, job)| (Owner { device, connection }, job))
    }

    /// A job of `owner` has ended.
    pub(super) fn done(&mut self, owner: Owner) {
        let Some(filesystem) = self.filesystems.get_mut(&owner.device) else { return };
        filesystem.running -= 1;
        if let Some(waiting) = filesystem.connections.get_mut(&owner.connection) {
            waiting.running -= 1;
            if waiting.running == 0 && waiting.jobs.is_empty() {
                filesystem.connections.remove(&owner.connection);
            }
        }
        if filesystem.connections.is_empty() {
            self.filesystems.remove(&owner.device);
        } else {
            self.renew(owner.device);
        }
    }

    /// Whether `start` has something.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Forgets the jobs that have not started.
    pub(super) fn clear(&mut self) {
        self.ready.clear();
        self.filesystems.clear();
    }

    /// Sees to it that a file system of which a job may start is in the list, once.
    fn renew(&mut self, device: u64) {
        let Some(filesystem) = self.filesystems.get_mut(&device) else { return };
        if !filesystem.ready && filesystem.next(self.max).is_some() {
            filesystem.ready = true;
            self.ready.push_back(device);
        }
    }
}

impl<T> Filesystem<T> {
    /// The place in `turns` of the connection that may start a job.
    fn next(&self, max: usize) -> Option<usize> {
        let free = max.saturating_sub(self.running);
        // Those that may not start have running jobs, so no more than `max` are passed over.
        self.turns.iter().position(|id| self.connections.get(id).is_some_and(|one| one.running < free))
    }

    fn start(&mut self, max: usize) -> Option<(ConnectionId, T)> {
        let connection = self.turns.remove(self.next(max)?)?;
        let waiting = self.connections.get_mut(&connection)?;
        let job = waiting.jobs.pop_front()?;
        waiting.running += 1;
        self.running += 1;
        if !waiting.jobs.is_empty() {
            self.turns.push_back(connection);
        }
        Some((connection, job))
    }
}

impl<T> Default for Filesystem<T> {
    fn default() -> Self {
        Filesystem { running: 0, ready: false, connections: HashMap::new(), turns: VecDeque::new() }
    }
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Waiting { running: 0, jobs: VecDeque::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(device: u64, connection: u64) -> Owner {
        Owner { device, connection }
    }

    /// Starts all that may start: the jobs' numbers.
    fn started(queue: &mut FairQueue<u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.start().map(|(_, job)| job)).collect()
    }

    #[test]
    fn a_file_system_that_does_not_answer_keeps_none_from_another() {
        let mut queue = FairQueue::new(4);
        for device in 1..=9 {
            (0..50).for_each(|job| queue.push(owner(device, job), job as u32));
        }
        assert_eq!(started(&mut queue).len(), 9 * 4, "four threads each");
        queue.push(owner(10, 1), 1000);
        assert_eq!(started(&mut queue), [1000]);
    }

    #[test]
    fn connections_take_turns_and_one_alone_has_half() {
        let mut queue = FairQueue::new(8);
        (0..20).for_each(|job| queue.push(owner(1, 1), job));
        assert_eq!(started(&mut queue), [0, 1, 2, 3]);
        queue.push(owner(1, 2), 100);
        queue.push(owner(1, 2), 101);
        queue.push(owner(1, 3), 200);
        assert_eq!(started(&mut queue), [100, 200, 101], "the others need not wait");
        assert!(!queue.is_ready(), "one is free, which the first does not get");
        queue.done(owner(1, 2));
        assert!(!queue.is_ready());
        queue.done(owner(1, 3));
        queue.done(owner(1, 1));
        assert_eq!(started(&mut queue), [4], "in order");
    }

    #[test]
    fn what_has_ended_leaves_nothing_behind() {
        let mut queue = FairQueue::new(2);
        for round in 0..3 {
            (0..5).for_each(|job| queue.push(owner(round, job % 2), job as u32));
            let mut count = 0;
            while let Some((owner, _)) = queue.start() {
                count += 1;
                queue.done(owner);
            }
            assert_eq!(count, 5);
        }
        assert!(queue.filesystems.is_empty() && !queue.is_ready());
        queue.push(owner(1, 1), 1);
        queue.clear();
        assert!(queue.start().is_none());
        queue.done(owner(1, 1));
    }
}
