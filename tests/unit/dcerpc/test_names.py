"""lsarpc and samr, called by impacket: names and SIDs, lists, and who may call them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from impacket.dcerpc.v5 import lsad, lsat, samr
from impacket.dcerpc.v5.rpcrt import DCERPCException

from frevo.auth.accounts import AccountStore
from frevo.dcerpc.context import SidUse
from frevo.server.pipes.account_names import Directory
from frevo.wire.dtyp import SID

MACHINE = SID(5, (21, 1, 2, 3))
Connect = Callable[..., Any]


@pytest.fixture
def names(tmp_path: Path) -> Directory:
    """Two accounts, one of them an administrator."""
    store = AccountStore(tmp_path / "private")
    store.add("alice", "Secret1")
    store.add("Jörg", "Secret1")
    store.set_disabled("Jörg", True)
    return Directory(store, MACHINE, "frevo", "GROUP", lambda name: name == "alice")


@pytest.fixture
def lsa(connect: Connect, names: Directory) -> tuple[Any, Any]:
    """A client bound to lsarpc and its policy handle."""
    client = connect(
        "lsarpc", lsat.MSRPC_UUID_LSAT, names=names, may_list=True, user="alice", user_domain="FREVO"
    )
    return client, lsad.hLsarOpenPolicy2(client)["PolicyHandle"]


@pytest.fixture
def sam(connect: Connect, names: Directory) -> tuple[Any, Any]:
    """A client bound to samr and the handle of the machine's domain."""
    client = connect("samr", samr.MSRPC_UUID_SAMR, names=names, may_list=True)
    server = samr.hSamrConnect(client)["ServerHandle"]
    sid = samr.hSamrLookupDomainInSamServer(client, server, "FREVO")["DomainId"]
    assert sid.formatCanonical() == str(MACHINE)
    return client, samr.hSamrOpenDomain(client, server, domainId=sid)["DomainHandle"]


def builtin(client: Any) -> Any:
    server = samr.hSamrConnect5(client)["ServerHandle"]
    sid = samr.hSamrLookupDomainInSamServer(client, server, "Builtin")["DomainId"]
    return samr.hSamrOpenDomain(client, server, domainId=sid)["DomainHandle"]


KNOWN = [
    ("S-1-1-0", "", "Everyone", SidUse.WELL_KNOWN_GROUP),
    ("S-1-5-18", "NT AUTHORITY", "SYSTEM", SidUse.WELL_KNOWN_GROUP),
    ("S-1-5-32-544", "BUILTIN", "Administrators", SidUse.ALIAS),
    (f"{MACHINE}-1000", "FREVO", "alice", SidUse.USER),
    (f"{MACHINE}-1001", "FREVO", "Jörg", SidUse.USER),
    (f"{MACHINE}-513", "FREVO", "None", SidUse.GROUP),
    ("S-1-22-1-0", "Unix User", "root", SidUse.USER),
    ("S-1-22-2-0", "Unix Group", "root", SidUse.ALIAS),
]


def test_sids_and_names(lsa: tuple[Any, Any]) -> None:
    """Goal: every kind of SID has its name, and the name gives the SID again. Method: both ways, in one request each;
    names with their domain, in another case."""
    client, policy = lsa
    answer = lsat.hLsarLookupSids2(client, policy, [sid for sid, *_ in KNOWN])
    domains = [str(one["Name"] or "") for one in answer["ReferencedDomains"]["Domains"]]
    found = [
        (domains[one["DomainIndex"]], str(one["Name"]), one["Use"])
        for one in answer["TranslatedNames"]["Names"]
    ]
    assert found == [(domain, name, use) for _, domain, name, use in KNOWN]
    asked = [
        f"{domain}\\{name}".upper() if domain == "FREVO" else f"{domain}\\{name}"
        for _, domain, name, _ in KNOWN
    ]
    answer = lsat.hLsarLookupNames3(client, policy, asked)
    assert [one["Sid"].formatCanonical() for one in answer["TranslatedSids"]["Sids"]] == [
        sid for sid, *_ in KNOWN
    ]
    rids = lsat.hLsarLookupNames(client, policy, ["alice", "jörg@group"])["TranslatedSids"]["Sids"]
    assert [one["RelativeId"] for one in rids] == [1000, 1001]
    assert lsat.hLsarLookupSids(client, policy, ["S-1-1-0"])["MappedCount"] == 1


