//! The suite of all providers over both kinds of streams, and what only streams have.

mod beginning;
mod bench;

use bench::{Kind, Pair};

/// iWARP without checksums, and with segments that large messages need several of.
mod iwarp {
    use super::*;
    crate::conformance!(|| Box::new(Pair::new(Kind::Iwarp { checks: false, segment_bytes: 1000 })));
}

mod iwarp_with_checksums {
    use super::*;
    crate::conformance!(|| Box::new(Pair::new(Kind::Iwarp { checks: true, segment_bytes: 65_472 })));
}

mod emulated {
    use super::*;
    crate::conformance!(|| Box::new(Pair::new(Kind::Emulated { can_fetch: true })));
}

/// Where the kernel does not let one of them read the memory of the other.
mod emulated_without_fetching {
    use super::*;
    crate::conformance!(|| Box::new(Pair::new(Kind::Emulated { can_fetch: false })));
}
