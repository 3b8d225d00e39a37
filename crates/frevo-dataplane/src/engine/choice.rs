//! Which engine a data plane uses, and why.

use std::io;
use std::sync::OnceLock;

use super::Config;
use crate::ladder::{Ladder, WriteRung};
use crate::ring::features::{self, Features};

/// What the io_uring engine cannot do without.
const NEEDED_ABILITIES: [&str; 3] = ["ext_arg", "provided_buffer_ring", "multishot_recv"];
const NEEDED_OPERATIONS: [&str; 3] = ["poll_add", "async_cancel", "read"];

/// An engine and the sentence that says why it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// "uring" or "epoll".
    pub engine: &'static str,
    /// One sentence for the log.
    pub reason: String,
}

/// Chooses by what was asked for ("auto", "uring", "epoll") and by what the kernel can do.
///
/// "auto" is io_uring wherever it works: docs/decisions/0002-engine-choice.md has the measurements.
pub fn choose(wish: &str) -> io::Result<Choice> {
    if wish == "epoll" {
        return Ok(Choice { engine: "epoll", reason: "epoll was asked for".into() });
    }
    if !matches!(wish, "auto" | "uring") {
        let text = format!("unknown engine {wish:?}: use auto, uring or epoll");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    // Once for the process: it takes longer than all else that a new data plane needs.
    static OBSTACLE: OnceLock<Option<String>> = OnceLock::new();
    match (OBSTACLE.get_or_init(|| obstacle(&features::probe())), wish) {
        (None, "auto") => Ok(Choice { engine: "uring", reason: "io_uring is available".into() }),
        (None, _) => Ok(Choice { engine: "uring", reason: "io_uring was asked for".into() }),
        (Some(why), "auto") => {
            Ok(Choice { engine: "epoll", reason: format!("io_uring is not available: {why}") })
        }
        (Some(why), _) => Err(refused(why)),
    }
}

/// The error of a data plane that was to have io_uring and cannot.
pub(super) fn refused(why: &str) -> io::Error {
    let text = format!("io_uring was asked for but is not available: {why}");
    io::Error::new(io::ErrorKind::Unsupported, text)
}

/// Why the engine cannot run with these features; None when it can.
fn obstacle(features: &Features) -> Option<String> {
    if !features.available() {
        return Some(features.reason.clone());
    }
    let abilities = NEEDED_ABILITIES.iter().filter(|name| !features.has(name));
    let operations = NEEDED_OPERATIONS.iter().filter(|name| !features.operation(name));
    let missing: Vec<&str> = abilities.chain(operations).copied().collect();
    (!missing.is_empty()).then(|| format!("the kernel's io_uring lacks {}", missing.join(", ")))
}

/// How large answers leave, and how the data of large WRITEs come.
pub(super) fn ladders(config: &Config, engine: &str) -> io::Result<(Ladder, Ladder<WriteRung>)> {
    let unknown = |path: &str, wish: &str| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("unknown {path} path {wish:?}"))
    };
    let (read, write) = (&config.read_path, &config.write_path);
    Ok((
        Ladder::choose(read, config.splicing, engine).ok_or_else(|| unknown("read", read))?,
        Ladder::choose_for_writes(write, engine).ok_or_else(|| unknown("write", write))?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wish_is_followed_or_refused() {
        assert_eq!(choose("epoll").unwrap().engine, "epoll");
        assert!(choose("kqueue").is_err());
        let auto = choose("auto").unwrap();
        assert_eq!(auto.engine == "uring", choose("uring").is_ok());
    }

    #[test]
    fn what_is_missing_is_named() {
        let none = Features { reason: "EPERM: seccomp".into(), ..Features::default() };
        assert_eq!(obstacle(&none).unwrap(), "EPERM: seccomp");
        let old = Features { operations: vec!["read", "poll_add"], ..Features::default() };
        assert!(obstacle(&old).unwrap().contains("multishot_recv, async_cancel"));
    }
}
