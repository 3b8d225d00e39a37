//! Signatures and encryption, of what comes and of what goes.

use super::*;

#[test]
fn final_asynchronous_responses_grant_nothing_by_themselves() {
    let mut pair = Pair::new(Framing::Tcp);
    pair.feed(&request(0, 0)).unwrap();
    let mut response = request(0, 0);
    put(&mut response, at::CREDITS, 0u16.to_le_bytes());
    put(&mut response, at::FLAGS, (flags::ASYNC_COMMAND | flags::SERVER_TO_REDIR).to_le_bytes());
    pair.submit(0, 0, &response).unwrap();
    assert_eq!(u16_at(&pair.answer(), at::CREDITS), 0);
    put(&mut response, at::STATUS, crate::wire::STATUS_PENDING.to_le_bytes());
    pair.submit(0, 0, &response).unwrap();
    assert_eq!(u16_at(&pair.answer(), at::CREDITS), 1);
}

#[test]
fn signatures_are_checked_by_element() {
    let (mut pair, _gate) = Pair::ready(b"", false, false);
    let mut element = request(3, 1);
    put(&mut element, at::SESSION_ID, SESSION.to_le_bytes());
    put(&mut element, at::NEXT_COMMAND, 80u32.to_le_bytes());
    let mut compound = signed(element, &pair.client);
    let mut second = request(3, 2);
    put(&mut second, at::FLAGS, flags::RELATED_OPERATIONS.to_le_bytes());
    put(&mut second, at::SESSION_ID, u64::MAX.to_le_bytes());
    put(&mut second, at::NEXT_COMMAND, 80u32.to_le_bytes());
    let mut second = signed(second, &pair.client);
    second[70] ^= 1;
    compound.extend(second);
    let mut third = request(3, 3);
    put(&mut third, at::SESSION_ID, 4711u64.to_le_bytes());
    compound.extend(signed(third, &pair.client));
    pair.feed(&compound).unwrap();
    let messages = pair.messages();
    assert_eq!((messages[0].3, messages[0].4), (0b010, 0b100));
    assert_eq!(messages[0].2, compound, "verification leaves no trace");
}

#[test]
fn responses_are_signed_or_encrypted() {
    let (mut pair, _gate) = Pair::ready(b"", false, false);
    pair.feed(&request(3, 1)).unwrap();
    pair.feed(&request(3, 2)).unwrap();
    let mut response = request(3, 1);
    put(&mut response, at::FLAGS, (flags::SERVER_TO_REDIR | flags::SIGNED).to_le_bytes());
    put(&mut response, at::NEXT_COMMAND, 80u32.to_le_bytes());
    response.extend(request(3, 2));
    pair.submit(SESSION, 0, &response).unwrap();
    let mut answer = pair.answer();
    assert!(pair.client.verify(&mut answer[..80]));
    assert_eq!(answer[80 + at::SIGNATURE..80 + 64], [0; 16]);
    pair.submit(SESSION, ENCRYPT, &response).unwrap();
    let mut answer = pair.answer();
    assert!(pair.client.decrypt(&mut answer));
    assert_eq!(
        u32_at(&answer, TRANSFORM_BYTES + at::FLAGS),
        flags::SERVER_TO_REDIR,
        "encrypted is not signed"
    );
    assert!(pair.submit(1, ENCRYPT, &response).is_err(), "no keys");
    assert!(pair.submit(SESSION, 0, &response[..100]).is_err(), "malformed");
}

#[test]
fn what_cannot_be_protected_or_framed_is_not_sent() {
    let (mut pair, _gate) = Pair::ready(b"", false, false);
    let mut response = request(3, 1);
    put(&mut response, at::FLAGS, (flags::SERVER_TO_REDIR | flags::SIGNED).to_le_bytes());
    let refused = pair.submit(SESSION, 0, &response).unwrap_err();
    assert!(refused.contains("must not be signed"), "nobody asked: {refused}");
    pair.keys = Arc::new(SessionKeys::new(
        Signer::new(SigningAlgorithm::AesGmac, &[8; 16]).unwrap(),
        None,
        false,
        false,
    ));
    pair.connection.set_session(SESSION, pair.keys.clone(), pair.opens.clone()).unwrap();
    let refused = pair.submit(SESSION, ENCRYPT, &request(3, 1)).unwrap_err();
    assert!(refused.contains("no cipher"), "{refused}");
    assert!(pair.output().is_empty());
    let mut pair = Pair::new(Framing::Nbt);
    let mut large = request(3, 0);
    large.resize(0x2_0000, 0);
    let refused = pair.submit(0, 0, &large).unwrap_err();
    assert!(refused.contains("too large"), "{refused}");
    large.truncate(0x1_FFFF);
    pair.submit(0, 0, &large).unwrap();
    assert_eq!(pair.output().len(), 4 + 0x1_FFFF);
}

