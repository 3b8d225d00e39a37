"""One file per SMB2 command with the same name; each has `handle(request)` and cites the section that it implements."""
