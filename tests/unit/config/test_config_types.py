"""frevo.config.types: every kind of value, its spellings, and what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frevo.config import KEYS
from frevo.config.choices import ENCRYPTION, MAX_PROTOCOL, MIN_PROTOCOL, SIGNING
from frevo.config.types import (
    Boolean,
    Duration,
    Integer,
    LogLevel,
    Mode,
    Name,
    Path,
    Patterns,
    Size,
    Subset,
    Text,
    Transports,
    ValueType,
    Words,
    split_words,
)
from frevo.transport.address import TransportAddress

ALGORITHMS = Subset(("A-1", "B-2", "C-3"), ("A-1", "B-2"))


def quiet(message: str) -> None:
    """A `warn` for values that must not give a warning."""
    pytest.fail(f"unexpected warning: {message}")


def ignore(message: str) -> None:
    """A `warn` for values whose warnings are ignored."""


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Boolean(), "Yes", True),
        (Boolean(), " on ", True),
        (Boolean(), "1", True),
        (Boolean(), "FALSE", False),
        (Boolean(), "0", False),
        (Integer(-5, 10), "-5", -5),
        (Integer(0, 10), " 7 ", 7),
        (Mode(), "0644", 0o644),
        (Mode(), "755", 0o755),
        (Mode(), "07777", 0o7777),
        (Size(), "65536", 65536),
        (Size(), "64K", 65536),
        (Size(), "8m", 8 << 20),
        (Size(), "1 GB", 1 << 30),
        (Duration(), "30", 30.0),
        (Duration(), "250ms", 0.25),
        (Duration(), "2.5s", 2.5),
        (Duration(), "10m", 600.0),
        (Text(), '"quoted text"', "quoted text"),
        (Text(), 'a "b" c', 'a "b" c'),
        (Path(), "/srv/data", "/srv/data"),
        (Path(), '"/srv/my data"', "/srv/my data"),
        (Path(), "%H/share", "%H/share"),
        (Path(), "", ""),
        (Name(), "WORKGROUP", "WORKGROUP"),
        (Words(), "alice, bob;carl\tdora", ("alice", "bob", "carl", "dora")),
        (Words(), '"Al Ice" @"the group"', ("Al Ice", "@the group")),
        (Words(), "", ()),
        (Patterns(), "/*.tmp/my file/", ("*.tmp", "my file")),
        (Patterns(), "/a/a/b", ("a", "b")),
        (Patterns(), "", ()),
        (ALGORITHMS, "c-3, a-1", ("C-3", "A-1")),
        (ALGORITHMS, "+C-3 -A-1", ("B-2", "C-3")),
        (Transports(), "quic nbt:1139", (TransportAddress("quic", 443), TransportAddress("nbt", 1139))),
        (LogLevel(), "3", 3),
        (LogLevel(), "99", 10),
    ],
)
def test_good_values(kind: ValueType[object], text: str, value: object) -> None:
    """Goal: Samba's spellings give the typed value. Method: a table of texts."""
    assert kind.parse(text, quiet) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Boolean(), "maybe"),
        (Boolean(), ""),
        (Boolean(), "yes please"),
        (Integer(), ""),
        (Integer(0, 10), "11"),
        (Integer(0, 10), "-1"),
        (Integer(), "9" * 5000),
        (Integer(), "\u0664\u0662"),
        (Mode(), "8"),
        (Mode(), "rw-r--r--"),
        (Mode(), "-1"),
        (Mode(), ""),
        (Size(), "12Q"),
        (Size(), "-1"),
        (Size(4096), "12"),
        (Size(), "1" * 16),
        (Duration(), "soon"),
        (Duration(0.1), "0"),
        (Duration(), "1e9"),
        (Path(), "relative/path"),
        (Path(), "C:\\share"),
        (Name(), ""),
        (Name(), "A/B"),
        (Name(), "A\x07"),
        (ALGORITHMS, "D-4"),
        (ALGORITHMS, ""),
        (ALGORITHMS, "+C-3 B-2"),
        (ALGORITHMS, "-A-1 -B-2"),
        (Transports(), "smoke"),
        (LogLevel(), "loud"),
        (LogLevel(), "1 2"),
        (LogLevel(), "-1"),
        (SIGNING, "sometimes"),
        (ENCRYPTION, ""),
        (MIN_PROTOCOL, "SMB4"),
    ],
)
def test_bad_values(kind: ValueType[object], text: str) -> None:
    """Goal: every ill-typed value is refused with a sentence. Method: a table of texts."""
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        kind.parse(text, ignore)


