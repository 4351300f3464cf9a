"""Logging: an event and its fields, one JSON object a line, or a readable line on a terminal.

Call sites name the event and put the rest in fields::

    log.warning("worker_died", extra={"pid": 4711, "exit_code": -9})

What a line belongs to, a request or a chain, is said once with :func:`bind` or :func:`bound` and is then in every line
that follows, whoever writes it.
"""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, TextIO

_NOT_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
"""What logging puts on every record (and uvicorn on its own); the rest came from ``extra``."""

_BOUND: Final[ContextVar[Mapping[str, Any]]] = ContextVar("bound_fields")


def bind(**fields: Any) -> None:
    """Put ``fields`` into every further line of this task or thread, and of the tasks it starts."""
    _BOUND.set({**_BOUND.get({}), **fields})


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Put ``fields`` into every line of the block."""
    token = _BOUND.set({**_BOUND.get({}), **fields})
    try:
        yield
    finally:
        _BOUND.reset(token)


def configure(level: int, form: str = "auto", process: str = "", stream: TextIO | None = None) -> None:
    """Send this process's log to ``stream`` (default: stderr), replacing earlier handlers.

    ``form`` is ``json``, ``text`` or ``auto`` (text on a terminal); ``process`` is written into every line.
    """
    target = sys.stderr if stream is None else stream
    readable = form == "text" or (form == "auto" and target.isatty())
    handler = logging.StreamHandler(target)
    handler.setFormatter(TextFormatter(process) if readable else JsonFormatter(process))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for chatty in ("uvicorn", "websockets", "httpx", "httpcore", "numba", "asyncio"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))


class JsonFormatter(logging.Formatter):
    """ts (UTC, ms), level, process, event, then the fields; an exception's traceback under ``error``."""

    def __init__(self, process: str = "") -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return ``record`` as one line of JSON. A field that JSON cannot say is written as its str()."""
        line: dict[str, Any] = {"ts": _iso_ms(record), "level": record.levelname.lower()}
        if self._process:
            line["process"] = self._process
        line["event"] = record.getMessage()
        line |= _fields(record)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """``17:58:04 warning worker-1: worker died pid=4711 exit_code=-9``, a traceback below."""

    def __init__(self, process: str = "") -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return ``record`` for a person to read; times are local."""
        clock = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        process = f"{self._process}: " if self._process else ""
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        line = f"{clock} {record.levelname.lower():7} {process}{record.getMessage().replace('_', ' ')}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    own = {name: value for name, value in vars(record).items() if name not in _NOT_FIELDS}
    return {**_BOUND.get({}), **own}


def _iso_ms(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
