//! Threads for what would block; started when needed.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::fair_queue::{FairQueue, Owner};
use super::{Command, Shared};
use crate::file_job::{FileJob, Series};

/// How long the end waits for threads; one whose file system does not answer is left behind.
const PATIENCE: Duration = Duration::from_secs(2);

/// Something that blocks.
#[derive(Debug)]
pub(crate) enum Job {
    One(Box<FileJob>),
    /// One after the other: writes to one file exclude each other.
    Series(Arc<Series>),
}

/// The blocking threads.
#[derive(Debug)]
pub(crate) struct Workers {
    state: Mutex<State>,
    work: Condvar,
    ended: Condvar,
    /// Threads of one file system, and threads that stay when there is nothing to do.
    max: usize,
}

#[derive(Debug)]
struct State {
    queue: FairQueue<Job>,
    threads: usize,
    /// Threads that wait and have not been called.
    idle: usize,
    /// Threads that have been called and have not come yet.
    called: usize,
    stopping: bool,
}

impl Workers {
    pub(crate) fn new(max: usize) -> Workers {
        let queue = FairQueue::new(max);
        let state = State { queue, threads: 0, idle: 0, called: 0, stopping: false };
        Workers { state: Mutex::new(state), work: Condvar::new(), ended: Condvar::new(), max }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a job; its connection's thread gets [`Command::FileDone`].
    pub(super) fn push(&self, owner: Owner, job: Job, shared: &Arc<Shared>) {
        let mut state = self.state();
        if state.stopping {
            return;
        }
        state.queue.push(owner, job);
        self.call(&mut state, shared);
        if state.threads == 0 {
            // Not one thread can be had: do it here, late is better than never.
            let started = state.queue.start();
            drop(state);
            if let Some((owner, job)) = started {
                finish(job, shared);
                self.state().queue.done(owner);
            }
        }
    }

    /// Calls a thread if a job may start.
    fn call(&self, state: &mut State, shared: &Arc<Shared>) {
        if !state.queue.is_ready() {
            return;
        }
        if state.idle > 0 {
            state.idle -= 1;
            state.called += 1;
            self.work.notify_one();
            return;
        }
        let shared = shared.clone();
        let thread = thread::Builder::new().name("frevo-file".into()).spawn(move || work(&shared));
        state.threads += usize::from(thread.is_ok());
    }

    /// The next job; None ends the thread.
    fn next(&self, done: Option<Owner>, shared: &Arc<Shared>) -> Option<(Owner, Job)> {
        let mut state = self.state();
        if let Some(owner) = done {
            state.queue.done(owner);
        }
        while !state.stopping {
            if let Some(started) = state.queue.start() {
                self.call(&mut state, shared);
                return Some(started);
            }
            if state.idle >= self.max {
                break;
            }
            state.idle += 1;
            while state.called == 0 && !state.stopping {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.called = state.called.saturating_sub(1);
        }
        state.threads -= 1;
        self.ended.notify_all();
        None
    }

    /// Forgets what is queued and waits for the threads, but not for one whose file system does not answer.
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        state.stopping = true;
        state.queue.clear();
        self.work.notify_all();
        let waited = self.ended.wait_timeout_while(state, PATIENCE, |state| state.threads > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

fn work(shared: &Arc<Shared>) {
    let mut done = None;
    while let Some((owner, job)) = shared.workers.next(done, shared) {
        finish(job, shared);
        done = Some(owner);
    }
}

fn finish(job: Job, shared: &Arc<Shared>) {
    match job {
        Job::One(mut job) => {
            job.run();
            shared.send(job.connection, Command::FileDone(job));
        }
        Job::Series(series) => {
            while let Some(mut job) = series.next() {
                job.run();
                shared.send(job.connection, Command::FileDone(Box::new(job)));
            }
        }
    }
}
