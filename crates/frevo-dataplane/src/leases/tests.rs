//! What keeps writers waiting, and for how long; leases on real files, and connections over the loopback.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::thread::{self, JoinHandle};

use super::keeper::Kept;
use super::*;

/// A file on disk that goes with the test.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Temporary {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("frevo-lease-{}-{number}", std::process::id()));
        std::fs::write(&path, [1; 8192]).unwrap();
        Temporary(path)
    }

    fn open(&self) -> OpenFile {
        OpenFile::new(File::open(&self.0).unwrap().into())
    }

    /// Whether a writer would not have to wait. If it had to, the lease is to be given up from now on.
    fn is_free(&self) -> bool {
        match OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&self.0) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                false
            }
        }
    }

    /// Opens it for writing in another thread, and says how long that took.
    fn writer(&self) -> JoinHandle<Duration> {
        let path = self.0.clone();
        thread::spawn(move || {
            let begun = Instant::now();
            OpenOptions::new().write(true).open(path).unwrap();
            begun.elapsed()
        })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

/// A connection whose other end reads nothing yet; so many bytes of its output are under way.
fn connection() -> (Arc<Delivery>, TcpStream, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut ours = listener.accept().unwrap().0;
    let delivery = Arc::new(Delivery::new(ours.try_clone().unwrap().into()));
    ours.set_nonblocking(true).unwrap();
    let (mut sent, mut full) = (0, 0);
    while full < 3 {
        match ours.write(&[7; 65536]) {
            Ok(count) => (sent, full) = (sent + count as u64, 0),
            Err(_) => {
                thread::sleep(Duration::from_millis(5)); // what is there may still be acknowledged
                full += 1;
            }
        }
    }
    delivery.counter().store(sent, Ordering::Release);
    (delivery, theirs, sent)
}

fn pin(pages: &Pages, file: &OpenFile) -> Result<Pin, Obstacle> {
    pages.pin(file, Instant::now(), &Arc::default())
}

/// Waits until a condition that another thread brings about is true.
fn eventually(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !condition() {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(1));
    }
}

