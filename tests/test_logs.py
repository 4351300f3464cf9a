import asyncio
import io
import json
import logging
import sys

import pytest

from app.logs import JsonFormatter, TextFormatter, bind, bound, configure


@pytest.fixture(autouse=True)
def _restore_logging():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def record(**fields: object) -> logging.LogRecord:
    made = logging.makeLogRecord(
        {"msg": "worker_died", "levelno": 30, "levelname": "WARNING", "created": 1785607084.32}
    )
    made.__dict__.update(fields)
    return made


def test_json_line_has_time_level_process_event_and_fields():
    line = json.loads(JsonFormatter("supervisor").format(record(pid=7, path=io)))
    assert line.pop("path").startswith("<module 'io'")
    assert line == {
        "ts": "2026-08-01T17:58:04.320Z",
        "level": "warning",
        "process": "supervisor",
        "event": "worker_died",
        "pid": 7,
    }


def test_json_line_holds_a_traceback_in_one_line():
    try:
        raise ValueError("strike -1: must be positive")
    except ValueError:
        text = JsonFormatter().format(record(exc_info=sys.exc_info()))
    assert "\n" not in text
    assert "strike -1: must be positive" in json.loads(text)["error"]


def test_text_line_is_for_people():
    assert TextFormatter("worker-1").format(record(pid=7)).endswith(" warning worker-1: worker died pid=7")


@pytest.mark.parametrize(("form", "is_json"), [("json", True), ("text", False), ("auto", True)])
def test_auto_writes_json_where_nobody_watches(form, is_json):
    stream = io.StringIO()
    configure(logging.INFO, form, stream=stream)
    logging.getLogger("anything").info("started", extra={"port": 8000})
    logging.getLogger("anything").debug("not shown")
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("{") is is_json


def test_what_is_bound_is_in_every_line_of_the_block():
    with bound(underlying="BTC", sequence=7):
        with bound(sequence=8):
            assert json.loads(JsonFormatter().format(record(pid=7)))["sequence"] == 8
        line = json.loads(JsonFormatter().format(record(underlying="ETH")))
        assert (line["underlying"], line["sequence"]) == ("ETH", 7), "a line's own fields win"
    assert "sequence" not in json.loads(JsonFormatter().format(record()))


def test_what_a_task_binds_stays_in_it():
    async def request(name: str) -> str:
        bind(request_id=name)
        await asyncio.sleep(0.001)
        return json.loads(JsonFormatter().format(record()))["request_id"]

    async def both() -> list[str]:
        return await asyncio.gather(request("a"), request("b"))

    assert asyncio.run(both()) == ["a", "b"]
    assert "request_id" not in json.loads(JsonFormatter().format(record()))