def test_unknown_names_and_sids(lsa: tuple[Any, Any]) -> None:
    """Goal: unknown ones are reported as such, and the others are still translated ([MS-LSAT] 3.1.4.5). Method: some,
    none, a machine of another name."""
    client, policy = lsa
    with pytest.raises(DCERPCException, match=r"(?i)some_not_mapped") as some:
        lsat.hLsarLookupSids2(client, policy, ["S-1-1-0", "S-1-9-7"])
    entries = some.value.get_packet()["TranslatedNames"]["Names"]
    assert [(one["Use"], str(one["Name"])) for one in entries] == [(5, "Everyone"), (8, "S-1-9-7")]
    for name in ("nosuch", "OTHER\\alice", "BUILTIN\\alice", "Unix User\\nosuch", "x" * 1000):
        with pytest.raises(DCERPCException, match=r"(?i)none_mapped"):
            lsat.hLsarLookupNames3(client, policy, [name])
    with pytest.raises(DCERPCException):
        lsat.hLsarLookupNames(client, policy, ["a"] * 1001)


def test_policy_and_caller(lsa: tuple[Any, Any]) -> None:
    """Goal: which domain the accounts belong to, and who is calling. Method: the classes that clients ask for."""
    client, policy = lsa
    level = lsad.POLICY_INFORMATION_CLASS.PolicyAccountDomainInformation
    info = lsad.hLsarQueryInformationPolicy2(client, policy, level)["PolicyInformation"][
        "PolicyAccountDomainInfo"
    ]
    assert (str(info["DomainName"]), info["DomainSid"].formatCanonical()) == ("FREVO", str(MACHINE))
    level = lsad.POLICY_INFORMATION_CLASS.PolicyPrimaryDomainInformation
    info = lsad.hLsarQueryInformationPolicy(client, policy, level)["PolicyInformation"][
        "PolicyPrimaryDomainInfo"
    ]
    assert str(info["Name"]) == "GROUP"
    with pytest.raises(DCERPCException, match=r"(?i)invalid_parameter"):
        lsad.hLsarQueryInformationPolicy2(
            client, policy, lsad.POLICY_INFORMATION_CLASS.PolicyAuditLogInformation
        )
    assert str(lsat.hLsarGetUserName(client)["UserName"]) == "alice"
    assert lsad.hLsarClose(client, policy)["ErrorCode"] == 0
    with pytest.raises(DCERPCException, match=r"(?i)invalid_handle"):
        lsat.hLsarLookupSids(client, b"\0" * 20, ["S-1-1-0"])


def test_accounts(sam: tuple[Any, Any]) -> None:
    """Goal: accounts and groups with their numbers. Method: the lists, and one account in full."""
    client, domain = sam
    users = samr.hSamrEnumerateUsersInDomain(client, domain)["Buffer"]["Buffer"]
    assert [(one["RelativeId"], str(one["Name"])) for one in users] == [(1000, "alice"), (1001, "Jörg")]
    groups = samr.hSamrEnumerateGroupsInDomain(client, domain)["Buffer"]["Buffer"]
    assert [(one["RelativeId"], str(one["Name"])) for one in groups] == [(513, "None")]
    inside = builtin(client)
    aliases = samr.hSamrEnumerateAliasesInDomain(client, inside)["Buffer"]["Buffer"]
    assert (544, "Administrators") in [(one["RelativeId"], str(one["Name"])) for one in aliases]
    answer = samr.hSamrLookupNamesInDomain(client, domain, ["jörg", "alice"])
    assert [one["Data"] for one in answer["RelativeIds"]["Element"]] == [1001, 1000]
    answer = samr.hSamrLookupIdsInDomain(client, domain, [1001, 513])
    assert [str(one["Data"]) for one in answer["Names"]["Element"]] == ["Jörg", "None"]
    shown = samr.hSamrQueryDisplayInformation(client, domain)["Buffer"]["UserInformation"]["Buffer"]
    assert [(one["Rid"], one["AccountControl"]) for one in shown] == [(1000, 0x10), (1001, 0x11)]
    user = samr.hSamrOpenUser(client, domain, userId=1001)["UserHandle"]
    level = samr.USER_INFORMATION_CLASS.UserAllInformation
    known = samr.hSamrQueryInformationUser2(client, user, level)["Buffer"]["All"]
    assert (str(known["UserName"]), known["UserId"], known["PrimaryGroupId"]) == ("Jörg", 1001, 513)
    assert known["UserAccountControl"] == 0x11 and not known["NtPasswordPresent"]
    groups = samr.hSamrGetGroupsForUser(client, user)["Groups"]["Groups"]
    assert [one["RelativeId"] for one in groups] == [513]


