"""A session's keys in use, with the messages that Microsoft published ("Encryption in SMB 3.0: a protocol
perspective", 2012, and "SMB 3.1.1 encryption in Windows 10", 2015)."""

from __future__ import annotations

import pytest

from frevo.proto.dialect import SMB_3_0, SMB_3_1_1, Cipher, Signing
from frevo.proto.keys import derive_session_keys
from frevo.proto.protection import SessionKeys, client_keys, server_keys

KEYS_300 = derive_session_keys(
    SMB_3_0, Cipher.AES_128_CCM, bytes.fromhex("B4546771B515F766A86735532DD6C4F0"), b""
)
SESSION_300 = 0x8E40014000011
KEYS_311 = derive_session_keys(
    SMB_3_1_1,
    Cipher.AES_128_GCM,
    bytes.fromhex("419FDDF34C1E001909D362AE7FB6AF79"),
    bytes.fromhex(
        "B23F3CBFD69487D9832B79B1594A367CDD950909B774C3A4C412B4FCEA9EDDDB"
        "A7DB256BA2EA30E977F11F9B113247578E0E915C6D2A513B8F2FCA5707DC8770"
    ),
)
SESSION_311 = 0x100000000025
#: WRITE of "Smb3 encryption testing" and its answer: encrypted, plain.
WRITE_300 = (
    "FD534D4281A286535415445DAE393921E44FA42E66E69A111892584FB5ED524A744DA3EE87000000000001001100001400E40800"
    "25C8FEE16605A437832D1CD52DA9F4645333482A175FE5384563F45FCDAFAEF38BC62BA4D5C62897996625A44C29BE56"
    "58DE2E6117585779E7B59FFD971278D08580D7FA899E410E910EABF5AA1DB43050B33B49182637759AC15D84BFCDF5B6"
    "B238993C0F4CF4D6012023F6C627297075D84B7803912D0A9639634453595EF3E33FFE4E7AC2AB",
    "FE534D4240000100000000000900400008000000000000000400000000000000FFFE0000010000001100001400E40800"
    "000000000000000000000000000000003100700017000000000000000000000015010000390000020100000039020000"
    "00000000000000007000000000000000536D623320656E6372797074696F6E2074657374696E67",
)
ANSWER_300 = (
    "FD534D42A6015530A18F6D9AFFE22AFAE8E6648486000000000000001100001400E4080050000000000001001100001400E40800"
    "DBF46435C5F14169293CE079E344479BF670227E49873F458672C3098DAC467DD5809F369D674091665157871483E01F"
    "7BECD02064EAC3E235F913668BBC2F097980D4B378F1993EFF6E60D177309E5B",
    "FE534D4240000100000000000900210009000000000000000400000000000000FFFE0000010000001100001400E40800"
    "0000000000000000000000000000000011000000170000000000000000000000",
)
WRITE_311 = (
    "FD534D42BD73D97D2BC9001BCAFAC0FDFF5FEEBCC7D6822D269CAF48904C664C0000000087000000000001002500000000100000"
    "6ECDD2A7AFC7B47763057A041B8FD4DAFFE990B70C9E09D36C084E02D14EF247F8BDE38ACF6256F8B1D3B56F77FBDEB3"
    "12FEA5E92CBCC1ED8FB2EBBFAA75E49A4A394BB44576545567C24D4C014D47C9FBDFDAFD2C4F9B72F8D256452620A299"
    "F48E29E53D6B61D1C13A19E91AF013F00D17E3ABC2FC3D36C8C1B6B93973253852DBD442E46EE8",
    "FE534D4240000100000000000900010008000000000000000500000000000000FFFE0000010000002500000000100000"
    "000000000000000000000000000000003100700017000000000000000000000006000000040000000100000004000000"
    "00000000000000007000000000000000536D623320656E6372797074696F6E2074657374696E67",
)
ANSWER_311 = (
    "FD534D42ACBE1CB7ED343ADF1725EF144D90D4B0E06831DD2E8EB7B4000000000000000050000000000001002500000000100000"
    "26BBBF949983A6C1C796559D0F2C510CB651D1F7B6AC8DED32A2A0B8F2D793A815C6F6B848D69767A215841A42D400AE"
    "6DDB5F0B44173A014973321FDD7950DA6179159B82E03C9E18A050FF0EA1C967",
    "FE534D4240000100000000000900010001000000000000000500000000000000FFFE0000010000002500000000100000"
    "0000000000000000000000000000000011000000170000000000000000000000",
)


