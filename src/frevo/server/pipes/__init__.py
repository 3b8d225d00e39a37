"""Named pipes of IPC$: their data, and the information that RPC services give."""
