//! What peers do wrong, and how it ends.

use super::*;

fn refused(settings: &Settings, role: Role, bytes: &[u8]) -> String {
    let mut end = End::new(role, settings, Instant::now());
    end.connection.set_settings(Agreements::default());
    end.feed(bytes, usize::MAX).unwrap_err().to_string()
}

#[test]
fn who_speaks_something_else_is_refused() {
    let iwarp = Settings::new(Provider::Iwarp);
    let emulated = Settings::new(Provider::Emulated);
    let smb = b"\0\0\0\x40\xfeSMB";
    assert_eq!(refused(&iwarp, Role::Server, smb), "MPA: the peer does not speak iWARP");
    assert_eq!(refused(&iwarp, Role::Client, smb), "MPA: the peer does not speak iWARP");
    assert_eq!(refused(&emulated, Role::Server, smb), "emulated: the peer does not speak to a neighbour");
    let markers = b"MPA ID Req Frame\x80\x01\0\0";
    let why = "MPA: the peer wants markers, which frevo does not send";
    assert_eq!(refused(&iwarp, Role::Server, markers), why);
    let rejected = b"MPA ID Rep Frame\x20\x01\0\0";
    assert_eq!(refused(&iwarp, Role::Client, rejected), "MPA: the peer refuses the connection");
    let revision = b"MPA ID Req Frame\0\x03\0\0";
    assert_eq!(refused(&iwarp, Role::Server, revision), "MPA: revision 3 is neither 1 nor 2");
}

/// How many messages of 16,000 bytes a client can send to a server that it does not read from.
fn kept(authenticated: bool) -> usize {
    let mut pair = Pair::established(&Settings::new(Provider::Iwarp));
    pair.client.submit(&message(0, 100, false));
    pair.run();
    pair.server.connection.set_settings(Agreements { authenticated, ..Default::default() });
    pair.server.submit(&message(0, if authenticated { 5_000_000 } else { 20_000 }, true));
    for index in 1..60 {
        pair.client.submit(&message(index, 16_000, false));
        let up = pair.client.output();
        if let Err(reason) = pair.server.feed(&up, usize::MAX) {
            assert_eq!(reason.to_string(), "SMB Direct: the peer sends and does not read");
            return index as usize - 1;
        }
    }
    59
}

#[test]
fn little_is_kept_for_those_that_nobody_knows() {
    assert_eq!((kept(false), kept(true)), (8, 59));
}
