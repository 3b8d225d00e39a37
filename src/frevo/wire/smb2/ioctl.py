"""IoctlRequest and IoctlResponse ([MS-SMB2] 2.2.31 and 2.2.32); their buffers are in ioctl_structures."""

from __future__ import annotations

import struct

import msgspec

from frevo.wire.codec import HEADER_SIZE, Buffer, FileId, fixed, padding, variable

_REQUEST = struct.Struct("<HHIQQIIIIIIII")
_RESPONSE = struct.Struct("<HHIQQIIIIII")
_REQUEST_END = HEADER_SIZE + _REQUEST.size
_RESPONSE_END = HEADER_SIZE + _RESPONSE.size


class IoctlRequest(msgspec.Struct):
    """*input_buffer* is the structure of the FSCTL; *output_buffer* is empty for all existing FSCTLs.

    Reference: [MS-SMB2] 2.2.31.
    """

    ctl_code: int = 0
    file_id: FileId = (0, 0)
    input_buffer: bytes = b""
    max_input_response: int = 0
    max_output_response: int = 0
    flags: int = 1
    output_buffer: bytes = b""

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> IoctlRequest:
        (
            _,
            _reserved,
            code,
            persistent,
            volatile,
            input_offset,
            input_count,
            max_input,
            output_offset,
            output_count,
            max_output,
            flags,
            _reserved2,
        ) = fixed(_REQUEST, message, offset, 57, "IOCTL request")
        sent = variable(message, offset, input_offset, input_count, _REQUEST_END, "IOCTL input")
        output = variable(message, offset, output_offset, output_count, _REQUEST_END, "IOCTL output")
        return cls(code, (persistent, volatile), bytes(sent), max_input, max_output, flags, bytes(output))

    def pack(self) -> bytes:
        sent, output = self.input_buffer, self.output_buffer
        pad = padding(_REQUEST_END + len(sent)) if output else b""
        output_offset = _REQUEST_END + len(sent) + len(pad) if output else 0
        head = _REQUEST.pack(
            57,
            0,
            self.ctl_code,
            *self.file_id,
            _REQUEST_END if sent else 0,
            len(sent),
            self.max_input_response,
            output_offset,
            len(output),
            self.max_output_response,
            self.flags,
            0,
        )
        return head + ((sent + pad + output) or b"\0")


class IoctlResponse(msgspec.Struct):
    """Reference: [MS-SMB2] 2.2.32."""

    ctl_code: int = 0
    file_id: FileId = (0, 0)
    output_buffer: bytes = b""
    input_buffer: bytes = b""
    flags: int = 0

    @classmethod
    def parse(cls, message: Buffer, offset: int = 0) -> IoctlResponse:
        (
            _,
            _reserved,
            code,
            persistent,
            volatile,
            input_offset,
            input_count,
            output_offset,
            output_count,
            flags,
            _reserved2,
        ) = fixed(_RESPONSE, message, offset, 49, "IOCTL response")
        sent = variable(message, offset, input_offset, input_count, _RESPONSE_END, "IOCTL input")
        output = variable(message, offset, output_offset, output_count, _RESPONSE_END, "IOCTL output")
        return cls(code, (persistent, volatile), bytes(output), bytes(sent), flags)

    def pack(self) -> bytes:
        sent, output = self.input_buffer, self.output_buffer
        pad = padding(_RESPONSE_END + len(sent)) if sent else b""
        head = _RESPONSE.pack(
            49,
            0,
            self.ctl_code,
            *self.file_id,
            _RESPONSE_END,
            len(sent),
            _RESPONSE_END + len(sent) + len(pad),
            len(output),
            self.flags,
            0,
        )
        return head + sent + pad + output
