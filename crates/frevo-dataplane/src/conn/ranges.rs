//! Responses of which a part is still in a file.

use super::{Connection, Host};
use crate::buffer::Missing;
use crate::event::Reason;
use crate::file_job::{FileJob, Purpose, Target, Work};

impl Connection {
    /// Reads what is to be sent next, if it is still in a file, and makes it ready for the carrier. An error ends the connection: the length of the response
    /// was said already.
    pub fn load(&mut self, host: &mut Host) -> Result<(), Reason> {
        if self.common.output.has_files() {
            let missing = self.common.output.load(&mut host.pool, !host.can_defer).map_err(unreadable)?;
            missing.into_iter().for_each(|missing| self.miss(missing, host));
        }
        match &mut self.common.direct {
            Some(direct) => direct.load(&mut self.common.output, host),
            None => Ok(()),
        }
    }

    /// The carrier takes no more: what is still in files stays there, except of files that somebody holds. Nobody waits for a
    /// peer that does not read.
    pub fn park(&mut self, host: &mut Host) -> Result<(), Reason> {
        if self.common.output.has_files() {
            let common = &mut self.common;
            let missing = common.output.park(common.id, &common.flow, &mut host.pool).map_err(unreadable)?;
            missing.into_iter().for_each(|missing| self.miss(missing, host));
        }
        Ok(())
    }

    fn miss(&self, missing: Missing, host: &mut Host) {
        let Missing { number, work, running } = missing;
        let waits = running.open().file.wait();
        host.jobs.push(FileJob {
            connection: self.common.id,
            work,
            file: Target::Open(running),
            packet: Vec::new(),
            size: 0,
            purpose: Purpose::Rest(number),
            outcome: None,
            _waits: Some(waits),
        });
    }

    /// Queues what a job has brought.
    pub(super) fn bring(&mut self, number: u64, job: FileJob) -> Result<(), Reason> {
        let count = job.outcome.unwrap_or(Ok(0)).map_err(std::io::Error::from_raw_os_error);
        if let Work::Read { room: (buffer, _), .. } = job.work {
            self.common.output.bring(number, buffer, count.map_err(unreadable)?);
        }
        Ok(())
    }
}

fn unreadable(error: std::io::Error) -> Reason {
    Reason::Owned(format!("a file cannot be read any more, and its response has begun: {error}"))
}
