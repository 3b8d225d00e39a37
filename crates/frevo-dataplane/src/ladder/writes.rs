//! The ways in which the data of large WRITEs reach their file. `frevo:write path` chooses.

use super::Ladder;

/// A way in which the data of a large WRITE reach their file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteRung {
    /// Received into a buffer, and written from there.
    #[default]
    Plain,
    /// The file gets what the socket has received: splice. Only what is neither signed nor encrypted.
    Splice,
}

impl WriteRung {
    /// All of them, from the one that copies most to the one that copies least.
    pub const ALL: [WriteRung; 2] = [WriteRung::Plain, WriteRung::Splice];

    /// Its name in `smb.conf`.
    pub fn name(self) -> &'static str {
        match self {
            WriteRung::Plain => "plain",
            WriteRung::Splice => "splice",
        }
    }
}

impl Ladder<WriteRung> {
    /// Chooses by what was asked for: "auto" or the name of a rung. None: there is no such rung.
    pub fn choose_for_writes(wish: &str) -> Option<Ladder<WriteRung>> {
        let asked = WriteRung::ALL.into_iter().find(|rung| rung.name() == wish);
        if asked.is_none() && wish != "auto" {
            return None;
        }
        let rung = asked.unwrap_or(WriteRung::Splice);
        let why = match asked {
            Some(asked) => format!("{} was asked for", asked.name()),
            None => {
                "only for what is signed or encrypted: splice costs less where it was measured".to_owned()
            }
        };
        let others = WriteRung::ALL.into_iter().filter(|other| *other != rung);
        Some(Ladder { rung, reasons: others.map(|other| (other, why.clone())).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wish_is_followed_and_the_cheapest_way_is_the_default() {
        let chosen = |wish| Ladder::choose_for_writes(wish).map(|ladder| (ladder.rung, ladder.reasons));
        let asked = |other, by: &str| vec![(other, format!("{by} was asked for"))];
        assert_eq!(chosen("plain"), Some((WriteRung::Plain, asked(WriteRung::Splice, "plain"))));
        assert_eq!(chosen("splice"), Some((WriteRung::Splice, asked(WriteRung::Plain, "splice"))));
        let (rung, reasons) = chosen("auto").unwrap();
        assert_eq!(rung, WriteRung::Splice);
        assert!(reasons[0].1.contains("signed or encrypted"));
        assert_eq!(chosen("fast"), None);
    }
}
