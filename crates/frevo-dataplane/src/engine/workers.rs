//! Threads for file reads that would block and for the files that pumps write; started when the first job comes.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::{Command, Shared};
use crate::fast::ReadJob;
use crate::pump::StoreQueue;

/// Something that blocks.
#[derive(Debug)]
pub(crate) enum Job {
    Read(ReadJob),
    /// One after the other: writes to one file exclude each other.
    Store(Arc<StoreQueue>),
}

/// A small pool of blocking threads.
#[derive(Debug)]
pub(crate) struct Workers {
    state: Mutex<State>,
    work: Condvar,
    max: usize,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: Vec<JoinHandle<()>>,
    idle: usize,
    stopping: bool,
}

impl Workers {
    pub(crate) fn new(max: usize) -> Workers {
        Workers { state: Mutex::default(), work: Condvar::new(), max }
    }

    /// Queues a job; its connection's thread gets [`Command::ReadDone`] or [`Command::Stored`].
    pub(crate) fn push(&self, job: Job, shared: &Arc<Shared>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.stopping {
            return;
        }
        state.jobs.push_back(job);
        if state.jobs.len() > state.idle && state.threads.len() < self.max {
            let shared = shared.clone();
            let thread = thread::Builder::new().name("frevo-read".into()).spawn(move || work(&shared));
            state.threads.extend(thread);
        }
        if state.threads.is_empty() {
            // Not one thread can be had: do it here, late is better than never.
            let job = state.jobs.pop_back();
            drop(state);
            job.into_iter().for_each(|job| finish(job, shared));
            return;
        }
        drop(state);
        self.work.notify_one();
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.idle += 1;
        while !state.stopping && state.jobs.is_empty() {
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.idle -= 1;
        if state.stopping {
            return None;
        }
        state.jobs.pop_front()
    }

    /// Forgets what is queued and joins the threads.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.stopping = true;
        state.jobs.clear();
        let threads = std::mem::take(&mut state.threads);
        drop(state);
        self.work.notify_all();
        threads.into_iter().for_each(|thread| drop(thread.join()));
    }
}

fn work(shared: &Arc<Shared>) {
    while let Some(job) = shared.workers.next() {
        finish(job, shared);
    }
}

fn finish(job: Job, shared: &Arc<Shared>) {
    match job {
        Job::Read(mut job) => {
            job.run();
            shared.send(job.connection, Command::ReadDone(job));
        }
        Job::Store(queue) => {
            while let Some(mut job) = queue.next() {
                job.run();
                shared.send(job.connection, Command::Stored(job));
            }
        }
    }
}
