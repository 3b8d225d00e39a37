"""The enumerations and flags of [MS-SMB2] section 2.2: names for the plain ints in the fields."""

from __future__ import annotations

from frevo.wire.codec import Bits, OpenEnum
from frevo.wire.dtyp.access import DirectoryAccess, FileAccess
from frevo.wire.fscc.constants import CompletionFilter, FileAttributes

__all__ = [
    "ANY_FILE_ID",
    "CREDIT_BYTES",
    "Capabilities",
    "Channel",
    "Cipher",
    "CloseFlags",
    "Command",
    "CompletionFilter",
    "CompressionAlgorithm",
    "CompressionFlags",
    "CreateAction",
    "CreateDisposition",
    "CreateOptions",
    "CreateResponseFlags",
    "Dialect",
    "DirectoryAccess",
    "DurableHandleFlags",
    "FileAccess",
    "FileAttributes",
    "HeaderFlags",
    "ImpersonationLevel",
    "InfoType",
    "IoctlFlags",
    "LeaseBreakFlags",
    "LeaseFlags",
    "LeaseState",
    "LockFlags",
    "NegotiateContextType",
    "NotifyFlags",
    "OplockLevel",
    "PreauthHash",
    "QueryDirectoryFlags",
    "QueryInfoFlags",
    "RDMATransform",
    "ReadFlags",
    "ReadResponseFlags",
    "SecurityInformation",
    "SecurityMode",
    "SessionFlags",
    "SessionSetupFlags",
    "ShareAccess",
    "ShareCapabilities",
    "ShareFlags",
    "ShareType",
    "SigningAlgorithm",
    "SymlinkFlags",
    "TransformFlags",
    "TransportCapabilities",
    "TreeConnectFlags",
    "WriteFlags",
]

#: Bytes of a request or of its response that one credit covers ([MS-SMB2] 3.1.5.2).
CREDIT_BYTES = 65536
#: The FileId that means "the open of the previous request in this compound" ([MS-SMB2] 3.3.5.2.7.2).
ANY_FILE_ID = (0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)


class Command(OpenEnum):
    """Reference: [MS-SMB2] 2.2.1."""

    NEGOTIATE = 0
    SESSION_SETUP = 1
    LOGOFF = 2
    TREE_CONNECT = 3
    TREE_DISCONNECT = 4
    CREATE = 5
    CLOSE = 6
    FLUSH = 7
    READ = 8
    WRITE = 9
    LOCK = 10
    IOCTL = 11
    CANCEL = 12
    ECHO = 13
    QUERY_DIRECTORY = 14
    CHANGE_NOTIFY = 15
    QUERY_INFO = 16
    SET_INFO = 17
    OPLOCK_BREAK = 18
    SERVER_TO_CLIENT_NOTIFICATION = 19


class HeaderFlags(Bits):
    """Reference: [MS-SMB2] 2.2.1.1."""

    SERVER_TO_REDIR = 0x00000001
    ASYNC_COMMAND = 0x00000002
    RELATED_OPERATIONS = 0x00000004
    SIGNED = 0x00000008
    PRIORITY_MASK = 0x00000070
    DFS_OPERATIONS = 0x10000000
    REPLAY_OPERATION = 0x20000000


class Dialect(OpenEnum):
    """DialectRevision.

    Reference: [MS-SMB2] 2.2.3.
    """

    SMB_2_0_2 = 0x0202
    SMB_2_1 = 0x0210
    SMB_3_0 = 0x0300
    SMB_3_0_2 = 0x0302
    SMB_3_1_1 = 0x0311
    WILDCARD = 0x02FF


class SecurityMode(Bits):
    """Reference: [MS-SMB2] 2.2.3."""

    SIGNING_ENABLED = 0x0001
    SIGNING_REQUIRED = 0x0002


class Capabilities(Bits):
    """Reference: [MS-SMB2] 2.2.3."""

    DFS = 0x00000001
    LEASING = 0x00000002
    LARGE_MTU = 0x00000004
    MULTI_CHANNEL = 0x00000008
    PERSISTENT_HANDLES = 0x00000010
    DIRECTORY_LEASING = 0x00000020
    ENCRYPTION = 0x00000040
    NOTIFICATIONS = 0x00000080


class NegotiateContextType(OpenEnum):
    """Reference: [MS-SMB2] 2.2.3.1."""

    PREAUTH_INTEGRITY_CAPABILITIES = 1
    ENCRYPTION_CAPABILITIES = 2
    COMPRESSION_CAPABILITIES = 3
    NETNAME_NEGOTIATE_CONTEXT_ID = 5
    TRANSPORT_CAPABILITIES = 6
    RDMA_TRANSFORM_CAPABILITIES = 7
    SIGNING_CAPABILITIES = 8
    CONTEXTTYPE_RESERVED = 0x0100


class PreauthHash(OpenEnum):
    """Reference: [MS-SMB2] 2.2.3.1.1."""

    SHA512 = 1


