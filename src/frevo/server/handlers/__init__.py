"""One file per SMB2 command, named like it; each has `handle(request)` and cites the section that it carries out."""