@pytest.mark.parametrize(
    ("word", "signing", "encryption"),
    [
        ("default", "default", "if_required"),
        ("auto", "auto", "if_required"),
        ("Yes", "auto", "if_required"),
        ("if_required", "auto", "if_required"),
        ("desired", "auto", "desired"),
        ("required", "mandatory", "required"),
        ("mandatory", "mandatory", "required"),
        ("forced", "mandatory", "required"),
        ("off", "disabled", "off"),
        ("No", "disabled", "off"),
        ("0", "disabled", "off"),
    ],
)
def test_policy_synonyms(word: str, signing: str, encryption: str) -> None:
    """Goal: `server signing` and `server smb encrypt` know the synonyms. Method: as testparm 4.17 prints."""
    assert SIGNING.parse(word, ignore) == signing
    assert ENCRYPTION.parse(word, ignore) == encryption


def test_smb1_minimum_is_raised_with_a_warning() -> None:
    """Goal: an old smb.conf with NT1 loads with a warning, and SMB2 is the minimum. Method: parse and look."""
    said: list[str] = []
    assert MIN_PROTOCOL.parse("NT1", said.append) == 0x0202
    assert "SMB1" in said[0]
    assert MAX_PROTOCOL.parse("SMB3", said.append) == 0x0311
    assert MAX_PROTOCOL.parse("SMB2", said.append) == 0x0210


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_defaults_survive_their_text(key: object) -> None:
    """Goal: format and parse are inverse for every default of the table. Method: round trip."""
    from frevo.config.key import Key

    assert isinstance(key, Key)
    value = key.default()
    text = key.kind.format(value)
    if text or isinstance(value, str):
        assert key.kind.parse(text, quiet) == value


@given(st.text(max_size=60))
def test_no_text_breaks_a_type(text: str) -> None:
    """Goal: bad input raises ValueError and nothing else. Method: texts through every kind."""
    for key in KEYS:
        try:
            key.kind.parse(text, ignore)
        except ValueError as error:
            assert str(error)


@given(
    st.lists(
        st.text(st.characters(exclude_characters='"', exclude_categories=["Cs"]), min_size=1), max_size=5
    )
)
def test_lists_keep_their_words(words: list[str]) -> None:
    """Goal: a quoted list reads back unchanged. Method: hypothesis words, quoted and joined."""
    assert split_words(", ".join(f'"{word}"' for word in words)) == words


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Integer(), "12a", 12),
        (Integer(), "1.5", 1),
        (Mode(), "0777 # all", 0o777),
        (Mode(), "177777", 0o7777),
        (Name(), "A" * 20, "A" * 15),
        (Name(), "\u00e4" * 10, "\u00e4" * 7),
        (Words(), 'alice, "bob', ("alice", "bob")),
        (MAX_PROTOCOL, "NT1", 0x0311),
        (MAX_PROTOCOL, "core+", 0x0311),
        (MIN_PROTOCOL, "lanman1", 0x0202),
    ],
)
def test_values_that_samba_accepts_give_a_warning(
    kind: ValueType[object], text: str, value: object
) -> None:
    """Goal: unusual values that Samba accepts are read the same way, with a warning. Method: a table of texts."""
    said: list[str] = []
    assert kind.parse(text, said.append) == value
    assert len(said) == 1


def test_values_without_a_warning() -> None:
    """Goal: a workgroup may contain spaces, as in Windows; hexadecimal numbers are valid. Method: no warning about
    them."""
    said: list[str] = []
    assert Name().parse('"MY HOME"', said.append) == "MY HOME"
    assert Integer().parse("0x10", said.append) == 16
    assert said == []
