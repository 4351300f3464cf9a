"""The files of the page, as the API hands them out."""

import asyncio
import re
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI

from app.api.page import page_router
from app.api.problem import install_handlers
from app.web import ROOT, page_file

LARGEST_BYTES = 2_000_000
OWN = [path for path in ROOT.rglob("*") if path.is_file() and "vendor" not in path.parts]
MODULES = [path for path in OWN if path.suffix == ".js"]


Get = Callable[..., httpx.Response]


@pytest.fixture
def get() -> Get:
    """Ask the page's own routes, without a service behind them."""
    app = FastAPI()
    install_handlers(app)
    app.include_router(page_router())

    async def ask(path: str, **headers: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://page") as client:
            return await client.get(path, headers=headers)

    return lambda path, **headers: asyncio.run(ask(path, **headers))


def test_the_page_may_run_no_script_but_its_own(get):
    page = get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=", page.text)


def test_a_browser_keeps_what_has_a_version_in_its_name_and_asks_again_for_the_rest(get):
    plotly = get("/static/vendor/plotly-4.1.1/plotly-gl3d.min.js")
    assert plotly.headers["cache-control"] == "public, max-age=31536000, immutable"
    main = get("/static/page/main.js")
    assert (main.headers["cache-control"], main.headers["content-type"]) == (
        "no-cache",
        "text/javascript; charset=utf-8",
    )
    again = get("/static/page/main.js", **{"If-None-Match": main.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["../__init__.py", "%2e%2e/__init__.py", "/etc/passwd", "page", "", "page/none.js"])
def test_nothing_but_the_page_is_handed_out(get, path):
    answer = get(f"/static/{path}")
    assert answer.status_code == 404
    assert page_file(path) is None


def test_everything_the_page_names_exists(get):
    html = get("/").text
    named = re.findall(r'(?:src|href)="(/static/[^"]+)"', html)
    named += [
        name for path in OWN if path.suffix == ".css" for name in re.findall(r'url\("([^"]+)"\)', path.read_text())
    ]
    assert len(named) >= 6
    assert {name: get(name).status_code for name in named} == dict.fromkeys(named, 200)


def test_modules_import_each_other_only():
    for module in MODULES:
        for name in re.findall(r'^import .*?from "([^"]+)"', module.read_text(), re.MULTILINE | re.DOTALL):
            assert (module.parent / name).is_file(), f"{module.name} imports {name}"


def test_no_module_writes_markup_or_calls_another_host():
    for module in MODULES:
        source = module.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", source), (
            module
        )
        assert not re.search(r"https?://", source)


def test_vendored_files_are_small_enough_and_named_with_their_licence():
    notice = (ROOT / "vendor" / "NOTICE").read_text()
    folders = [path for path in (ROOT / "vendor").iterdir() if path.is_dir()]
    assert len(folders) == 2
    for folder in folders:
        assert (folder / "LICENSE").is_file()
        assert f"{folder.name}/" in notice
    assert max(path.stat().st_size for path in ROOT.rglob("*") if path.is_file()) < LARGEST_BYTES
