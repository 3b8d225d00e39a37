"""Authentication: accounts, SPNEGO with NTLMv2 and Kerberos, and access checks against security descriptors.

The server creates one `Authenticator(AccountStore(private_dir), AuthSettings(...))`. Each SESSION_SETUP exchange is
one `authenticator.begin()`, whose `step(token)` returns `StepResult`s until one has an `Identity`. Nothing here knows
about sockets. The package itself imports nothing, because a client needs only a fraction of it.
"""
