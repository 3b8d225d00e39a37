"""Sans-IO protocol pieces of server and client: dialects, negotiation, preauth hash, keys. No sockets, no clock."""
