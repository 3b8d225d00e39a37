"""Sans-IO protocol code for server and client: dialects, negotiation, preauth hash, keys. No sockets, no clock."""
