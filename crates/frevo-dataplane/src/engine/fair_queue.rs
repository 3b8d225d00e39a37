//! Jobs that wait for a thread: by file system, within a file system by user, and of a user by connection.
//!
//! No file system has more than `max` threads, and those are only for it: one that does not answer stops no other. Its users
//! take turns, and so do the connections of a user. No connection has more threads than it leaves free for the others, and
//! no user with however many connections has all of them.

use std::collections::{HashMap, VecDeque};

use crate::event::ConnectionId;

/// Whose job it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// The file system.
    pub(super) device: u64,
    /// The user.
    pub(super) party: Party,
    /// The connection.
    pub(super) connection: ConnectionId,
}

/// Who gets a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Party {
    /// A user, by the number that the control plane has given.
    User(u64),
    /// A connection that is nobody's.
    Connection(ConnectionId),
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
    parties: HashMap<Party, Jobs<T>>,
    /// Users with waiting jobs, in turn.
    turns: VecDeque<Party>,
}

/// Those of one user.
#[derive(Debug)]
struct Jobs<T> {
    running: usize,
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
        let jobs = filesystem.parties.entry(owner.party).or_default();
        if jobs.turns.is_empty() {
            filesystem.turns.push_back(owner.party);
        }
        let waiting = jobs.connections.entry(owner.connection).or_default();
        if waiting.jobs.is_empty() {
            jobs.turns.push_back(owner.connection);
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
        started.map(|(party, connection, job)| (Owner { device, party, connection }, job))
    }

    /// A job of `owner` has ended.
    pub(super) fn done(&mut self, owner: Owner) {
        let Some(filesystem) = self.filesystems.get_mut(&owner.device) else { return };
        filesystem.running -= 1;
        if let Some(jobs) = filesystem.parties.get_mut(&owner.party) {
            jobs.done(owner.connection);
            if jobs.connections.is_empty() {
                filesystem.parties.remove(&owner.party);
            }
        }
        if filesystem.parties.is_empty() {
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
    /// The places of the user and of the connection that may start a job.
    fn next(&self, max: usize) -> Option<(usize, usize)> {
        let free = max.saturating_sub(self.running);
        // Those that may not start have running jobs, so no more than `max` are passed over, of either.
        self.turns.iter().enumerate().find_map(|(place, party)| {
            let jobs = self.parties.get(party).filter(|jobs| jobs.running < most(max))?;
            jobs.next(free).map(|connection| (place, connection))
        })
    }

    fn start(&mut self, max: usize) -> Option<(Party, ConnectionId, T)> {
        let (place, connection) = self.next(max)?;
        let party = self.turns.remove(place)?;
        let jobs = self.parties.get_mut(&party)?;
        let (connection, job) = jobs.start(connection)?;
        self.running += 1;
        if !jobs.turns.is_empty() {
            self.turns.push_back(party);
        }
        Some((party, connection, job))
    }
}

/// The most threads of one user: some are for others.
fn most(max: usize) -> usize {
    max - (max / 4).max(1).min(max - 1)
}

impl<T> Jobs<T> {
    /// The place of the connection that may start a job while so many threads are free.
    fn next(&self, free: usize) -> Option<usize> {
        self.turns.iter().position(|id| self.connections.get(id).is_some_and(|one| one.running < free))
    }

    fn start(&mut self, place: usize) -> Option<(ConnectionId, T)> {
        let connection = self.turns.remove(place)?;
        let waiting = self.connections.get_mut(&connection)?;
        let job = waiting.jobs.pop_front()?;
        waiting.running += 1;
        self.running += 1;
        if !waiting.jobs.is_empty() {
            self.turns.push_back(connection);
        }
        Some((connection, job))
    }

    fn done(&mut self, connection: ConnectionId) {
        self.running -= 1;
        if let Some(waiting) = self.connections.get_mut(&connection) {
            waiting.running -= 1;
            if waiting.running == 0 && waiting.jobs.is_empty() {
                self.connections.remove(&connection);
            }
        }
    }
}

impl<T> Default for Filesystem<T> {
    fn default() -> Self {
        Filesystem { running: 0, ready: false, parties: HashMap::new(), turns: VecDeque::new() }
    }
}

impl<T> Default for Jobs<T> {
    fn default() -> Self {
        Jobs { running: 0, connections: HashMap::new(), turns: VecDeque::new() }
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

    /// A connection that has a user of its own.
    fn owner(device: u64, connection: u64) -> Owner {
        Owner { device, party: Party::Connection(connection), connection }
    }

    fn of_user(user: u64, connection: u64) -> Owner {
        Owner { device: 1, party: Party::User(user), connection }
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
    fn no_user_has_all_threads_with_however_many_connections() {
        let mut queue = FairQueue::new(8);
        for connection in 0..100 {
            (0..5).for_each(|job| queue.push(of_user(7, connection), 10 * connection as u32 + job));
        }
        assert_eq!(started(&mut queue).len(), 6);
        queue.push(of_user(8, 200), 2000);
        assert_eq!(started(&mut queue), [2000], "another user's first need not wait");
        queue.push(of_user(9, 300), 3000);
        assert_eq!(started(&mut queue), [3000]);
        queue.done(of_user(8, 200));
        assert!(!queue.is_ready(), "nor is that thread for the first user");
    }

    #[test]
    fn connections_of_one_user_take_turns_too() {
        let mut queue = FairQueue::new(8);
        (0..20).for_each(|job| queue.push(of_user(7, 1), job));
        assert_eq!(started(&mut queue), [0, 1, 2, 3], "no connection has more than it leaves free");
        (0..2).for_each(|job| queue.push(of_user(7, 2), 100 + job));
        assert_eq!(started(&mut queue), [100, 101]);
        queue.push(of_user(7, 3), 200);
        assert!(!queue.is_ready());
        queue.done(of_user(7, 1));
        assert_eq!(started(&mut queue), [200], "who has fewer comes first");
    }

    #[test]
    fn a_single_thread_is_for_anybody() {
        for max in 1..=3 {
            let mut queue = FairQueue::new(max);
            (0..3).for_each(|connection| queue.push(of_user(7, connection), connection as u32));
            let count = started(&mut queue).len();
            assert_eq!(count, if max == 3 { 2 } else { 1 }, "{max}");
        }
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
