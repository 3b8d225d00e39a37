"""Session keys, with the values that Microsoft published for 3.0 and 3.1.1 ("SMB 2 and SMB 3 security in Windows 10:
the anatomy of signing and cryptographic keys", 2017). Its EncryptionKey is the client's: client to server."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from frevo.proto.dialect import DIALECTS, SMB_2_0_2, SMB_2_1, SMB_3_0, SMB_3_0_2, SMB_3_1_1, Cipher, Dialect
from frevo.proto.keys import DerivedKeys, derive, derive_session_keys

PREAUTH = bytes.fromhex(
    "0DD13628CC3ED218EF9DF9772D436D0887AB9814BFAE63A80AA845F36909DB79"
    "28622DDDAD522D9751640A459762C5A9D6BB084CBB3CE6BDADEF5D5BCE3C6C01"
)
KEY_300 = bytes.fromhex("7CD451825D0450D235424E44BA6E78CC")
KEY_311 = bytes.fromhex("270E1BA896585EEB7AF3472D3B4C75A7")


@pytest.mark.parametrize("dialect", [SMB_3_0, SMB_3_0_2])
def test_the_published_keys_of_3_0(dialect: Dialect) -> None:
    """Goal: labels and contexts of 3.0 and 3.0.2. Method: Microsoft's values."""
    assert derive_session_keys(dialect, Cipher.AES_128_CCM, KEY_300, b"") == DerivedKeys(
        signing=bytes.fromhex("0B7E9C5CAC36C0F6EA9AB275298CEDCE"),
        client_to_server=bytes.fromhex("FAD27796665B313EBB578F388632B4F7"),
        server_to_client=bytes.fromhex("B0F0427F7CEB416D1D9DCC0CD4F99447"),
    )


def test_the_published_keys_of_3_1_1() -> None:
    """Goal: labels of 3.1.1, with the preauthentication hash for a context. Method: Microsoft's values."""
    assert derive_session_keys(SMB_3_1_1, Cipher.AES_128_GCM, KEY_311, PREAUTH) == DerivedKeys(
        signing=bytes.fromhex("73FE7A9A77BEF0BDE49C650D8CCB5F76"),
        client_to_server=bytes.fromhex("629BCBC54422A0F572B97F45989B6073"),
        server_to_client=bytes.fromhex("E2AF0DCEFAC68DA71A0DFBD0D1350D74"),
    )


@pytest.mark.parametrize("dialect", [SMB_2_0_2, SMB_2_1])
def test_before_3_0_the_session_key_signs(dialect: Dialect) -> None:
    """[MS-SMB2] 3.3.5.5.3: no key is derived, nothing is encrypted."""
    keys = derive_session_keys(dialect, Cipher.NONE, KEY_300, b"")
    assert keys == DerivedKeys(KEY_300, b"", b"")


@pytest.mark.parametrize("cipher", [Cipher.AES_256_CCM, Cipher.AES_256_GCM])
def test_aes_256_takes_the_whole_key(cipher: Cipher) -> None:
    """Goal: AES-256 uses all of a long key, everything else 16 bytes ([MS-SMB2] 3.1.4.2). Method: two keys that differ
    in their last byte only; the derivation done by hand."""
    long, other = bytes(range(32)), bytes(range(31)) + b"\xff"
    keys, others = (derive_session_keys(SMB_3_1_1, cipher, key, PREAUTH) for key in (long, other))
    assert keys.signing == others.signing
    by_hand = hmac.new(long, b"\0\0\0\1SMBC2SCipherKey\0\0" + PREAUTH + b"\0\0\1\0", hashlib.sha256).digest()
    assert keys.client_to_server == by_hand != others.client_to_server
    assert len(keys.server_to_client) == 32 and keys.server_to_client != keys.client_to_server
    assert keys.signing == derive_session_keys(SMB_3_1_1, Cipher.NONE, long[:16], PREAUTH).signing


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_short_key_is_padded(dialect: Dialect) -> None:
    """[MS-SMB2] 3.3.5.5.3: a key of less than 16 bytes is padded with zeros."""
    short = derive_session_keys(dialect, Cipher.AES_128_CCM, b"short", PREAUTH)
    assert short == derive_session_keys(dialect, Cipher.AES_128_CCM, b"short" + bytes(11), PREAUTH)


def test_the_length_is_part_of_what_is_derived() -> None:
    """SP800-108: [L] is hashed; 16 bytes are not a prefix of 32."""
    assert derive(KEY_311, b"label\0", b"context", 16) != derive(KEY_311, b"label\0", b"context", 32)[:16]


def test_keys_are_not_shown() -> None:
    """Goal: no key gets into a log. Method: repr and str."""
    keys = derive_session_keys(SMB_3_1_1, Cipher.AES_128_GCM, KEY_311, PREAUTH)
    for text in (repr(keys), str(keys)):
        assert not any(repr(value)[2:-1] in text for value in (keys.signing, keys.client_to_server))
