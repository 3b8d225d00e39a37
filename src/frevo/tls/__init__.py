"""Certificates for SMB over QUIC: where they lie, making and renewing them, reading them, who may connect with which.

The TLS handshake itself is the data plane's (`frevo._native`): it gets certificates and keys as DER, and rules as
records. Only `generate`, `load` and `names` import `cryptography`, which takes 90 ms of CPU time: the other modules
import these three when there is a certificate to look into.
"""
