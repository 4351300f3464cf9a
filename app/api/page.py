"""The page for people: its files, and the policy that keeps a browser from loading anything else."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.api.problem import NoSuchResource
from app.web import CONTENT_SECURITY_POLICY, INDEX, page_file


def page_router() -> APIRouter:
    """Return the routes of the page; they need no key, for they show nothing but an empty page."""
    router = APIRouter()

    @router.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return _answer(request, INDEX)

    @router.get("/static/{path:path}", include_in_schema=False)
    async def file(request: Request, path: str) -> Response:
        return _answer(request, path)

    return router


def _answer(request: Request, path: str) -> Response:
    found = page_file(path)
    if found is None:
        raise NoSuchResource(f"the page has no file {path!r}")
    headers = {
        "ETag": found.etag,
        "Cache-Control": found.cache_control,
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Referrer-Policy": "no-referrer",
    }
    if request.headers.get("if-none-match") == found.etag:
        return Response(status_code=304, headers=headers)
    return Response(found.body, media_type=found.media_type, headers=headers)