#[test]
fn encrypted_messages() {
    let (mut pair, _gate) = Pair::ready(b"", false, false);
    let encrypt = |client: &SessionKeys, session: u64, message: &[u8]| {
        let mut packet = vec![0; TRANSFORM_BYTES];
        packet.extend_from_slice(message);
        assert!(client.encrypt(session, &mut packet));
        packet
    };
    let packet = encrypt(&pair.client, SESSION, &request_of(SESSION, 1));
    pair.feed(&packet).unwrap();
    let message = pair.messages().remove(0);
    assert_eq!((message.0, message.1, message.2), (SESSION, Event::ENCRYPTED, request_of(SESSION, 1)));
    let mut bad = encrypt(&pair.client, SESSION, &request_of(SESSION, 2));
    bad[100] ^= 1;
    assert!(pair.feed(&bad).is_err());
    assert!(pair.feed(&encrypt(&pair.client, 4711, &request_of(4711, 2))).is_err());
    let nested = encrypt(&pair.client, SESSION, &encrypt(&pair.client, SESSION, &request_of(SESSION, 2)));
    assert!(pair.feed(&nested).is_err());
}

fn request_of(session: u64, id: u64) -> Vec<u8> {
    let mut message = request(3, id);
    put(&mut message, at::SESSION_ID, session.to_le_bytes());
    message
}

#[test]
fn encrypted_requests_are_of_the_session_whose_keys_they_come_with() {
    let compound = |session: u64, flags: u32| {
        let (mut first, mut second) = (request_of(SESSION, 1), request_of(session, 2));
        put(&mut first, at::NEXT_COMMAND, 80u32.to_le_bytes());
        put(&mut second, at::FLAGS, flags.to_le_bytes());
        [first, second].concat()
    };
    for (message, accepted) in [
        (compound(SESSION, 0), true),
        (compound(4711, flags::RELATED_OPERATIONS), true),
        (compound(4711, 0), false),
        (compound(0, 0), false),
        (request_of(SESSION, 1), true),
        (request_of(4711, 1), false),
        (request_of(0, 1), false),
    ] {
        let (mut pair, _gate) = Pair::ready(b"", false, false);
        let mut packet = vec![0; TRANSFORM_BYTES];
        packet.extend_from_slice(&message);
        assert!(pair.client.encrypt(SESSION, &mut packet));
        assert_eq!(pair.feed(&packet).is_ok(), accepted);
        assert_eq!(pair.messages().len(), usize::from(accepted));
    }
}

#[test]
fn reads_are_protected_as_they_were_asked() {
    let (mut pair, _gate) = Pair::ready(b"0123456789", true, false);
    pair.feed(&signed(read_request(1, 2, 4), &pair.client)).unwrap();
    let mut answer = pair.answer();
    assert!(pair.client.verify(&mut answer));
    let mut packet = vec![0; TRANSFORM_BYTES];
    packet.extend(read_request(2, 2, 4));
    assert!(pair.client.encrypt(SESSION, &mut packet));
    pair.feed(&packet).unwrap();
    let mut answer = pair.answer();
    assert!(pair.client.decrypt(&mut answer));
    assert_eq!(answer[TRANSFORM_BYTES + 80..], *b"2345");
    pair.read(3, 2, 4).unwrap();
    assert_eq!(pair.messages().len(), 1, "unsigned although signing is required");
    let mut wrong = signed(read_request(4, 2, 4), &pair.client);
    wrong[60] ^= 1;
    pair.feed(&wrong).unwrap();
    assert_eq!(pair.messages()[0].3, 1);
    let (mut pair, _gate) = Pair::ready(b"0123456789", false, true);
    pair.feed(&signed(read_request(1, 2, 4), &pair.client)).unwrap();
    assert_eq!(pair.messages().len(), 1, "plain although encryption is required");
    assert!(pair.output().is_empty());
}
