"""Swagger UI's own files, served from an installed package: the service needs no other host to show its /docs."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

PACKAGE: Final = "fastapi_offline"
FILES: Final = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")


def swagger_file(name: str) -> Path | None:
    """Return the path of one of FILES; None for any other name, and where the package is not installed."""
    package = find_spec(PACKAGE)
    if name not in FILES or package is None or package.submodule_search_locations is None:
        return None
    return Path(package.submodule_search_locations[0]) / "static" / name
