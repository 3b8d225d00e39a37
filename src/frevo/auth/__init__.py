"""Who is connecting: the accounts store, SPNEGO with NTLMv2 and Kerberos, and access checks against security
descriptors.

The server makes one `Authenticator(AccountStore(private_dir), AuthSettings(...))`; each SESSION_SETUP
exchange is one `authenticator.begin()` whose `step(token)` gives `StepResult`s until an `Identity` comes out.
Nothing here knows sockets. The package itself loads nothing: a client needs a fraction of it.
"""
