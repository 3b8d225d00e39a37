//! CUBIC, which lets a connection say that it is over.
//!
//! quinn-proto holds CONNECTION_CLOSE back like data: while the window is full of what was not acknowledged. A closed
//! connection takes no acknowledgments, so that its peer would never hear of the end.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;

/// A window from which on quinn-proto does not pace.
const UNLIMITED: u64 = 1 << 32;

/// Set when nothing but the end is left to send on a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending(Arc<AtomicBool>);

impl Ending {
    /// The end need not wait for acknowledgments.
    pub(super) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Makes the controller of one connection.
pub(super) struct Config {
    pub(super) cubic: Arc<CubicConfig>,
    pub(super) ending: Ending,
}

impl ControllerFactory for Config {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let cubic = self.cubic.clone().build(now, current_mtu);
        Box::new(UntilTheEnd { cubic, ending: self.ending.clone() })
    }
}

struct UntilTheEnd {
    cubic: Box<dyn Controller>,
    ending: Ending,
}

impl Controller for UntilTheEnd {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.cubic.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest: Option<u64>) {
        self.cubic.on_end_acks(now, in_flight, app_limited, largest);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent: bool, lost_bytes: u64) {
        self.cubic.on_congestion_event(now, sent, is_persistent, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.cubic.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        match self.ending.0.load(Ordering::Relaxed) {
            true => UNLIMITED,
            false => self.cubic.window(),
        }
    }

    fn metrics(&self) -> ControllerMetrics {
        self.cubic.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(UntilTheEnd { cubic: self.cubic.clone_box(), ending: self.ending.clone() })
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self.cubic.into_any()
    }
}
