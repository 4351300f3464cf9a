"""A damaged log of the embedded server: cut to its whole part, with a copy of it all kept.

The log is every write as the client sent it, those of a script between MULTI and EXEC. What stands before the first
byte that is no such thing is a valid past of the store; what comes after cannot be told from damage and is not used.
Only a log that the server itself refuses is touched. Formats: redis.io, "Redis persistence" and "RESP specification".
"""

import logging
import mmap
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from app.store.server_program import ServerNotStarted

log = logging.getLogger(__name__)

LOG_DIR: Final = "appendonlydir"
"""Since version 7: a manifest, a snapshot to begin from and the log of what came after it."""
MANIFEST: Final = "appendonly.aof.manifest"
LOG_BEFORE_7: Final = "appendonly.aof"

_ABOUT_COMMANDS: Final = b"reading the append only file"
_ABOUT_THE_SNAPSHOT: Final = re.compile(rb"in RDB (?:reading|file)|Wrong RDB checksum")
_REFUSED_WORD: Final = re.compile(
    rb"nknown (?:sub)?command '(.*?)'(?: reading the append only file|, with args beginning|\. Try )", re.DOTALL
)
_SERVER_CUT: Final = re.compile(rb"Truncating the AOF (\S*) ?at offset (\d+)")
_GROUP_WORDS: Final = frozenset((b"CREATE", b"CREATECONSUMER", b"DELCONSUMER", b"DESTROY", b"SETID"))
"""A server may name the command when it is the word after XGROUP that it does not know."""
_AS_SAID: Final = bytes.maketrans(b"\r\n", b"  ")
"""Some servers put what they say of a word in one line."""
_LONGEST_HEAD: Final = 32
"""Bytes of a line such as ``*5`` or ``$1024`` with its end."""


class Damage(NamedTuple):
    """Where a log is whole until, and what is wrong with what follows."""

    whole_until: int
    reason: str


def is_about_the_log(said: bytes) -> bool:
    """Say whether a server that did not start complains of its append-only log."""
    return _ABOUT_COMMANDS in said or _ABOUT_THE_SNAPSHOT.search(said) is not None


def say_what_the_server_cut(said: bytes) -> None:
    """Log that the server itself cut off a log's unfinished end, as after a loss of power."""
    for name, offset in _SERVER_CUT.findall(said):
        log.error("store_log_end_cut", extra={"file": name.decode(errors="replace"), "kept_bytes": int(offset)})


def beyond_repair(data_dir: Path, reason: str) -> ServerNotStarted:
    """Return the refusal to start, with the command for the operator."""
    place = data_dir / (LOG_DIR if (data_dir / LOG_DIR).exists() else LOG_BEFORE_7)
    return ServerNotStarted(
        f"the store's log {place} is damaged and cannot be repaired without guessing: {reason}. To go on with an empty"
        f" store and keep the damaged one: mv {place} {place}.damaged"
    )


def cut_to_whole(data_dir: Path, said: bytes) -> None:
    """Cut the log at its first damage; ``said`` is the server's complaint.

    The damaged files stay beside it under a name with the time. Raises ServerNotStarted where nothing before the
    damage can be told to be whole, or the copy cannot be made.
    """
    if _ABOUT_COMMANDS not in said:
        raise beyond_repair(data_dir, "the snapshot it begins from does not load")
    word = _REFUSED_WORD.search(said)
    logs = _logs(data_dir)
    damages = ((path, first_damage(path, word[1] if word else None)) for path in logs)
    path, damage = next(((path, damage) for path, damage in damages if damage), (None, None))
    if path is None or damage is None:
        raise beyond_repair(data_dir, f"no damage to cut at in {', '.join(each.name for each in logs) or 'any part'}")
    copy = _copied(data_dir)
    later = logs[logs.index(path) + 1 :]
    lost = path.stat().st_size - damage.whole_until + sum(each.stat().st_size for each in later)
    _drop(data_dir, later)
    with path.open("r+b") as cut:
        cut.truncate(damage.whole_until)
    log.error(
        "store_log_cut",
        extra={
            "reason": f"{path.name}: {damage.reason}",
            "kept_bytes": damage.whole_until,
            "lost_bytes": lost,
            "effect": "the store is as it was at that point; what was written after is only in the copy",
            "copy": str(copy),
        },
    )


