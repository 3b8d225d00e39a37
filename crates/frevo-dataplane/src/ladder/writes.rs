//! The ways in which the data of large WRITEs reach their file. `frevo:write path` chooses.

use super::Ladder;
use crate::ring::features::{self, Features};

/// A way in which the data of a large WRITE reach their file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteRung {
    /// Received into a buffer, and written from there.
    #[default]
    Plain,
    /// The same with memory that the ring knows, by the ring: WRITE_FIXED.
    Fixed,
    /// The file gets what the socket has received: splice. Only what is neither signed nor encrypted.
    Splice,
}

impl WriteRung {
    /// All of them, from the one that copies most to the one that copies least.
    pub const ALL: [WriteRung; 3] = [WriteRung::Plain, WriteRung::Fixed, WriteRung::Splice];

    /// Its name in `smb.conf`.
    pub fn name(self) -> &'static str {
        match self {
            WriteRung::Plain => "plain",
            WriteRung::Fixed => "fixed",
            WriteRung::Splice => "splice",
        }
    }
}

impl Ladder<WriteRung> {
    /// Chooses by what was asked for: "auto" or the name of a rung. None: there is no such rung.
    pub fn choose_for_writes(wish: &str, engine: &str) -> Option<Ladder<WriteRung>> {
        Ladder::for_writes_by(wish, engine, &features::probe())
    }

    fn for_writes_by(wish: &str, engine: &str, features: &Features) -> Option<Ladder<WriteRung>> {
        let asked = WriteRung::ALL.into_iter().find(|rung| rung.name() == wish);
        if asked.is_none() && wish != "auto" {
            return None;
        }
        let obstacle = match () {
            () if engine != "uring" => Some("the engine is not io_uring"),
            () if !features.operation("write_fixed") => Some("the kernel has no write_fixed"),
            () => None,
        };
        let rung = match asked {
            Some(WriteRung::Fixed) if obstacle.is_some() => WriteRung::Plain,
            Some(asked) => asked,
            None => WriteRung::Splice,
        };
        let why = |other| match (other, obstacle, asked) {
            (WriteRung::Fixed, Some(obstacle), _) => obstacle.to_owned(),
            (WriteRung::Plain, ..) => match rung {
                WriteRung::Splice => "only for what is small, signed or encrypted, or comes over QUIC",
                _ => "only for what is small, and when no memory is free",
            }
            .to_owned(),
            (WriteRung::Fixed, _, None) => "plain is faster where it was measured".to_owned(),
            _ => format!("not asked for: `frevo:write path = {wish}`"),
        };
        let others = WriteRung::ALL.into_iter().filter(|other| *other != rung);
        Some(Ladder { rung, reasons: others.map(|other| (other, why(other))).collect() })
    }

    /// The same when rings have no memory for [`WriteRung::Fixed`], and why.
    pub fn without_memory(&self, why: Option<&String>) -> Ladder<WriteRung> {
        let Some(why) = why.filter(|_| self.rung == WriteRung::Fixed) else { return self.clone() };
        let mut reasons = self.reasons.clone();
        reasons.retain(|(rung, _)| *rung != WriteRung::Plain);
        reasons.insert(0, (WriteRung::Fixed, format!("no memory could be registered: {why}")));
        Ladder { rung: WriteRung::Plain, reasons }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(
        wish: &str,
        engine: &str,
        operations: &[&'static str],
    ) -> (WriteRung, Vec<(WriteRung, String)>) {
        let features = Features { operations: operations.to_vec(), ..Features::default() };
        let ladder = Ladder::for_writes_by(wish, engine, &features).unwrap();
        (ladder.rung, ladder.reasons)
    }

    #[test]
    fn the_wish_is_followed_and_the_cheapest_way_is_the_default() {
        for rung in WriteRung::ALL {
            let (used, reasons) = chosen(rung.name(), "uring", &["write_fixed"]);
            assert_eq!((used, reasons.len()), (rung, 2));
            let said = format!("not asked for: `frevo:write path = {}`", rung.name());
            assert!(reasons.iter().all(|(other, why)| *other != rung
                && match other {
                    WriteRung::Plain => why.starts_with("only for what is small"),
                    _ => *why == said,
                }));
        }
        let (rung, reasons) = chosen("auto", "uring", &["write_fixed"]);
        assert_eq!(rung, WriteRung::Splice);
        assert!(reasons[0].1.contains("signed or encrypted") && reasons[1].1.contains("plain is faster"));
        assert_eq!(Ladder::choose_for_writes("fast", "uring"), None);
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        let (rung, reasons) = chosen("fixed", "epoll", &["write_fixed"]);
        assert_eq!((rung, &*reasons[0].1), (WriteRung::Plain, "the engine is not io_uring"));
        assert_eq!(reasons[1], (WriteRung::Splice, "not asked for: `frevo:write path = fixed`".to_owned()));
        assert_eq!(chosen("fixed", "uring", &[]).1[0].1, "the kernel has no write_fixed");
        let fixed = Ladder { rung: WriteRung::Fixed, reasons: vec![(WriteRung::Plain, String::new())] };
        assert_eq!(fixed.without_memory(None), fixed);
        let without = fixed.without_memory(Some(&"EPERM".to_owned()));
        let said = "no memory could be registered: EPERM".to_owned();
        assert_eq!((without.rung, without.reasons), (WriteRung::Plain, vec![(WriteRung::Fixed, said)]));
    }
}
