"""Names and SIDs for programs that need them: rpcclient and smbcacls, lsarpc and samr over real connections."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from peers import programs
from peers.frevo_server import FREVO, add_user
from peers.target import Target

pytestmark = pytest.mark.interop


def rpc(target: Target, command: str, *, who: str = "") -> programs.Run:
    login = who or f"{target.user}%{target.password}"
    return programs.run(
        ["rpcclient", "-U", login, "-p", str(target.port), target.host, "-c", command], timeout_s=30
    )


@pytest.mark.tcp_only("rpcclient has no QUIC")
def test_rpcclient_translates(target: Target) -> None:
    """Goal: names to SIDs and back, of accounts, BUILTIN, well-known and Unix users; group membership. Method:
    rpcclient; smbd's results for its own account differ."""
    output = rpc(target, f"lookupnames {target.user}").ok()
    found = re.search(r"(S-1-[-0-9]+) \(User: 1\)", output)
    assert found is not None, output
    output = rpc(target, f"lookupsids {found[1]} S-1-1-0 S-1-5-32-544 S-1-22-1-0").ok()
    for name in (
        f"\\{target.user} (1)",
        "\\Everyone (5)",
        "BUILTIN\\Administrators (4)",
        "Unix User\\root (1)",
    ):
        assert name in output, output
    if target.name != "frevo":
        return
    rid = found[1].rpartition("-")[2]
    assert re.search(rf"User Name *:\s*{target.user}\b", rpc(target, f"queryuser {rid}").ok())
    assert f"user:[{target.user}] rid:[{int(rid):#x}]" in rpc(target, "enumdomusers").ok()
    assert "rid:[0x221]" in rpc(target, f"queryuseraliases builtin {found[1]}").ok()
    assert "rid:[0x201]" in rpc(target, f"queryusergroups {rid}").ok()


@pytest.mark.tcp_only("rpcclient has no QUIC")
def test_anonymous_callers_are_told_nothing(target: Target) -> None:
    """Goal: no list and no name without a log-on. Method: rpcclient -U %."""
    if target.name != "frevo":
        pytest.skip("smbd's `restrict anonymous` is its administrator's")
    for command in ("enumdomusers", f"lookupnames {target.user}", "querydispinfo"):
        assert "NT_STATUS_ACCESS_DENIED" in rpc(target, command, who="%").output


def test_smbcacls_shows_names(tmp_path: Path) -> None:
    """Goal: an ACL is shown and changed by names. Method: smbcacls without --numeric; it only supports port 445: both
    run in a separate network namespace."""
    if programs.run(["unshare", "-n", "true"]).status:
        programs.missing("a network namespace needs root")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"")
    (tmp_path / "folder" / "file").chmod(0o666)
    config = tmp_path / "smb.conf"
    config.write_text(
        f"[global]\n private dir = {tmp_path}/private\n netbios name = BOX\n frevo:unix users = no\n"
        f" interfaces = lo\n bind interfaces only = yes\n[share]\n path = {tmp_path}/folder\n read only = no\n"
    )
    add_user(config, "eve", "Secret1")
    script = f"""
        ip link set lo up
        {shlex.join(FREVO)} serve -c {config} -p 445 >{tmp_path}/log 2>&1 &
        for n in $(seq 100); do (echo >/dev/tcp/127.0.0.1/445) 2>/dev/null && break; sleep 0.1; done
        cacls() {{ smbcacls -U eve%Secret1 //127.0.0.1/share file "$@"; }}
        cacls; cacls -a 'ACL:eve:ALLOWED/0x0/FULL'; cacls -a 'ACL:Everyone:ALLOWED/0x0/READ'; echo ---; cacls
        kill $!; wait $!
    """
    output = programs.run(["unshare", "-n", "bash", "-c", script], timeout_s=60).output
    before, _, after = output.partition("---")
    assert "OWNER:" in before and not re.search(r"S-1-(5-21|22|1)-", output), output
    assert "ACL:BOX\\eve:ALLOWED/0x0/FULL" in after and "ACL:Everyone:ALLOWED/0x0/READ" in after, output
