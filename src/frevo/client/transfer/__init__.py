"""The data of files: single requests, pumps, one file over several connections, copies on the server."""
