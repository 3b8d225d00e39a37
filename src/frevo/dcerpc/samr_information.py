"""samr's information about domains, users, groups and aliases, by information class ([MS-SAMR] 2.2.3 to 2.2.7)."""

from __future__ import annotations

from frevo.dcerpc.interface import fields
from frevo.dcerpc.ndr import U8, U16, U32, Unique
from frevo.dcerpc.ndr_security import TEXT, ShortUnion, VaryingArray, counted

TIME = fields(("low", U32), ("high", U32))
GENERAL = fields(
    ("force_logoff", TIME), ("comment", TEXT), ("name", TEXT), ("replica", TEXT), ("modified", TIME), ("state", U32),
    ("role", U32), ("compatible", U8), ("users", U32), ("groups", U32), ("aliases", U32),
)  # fmt: skip
NAME_ONLY = fields(("name", TEXT))
PASSWORD_LEVEL, GENERAL_LEVEL, NAME_LEVEL = 1, 2, 5
DOMAIN_INFORMATION = ShortUnion(
    {
        PASSWORD_LEVEL: fields(
            ("length_min", U16), ("history", U16), ("properties", U32), ("age_max", TIME), ("age_min", TIME)
        ),
        GENERAL_LEVEL: GENERAL,
        NAME_LEVEL: NAME_ONLY,
    }
)


TEXTS = (
    "home", "home_drive", "script", "profile", "comment", "workstations", "user_comment", "parameters",
)  # fmt: skip
USER_ALL = fields(
    *((name, TIME) for name in ("logon", "logoff", "set", "expires", "can_change", "must_change")),
    ("name", TEXT), ("full_name", TEXT), *((name, TEXT) for name in TEXTS),
    ("lm_password", TEXT), ("nt_password", TEXT), ("private", TEXT),
    ("security", counted(U8)),
    ("rid", U32), ("group", U32), ("control", U32), ("which", U32),
    ("hours", fields(("units", U16), ("entries", Unique(VaryingArray(U8, 1260))))),
    ("bad_passwords", U16), ("logons", U16), ("country", U16), ("code_page", U16),
    ("lm_present", U8), ("nt_present", U8), ("expired", U8), ("private_changed", U8),
)  # fmt: skip
USER_GENERAL = fields(
    ("name", TEXT), ("full_name", TEXT), ("group", U32), ("comment", TEXT), ("user_comment", TEXT)
)
USER_INFORMATION = ShortUnion(
    {
        1: USER_GENERAL,
        6: fields(("name", TEXT), ("full_name", TEXT)),
        7: NAME_ONLY,
        8: fields(("full_name", TEXT)),
        9: fields(("group", U32)),
        16: fields(("control", U32)),
        21: USER_ALL,
    }
)
DESCRIBED = fields(("name", TEXT), ("attributes", U32), ("members", U32), ("comment", TEXT))
GROUP_INFORMATION = ShortUnion({1: DESCRIBED, 2: NAME_ONLY, 4: fields(("comment", TEXT)), 5: DESCRIBED})
ALIAS_INFORMATION = ShortUnion(
    {
        1: fields(("name", TEXT), ("members", U32), ("comment", TEXT)),
        2: NAME_ONLY,
        3: fields(("comment", TEXT)),
    }
)
