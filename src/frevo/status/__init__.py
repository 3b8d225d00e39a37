"""What a running server tells: the snapshot in smbstatus's shape, and the control socket that gives it."""