class Cipher(OpenEnum):
    """Reference: [MS-SMB2] 2.2.3.1.2."""

    NONE = 0
    AES128_CCM = 1
    AES128_GCM = 2
    AES256_CCM = 3
    AES256_GCM = 4


class CompressionAlgorithm(OpenEnum):
    """Reference: [MS-SMB2] 2.2.3.1.3."""

    NONE = 0
    LZNT1 = 1
    LZ77 = 2
    LZ77_HUFFMAN = 3
    PATTERN_V1 = 4
    LZ4 = 5


class CompressionFlags(Bits):
    """Reference: [MS-SMB2] 2.2.3.1.3 and 2.2.42."""

    CHAINED = 0x00000001


class TransportCapabilities(Bits):
    """Reference: [MS-SMB2] 2.2.3.1.5."""

    ACCEPT_TRANSPORT_LEVEL_SECURITY = 0x00000001


class RDMATransform(OpenEnum):
    """Reference: [MS-SMB2] 2.2.3.1.6."""

    NONE = 0
    ENCRYPTION = 1
    SIGNING = 2


class SigningAlgorithm(OpenEnum):
    """Reference: [MS-SMB2] 2.2.3.1.7."""

    HMAC_SHA256 = 0
    AES_CMAC = 1
    AES_GMAC = 2


class SessionSetupFlags(Bits):
    """Reference: [MS-SMB2] 2.2.5."""

    BINDING = 0x01


class SessionFlags(Bits):
    """Reference: [MS-SMB2] 2.2.6."""

    IS_GUEST = 0x0001
    IS_NULL = 0x0002
    ENCRYPT_DATA = 0x0004


class TreeConnectFlags(Bits):
    """Reference: [MS-SMB2] 2.2.9."""

    CLUSTER_RECONNECT = 0x0001
    REDIRECT_TO_OWNER = 0x0002
    EXTENSION_PRESENT = 0x0004


class ShareType(OpenEnum):
    """Reference: [MS-SMB2] 2.2.10."""

    DISK = 1
    PIPE = 2
    PRINT = 3


class ShareFlags(Bits):
    """Reference: [MS-SMB2] 2.2.10."""

    MANUAL_CACHING = 0x00000000
    DFS = 0x00000001
    DFS_ROOT = 0x00000002
    AUTO_CACHING = 0x00000010
    VDO_CACHING = 0x00000020
    NO_CACHING = 0x00000030
    RESTRICT_EXCLUSIVE_OPENS = 0x00000100
    FORCE_SHARED_DELETE = 0x00000200
    ALLOW_NAMESPACE_CACHING = 0x00000400
    ACCESS_BASED_DIRECTORY_ENUM = 0x00000800
    FORCE_LEVELII_OPLOCK = 0x00001000
    ENABLE_HASH_V1 = 0x00002000
    ENABLE_HASH_V2 = 0x00004000
    ENCRYPT_DATA = 0x00008000
    IDENTITY_REMOTING = 0x00040000
    COMPRESS_DATA = 0x00100000
    ISOLATED_TRANSPORT = 0x00200000


class ShareCapabilities(Bits):
    """Reference: [MS-SMB2] 2.2.10."""

    DFS = 0x00000008
    CONTINUOUS_AVAILABILITY = 0x00000010
    SCALEOUT = 0x00000020
    CLUSTER = 0x00000040
    ASYMMETRIC = 0x00000080
    REDIRECT_TO_OWNER = 0x00000100


class OplockLevel(OpenEnum):
    """Reference: [MS-SMB2] 2.2.13."""

    NONE = 0x00
    II = 0x01
    EXCLUSIVE = 0x08
    BATCH = 0x09
    LEASE = 0xFF


class ImpersonationLevel(OpenEnum):
    """Reference: [MS-SMB2] 2.2.13."""

    ANONYMOUS = 0
    IDENTIFICATION = 1
    IMPERSONATION = 2
    DELEGATE = 3


class ShareAccess(Bits):
    """Reference: [MS-SMB2] 2.2.13."""

    READ = 0x00000001
    WRITE = 0x00000002
    DELETE = 0x00000004


class CreateDisposition(OpenEnum):
    """Reference: [MS-SMB2] 2.2.13."""

    SUPERSEDE = 0
    OPEN = 1
    CREATE = 2
    OPEN_IF = 3
    OVERWRITE = 4
    OVERWRITE_IF = 5


