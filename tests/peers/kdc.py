"""A Kerberos KDC for tests: MIT krb5kdc on loopback, everything in one temporary directory.

Nothing of the system's Kerberos configuration is read or changed: programs get `kdc.environment`.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from peers import programs

REALM = "FREVO.TEST"
START_TIMEOUT_S = 20.0

programs.PACKAGES.update(
    {"krb5kdc": "krb5-kdc", "kdb5_util": "krb5-kdc", "kadmin.local": "krb5-kdc", "kinit": "krb5-user"}
)

KRB5_CONF = """[libdefaults]
 default_realm = {realm}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 udp_preference_limit = 1
[realms]
 {realm} = {{
  kdc = 127.0.0.1:{port}
 }}
[domain_realm]
 .frevo.test = {realm}
"""

KDC_CONF = """[kdcdefaults]
 kdc_listen = 127.0.0.1:{port}
 kdc_tcp_listen = 127.0.0.1:{port}
[realms]
 {realm} = {{
  database_name = {base}/principal
  key_stash_file = {base}/stash
  acl_file = {base}/acl
  max_life = 8h
  supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
 }}
[logging]
 kdc = FILE:{base}/kdc.log
"""


class KDC:
    """A running KDC; `environment` makes Kerberos programs and libraries use it."""

    def __init__(self, base: Path, port: int) -> None:
        self.base = base
        self.port = port
        self.keytab = base / "server.keytab"
        self.environment = {
            "KRB5_CONFIG": str(base / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(base / "kdc.conf"),
            "KRB5CCNAME": f"FILE:{base}/ccache",
            "KRB5RCACHEDIR": str(base),
        }
        values = {"realm": REALM, "port": self.port, "base": base}
        (base / "krb5.conf").write_text(KRB5_CONF.format(**values))
        (base / "kdc.conf").write_text(KDC_CONF.format(**values))
        (base / "acl").write_text("")

    def command(self, program: str, *arguments: str, text_in: str = "") -> str:
        """Runs a Kerberos program of this KDC, which must succeed."""
        env: Mapping[str, str] = self.environment
        return programs.run([programs.need(program), *arguments], env=env, text_in=text_in).ok()

    def add_user(self, name: str, password: str) -> None:
        self.command("kadmin.local", "-q", f"addprinc -pw {password} {name}")

    def add_service(self, principal: str) -> Path:
        """Makes a service principal and puts its key into the keytab."""
        self.command("kadmin.local", "-q", f"addprinc -randkey {principal}")
        self.command("kadmin.local", "-q", f"ktadd -k {self.keytab} {principal}")
        return self.keytab

    def login(self, name: str, password: str) -> None:
        """Gets a ticket into the credential cache."""
        self.command("kinit", name, text_in=f"{password}\n")


@contextmanager
def kdc(base: Path) -> Iterator[KDC]:
    """A KDC with an empty realm in *base*, running until the block ends."""
    program = programs.need("krb5kdc")
    with programs.reserved_port() as port, (base / "kdc.out").open("wb") as log:
        running = KDC(base, port)
        running.command("kdb5_util", "create", "-s", "-r", REALM, "-P", "master")
        process = subprocess.Popen(
            [program, "-n"], env={**os.environ, **running.environment}, stdout=log, stderr=log
        )
        try:
            _wait_until_it_accepts(process, running)
            yield running
        finally:
            process.terminate()
            process.wait(10)


def _wait_until_it_accepts(process: subprocess.Popen[bytes], running: KDC) -> None:
    """krb5kdc has no readiness signal: ask its port, with a deadline."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not programs.accepts("127.0.0.1", running.port):
        assert process.poll() is None, (running.base / "kdc.out").read_text()
        assert time.monotonic() < deadline, "krb5kdc does not accept connections"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
