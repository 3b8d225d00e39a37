"""What programs use: a share, its open files, listings and changes."""
