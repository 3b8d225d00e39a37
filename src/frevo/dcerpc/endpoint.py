"""PipeEndpoint: the server's end of an open named pipe: RPC requests in, RPC responses out, without I/O."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from frevo.dcerpc import pdu
from frevo.dcerpc.context import RpcContext
from frevo.dcerpc.interface import Interface, Operation
from frevo.dcerpc.ndr import NDRError, read_arguments, write_arguments
from frevo.dcerpc.pdu import FaultStatus, NakReason, Packet, PacketFlags, PacketType, RejectReason
from frevo.errors import WireError

log = logging.getLogger(__name__)

#: Most stub data of one call, all its fragments together.
STUB_MAX = 1 << 20
#: No further call is run while this many bytes of responses are unread.
UNREAD_MAX_BYTES = 1 << 20
#: Most presentation contexts of one pipe.
CONTEXTS_MAX = 32


class PipeEndpoint:
    """A message-mode pipe for DCE/RPC ([MS-RPCE] 3.3.3, over [MS-SMB2] as described in [MS-RPCE] 2.1.1.2).

    Input: write(), which says if there was no time to process all of it; advance() then continues. Output: read()
    returns at most one message (one PDU) at a time; then `partial` says whether the message continues, so that the
    caller answers STATUS_BUFFER_OVERFLOW. `readable` is false if there is no output. `broken` becomes true if the peer
    sent anything other than RPC: the caller then answers STATUS_PIPE_DISCONNECTED. Bad input never raises.
    """

    def __init__(self, interface: Interface, context: RpcContext) -> None:
        self._interface = interface
        self._context = context
        self._input = bytearray()
        self._output: deque[bytes] = deque()
        self._unread_bytes = 0
        self._read_offset = 0
        self._bound: set[int] = set()
        self._fragment_size = pdu.FRAGMENT_MAX
        self._call: tuple[int, pdu.Request, bytearray] | None = None
        self.broken = False

    # --- what the server calls ---

    @property
    def readable(self) -> bool:
        """True if there is a response, or the rest of one, to read."""
        return bool(self._output)

    @property
    def partial(self) -> bool:
        """True if the last read() left a part of its message."""
        return self._read_offset > 0

    @property
    def available_bytes(self) -> int:
        """Bytes of all unread messages (FilePipeLocalInformation's ReadDataAvailable, FSCTL_PIPE_PEEK)."""
        return self._unread_bytes - self._read_offset

    @property
    def full(self) -> bool:
        """True while there are too many unread responses to run another call: the caller refuses writes."""
        return self._unread_bytes >= UNREAD_MAX_BYTES

    @property
    def held_bytes(self) -> int:
        """Bytes held by the pipe: unread responses and incomplete calls."""
        return self._unread_bytes + len(self._input) + (len(self._call[2]) if self._call is not None else 0)

    def write(self, data: bytes, over: Callable[[], bool] = lambda: False) -> bool:
        """Process bytes of the client: a part of a PDU, one, or several. read() returns the responses.

        False if *over* became true before every PDU was processed: `advance` continues.
        """
        if not self.broken:
            self._input += data
        return self.advance(over)

    def advance(self, over: Callable[[], bool] = lambda: False) -> bool:
        """Process the received PDUs, at least one, until *over*; true if no complete one is left."""
        try:
            return self._consume(over)
        except WireError as error:
            log.info("pipe %s: %s", self._interface.name, error)
            self.break_off()
            return True

    def read(self, max_count: int) -> bytes:
        """At most *max_count* bytes of the next message, empty if there is none (`readable`, `partial`)."""
        if not self._output:
            return b""
        message = self._output[0]
        chunk = message[self._read_offset : self._read_offset + max_count]
        self._read_offset += len(chunk)
        if self._read_offset == len(message):
            self._output.popleft()
            self._unread_bytes -= len(message)
            self._read_offset = 0
        return chunk

    # --- PDUs ---

    def break_off(self) -> None:
        """Accept no more input; responses can still be read."""
        self.broken = True
        self._input.clear()
        self._call = None

    def _consume(self, over: Callable[[], bool]) -> bool:
        """Process complete PDUs in the input until *over*; keep the rest."""
        while not self.broken:
            size = pdu.fragment_length(self._input)
            if size is None or size > len(self._input):
                return True
            if self.full:
                raise WireError("the client does not read its responses")
            data = bytes(self._input[:size])
            del self._input[:size]
            self._handle(data)
            if over():
                return False
        return True

    def _send(self, message: bytes) -> None:
        self._output.append(message)
        self._unread_bytes += len(message)

    def _handle(self, data: bytes) -> None:
        try:
            packet = Packet.parse(data)
        except WireError:
            # Type and call ID are in the same place in every version.
            if data[2] != PacketType.BIND:
                raise
            call_id = int.from_bytes(data[12:16], "little")
            self._send(pdu.bind_nak(call_id, NakReason.PROTOCOL_VERSION_NOT_SUPPORTED))
            return
        match packet.type:
            case PacketType.BIND | PacketType.ALTER_CONTEXT:
                self._handle_bind(packet)
            case PacketType.REQUEST:
                self._handle_request(packet)
            case PacketType.CO_CANCEL | PacketType.ORPHANED:
                self._call = None
            case PacketType.AUTH3:
                pass
            case _:
                raise WireError(f"PDU type {packet.type}")

    def _handle_bind(self, packet: Packet) -> None:
        """[C706] 12.6.4.3, [MS-RPCE] 3.3.1.5.3. Each context gets its own result; SMB provides the security."""
        altering = packet.type == PacketType.ALTER_CONTEXT
        if packet.auth_length and not altering:
            self._send(pdu.bind_nak(packet.call_id, NakReason.AUTHENTICATION_TYPE_NOT_RECOGNIZED))
            return
        bind = pdu.Bind.parse(packet.body)
        if not altering:
            offered = min(bind.max_receive_fragment, pdu.FRAGMENT_MAX)
            self._fragment_size = max(offered, pdu.FRAGMENT_MIN)
        answers = tuple(self._answer_context(context) for context in bind.contexts)
        address = "" if altering else f"\\PIPE\\{self._interface.name}"
        ack = pdu.BindAck(self._fragment_size, bind.association_group or 0x53F0, address, answers)
        kind = PacketType.ALTER_CONTEXT_RESPONSE if altering else PacketType.BIND_ACK
        self._send(Packet(kind, pdu.WHOLE, packet.call_id, ack.pack()).pack())

    def _answer_context(self, context: pdu.PresentationContext) -> pdu.ContextAnswer:
        """Accepted if the interface is the pipe's, in its major version, and plain NDR is among the transfer syntaxes.

        Bind-time feature negotiation looks like a transfer syntax and is refused as one ([MS-RPCE] 3.3.1.5.3).
        """
        ours = self._interface.syntax
        if (context.abstract.uuid, context.abstract.major) != (ours.uuid, ours.major):
            return pdu.rejected(RejectReason.ABSTRACT_SYNTAX_NOT_SUPPORTED)
        if pdu.NDR32 not in context.transfers:
            return pdu.rejected(RejectReason.TRANSFER_SYNTAXES_NOT_SUPPORTED)
        if len(self._bound) >= CONTEXTS_MAX:
            return pdu.rejected(RejectReason.NOT_SPECIFIED)
        self._bound.add(context.context_id)
        return pdu.ACCEPTED

    # --- calls ---

    def _handle_request(self, packet: Packet) -> None:
        """Collect the fragments of a call, and run it when the last one arrives ([C706] 12.6.4.9)."""
        request = pdu.Request.parse(packet)
        if packet.flags & PacketFlags.FIRST_FRAGMENT:
            self._call = (packet.call_id, request, bytearray())
        if self._call is None or self._call[0] != packet.call_id:
            self._fault(packet.call_id, request.context_id, FaultStatus.PROTOCOL_ERROR)
            return
        stub = self._call[2]
        stub += request.stub
        if len(stub) > STUB_MAX:
            raise WireError(f"call of more than {STUB_MAX} bytes")
        if packet.flags & PacketFlags.LAST_FRAGMENT:
            call_id, first, stub = self._call
            self._call = None
            self._run(call_id, first, bytes(stub))

    def _run(self, call_id: int, request: pdu.Request, stub: bytes) -> None:
        if request.context_id not in self._bound:
            self._fault(call_id, request.context_id, FaultStatus.CONTEXT_MISMATCH)
            return
        operation = self._interface.operations.get(request.operation)
        if operation is None:
            self._fault(call_id, request.context_id, FaultStatus.OPERATION_RANGE_ERROR)
            return
        try:
            answer = self._invoke(operation, stub)
        except NDRError as error:
            log.info("pipe %s: %s: %s", self._interface.name, operation.name, error)
            self._fault(call_id, request.context_id, FaultStatus.BAD_STUB_DATA)
            return
        for fragment in pdu.response_fragments(call_id, request.context_id, answer, self._fragment_size):
            self._send(fragment)

    def _invoke(self, operation: Operation, stub: bytes) -> bytes:
        call = read_arguments(operation.arguments_in, stub)
        return write_arguments(operation.arguments_out, operation.handler(self._context, call))

    def _fault(self, call_id: int, context_id: int, status: FaultStatus) -> None:
        self._send(pdu.fault(call_id, context_id, status))
