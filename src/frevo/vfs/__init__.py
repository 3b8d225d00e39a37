"""What is exported: the contract in `base`, the local file system behind it in `local`."""
