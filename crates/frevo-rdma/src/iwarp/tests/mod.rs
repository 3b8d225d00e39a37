//! Frames and headers against their bytes, endpoints against hostile segments and against each other.

mod against_each_other;
mod frames;
mod hostile;

use super::*;

const LIMITS: Limits =
    Limits { segment_bytes: 1000, incoming_reads: 2, outgoing_reads: 2, checks: true, by_reference: false };
