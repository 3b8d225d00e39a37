//! The contract of providers over iWARP.

mod common;

use common::{address, Connection};

frevo_rdma::conformance!(|| Box::new(Connection::new(address("127.0.0.2"))));
