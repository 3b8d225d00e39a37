//! The machine against the tables of the specification, against hostile messages, and against itself.

mod against_itself;
mod hostile;
mod negotiation;
mod transfer;

use std::time::{Duration, Instant};

use zerocopy::IntoBytes;

use super::message::{DataTransfer, NegotiateRequest, NegotiateResponse};
use super::*;

/// What the examples of [MS-SMBD] 4.1 offer.
fn example() -> Settings {
    Settings {
        receive_credits: 10,
        send_credits: 10,
        send_bytes: 1024,
        receive_bytes: 1024,
        fragmented_bytes: 131_072,
        read_write_bytes: 1_048_576,
        ..Settings::default()
    }
}

/// A valid Negotiate Request.
fn request() -> NegotiateRequest {
    NegotiateRequest {
        min_version: 0x100.into(),
        max_version: 0x100.into(),
        reserved: 0.into(),
        credits_requested: 10.into(),
        preferred_send_size: 1024.into(),
        max_receive_size: 1024.into(),
        max_fragmented_size: 131_072.into(),
    }
}

/// A valid Negotiate Response.
fn response() -> NegotiateResponse {
    NegotiateResponse {
        min_version: 0x100.into(),
        max_version: 0x100.into(),
        negotiated_version: 0x100.into(),
        reserved: 0.into(),
        credits_requested: 10.into(),
        credits_granted: 10.into(),
        status: 0.into(),
        max_read_write_size: 1_048_576.into(),
        preferred_send_size: 1024.into(),
        max_receive_size: 1024.into(),
        max_fragmented_size: 131_072.into(),
    }
}

/// A message with `data`, of which `remaining` bytes are to follow.
fn transfer(data: &[u8], remaining: u32, granted: u16) -> Vec<u8> {
    let header = DataTransfer {
        credits_requested: 10.into(),
        credits_granted: granted.into(),
        remaining_data_length: remaining.into(),
        data_offset: if data.is_empty() { 0 } else { 24 }.into(),
        data_length: (data.len() as u32).into(),
        ..Default::default()
    };
    let mut message = header.as_bytes().to_vec();
    if !data.is_empty() {
        message.extend([0; 4]);
        message.extend(data);
    }
    message
}

/// A server that has answered a client with the offers of the examples. The client has 10 credits, the server none.
fn established(now: Instant) -> Machine {
    let mut server = Machine::accept(example(), now);
    assert_eq!(server.post(), 1);
    server.received(request().as_bytes(), None, now).unwrap();
    assert_eq!(server.post(), 10);
    assert!(server.next_send(now).is_some());
    assert_eq!(server.state(), State::Established);
    server
}

/// All that a machine sends now, with data of zeros.
fn sent(machine: &mut Machine, now: Instant) -> Vec<Vec<u8>> {
    let mut messages = vec![];
    loop {
        machine.post();
        let Some(send) = machine.next_send(now) else { return messages };
        let mut message = send.head().to_vec();
        message.resize(message.len() + send.data, 0);
        messages.push(message);
    }
}

/// The fields of a data transfer message: requested, granted, flags, remaining, offset, length.
fn fields(message: &[u8]) -> (u16, u16, u16, u32, u32, u32) {
    use zerocopy::FromBytes;
    let (header, _) = DataTransfer::ref_from_prefix(message).unwrap();
    (
        header.credits_requested.get(),
        header.credits_granted.get(),
        header.flags.get(),
        header.remaining_data_length.get(),
        header.data_offset.get(),
        header.data_length.get(),
    )
}

const SECOND: Duration = Duration::from_secs(1);
