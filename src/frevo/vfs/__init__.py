"""Virtual file system: the backend contract in `base`, the local file system in `local`."""
