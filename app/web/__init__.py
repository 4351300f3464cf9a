"""The built-in page: static files, no build step, nothing from another host."""

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path(__file__).parent / "static"
INDEX: Final = "index.html"

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""The page loads its own files and talks to its own service only. The charts set styles inline, no script does."""

REVALIDATE: Final = "no-cache"
KEEP: Final = "public, max-age=31536000, immutable"
VENDOR: Final = "vendor"
"""Files of this folder carry their version in their path, so a browser may keep them for a year."""

MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
"""The machine's own table may say something else, and a browser runs no module of another type."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file of the page and the headers it is sent with."""

    body: bytes
    media_type: str
    etag: str
    cache_control: str


def page_file(path: str) -> PageFile | None:
    """Return the file at ``path`` below the static folder; None when the page has no such file."""
    return _files().get(path)


@cache
def _files() -> Mapping[str, PageFile]:
    """Read every file once: what is not in this table cannot be asked for, whatever the path says."""
    found = (path for path in ROOT.rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix(): _read(path) for path in found}


def _read(path: Path) -> PageFile:
    body = path.read_bytes()
    relative = PurePosixPath(path.relative_to(ROOT).as_posix())
    guessed = mimetypes.guess_type(path.name)[0] or "text/plain; charset=utf-8"
    return PageFile(
        body=body,
        media_type=MEDIA_TYPES.get(path.suffix, guessed),
        etag=f'"{hashlib.sha256(body).hexdigest()[:16]}"',
        cache_control=KEEP if relative.parts[0] == VENDOR else REVALIDATE,
    )
