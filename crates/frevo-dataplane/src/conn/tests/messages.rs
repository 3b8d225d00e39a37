//! Frames and compounds as they come in, message ids and credits.

use super::*;

#[test]
fn messages_arrive_whole_however_they_are_cut() {
    for piece in [1, 3, 64, 1000] {
        let mut pair = Pair::new(Framing::Tcp);
        let mut bytes = Vec::new();
        for message in [request(0, 0), request(command::CANCEL, 0), request(command::CANCEL, 9)] {
            bytes.extend((message.len() as u32).to_be_bytes());
            bytes.extend(message);
        }
        for chunk in bytes.chunks_mut(piece) {
            pair.connection.feed(chunk, &mut pair.host).unwrap();
        }
        let messages = pair.messages();
        assert_eq!(messages.len(), 3, "pieces of {piece}");
        assert_eq!(messages[2].2, request(command::CANCEL, 9));
    }
}

#[test]
fn a_large_message_is_received_in_place() {
    let (mut pair, _gate) = Pair::ready(b"", false, false);
    let mut message = request(9, 1);
    message.resize(1 << 20, 7);
    let mut bytes = pair.connection.common.framing.header(message.len()).unwrap().to_vec();
    bytes.extend_from_slice(&message);
    pair.connection.feed(&mut bytes[..1000], &mut pair.host).unwrap();
    let mut position = 1000;
    while position < bytes.len() {
        let Room::Own(room) = pair.connection.room(&mut pair.host) else { panic!("no room of its own") };
        let count = room.len().min(300_000);
        for (slot, byte) in room.iter_mut().zip(&bytes[position..position + count]) {
            slot.write(*byte);
        }
        position += count;
        // SAFETY: the loop above has written `count` bytes to the start of the room.
        unsafe { pair.connection.direct_filled(count, &mut pair.host).unwrap() };
    }
    assert_eq!(pair.messages()[0].2, message);
    assert!(!pair.connection.has_partial());
}

#[test]
fn what_cannot_be_a_message_ends_the_connection() {
    let bad: [&[u8]; 6] = [b"", b"\xfe", b"\xfeSMB", b"\xfcSMB0123456789", b"HELLO world", &[0xFD; 200]];
    for message in bad {
        assert!(Pair::new(Framing::Tcp).feed(message).is_err(), "{message:?}");
    }
    // Before authentication 128 KiB and a transform header.
    assert!(Pair::new(Framing::Tcp).feed_raw(&[0, 2, 0, 0x34]).is_ok());
    assert!(Pair::new(Framing::Tcp).feed_raw(&[0, 2, 0, 0x35]).is_err());
    assert!(Pair::new(Framing::Tcp).feed_raw(&[1, 0, 0, 9]).is_err());
}

#[test]
fn compounds_are_walked_and_judged() {
    let mut pair = Pair::new(Framing::Tcp);
    let mut compound = request(0, 0);
    put(&mut compound, at::NEXT_COMMAND, 80u32.to_le_bytes());
    compound.extend(request(command::CANCEL, 0));
    pair.feed(&compound).unwrap();
    assert_eq!(pair.messages().len(), 1);
    for next in [60u32, 81, 160, 1 << 31, 88] {
        let mut bad = compound.clone();
        put(&mut bad, at::NEXT_COMMAND, next.to_le_bytes());
        assert!(Pair::new(Framing::Tcp).feed(&bad).is_err(), "NextCommand {next}");
    }
    let mut long = Vec::new();
    for _ in 0..65 {
        let mut element = request(command::CANCEL, 0);
        put(&mut element, at::NEXT_COMMAND, 80u32.to_le_bytes());
        long.extend(element);
    }
    long.extend(request(command::CANCEL, 0));
    assert!(Pair::new(Framing::Tcp).feed(&long).is_err());
}

