"""One connection to a server: reaching it, negotiating, logging on, requests and their answers."""
