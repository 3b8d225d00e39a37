//! SMB over QUIC ([MS-SMB2] 2.1): the transport of RFC 9000 with ALPN `smb`, TLS 1.3 and client access control.
