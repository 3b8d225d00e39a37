"""Status of a running server: the snapshot in smbstatus's format, and the control socket that provides it."""
