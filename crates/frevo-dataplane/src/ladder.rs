//! The ways in which large answers leave: the rungs of a ladder, one of which is used, and why not the others. `writes` are those
//! in which the data of large WRITEs come.
//!
//! Which one is fastest depends on the network: copying pieces that stay in the processor's cache beats everything else on
//! the loopback, and on a network card the ways that copy less may win. `frevo:read path` chooses.

mod writes;

pub use writes::WriteRung;

use crate::ring::features::{self, Features};

/// A way in which large answers leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rung {
    /// Copied into the socket by the thread that has read the data.
    #[default]
    Plain,
    /// Copied into the socket by a thread of the kernel: SEND with IOSQE_ASYNC.
    Async,
    /// The socket refers to the buffer until the peer has acknowledged it: SEND_ZC.
    ZeroCopy,
    /// The socket refers to the pages of the file: splice. Only what is neither signed nor encrypted.
    Splice,
}

impl Rung {
    /// All of them, from the one that copies most to the one that copies least.
    pub const ALL: [Rung; 4] = [Rung::Plain, Rung::Async, Rung::ZeroCopy, Rung::Splice];

    /// Its name in `smb.conf`.
    pub fn name(self) -> &'static str {
        match self {
            Rung::Plain => "plain",
            Rung::Async => "async",
            Rung::ZeroCopy => "zerocopy",
            Rung::Splice => "splice",
        }
    }

    /// The operation of io_uring that it needs, if any.
    fn operation(self) -> Option<&'static str> {
        match self {
            Rung::Plain | Rung::Splice => None,
            Rung::Async => Some("send"),
            Rung::ZeroCopy => Some("send_zc"),
        }
    }
}

/// When pages of files may be sent as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Splicing {
    /// While nobody can change them before they have arrived.
    #[default]
    Auto,
    /// Whatever becomes of them.
    Always,
    /// Not at all.
    Never,
}

impl Splicing {
    /// By its name in `smb.conf`. None: there is no such thing.
    pub fn named(name: &str) -> Option<Splicing> {
        match name {
            "auto" => Some(Splicing::Auto),
            "always" => Some(Splicing::Always),
            "never" => Some(Splicing::Never),
            _ => None,
        }
    }
}

/// The rung that is used, and why each of the others is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ladder<R = Rung> {
    /// The one that is used.
    pub rung: R,
    /// Of every rung but that one, why it is not used.
    pub reasons: Vec<(R, String)>,
}

impl Ladder {
    /// Chooses by what was asked for: "auto" or the name of a rung. None: there is no such rung.
    pub fn choose(wish: &str, splicing: Splicing, engine: &str) -> Option<Ladder> {
        Ladder::by(wish, splicing, engine, &features::probe())
    }

    fn by(wish: &str, splicing: Splicing, engine: &str, features: &Features) -> Option<Ladder> {
        let asked = Rung::ALL.into_iter().find(|rung| rung.name() == wish);
        if asked.is_none() && wish != "auto" {
            return None;
        }
        let obstacle = |rung: Rung| match rung.operation() {
            Some(_) if engine != "uring" => Some("the engine is not io_uring".to_owned()),
            None if rung == Rung::Splice && splicing == Splicing::Never => {
                Some("`frevo:splice = never`".to_owned())
            }
            Some(name) if !features.operation(name) => Some(format!("the kernel has no {name}")),
            _ => None,
        };
        let rung = asked.filter(|rung| obstacle(*rung).is_none()).unwrap_or_default();
        let why = |other: Rung| match (obstacle(other), asked) {
            (Some(obstacle), _) => obstacle,
            (None, Some(_)) if other == Rung::Plain => match rung {
                Rung::Splice => {
                    "only for what is small, signed or encrypted, goes over QUIC or cannot be spliced"
                }
                _ => "only for what is small or goes over QUIC",
            }
            .to_owned(),
            (None, Some(_)) => format!("not asked for: `frevo:read path = {wish}`"),
            (None, None) if other == Rung::Splice => {
                "whether it is faster depends on the network card: ask for it".to_owned()
            }
            (None, _) => format!("{} is faster and costs less where it was measured", rung.name()),
        };
        let others = Rung::ALL.into_iter().filter(|other| *other != rung);
        Some(Ladder { rung, reasons: others.map(|other| (other, why(other))).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTO: Splicing = Splicing::Auto;

    fn features() -> Features {
        Features { operations: vec!["send", "send_zc"], ..Features::default() }
    }

    #[test]
    fn the_wish_is_followed_where_it_can_be() {
        for rung in Rung::ALL {
            let ladder = Ladder::by(rung.name(), AUTO, "uring", &features()).unwrap();
            assert_eq!(ladder.rung, rung);
            assert_eq!(ladder.reasons.len(), 3);
            assert!(ladder.reasons.iter().all(|(other, why)| *other != rung
                && match other {
                    Rung::Plain => why.starts_with("only for what is small"),
                    _ => *why == format!("not asked for: `frevo:read path = {}`", rung.name()),
                }));
        }
        let auto = Ladder::by("auto", AUTO, "uring", &features()).unwrap();
        assert_eq!(auto.rung, Rung::Plain);
        assert!(
            auto.reasons[0].1.starts_with("plain is faster") && auto.reasons[2].1.ends_with("ask for it")
        );
        assert!(Ladder::by("fast", AUTO, "uring", &features()).is_none());
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        let old = Features { operations: vec!["send"], ..Features::default() };
        let ladder = Ladder::by("zerocopy", AUTO, "uring", &old).unwrap();
        assert_eq!(ladder.rung, Rung::Plain);
        let reason = |ladder: &Ladder, rung| {
            ladder.reasons.iter().find(|(other, _)| *other == rung).map(|(_, why)| why.clone()).unwrap()
        };
        assert_eq!(reason(&ladder, Rung::ZeroCopy), "the kernel has no send_zc");
        let ladder = Ladder::by("async", AUTO, "epoll", &features()).unwrap();
        assert_eq!(ladder.rung, Rung::Plain);
        assert_eq!(reason(&ladder, Rung::Async), "the engine is not io_uring");
        assert_eq!(Ladder::by("splice", AUTO, "epoll", &features()).unwrap().rung, Rung::Splice);
        let ladder = Ladder::by("splice", Splicing::Never, "epoll", &features()).unwrap();
        assert_eq!(ladder.rung, Rung::Plain);
        assert_eq!(reason(&ladder, Rung::Splice), "`frevo:splice = never`");
        assert_eq!(Ladder::by("splice", Splicing::Always, "epoll", &features()).unwrap().rung, Rung::Splice);
    }
}
