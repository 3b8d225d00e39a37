"""Sans-IO protocol pieces shared by server and client: dialects, negotiation, preauth hash, keys. No sockets, no clock."""