def test_membership(sam: tuple[Any, Any], names: Directory) -> None:
    """Goal: who is in which group of BUILTIN. Method: an administrator, another account, an unknown one."""
    client, _ = sam
    inside = builtin(client)

    assert list(names.aliases_of(MACHINE.child(1000))) == [544, 545]
    assert list(names.aliases_of(MACHINE.child(1001))) == [545]
    assert list(names.aliases_of(SID(22, (1, 0)))) == []
    alias = samr.hSamrOpenAlias(client, inside, aliasId=544)["AliasHandle"]
    members = samr.hSamrGetMembersInAlias(client, alias)["Members"]["Sids"]
    assert [one["SidPointer"].formatCanonical() for one in members] == [f"{MACHINE}-1000"]


def test_many_accounts(connect: Connect, tmp_path: Path) -> None:
    """Goal: a long list comes in several parts and ends. Method: 1,100 accounts."""

    class Many(Directory):
        def users(self) -> Any:
            from frevo.dcerpc.context import UserInfo

            return [UserInfo(1000 + number, f"user{number}") for number in range(1100)]

    many = Many(AccountStore(tmp_path / "private"), MACHINE, "frevo", "GROUP", lambda name: False)
    client = connect("samr", samr.MSRPC_UUID_SAMR, names=many, may_list=True)
    server = samr.hSamrConnect2(client)["ServerHandle"]
    sid = samr.hSamrLookupDomainInSamServer(client, server, "FREVO")["DomainId"]
    domain = samr.hSamrOpenDomain(client, server, domainId=sid)["DomainHandle"]
    found, resume, more = [], 0, True
    while more:
        try:
            answer = samr.hSamrEnumerateUsersInDomain(client, domain, enumerationContext=resume)
        except DCERPCException as error:
            assert "MORE_ENTRIES" in str(error)
            answer = error.get_packet()
        resume = answer["EnumerationContext"]
        more = bool(answer["ErrorCode"])
        found += [str(one["Name"]) for one in answer["Buffer"]["Buffer"]]
    assert found == [f"user{number}" for number in range(1100)]


def test_who_may_ask(connect: Connect, names: Directory) -> None:
    """Goal: anonymous callers get nothing, guests names but no lists. Method: both."""
    nobody = connect("lsarpc", lsat.MSRPC_UUID_LSAT)
    with pytest.raises(DCERPCException, match=r"(?i)access_denied"):
        lsad.hLsarOpenPolicy2(nobody)
    with pytest.raises(DCERPCException, match=r"(?i)access_denied"):
        lsat.hLsarLookupNames4(nobody, ["alice"])
    assert str(lsat.hLsarGetUserName(nobody)["UserName"]) == "ANONYMOUS LOGON"
    with pytest.raises(DCERPCException, match=r"(?i)access_denied"):
        samr.hSamrConnect(connect("samr", samr.MSRPC_UUID_SAMR))
    guest = connect("samr", samr.MSRPC_UUID_SAMR, names=names)
    server = samr.hSamrConnect(guest)["ServerHandle"]
    sid = samr.hSamrLookupDomainInSamServer(guest, server, "FREVO")["DomainId"]
    domain = samr.hSamrOpenDomain(guest, server, domainId=sid)["DomainHandle"]
    assert samr.hSamrLookupNamesInDomain(guest, domain, ["alice"])["ErrorCode"] == 0
    for lists in (
        samr.hSamrEnumerateUsersInDomain, samr.hSamrEnumerateGroupsInDomain, samr.hSamrEnumerateAliasesInDomain,
        samr.hSamrQueryDisplayInformation,
    ):  # fmt: skip
        with pytest.raises(DCERPCException, match=r"(?i)access_denied"):
            lists(guest, domain)