fn lease(pages: &Pages) -> Arc<Lease> {
    match &*pages.state.lock().unwrap() {
        State::Leased(lease) => lease.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_writer_waits_until_pages_have_arrived() {
    let (temporary, pages) = (Temporary::new(), Pages::default());
    let file = temporary.open();
    let (delivery, mut theirs, sent) = connection();
    let first = pin(&pages, &file).unwrap();
    first.queued(&delivery, sent).unwrap();
    pin(&pages, &file).unwrap().queued(&delivery, sent).unwrap();
    let writer = temporary.writer();
    let lease = lease(&pages);
    eventually(|| !lease.gate.is_open(Level::Read));
    assert_eq!(pin(&pages, &file).unwrap_err(), Obstacle::Writer, "nothing more is spliced");
    thread::sleep(Duration::from_millis(30));
    assert!(!writer.is_finished());
    let mut all = vec![0; sent as usize];
    theirs.read_exact(&mut all).unwrap();
    assert!(writer.join().unwrap() >= Duration::from_millis(30));
    assert!(!delivery.was_cut());
    assert_eq!(pin(&pages, &file).unwrap_err(), Obstacle::Writer, "it may come again at once");
    let later = Instant::now() + AFTER_WRITER;
    assert!(pages.pin(&file, later, &Arc::default()).is_ok());
}

#[test]
fn a_writer_waits_for_a_read_that_is_under_way() {
    let (temporary, pages) = (Temporary::new(), Pages::default());
    let running = pin(&pages, &temporary.open()).unwrap();
    let writer = temporary.writer();
    let lease = lease(&pages);
    eventually(|| !lease.gate.is_open(Level::Read));
    thread::sleep(Duration::from_millis(30));
    assert!(!writer.is_finished());
    drop(running);
    writer.join().unwrap();
}

#[test]
fn a_peer_that_takes_nothing_is_cut_off() {
    let (temporary, pages) = (Temporary::new(), Pages::default());
    let (delivery, mut theirs, sent) = connection();
    let stats = Arc::default();
    let pinned = pages.pin(&temporary.open(), Instant::now(), &stats).unwrap();
    pinned.queued(&delivery, sent).unwrap();
    let waited = temporary.writer().join().unwrap();
    assert!(waited > Duration::from_secs(2) && waited < Duration::from_secs(5), "{waited:?}");
    assert!(delivery.was_cut());
    let mut all = Vec::new();
    assert_eq!(theirs.read_to_end(&mut all).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    // The writer goes on before the lease is counted out.
    eventually(|| [&stats.cut_for_writers, &stats.leases_broken, &stats.leases].map(count) == [1, 1, 0]);
}

#[test]
fn what_a_connection_that_ended_had_sent_has_time_to_leave() {
    let (temporary, pages) = (Temporary::new(), Pages::default());
    let (delivery, theirs, sent) = connection();
    pin(&pages, &temporary.open()).unwrap().queued(&delivery, sent).unwrap();
    drop((delivery, theirs));
    // Looked at in between for the sake of another one: that it has ended is not forgotten.
    Kept { lease: lease(&pages), ending: None }.look(Instant::now());
    let waited = temporary.writer().join().unwrap();
    assert!(waited >= Duration::from_millis(90) && waited < Duration::from_secs(1), "{waited:?}");
}

#[test]
fn a_lease_goes_when_it_is_not_used_or_no_open_is_left() {
    let (temporary, pages) = (Temporary::new(), Pages::default());
    let file = temporary.open();
    let (delivery, mut theirs, sent) = connection();
    pin(&pages, &file).unwrap().queued(&delivery, sent).unwrap();
    let mut kept = Kept { lease: lease(&pages), ending: None };
    let later = Instant::now() + Duration::from_secs(6);
    assert!(kept.look(Instant::now()).is_some() && kept.ending.is_none());
    assert!(kept.look(later).is_some(), "something is under way");
    assert!(pin(&pages, &file).is_ok(), "it can be used again");
    let mut all = vec![0; sent as usize];
    theirs.read_exact(&mut all).unwrap();
    eventually(|| delivery.arrived() == sent);
    assert!(kept.look(later).is_none());
    assert!(temporary.is_free());
    assert!(pages.pin(&file, later, &Arc::default()).is_ok());
    drop(pages);
    eventually(|| temporary.is_free());
}

#[test]
fn a_read_that_takes_too_long_is_not_sent() {
    let (temporary, pages) = (Temporary::new(), Pages::default());
    let running = pin(&pages, &temporary.open()).unwrap();
    let mut kept = Kept { lease: lease(&pages), ending: None };
    assert!(!temporary.is_free());
    assert!(kept.look(Instant::now()).is_some());
    assert!(kept.look(Instant::now() + Duration::from_secs(11)).is_none());
    assert!(temporary.is_free());
    let (delivery, _theirs, sent) = connection();
    assert!(running.queued(&delivery, sent).is_err());
}

#[test]
fn there_is_no_lease_while_somebody_may_write() {
    let (temporary, pages) = (Temporary::new(), Pages::default());
    let file = temporary.open();
    let writer = OpenOptions::new().write(true).open(&temporary.0).unwrap();
    assert_eq!(pin(&pages, &file).unwrap_err(), Obstacle::Writer);
    let later = Instant::now() + AFTER_WRITER;
    assert_eq!(pages.pin(&file, later, &Arc::default()).unwrap_err(), Obstacle::Writer);
    drop(writer);
    assert_eq!(pages.pin(&file, later, &Arc::default()).unwrap_err(), Obstacle::Writer, "not asked yet");
    assert!(pages.pin(&file, later + AFTER_WRITER, &Arc::default()).is_ok());
}

#[test]
fn obstacles_are_told_apart() {
    let pages = Pages::default();
    let silent = OpenFile::new(File::open("/proc/self/stat").unwrap().into());
    assert_eq!(pin(&pages, &silent).unwrap_err(), Obstacle::Unable);
    // SAFETY: changes nothing.
    if unsafe { libc::geteuid() } != 0 {
        return;
    }
    let (temporary, pages) = (Temporary::new(), Pages::default());
    chown(&temporary.0, Some(65534), None).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            const CAP_LEASE: u32 = 28;
            acting::drop_capability(CAP_LEASE).unwrap();
            assert_eq!(pin(&pages, &temporary.open()).unwrap_err(), Obstacle::Denied);
            chown(&temporary.0, Some(0), None).unwrap();
            let later = Instant::now() + AFTER_REFUSAL;
            assert!(pages.pin(&temporary.open(), later, &Arc::default()).is_ok());
        });
    });
}

#[test]
fn leases_and_their_descriptors_are_few() {
    let files: Vec<Temporary> = (0..300).map(|_| Temporary::new()).collect();
    let opens: Vec<(Pages, OpenFile)> = files.iter().map(|one| (Pages::default(), one.open())).collect();
    let results: Vec<_> = opens.iter().map(|(pages, file)| pin(pages, file)).collect();
    let refused = results.iter().filter(|result| matches!(result, Err(Obstacle::Short))).count();
    assert!(refused >= 300 - 256 && results[0].is_ok(), "{refused}");
    drop((results, opens));
    eventually(|| files.iter().all(Temporary::is_free));
}
