"""Named pipes of IPC$: what clients write to them, and the names that RPC services tell."""
