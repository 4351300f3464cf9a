"""Every error answer: RFC 9457 problem details, and the one table from an error to its status."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from app.api.request_id import HEADER, SCOPE_KEY
from app.quant.errors import InvalidChain, InvalidQuery
from app.service.ports import CorruptPayload, QueueBehind, StoreUnavailable
from app.service.promotion import NotPromotable, UnknownUnderlying
from app.service.submit import ClockSkew

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:smilekeeper:problem:"


class InvalidRequest(ValueError):
    """A parameter or a body that is not what the operation takes; ``pointer`` says where in the body."""

    def __init__(self, message: str, pointer: str = "") -> None:
        super().__init__(message)
        self.pointer = pointer


class NoSuchResource(LookupError):
    """A venue or a surface that does not exist."""


class BodyTooLarge(ValueError):
    """A body above the limit."""


class UnsupportedBody(ValueError):
    """A body in a format or an encoding that is not read."""


class NotReady(RuntimeError):
    """The service runs, and cannot do its work yet or any more."""


class Overloaded(RuntimeError):
    """More requests at once than are served; nothing was done."""


class TooManyRequests(RuntimeError):
    """A caller asks more than it may; nothing was done. Try again after ``retry_after_s``."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StillWorking(RuntimeError):
    """The same request, sent before, has no answer yet."""


class NotAuthenticated(PermissionError):
    """A caller nobody knows."""


class NotAllowed(PermissionError):
    """A known caller without the scope that is needed."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457: ``detail`` holds the value and the rule it broke, ``pointer`` (RFC 6901) where in the body."""

    type: str
    title: str
    status: int
    detail: str
    pointer: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """How one class of errors is answered."""

    status: HTTPStatus
    kind: str
    title: str


ROWS: Final[Mapping[type[Exception], Row]] = {
    ClockSkew: Row(HTTPStatus.UNPROCESSABLE_ENTITY, "clock-skew", "Chain from the future"),
    InvalidChain: Row(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-chain", "Invalid chain"),
    InvalidQuery: Row(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-query", "Invalid query"),
    InvalidRequest: Row(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", "Invalid request"),
    NotPromotable: Row(HTTPStatus.UNPROCESSABLE_ENTITY, "not-promotable", "Model may not take over"),
    UnknownUnderlying: Row(HTTPStatus.NOT_FOUND, "unknown-underlying", "Unknown underlying"),
    NoSuchResource: Row(HTTPStatus.NOT_FOUND, "not-found", "Not found"),
    BodyTooLarge: Row(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body-too-large", "Body too large"),
    UnsupportedBody: Row(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-body", "Unsupported body"),
    NotAuthenticated: Row(HTTPStatus.UNAUTHORIZED, "not-authenticated", "Not authenticated"),
    NotAllowed: Row(HTTPStatus.FORBIDDEN, "not-allowed", "Not allowed"),
    TooManyRequests: Row(HTTPStatus.TOO_MANY_REQUESTS, "too-many-requests", "Too many requests"),
    StillWorking: Row(HTTPStatus.CONFLICT, "still-working", "Still working"),
    Overloaded: Row(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "Overloaded"),
    NotReady: Row(HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", "Not ready"),
    QueueBehind: Row(HTTPStatus.SERVICE_UNAVAILABLE, "queue-behind", "Calibration is behind"),
    StoreUnavailable: Row(HTTPStatus.SERVICE_UNAVAILABLE, "store-unavailable", "Store unavailable"),
    CorruptPayload: Row(HTTPStatus.SERVICE_UNAVAILABLE, "corrupt-payload", "Stored payload quarantined"),
    ClientDisconnect: Row(HTTPStatus.BAD_REQUEST, "incomplete-body", "The body ended early"),
}

_UNEXPECTED: Final = Problem(
    TYPE_PREFIX + "internal", "Internal error", 500, "The request failed for a reason that was logged."
)

_TRY_AGAIN: Final = (HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)

_encode: Final = msgspec.json.Encoder().encode


def problem_of(error: Exception) -> Problem:
    """Return what is told about ``error``; of an error without a row, only that it happened."""
    for cls in type(error).__mro__:
        if row := ROWS.get(cls):
            pointer = getattr(error, "pointer", None) or None
            return Problem(TYPE_PREFIX + row.kind, row.title, int(row.status), str(error) or row.title, pointer)
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase
        return Problem("about:blank", phrase, error.status_code, error.detail)
    if isinstance(error, RequestValidationError):
        row = ROWS[InvalidRequest]
        return Problem(TYPE_PREFIX + row.kind, row.title, int(row.status), _first_parameter(error.errors()[0]))
    return _UNEXPECTED


def retry_after(error: Exception) -> str | None:
    """Return the Retry-After of a 409, 429 or 503 in whole seconds, rounded up; None for any other error."""
    if problem_of(error).status not in _TRY_AGAIN:
        return None
    return str(max(1, math.ceil(getattr(error, "retry_after_s", 1.0))))


def problem_response(error: Exception) -> Response:
    """Return the answer to a request that raised ``error``."""
    problem = problem_of(error)
    headers = dict(getattr(error, "headers", None) or {})
    headers["X-Content-Type-Options"] = "nosniff"
    if seconds := retry_after(error):
        headers["Retry-After"] = seconds
    return Response(_encode(problem), problem.status, headers, MEDIA_TYPE)


def install_handlers(app: FastAPI) -> None:
    """Answer every error of ``app`` as a problem, the framework's own included."""

    async def answer(request: Request, error: Exception) -> Response:
        response = problem_response(error)
        if SCOPE_KEY in request.scope:  # the framework answers what nobody expected outside of our middleware
            response.headers[HEADER] = request.scope[SCOPE_KEY]
        return response

    for cls in (*ROWS, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(cls, answer)


def _first_parameter(error: Mapping[str, Any]) -> str:
    place = " parameter ".join(str(part) for part in error["loc"][:2])
    return f"{place}: {error['msg']}, got {error.get('input')!r}"
