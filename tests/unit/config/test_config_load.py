"""frevo.config.load: the whole way from text to Config, and what is reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields

from frevo.config import (
    KEYS,
    Config,
    ConfigErrors,
    GlobalConfig,
    Person,
    ShareConfig,
    default_for_folder,
    diff,
    load,
    load_text,
    share_access,
)
from frevo.config.hosts import Host, HostList, hosts_allowed, parse_address
from frevo.config.key import normal
from frevo.config.names import BY_NAME
from frevo.config.unsupported import TABLE, UNSUPPORTED
from frevo.transport.address import TransportAddress


def problems_of(text: str, severity: str = "error") -> list[tuple[int, str, str]]:
    """(line, key, message) of what is reported about *text*, whether it disables a share or the whole file."""
    try:
        found = load_text(text).problems
    except ConfigErrors as errors:
        found = errors.problems
    return [(p.line, p.key, p.message) for p in found if p.severity == severity]


def test_everything_of_a_real_file() -> None:
    """Goal: a usual smb.conf gives typed, frozen values. Method: one file, look at the attributes."""
    config = load_text(
        """
        [global]
            workgroup = HOME
            Server Min Protocol = SMB3_00
            server signing = mandatory
            smb encrypt = desired
            smb ports = 4450 139
            veto files = /*.tmp/
            smb2 max read = 1M
            frevo:fast path = no
            FREVO : Engine = epoll
        [Data]
            path = /srv/data
            writeable = yes
            valid users = alice, @staff
            create mode = 0600
            directory mask = 0700
            public = yes
            browsable = no
        [Archive]
            directory = /srv/archive
            veto files =
            server smb encrypt = required
        """
    )
    values = config.globals
    assert (values.workgroup, values.server_min_protocol, values.server_signing) == (
        "HOME",
        0x0300,
        "mandatory",
    )
    assert values.server_smb_encrypt == "desired"
    assert values.server_smb_transports == (TransportAddress("tcp", 4450), TransportAddress("nbt", 139))
    assert values.smb2_max_read == 1 << 20
    assert (values.frevo_fast_path, values.frevo_engine) == (False, "epoll")
    data, archive = config.shares["data"], config.share("ARCHIVE")
    assert archive is not None
    assert (data.name, data.path, data.read_only, data.guest_ok) == ("Data", "/srv/data", False, True)
    assert (data.create_mask, data.directory_mask, data.browseable) == (0o600, 0o700, False)
    assert data.valid_users == ("alice", "@staff")
    assert (data.veto_files, archive.veto_files) == (("*.tmp",), ())
    assert (data.server_smb_encrypt, archive.server_smb_encrypt) == ("desired", "required")
    assert archive.path == "/srv/archive"
    assert config.share("nothing") is None
    with pytest.raises(AttributeError, match="immutable"):
        data.path = "/"  # type: ignore[misc]
    with pytest.raises(TypeError):
        config.shares["x"] = data  # type: ignore[index]


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("writabel", "writable"),
        ("wrokgroup", "workgroup"),
        ("frevo:fastpth", "frevo:fast path"),
        ("hide dotfile", "hide dot files"),
    ],
)
def test_unknown_keys_name_the_nearest(key: str, meant: str) -> None:
    """Goal: a typo is a warning with its line and the key that was probably meant, as in Samba. Method: misspell
    keys."""
    warnings = problems_of(f"[a]\npath = /x\n{key} = 1\n", "warning")
    assert warnings == [(3, key, f"unknown key; did you mean `{meant}`?: ignored, as in Samba")]


@pytest.mark.parametrize(
    ("line", "lost"),
    [
        ("read onyl = yes", True),
        ("read onyl = no", False),
        ("valid user = alice", True),
        ("valid user =", False),
        ("guestok_ = no", True),
        ("guestok_ = yes", False),
        ("host allow = 10.", True),
        ("preexec_close = yes", True),
        ("preexec_close = no", False),
        ("valid users alice bob", True),
        ("hosts deny ALL", True),
        ("comment nothing", False),
        ("some words", False),
    ],
)
def test_a_misspelt_restriction_disables_the_share(line: str, lost: bool) -> None:
    """Goal: a restriction is not lost to a typo or a missing `=`. Method: with values that restrict and values that do
    not."""
    config = load_text(f"[a]\npath = /x\n{line}\n[b]\npath = /y\n")
    assert config.unserved == (("a",) if lost else ())
    assert list(config.shares) == (["b"] if lost else ["a", "b"])
    assert {problem.line for problem in config.problems} == {3}
    assert any(problem.severity == "error" for problem in config.problems) is lost


def test_unknown_keys_without_a_neighbour() -> None:
    """Goal: a key unlike any known one is ignored without a suggestion. Method: nonsense."""
    assert problems_of("[global]\nqqqqqqqq = 1\n", "warning") == [
        (2, "qqqqqqqq", "unknown key: ignored, as in Samba")
    ]


def test_every_problem_is_reported_at_once() -> None:
    """Goal: one run shows all errors, in the order of the file. Method: three bad values and a good one."""
    text = "[global]\nserver signing = loud\n[a]\npath = /x\nread only = maybe\ncreate mask = 9\ncomment = fine\n"
    assert [(line, key) for line, key, _ in problems_of(text)] == [
        (2, "server signing"),
        (5, "read only"),
        (6, "create mask"),
    ]


def test_samba_keys_load_with_a_warning() -> None:
    """Goal: an existing smb.conf loads. Method: keys of Samba and of its modules."""
    config = load_text(
        "[global]\nlogging = file\nencrypt passwords = yes\nsecurity = ads\n"
        "[a]\npath = /x\nvfs objects = recycle acl_xattr\nrecycle:repository = .bin\nworkgroup = HERE\n"
    )
    assert [warning.line for warning in config.warnings] == [4, 7, 9]
    assert list(config.shares) == ["a"]


@pytest.mark.parametrize(
    "line",
    [
        "preexec close = yes",
        "root preexec close = 1",
        "dont descend = /proc",
        "revalidate = yes",
        "server addresses = 10.0.0.1",
        "vfs objects = worm",
        "vfs object = streams_xattr, virusfilter",
        "vfs objects = glusterfs",
        "vfs objects = something_unheard_of",
        "vfs objects = vscan-clamav",
        "only user = yes",
    ],
)
def test_restrictions_of_a_share_are_never_ignored(line: str) -> None:
    """Goal: an unsupported restriction disables its share, not the others. Method: in the share, and in [global],
    where a share that overrides it is served."""
    config = load_text(f"[a]\npath = /x\n{line}\n[b]\npath = /y\n")
    assert (config.unserved, list(config.shares)) == (("a",), ["b"])
    assert [problem.line for problem in config.problems if problem.severity == "error"] == [3]
    key = line.partition("=")[0]
    config = load_text(f"[global]\n{line}\n[a]\npath = /x\n[b]\npath = /y\n{key} =\n")
    assert (config.unserved, list(config.shares)) == (("a",), ["b"])
    assert [problem.line for problem in config.problems if problem.severity == "error"] == [2]


@pytest.mark.parametrize(
    "line",
    [
        "config file = /etc/other.conf",
        "config backend = registry",
        "include = registry",
        "root directory = /srv",
        "username map script = /bin/map",
        "server signing = perhaps",
        "server sining = mandatory",
        "server signing mandatory",
    ],
)
def test_restrictions_of_the_server_are_errors(line: str) -> None:
    """Goal: where it concerns the whole server, the file cannot be used. Method: one file each."""
    with pytest.raises(ConfigErrors):
        load_text(f"[global]\n{line}\n[a]\npath = /x\n")


def test_harmless_values_of_restrictions_load() -> None:
    """Goal: values that change nothing are accepted silently. Method: Samba's defaults."""
    config = load_text(
        "[global]\nconfig backend = file\nroot directory = /\n[a]\npath = /x\npreexec close = no\n"
        "vfs objects = acl_xattr streams_xattr io_uring\ndont descend = ./proc\n"
    )
    assert config.problems == ()
    assert list(config.shares) == ["a"]


def test_the_last_of_several_counts() -> None:
    """Goal: an error that a later line overrides has no effect. Method: the same key twice."""
    config = load_text(
        "[a]\npath = /x\npreexec close = yes\nread only = perhaps\npreexec close = no\nread only = no\n"
    )
    assert config.unserved == ()
    assert not config.shares["a"].read_only


def test_defaults_count_for_the_shares_after_them() -> None:
    """Goal: a share key in [global] holds for the shares that follow, as in Samba. Method: two parts of [global]."""
    config = load_text("[a]\npath = /x\n[global]\nread only = no\n[b]\npath = /y\n[GLOBALS]\nworkgroup = W\n")
    assert (config.shares["a"].read_only, config.shares["b"].read_only) == (True, False)
    assert config.globals.workgroup == "W"
    assert not config.globals.defaults.read_only


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("[a]\ncomment = no path", "has no `path`"),
        ("[a/b]\npath = /x", "invalid share name"),
        ("[" + "n" * 81 + "]\npath = /x", "invalid share name"),
        ("[a]\npath = /x\ncopy = b", "cannot copy"),
        ("[a]\npath = /x\ncopy = b\n[b]\ncopy = a", "cannot copy"),
        ("[global]\nserver min protocol = SMB3\nserver max protocol = SMB2", "is newer"),
        ("[global]\nsmb ports = tcp quic\ntls enabled = no", "quic needs `tls enabled = yes`"),
        (
            "[global]\nsmb ports = quic\nserver max protocol = SMB3_02",
            "nobody could connect: quic needs `server max protocol = SMB3_11`",
        ),
        ("[global]\nsmb ports = 445 nope", "unknown transport"),
        ("[global]\nserver smb encrypt = required\nserver max protocol = SMB2", "encryption needs"),
        ("[global]\nntlm auth = disabled", "nobody could log on"),
        ("[global]\nprivate dir = /x/%u", "without macros"),
        ("[global]\nprivate dir =", "without macros"),
    ],
)
def test_combinations_that_cannot_work(section: str, message: str) -> None:
    """Goal: values that are valid alone but not together are an error. Method: one file each."""
    assert any(message in text for _, _, text in problems_of(section + "\n"))


@pytest.mark.parametrize("word", ["yes", "ntlmv1-permitted", "mschapv2-and-ntlmv2-only", "no", "ntlmv2-only"])
def test_ntlm_auth(word: str) -> None:
    """Goal: every value of Samba loads; it never enables NTLMv1, and a warning says so. Method: each but
    `disabled`."""
    config = load_text(f"[global]\nntlm auth = {word}\n")
    assert config.globals.ntlm_auth == "ntlmv2-only"
    assert bool(config.warnings) == (word in ("yes", "ntlmv1-permitted"))


def test_unix_charset() -> None:
    """Goal: names on disk are UTF-8; another character set is an error, not garbled names. Method: both."""
    assert load_text("[global]\nunix charset = UTF8\n").globals.unix_charset == "UTF-8"
    assert problems_of("[global]\nunix charset = CP850\n") == [
        (2, "unix charset", "expected one of UTF-8, not 'CP850'")
    ]


def test_homes_need_no_path() -> None:
    """Goal: [homes] loads with and without a path. Method: Debian's section, and one with a folder."""
    config = load_text("[homes]\ncomment = Home Directories\nbrowseable = no\nvalid users = %S\n")
    assert (config.shares["homes"].path, config.warnings) == ("", ())
    assert load_text("[Homes]\npath = /srv/%S\n").shares["homes"].path == "/srv/%S"


def test_printers_and_ipc_are_left_out() -> None:
    """Goal: sections for unsupported services are skipped with a warning. Method: Debian's usual ones."""
    config = load_text(
        "[printers]\npath = /x\nprintable = yes\n[p]\npath = /x\nprint ok = yes\n[IPC$]\n[a]\npath = /a\n"
    )
    assert list(config.shares) == ["a"]
    assert len(config.warnings) == 3


def test_copy_takes_another_section() -> None:
    """Goal: `copy` brings the keys of an earlier section and later keys win. Method: two shares."""
    config = load_text("[base]\npath = /x\nread only = no\n[b]\ncopy = base\npath = /y\n")
    assert (config.shares["b"].path, config.shares["b"].read_only) == ("/y", False)


def test_overrides_win(tmp_path: Path) -> None:
    """Goal: command line options win over the file and are checked as it is. Method: a good and a bad one."""
    path = tmp_path / "smb.conf"
    path.write_text("[global]\nsmb ports = 445\n[a]\npath = /x\n")
    assert load(path, {"smb ports": "4450"}).globals.server_smb_transports == (TransportAddress("tcp", 4450),)
    assert load(path).source == str(path)
    with pytest.raises(ConfigErrors, match="command line"):
        load(path, {"smb ports": "99999"})
    with pytest.raises(ConfigErrors, match="No such file"):
        load(tmp_path / "missing.conf")


def test_folder_configuration() -> None:
    """Goal: `frevo serve PATH` gets one share whose path is literal. Method: a path with a percent sign."""
    config = default_for_folder("/data/100%u", "Stuff", read_only=True, valid_users=["eve"])
    share = config.shares["stuff"]
    assert config.expand(share.path, user="mallory") == "/data/100%u"
    assert (share.name, share.read_only, share.valid_users) == ("Stuff", True, ("eve",))
    for name in ("a/b", "global", "homes", ""):
        with pytest.raises(ConfigErrors):
            default_for_folder("/data", name)


def test_diff_names_what_changed() -> None:
    """Goal: a reload can report what changed and what needs a restart. Method: two versions of a file."""
    old = load_text("[global]\nsmb ports = 445\n[a]\npath = /x\n[gone]\npath = /y\n")
    new = load_text(
        "[global]\nsmb ports = 446\nguest ok = no\n[a]\npath = /x\nread only = no\n[new]\npath = /z\n"
    )
    assert [str(change) for change in diff(old, new)] == [
        "[global] server smb transports: tcp -> tcp:446 (takes effect after a restart)",
        "[a] read only: yes -> no",
        "[gone] path: share /y -> (nothing)",
        "[new] path: (nothing) -> share /z",
    ]
    assert diff(old, old) == []


def test_copies_with_changes() -> None:
    """Goal: with_globals and with_share leave the original alone. Method: change and compare."""
    config = Config()
    changed = config.with_globals(workgroup="X").with_share(ShareConfig(name="S", path="/s"))
    assert (config.globals.workgroup, len(config.shares)) == ("WORKGROUP", 0)
    assert (changed.globals.workgroup, changed.shares["s"].path) == ("X", "/s")


def test_the_table_is_sound() -> None:
    """Goal: no name stands for two keys, none is called unsupported. Method: walk the table. Delete a name that is in
    both from frevo.config.unsupported.

    A name in both is to be deleted from frevo.config.unsupported.
    """
    names = [normal(name) for key in KEYS for name in (key.name, *key.synonyms, *key.inverses)]
    assert len(names) == len(set(names)) == len(BY_NAME)
    assert set(names) & set(UNSUPPORTED) == set()
    assert len(UNSUPPORTED) == sum(1 + len(row.synonyms) for row in TABLE)
    for key in KEYS:
        assert key.sentence.endswith("."), key.name
        assert key.attribute in {
            field.name for model in (GlobalConfig, ShareConfig) for field in fields(model)
        }


KEY_NAMES = st.sampled_from([key.name for key in KEYS] + [row.name for row in TABLE])


@given(
    st.lists(
        st.one_of(
            st.tuples(KEY_NAMES, st.text(max_size=20)).map(lambda pair: f"{pair[0]} = {pair[1]}"),
            st.sampled_from(
                ["[global]", "[a]", "[b]", "[homes]", "copy = a", "path = /x", "include = /dev/null"]
            ),
            st.text(max_size=30),
        ),
        max_size=12,
    )
)
def test_loading_never_breaks(lines: list[str]) -> None:
    """Goal: any file gives a Config or ConfigErrors. Method: hypothesis files made of real keys and noise."""
    try:
        config = load_text("\n".join(lines))
    except ConfigErrors as errors:
        assert errors.problems
        assert str(errors)
    else:
        assert all(
            share.path or not share.available or share.name.lower() == "homes"
            for share in config.shares.values()
        )
        assert not {name.lower() for name in config.unserved} & set(config.shares)


def test_a_separator_of_domains() -> None:
    """Goal: `winbind separator` is read as Samba reads it, in lists, forced users and groups. Method: `+`, which also
    marks a group; the default stays the backslash."""
    text = """
        [global]
            winbind separator = +
        [a]
            path = /tmp
            valid users = W+bob @W+staff +local
            force user = W+bob
            force group = +W+staff
    """
    share = load_text(text).shares["a"]
    assert share.valid_users == ("W\\bob", "@W\\staff", "+local")
    assert (share.force_user, share.force_group) == ("W\\bob", "+W\\staff")
    share = load_text(text.replace("winbind separator = +", "")).shares["a"]
    assert share.valid_users == ("W+bob", "@W+staff", "+local")
    [(line, key, _)] = problems_of("[global]\nwinbind separator = ab\n", "warning")
    assert (line, key) == (2, "winbind separator")


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("veto files : bob = /secret/", "error"),
        ("hide files : bob = /secret/", "warning"),
        ("acl_xattr:security_acl_name = user.acl", "error"),
        ("acl_xattr:security_acl_name = user.NTACL", ""),
        ("streams_xattr:prefix = user.x.", "warning"),
        ("fruit:metadata = stream", ""),
        ("hosts allow = @net 10.0.0.1", "warning"),
        ("hosts allow = 10. EXCEPT @net", "error"),
        ("hosts deny = @net", "error"),
        ("invalid users = &net", "error"),
        ("read list = bob &net", "error"),
        ("invalid users = &+staff", ""),
        ("write list = &net", ""),
        ("guest only = yes", "warning"),
    ],
)
def test_options_that_are_not_keys(line: str, severity: str) -> None:
    """Goal: a restriction is not ignored because its name is longer, and an option that only reduces features disables
    no share. Method: one line each, in a share and in [global]."""
    for text in (f"[a]\npath = /tmp\n{line}\n", f"[global]\n{line}\n[a]\npath = /tmp\n"):
        said = [one for kind in ("error", "warning") for one in problems_of(text, kind)]
        assert bool(said) == bool(severity), said
        assert bool(problems_of(text)) == (severity == "error")


def test_netgroups_are_not_unix_groups() -> None:
    """Goal: a member of a Unix group is not a member of the netgroup of that name, as in Samba. Method: each pair of
    signs."""
    bob = Person("bob", {"staff"})
    for entry, expected in (("&staff", False), ("&+staff", True), ("+&staff", True), ("@staff", True)):
        share = load_text(f"[a]\npath = /tmp\nvalid users = {entry}\n").shares["a"]
        assert bool(share_access(share, bob)) is expected


def test_netgroups_let_nobody_in() -> None:
    """Goal: a list that consists of netgroups is not an empty list, which would let everybody in. Method: `hosts
    allow` with one."""
    allow = load_text("[a]\npath = /tmp\nhosts allow = @net\n").shares["a"].hosts_allow
    assert allow
    assert not hosts_allowed(allow, HostList(), Host(parse_address("10.0.0.1"), frozenset({"net"})))


@pytest.mark.parametrize("name", ["R&D 50%", "a+b", "a=b", "a,b", "Müsik", "a;b"])
def test_share_names_that_samba_accepts(name: str) -> None:
    """Goal: a share has the name that its users know. Method: names that Windows would not accept, too."""
    assert load_text(f"[{name}]\npath = /tmp\n").share(name) is not None


def test_log_classes_with_files() -> None:
    """Goal: Samba's log levels with a file per class are accepted. Method: such a line."""
    config = load_text("[global]\nlog level = 3 auth:5 auth_json_audit:3@/var/log/samba/audit.log\n")
    assert config.globals.log_level == 3


@pytest.mark.parametrize("key", ["deadtime", "keepalive"])
@pytest.mark.parametrize("value", ["", "yes"])
def test_values_that_are_not_numbers(key: str, value: str) -> None:
    """Goal: an invalid number that Samba accepts, in a key that restricts nothing, does not stop the server. Method:
    no number; the default is used and reported."""
    [(line, said, _)] = problems_of(f"[global]\n{key} = {value}\n", "warning")
    assert (line, said) == (2, key)
    assert getattr(load_text(f"[global]\n{key} = {value}\n").globals, key) == getattr(GlobalConfig(), key)
