"""Tests of frevo.config.load: the whole way from text to Config, and what is reported."""

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
    ShareConfig,
    default_for_folder,
    diff,
    load,
    load_text,
)
from frevo.config.key import normal
from frevo.config.load import _BY_NAME
from frevo.config.unsupported import RESTRICTING, SAME, UNSUPPORTED
from frevo.transport.address import TransportAddress


def problems_of(text: str) -> list[tuple[int, str, str]]:
    """(line, key, message) of the errors of *text*."""
    with pytest.raises(ConfigErrors) as caught:
        load_text(text)
    return [(p.line, p.key, p.message) for p in caught.value.problems if p.severity == "error"]


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
        ("read onyl", "read only"),
        ("writabel", "writable"),
        ("valid user", "valid users"),
        ("wrokgroup", "workgroup"),
        ("frevo:fastpth", "frevo:fast path"),
        ("hide dotfile", "hide dot files"),
    ],
)
def test_unknown_keys_name_the_nearest(key: str, meant: str) -> None:
    """Goal: a typo is an error with its line and the key that was meant. Method: misspell keys."""
    errors = problems_of(f"[a]\npath = /x\n{key} = 1\n")
    assert errors == [(3, key, f"unknown key; did you mean `{meant}`?")]


def test_unknown_keys_without_a_neighbour() -> None:
    """Goal: a key like nothing we know is an error without a guess. Method: nonsense."""
    assert problems_of("[global]\nqqqqqqqq = 1\n") == [(2, "qqqqqqqq", "unknown key")]


def test_every_problem_is_reported_at_once() -> None:
    """Goal: one run shows all errors, in the order of the file. Method: three bad values and a good one."""
    text = "[global]\nlog level = loud\n[a]\npath = /x\nread only = maybe\ncreate mask = 9\ncomment = fine\n"
    assert [(line, key) for line, key, _ in problems_of(text)] == [
        (2, "log level"),
        (5, "read only"),
        (6, "create mask"),
    ]


def test_samba_keys_load_with_a_warning() -> None:
    """Goal: an existing smb.conf loads. Method: keys of Samba and of its modules."""
    config = load_text(
        "[global]\nlogging = file\nencrypt passwords = yes\nsecurity = user\n"
        "[a]\npath = /x\nvfs objects = recycle\nrecycle:repository = .bin\nworkgroup = HERE\n"
    )
    assert sorted(warning.line for warning in config.warnings) == [2, 7, 8, 9]


@pytest.mark.parametrize(
    "line", ["hosts allow = @trusted", "hosts deny = 1.2.3", "restrict anonymous = 2", "root directory = /x"]
)
def test_restrictions_are_never_ignored(line: str) -> None:
    """Goal: a key that keeps people out and that we lack is an error. Method: one file each."""
    assert problems_of(f"[a]\npath = /x\n{line}\n")


def test_harmless_values_of_restrictions_load() -> None:
    """Goal: the values that change nothing are silent. Method: Samba's defaults."""
    config = load_text(
        "[a]\npath = /x\nfollow symlinks = yes\nwide links = no\naccess based share enum = No\n"
        "store dos attributes = yes\n"
    )
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("[a]\ncomment = no path", "needs a `path`"),
        ("[a/b]\npath = /x", "not a share name"),
        ("[" + "n" * 81 + "]\npath = /x", "not a share name"),
        ("[a]\npath = /x\ncopy = b", "cannot copy"),
        ("[a]\npath = /x\ncopy = b\n[b]\ncopy = a", "cannot copy"),
        ("[global]\nserver min protocol = SMB3\nserver max protocol = SMB2", "is newer"),
        ("[global]\nsmb ports = quic", "none of these transports"),
        ("[global]\nsmb ports = 445 nope", "unknown transport"),
        ("[global]\nserver smb encrypt = required\nserver max protocol = SMB2", "encryption needs"),
        ("[global]\nntlm auth = disabled", "nobody could log on"),
        ("[global]\nprivate dir = /x/%u", "without macros"),
        ("[global]\nprivate dir =", "without macros"),
    ],
)
def test_combinations_that_cannot_work(section: str, message: str) -> None:
    """Goal: what each key allows but the whole does not is an error. Method: one file each."""
    assert any(message in text for _, _, text in problems_of(section + "\n"))


@pytest.mark.parametrize("word", ["yes", "ntlmv1-permitted", "mschapv2-and-ntlmv2-only", "no", "ntlmv2-only"])
def test_ntlm_auth(word: str) -> None:
    """Goal: every value of Samba loads; NTLMv1 is never what it means, which is said. Method: each but `disabled`."""
    config = load_text(f"[global]\nntlm auth = {word}\n")
    assert config.globals.ntlm_auth == "ntlmv2-only"
    assert bool(config.warnings) == (word in ("yes", "ntlmv1-permitted"))


def test_homes_need_no_path() -> None:
    """Goal: [homes] loads with and without a path. Method: Debian's section, and one with a folder."""
    config = load_text("[homes]\ncomment = Home Directories\nbrowseable = no\nvalid users = %S\n")
    assert (config.shares["homes"].path, config.warnings) == ("", ())
    assert load_text("[Homes]\npath = /srv/%S\n").shares["homes"].path == "/srv/%S"


def test_printers_and_ipc_are_left_out() -> None:
    """Goal: sections for things we have not are skipped with a warning. Method: Debian's usual ones."""
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
    """Goal: a reload can say what it changed and what waits for a restart. Method: two versions of a file."""
    old = load_text("[global]\nsmb ports = 445\n[a]\npath = /x\n[gone]\npath = /y\n")
    new = load_text(
        "[global]\nsmb ports = 446\nguest ok = no\n[a]\npath = /x\nread only = no\n[new]\npath = /z\n"
    )
    assert [str(change) for change in diff(old, new)] == [
        "[global] server smb transports: tcp -> tcp:446 (taken at the next start)",
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
    """Goal: no name stands for two keys, none is called unsupported. Method: walk the table."""
    names = [normal(name) for key in KEYS for name in (key.name, *key.synonyms, *key.inverses)]
    assert len(names) == len(set(names)) == len(_BY_NAME)
    assert not set(names) & set(UNSUPPORTED)
    assert set(RESTRICTING) <= set(UNSUPPORTED)
    assert set(SAME) <= set(UNSUPPORTED)
    for key in KEYS:
        assert key.sentence.endswith("."), key.name
        assert key.attribute in {
            field.name for model in (GlobalConfig, ShareConfig) for field in fields(model)
        }


KEY_NAMES = st.sampled_from([key.name for key in KEYS] + sorted(UNSUPPORTED.values()))


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
    """Goal: any file gives a Config or ConfigErrors. Method: hypothesis files out of real keys and noise."""
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
