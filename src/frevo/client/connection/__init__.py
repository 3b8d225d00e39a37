"""One connection to a server: connecting, negotiating, logging on, requests and their responses."""