def first_damage(path: Path, refused: bytes | None) -> Damage | None:
    """Return the first damage: what is no command, or one whose word the server refused."""
    if path.stat().st_size == 0:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = whole = 0
        in_script = False
        try:
            for words, end in _commands(data):
                name = words[0].upper()
                if refused is not None and _is_refused(words, refused):
                    return Damage(whole, f"byte {at}: {refused!r} is no command of the server")
                in_script = name == b"MULTI" or (in_script and name != b"EXEC")
                at = end
                whole = whole if in_script else end
        except ValueError as damage:
            return Damage(whole, f"byte {at}: {damage}")
    return None


def _is_refused(words: Sequence[bytes], refused: bytes) -> bool:
    said = [word.translate(_AS_SAID) for word in words]
    refused = refused.translate(_AS_SAID)
    if refused == said[0]:
        return words[0] != b"XGROUP" or words[1].upper() not in _GROUP_WORDS
    return words[0] == b"XGROUP" and said[1] == refused


def _commands(data: mmap.mmap) -> Iterator[tuple[list[bytes], int]]:
    """Yield every command's first two words and where it ends. Raises ValueError at what is none."""
    at = 0
    while at < len(data):
        if data[at : at + 1] == b"#":  # a time, where the server writes them
            at = data.find(b"\n", at) + 1 or len(data)
            continue
        count, at = _head(data, at, b"*")
        words = []
        for number in range(count):
            length, at = _head(data, at, b"$")
            if data[at + length : at + length + 2] != b"\r\n":
                raise ValueError(f"a word of {length} bytes at byte {at} does not end there")
            if number < 2:
                words.append(data[at : at + length])
            at += length + 2
        yield words, at


def _head(data: mmap.mmap, at: int, kind: bytes) -> tuple[int, int]:
    end = data.find(b"\r\n", at, at + _LONGEST_HEAD)
    number = data[at + 1 : end]
    if end < 0 or data[at : at + 1] != kind or not number.isdigit() or (kind == b"*" and int(number) == 0):
        raise ValueError(f"{kind.decode()} and a number expected at byte {at}, found {data[at : at + 16]!r}")
    return int(number), end + 2


def _logs(data_dir: Path) -> list[Path]:
    """Return the parts of the log that are commands, in their order; a snapshot is none."""
    manifest = data_dir / LOG_DIR / MANIFEST
    if manifest.exists():
        named = re.findall(r"^file (\S+) seq \d+ type [bi]", manifest.read_text(), re.MULTILINE)
        return [data_dir / LOG_DIR / name for name in named if name.endswith(".aof")]
    return [data_dir / LOG_BEFORE_7]


def _copied(data_dir: Path) -> Path:
    made = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    source = data_dir / (LOG_DIR if (data_dir / LOG_DIR).exists() else LOG_BEFORE_7)
    copy = source.with_name(f"{source.name}.damaged-{made}-{time.monotonic_ns() % 1_000_000:06d}")
    try:
        if source.is_dir():
            shutil.copytree(source, copy)
        else:
            shutil.copyfile(source, copy)
    except OSError as failed:
        raise beyond_repair(data_dir, f"a copy of it cannot be kept: {failed}") from failed
    return copy


def _drop(data_dir: Path, later: Sequence[Path]) -> None:
    """Take parts of the log that follow the damage out of the manifest and away; they are in the copy."""
    if not later:
        return
    manifest = data_dir / LOG_DIR / MANIFEST
    gone = {path.name for path in later}
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if line.split()[1] not in gone))
    for path in later:
        path.unlink()
