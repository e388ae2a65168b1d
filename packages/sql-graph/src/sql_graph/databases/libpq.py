"""Read one statement's rows from PostgreSQL's socket, as they come and no further than the limits.

libpq's own loop would wait for ever and hold whatever the server sends. This one waits until a deadline, counts the
bytes that arrive, and keeps values as the server writes them, so that a date which Python cannot hold is no error.
"""

from __future__ import annotations

import fcntl
import select
import struct
import termios
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from psycopg import OperationalError
from psycopg.pq import DiagnosticField, ExecStatus

from sql_graph.databases.base import Fault, Fetched
from sql_graph.databases.collect import too_large
from sql_graph.ports import ObservationStatus

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.pq.abc import PGconn, PGresult

    from sql_graph.databases.limits import DatabaseLimits

GRACE_S = 0.2
"""Seconds after the server's own deadline in which its answer may still come."""
CONNECTION_LOST = Fault(
    status=ObservationStatus.ERROR, message="the server closed the connection while it ran this query"
)
_BOOL, _BYTEA = 16, 17  # type oids, fixed in PostgreSQL's pg_type.dat, as are those below
_NUMBERS: dict[int, Callable[[str], Any]] = {20: int, 21: int, 23: int, 26: int, 700: float, 701: float, 1700: Decimal}
_TIMEOUTS = ("57014", "55P03")  # query_canceled, lock_not_available
_REFUSALS = ("25006", "42501", "0A000")  # read_only_sql_transaction, insufficient_privilege, feature_not_supported
_TOO_LARGE = ("53200", "53400", "54000", "54001", "54011")  # memory, temp_file_limit, program limits
_LOST = ("57P01", "57P02", "57P03", "57P05", "25P03", "25P04")  # shutdown, crash, session timeouts


class _LateError(Exception):
    """The server has not answered by the deadline and the grace after it."""


class _TooMuchError(Exception):
    """More bytes have come than may be fetched."""


def run_one(connection: Connection[Any], sql: str, limits: DatabaseLimits) -> tuple[Fetched | Fault, bool]:
    """Run one statement; return its outcome, and whether the answer was read to its end (if not, drop the connection).

    The extended protocol takes exactly one statement; there are no parameters, so `%` has no meaning.
    """
    columns: tuple[str, ...] = ()
    readers: tuple[Callable[[str], Any] | None, ...] = ()
    rows: list[tuple[Any, ...]] = []
    fault: Fault | None = None
    size = 0
    try:
        connection.pgconn.send_query_params(sql.encode(), None)
        connection.pgconn.set_single_row_mode()
        for result in _results(connection.pgconn, limits):
            if not columns:
                columns, readers = _names(result), _readers(result)
            if result.status == ExecStatus.SINGLE_TUPLE:
                row = _row(result)
                size += sum(len(cell) for cell in row if isinstance(cell, str | bytes))
                if len(rows) == limits.max_rows or size > limits.max_bytes:
                    break
                rows.append(row)
            elif result.status == ExecStatus.FATAL_ERROR:
                fault = _fault(result, limits)
            elif result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK, ExecStatus.EMPTY_QUERY):
                return Fault(status=ObservationStatus.REFUSED, message="only rows can be read here"), False
        else:
            return fault or Fetched(
                columns=columns, rows=rows, more=False, readers=readers
            ), fault is not CONNECTION_LOST
    except _LateError:
        return Fault(status=ObservationStatus.TIMEOUT, message=f"stopped after {limits.deadline_s:g} s"), False
    except _TooMuchError:
        pass
    except OperationalError:
        return CONNECTION_LOST, False
    return Fetched(columns=columns, rows=rows, more=True, readers=readers) if rows else too_large(limits), False


def _results(pgconn: PGconn, limits: DatabaseLimits) -> Iterator[PGresult]:
    """Each row, then the end or the error, as the server sends them.

    Raises:
        _LateError: nothing came by the deadline and the grace after it.
        _TooMuchError: the bytes that came are well beyond `max_bytes`.
    """
    ends_at = time.monotonic() + limits.deadline_s + GRACE_S
    room = 4 * limits.max_bytes + 1_000_000  # rows carry lengths and types besides their text
    while pgconn.flush():
        _wait(pgconn.socket, select.POLLIN | select.POLLOUT, ends_at)
        pgconn.consume_input()
    while True:
        while pgconn.is_busy():
            _wait(pgconn.socket, select.POLLIN, ends_at)
            room -= _bytes_waiting(pgconn.socket)
            if room < 0:
                raise _TooMuchError
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            return
        if time.monotonic() > ends_at:
            raise _LateError
        yield result


def _wait(socket: int, events: int, ends_at: float) -> None:
    poll = select.poll()
    poll.register(socket, events)
    if not poll.poll(max(0.0, ends_at - time.monotonic()) * 1000):
        raise _LateError


def _bytes_waiting(socket: int) -> int:
    return struct.unpack("i", fcntl.ioctl(socket, termios.FIONREAD, b"\0\0\0\0"))[0]


def _names(result: PGresult) -> tuple[str, ...]:
    return tuple((result.fname(i) or b"").decode("utf-8", "replace") for i in range(result.nfields))


def _readers(result: PGresult) -> tuple[Callable[[str], Any] | None, ...]:
    return tuple(_NUMBERS.get(result.ftype(i)) for i in range(result.nfields))


def _row(result: PGresult) -> tuple[Any, ...]:
    return tuple(_value(result.get_value(0, i), result.ftype(i)) for i in range(result.nfields))


def _value(raw: bytes | None, kind: int) -> str | bytes | bool | None:
    if raw is None:
        return None
    if kind == _BOOL:
        return raw == b"t"
    if kind == _BYTEA and raw.startswith(b"\\x"):
        return bytes.fromhex(raw[2:].decode("ascii"))
    return raw.decode("utf-8", "replace")


def _fault(result: PGresult, limits: DatabaseLimits) -> Fault:
    code, message, hint = (
        (result.error_field(field) or b"").decode("utf-8", "replace")
        for field in (DiagnosticField.SQLSTATE, DiagnosticField.MESSAGE_PRIMARY, DiagnosticField.MESSAGE_HINT)
    )
    if code in _TIMEOUTS:
        return Fault(status=ObservationStatus.TIMEOUT, message=f"stopped after {limits.deadline_s:g} s")
    if code in _LOST:
        return CONNECTION_LOST
    if "multiple commands" in message:
        return Fault(status=ObservationStatus.REFUSED, message="only one statement can be run at a time")
    if code in _REFUSALS:
        return Fault(status=ObservationStatus.REFUSED, message=message)
    status = ObservationStatus.TOO_LARGE if code in _TOO_LARGE else ObservationStatus.ERROR
    return Fault(status=status, message=f"{message}\n{hint}" if hint else message)
