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