def both(dialect: int) -> tuple[SessionKeys, SessionKeys]:
    """The server's and the client's keys of one of the two sessions."""
    derived, cipher = (KEYS_300, Cipher.AES_128_CCM) if dialect == 0x300 else (KEYS_311, Cipher.AES_128_GCM)
    required = {"signing_required": True, "encryption_required": True}
    return tuple(make(derived, Signing.AES_CMAC, cipher, **required) for make in (server_keys, client_keys))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("dialect", "write", "answer"), [(0x300, WRITE_300, ANSWER_300), (0x311, WRITE_311, ANSWER_311)]
)
def test_the_published_messages(dialect: int, write: tuple[str, str], answer: tuple[str, str]) -> None:
    """Goal: each side decrypts what the other one sent, with the right one of two keys ([MS-SMB2] 3.1.4.3). Method: a
    request of Windows and its response; the wrong side and a changed byte."""
    server, client = both(dialect)
    for reader, other, (encrypted, plain) in ((server, client, write), (client, server, answer)):
        message = bytes.fromhex(encrypted)
        assert bytes(reader.decrypt(message)) == bytes.fromhex(plain)
        for changed in (message[:-1] + bytes((message[-1] ^ 1,)), message[:44] + b"\xff" + message[45:]):
            with pytest.raises(ValueError):
                reader.decrypt(changed)
        with pytest.raises(ValueError):
            other.decrypt(message)


@pytest.mark.parametrize(("dialect", "session"), [(0x300, SESSION_300), (0x311, SESSION_311)])
def test_both_ways(dialect: int, session: int) -> None:
    """What one side encrypts the other decrypts, in either direction."""
    server, client = both(dialect)
    message = bytes.fromhex(WRITE_300[1])
    for sender, reader in ((server, client), (client, server)):
        assert bytes(reader.decrypt(sender.encrypt(session, message))) == message
        assert reader.verify(sender.sign(message))


def test_the_published_signature() -> None:
    """Goal: AES-CMAC over a SESSION_SETUP response with 3.1.1's signing key. Method: the response of Windows, from the
    same article as the keys in test_keys."""
    preauth = bytes.fromhex(
        "0DD13628CC3ED218EF9DF9772D436D0887AB9814BFAE63A80AA845F36909DB79"
        "28622DDDAD522D9751640A459762C5A9D6BB084CBB3CE6BDADEF5D5BCE3C6C01"
    )
    session_key = bytes.fromhex("270E1BA896585EEB7AF3472D3B4C75A7")
    derived = derive_session_keys(SMB_3_1_1, Cipher.AES_128_GCM, session_key, preauth)
    client = client_keys(
        derived, Signing.AES_CMAC, Cipher.AES_128_GCM, signing_required=True, encryption_required=False
    )
    response = bytes.fromhex(
        "FE534D4240000100000000000100800009000000000000000300000000000000FFFE0000000000001900000000100000"
        "EBE146DA120BA25FC3376A49DFE31BC10900000048001D00A11B3019A0030A0100A3120410010000003B453CDC352416"
        "4200000000"
    )
    assert client.verify(response)
    assert client.sign(response[:48] + bytes(16) + response[64:]) == response
    assert not client.verify(response[:-1] + b"\1")
    assert (client.signing_required, client.encryption_required) == (True, False)