#[test]
fn message_ids_and_credits() {
    let mut pair = Pair::new(Framing::Tcp);
    pair.feed(&request(0, 0)).unwrap();
    assert!(pair.feed(&request(1, 0)).is_err());
    let mut pair = Pair::new(Framing::Tcp);
    assert!(pair.feed(&request(1, 1)).is_err());
    let mut pair = Pair::new(Framing::Tcp);
    pair.feed(b"\xffSMBr..........................").unwrap();
    assert!(pair.feed(b"\xffSMBr..........................").is_err());
    let mut response = request(0, 0);
    put(&mut response, at::CREDITS, 0u16.to_le_bytes());
    pair.submit(0, 0, &response).unwrap();
    assert_eq!(u16_at(&pair.answer(), at::CREDITS), 1, "never left without a credit");
    pair.feed(&request(0, 1)).unwrap();
    put(&mut response, at::CREDITS, 60000u16.to_le_bytes());
    pair.submit(0, 0, &response).unwrap();
    assert_eq!(u16_at(&pair.answer(), at::CREDITS), 8192, "no more than the limit");
    put(&mut response, at::MESSAGE_ID, u64::MAX.to_le_bytes());
    pair.submit(0, 0, &response).unwrap();
    assert_eq!(u16_at(&pair.answer(), at::CREDITS), 0, "a break notification grants nothing");
}

#[test]
fn netbios_sessions() {
    let mut pair = Pair::new(Framing::Nbt);
    let mut name = vec![32];
    name.extend([b'C'; 32]);
    name.push(0);
    let mut bytes = vec![0x81, 0, 0, 68];
    bytes.extend(name.iter().chain(&name));
    bytes.extend([0x85, 0, 0, 0]);
    pair.connection.feed(&mut bytes, &mut pair.host).unwrap();
    assert_eq!(pair.output(), [0x82, 0, 0, 0]);
    pair.feed(&request(0, 0)).unwrap();
    assert_eq!(pair.messages().len(), 1);
    bytes[10] = b'!';
    pair.connection.feed(&mut bytes, &mut pair.host).unwrap();
    assert_eq!(pair.output(), [0x83, 0, 0, 1, 0x82]);
    assert!(pair.connection.is_closing());
    let mut pair = Pair::new(Framing::Nbt);
    pair.feed(&request(0, 0)).unwrap();
    let mut large = request(0, 0);
    large.resize(0x20000, 0);
    assert!(pair.submit(0, 0, &large).is_err());
}

/// Random and randomly damaged input never panics, and every connection either lives or has ended with a reason.
#[test]
fn random_input_does_no_harm() {
    let seed = std::env::var("FREVO_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x5EED_1234u64);
    let mut state = seed;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for round in 0..3000 {
        let (mut pair, _gate) = Pair::ready(b"some content", round % 2 == 0, round % 5 == 0);
        let mut bytes = Vec::new();
        for id in 1..1 + random(6) as u64 {
            let mut message = match random(4) {
                0 => read_request(id, random(20) as u64, 1 + random(30) as u32),
                1 => signed(read_request(id, 0, 5), &pair.client),
                2 => {
                    let mut packet = vec![0; TRANSFORM_BYTES];
                    packet.extend(read_request(id, 0, 5));
                    assert!(pair.client.encrypt(SESSION, &mut packet));
                    packet
                }
                _ => request(command::ECHO, id),
            };
            message.truncate(if random(4) == 0 { random(message.len()) } else { usize::MAX });
            bytes.extend((message.len() as u32).to_be_bytes());
            bytes.extend(message);
        }
        for _ in 0..random(4) {
            if !bytes.is_empty() {
                let position = random(bytes.len());
                bytes[position] = random(256) as u8;
            }
        }
        let piece = 1 + random(300);
        for chunk in bytes.chunks_mut(piece) {
            if let Err(reason) = pair.connection.feed(chunk, &mut pair.host) {
                assert!(!reason.is_empty(), "seed {seed}");
                break;
            }
        }
        pair.output();
    }
}