class CreateOptions(Bits):
    """Reference: [MS-SMB2] 2.2.13."""

    DIRECTORY_FILE = 0x00000001
    WRITE_THROUGH = 0x00000002
    SEQUENTIAL_ONLY = 0x00000004
    NO_INTERMEDIATE_BUFFERING = 0x00000008
    SYNCHRONOUS_IO_ALERT = 0x00000010
    SYNCHRONOUS_IO_NONALERT = 0x00000020
    NON_DIRECTORY_FILE = 0x00000040
    CREATE_TREE_CONNECTION = 0x00000080
    COMPLETE_IF_OPLOCKED = 0x00000100
    NO_EA_KNOWLEDGE = 0x00000200
    OPEN_REMOTE_INSTANCE = 0x00000400
    RANDOM_ACCESS = 0x00000800
    DELETE_ON_CLOSE = 0x00001000
    OPEN_BY_FILE_ID = 0x00002000
    OPEN_FOR_BACKUP_INTENT = 0x00004000
    NO_COMPRESSION = 0x00008000
    OPEN_REQUIRING_OPLOCK = 0x00010000
    DISALLOW_EXCLUSIVE = 0x00020000
    RESERVE_OPFILTER = 0x00100000
    OPEN_REPARSE_POINT = 0x00200000
    OPEN_NO_RECALL = 0x00400000
    OPEN_FOR_FREE_SPACE_QUERY = 0x00800000


class CreateAction(OpenEnum):
    """Reference: [MS-SMB2] 2.2.14."""

    SUPERSEDED = 0
    OPENED = 1
    CREATED = 2
    OVERWRITTEN = 3


class CreateResponseFlags(Bits):
    """Reference: [MS-SMB2] 2.2.14."""

    REPARSEPOINT = 0x01


class LeaseState(Bits):
    """Reference: [MS-SMB2] 2.2.13.2.8."""

    NONE = 0x00
    READ = 0x01
    HANDLE = 0x02
    WRITE = 0x04


class LeaseFlags(Bits):
    """Reference: [MS-SMB2] 2.2.13.2.10 and 2.2.14.2.10."""

    BREAK_IN_PROGRESS = 0x00000002
    PARENT_LEASE_KEY_SET = 0x00000004


class LeaseBreakFlags(Bits):
    """Reference: [MS-SMB2] 2.2.23.2."""

    ACK_REQUIRED = 0x00000001


class DurableHandleFlags(Bits):
    """Reference: [MS-SMB2] 2.2.13.2.11."""

    PERSISTENT = 0x00000002


class CloseFlags(Bits):
    """Reference: [MS-SMB2] 2.2.15."""

    POSTQUERY_ATTRIB = 0x0001


class ReadFlags(Bits):
    """Reference: [MS-SMB2] 2.2.19."""

    READ_UNBUFFERED = 0x01
    REQUEST_COMPRESSED = 0x02


class ReadResponseFlags(Bits):
    """Reference: [MS-SMB2] 2.2.20."""

    RDMA_TRANSFORM = 0x00000001


class Channel(OpenEnum):
    """Reference: [MS-SMB2] 2.2.19."""

    NONE = 0
    RDMA_V1 = 1
    RDMA_V1_INVALIDATE = 2
    RDMA_TRANSFORM = 3


class WriteFlags(Bits):
    """Reference: [MS-SMB2] 2.2.21."""

    WRITE_THROUGH = 0x00000001
    WRITE_UNBUFFERED = 0x00000002


class LockFlags(Bits):
    """Reference: [MS-SMB2] 2.2.26.1."""

    SHARED_LOCK = 0x00000001
    EXCLUSIVE_LOCK = 0x00000002
    UNLOCK = 0x00000004
    FAIL_IMMEDIATELY = 0x00000010


class IoctlFlags(Bits):
    """Reference: [MS-SMB2] 2.2.31."""

    IS_FSCTL = 0x00000001


class QueryDirectoryFlags(Bits):
    """Reference: [MS-SMB2] 2.2.33."""

    RESTART_SCANS = 0x01
    RETURN_SINGLE_ENTRY = 0x02
    INDEX_SPECIFIED = 0x04
    REOPEN = 0x10


class NotifyFlags(Bits):
    """Reference: [MS-SMB2] 2.2.35."""

    WATCH_TREE = 0x0001


class InfoType(OpenEnum):
    """Reference: [MS-SMB2] 2.2.37."""

    FILE = 1
    FILESYSTEM = 2
    SECURITY = 3
    QUOTA = 4


class SecurityInformation(Bits):
    """AdditionalInformation of a security query or set.

    Reference: [MS-SMB2] 2.2.37, [MS-DTYP] 2.4.7.
    """

    OWNER = 0x00000001
    GROUP = 0x00000002
    DACL = 0x00000004
    SACL = 0x00000008
    LABEL = 0x00000010
    ATTRIBUTE = 0x00000020
    SCOPE = 0x00000040
    BACKUP = 0x00010000


class QueryInfoFlags(Bits):
    """Reference: [MS-SMB2] 2.2.37."""

    RESTART_SCAN = 0x00000001
    RETURN_SINGLE_ENTRY = 0x00000002
    INDEX_SPECIFIED = 0x00000004


class SymlinkFlags(Bits):
    """Reference: [MS-SMB2] 2.2.2.2.1."""

    RELATIVE = 0x00000001


class TransformFlags(Bits):
    """Reference: [MS-SMB2] 2.2.41."""

    ENCRYPTED = 0x0001
