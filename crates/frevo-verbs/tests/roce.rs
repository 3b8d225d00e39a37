//! The contract of providers over InfiniBand's kind of device.

mod common;

use common::{address, Connection};

frevo_rdma::conformance!(|| Box::new(Connection::new(address("127.0.0.1"))));
