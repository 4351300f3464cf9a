"""Champion and challengers: their scores out, and by hand a promotion in."""

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from app.api.access import Caller, requires
from app.api.body import json_body
from app.api.context import ApiContext, encode_json, json_response
from app.api.openapi import operation, reference
from app.api.problem import InvalidRequest, NoSuchResource
from app.service.access_key import Scope
from app.service.ports import CorruptPayload
from app.service.promotion import promoting_by_hand
from app.service.score_document import decode_report
from app.service.score_report import SCORE_UNITS


class PromotionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model that is to take over."""

    model: str


SCORES_EXAMPLE: Final[dict[str, Any]] = {
    "underlying": "BTC",
    "as_of": "2023-04-12T16:27:02.555Z",
    "champion": "svi_spline",
    "window": 256,
    "units": SCORE_UNITS,
    "models": [
        {
            "model": "svi_spline",
            "role": "champion",
            "since": "2023-04-12T11:17:02.343Z",
            "n": 63,
            "log_score": 3.826864357853355,
            "weighted_error": 0.11100031336577425,
            "rmse_vol": 0.009936441320521138,
            "outside": 0.03136942174652095,
            "arbitrage_free": 1.0,
            "dm_statistic": None,
            "p_value": None,
            "verdict": None,
            "failures": 0,
            "last_failure": None,
        },
        {
            "model": "svi",
            "role": "challenger",
            "since": "2023-04-12T11:17:02.343Z",
            "n": 63,
            "log_score": 3.768811044170688,
            "weighted_error": 0.1376557421702183,
            "rmse_vol": 0.010382660245609368,
            "outside": 0.049235100302199235,
            "arbitrage_free": 1.0,
            "dm_statistic": 9.617168336570423,
            "p_value": 6.59468246430856e-14,
            "verdict": "worse",
            "failures": 0,
            "last_failure": None,
        },
    ],
    "promoted": None,
}
"""The BTC chains that ship with the service, 5 minutes apart, with svi as the challenger."""

SCORES: Final = operation(
    "getModelScores",
    "Get the out-of-sample scores of champion and challengers",
    {200: ("Champion first; each scored on the chain after its surface.", "ModelScores")},
    (401, 403, 404, 422, 429, 503),
    example=SCORES_EXAMPLE,
)
PROMOTE: Final = operation(
    "promoteModel",
    "Let a model take over an underlying from its next chain on",
    {200: ("It does, whatever the setting says, until another one is promoted.", "Promotion")},
    (401, 403, 404, 413, 415, 422, 429, 503),
    description="Needs the scope admin. Models that promise no absence of arbitrage are refused.",
    request_body={
        "required": True,
        "content": {"application/json": {"schema": reference("PromotionRequest"), "example": {"model": "svi"}}},
    },
    example={"underlying": "BTC", "model": "svi", "before": None},
)

_decode: Final = msgspec.json.Decoder(PromotionRequest).decode


def model_scores_router(context: ApiContext) -> APIRouter:
    """Return the routes about models."""
    gate, services = context.services.gate, context.services
    router = APIRouter(tags=["models"])

    @router.get("/v1/models/{underlying}/scores", dependencies=[Depends(requires(Scope.READ, gate))], **SCORES)
    async def get_scores(underlying: str) -> Response:
        if services.scores is None:
            raise NoSuchResource("this service keeps no scores")
        with context.metrics.store_call("scores"):
            kept = await services.scores.scores(underlying)
        if kept.report is None:
            raise NoSuchResource(f"there are no scores of {underlying!r}: no challenger ran on a chain of it yet")
        try:
            report = decode_report(kept.report)
        except msgspec.DecodeError as error:
            raise CorruptPayload(f"the scores of {underlying} cannot be read: {error}") from error
        return json_response(encode_json(msgspec.structs.replace(report, promoted=kept.promoted)))

    @router.post("/v1/models/{underlying}/promotion", **PROMOTE)
    async def promote_model(
        underlying: str, request: Request, caller: Annotated[Caller, Depends(requires(Scope.ADMIN, gate))]
    ) -> Response:
        body = await json_body(request, services.limits.max_body_bytes, context.bodies)
        try:
            asked = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"not a promotion: {error}") from error
        if services.promotions is None:
            raise NoSuchResource("this service promotes no models")
        promoting = promoting_by_hand(asked.model, caller.name)
        with context.metrics.store_call("promote"):
            promotion = await services.promotions.promote(underlying, promoting)
        return json_response(encode_json(promotion))

    return router
