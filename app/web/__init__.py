"""The built-in page: one static file, no build step."""

from functools import cache
from importlib.resources import files


@cache
def index_page() -> bytes:
    """Return the page for people."""
    return (files(__name__) / "static" / "index.html").read_bytes()
