"""Board -> ModelScores: what is published of a contest."""

import msgspec

from app.quant.contest import SIGNIFICANT
from app.quant.scoring import WINDOW, MeanScore
from app.service.iso_time import iso_utc
from app.service.score_board import Board, Entrant
from app.service.score_document import ModelScore, ModelScores

SCORE_UNITS: dict[str, str] = {
    "log_score": "nats a quote, log density of a mid vol; more is better",
    "weighted_error": "|mid vol - vol| over the spread, weighted by vega",
    "rmse_vol": "decimal, ACT/365",
    "outside": "share of quotes whose bid and ask vol do not hold the vol",
    "arbitrage_free": "share of the surfaces scored that were certified",
    "verdict": f"Diebold-Mariano at {SIGNIFICANT:g}, two-sided; a negative statistic favours the challenger",
}


def report_of(underlying: str, board: Board) -> ModelScores:
    """Return what is published about ``board``."""
    champion = _score(board.champion, "champion", board.since_ms, board.mean)
    challengers = [_challenger(name, entrant) for name, entrant in sorted(board.entrants.items())]
    as_of = iso_utc(board.as_of_ms)
    return ModelScores(underlying, as_of, board.champion, WINDOW, SCORE_UNITS, [champion, *challengers])


def _challenger(name: str, entrant: Entrant) -> ModelScore:
    test = entrant.contest.test()
    return msgspec.structs.replace(
        _score(name, "challenger", entrant.since_ms, entrant.mean),
        dm_statistic=test.statistic if test else None,
        p_value=test.p_value if test else None,
        verdict=entrant.contest.verdict().value if test else None,
        failures=entrant.failures,
        last_failure=entrant.failure,
    )


def _score(model: str, role: str, since_ms: int | None, mean: MeanScore) -> ModelScore:
    known = mean.n > 0
    return ModelScore(
        model=model,
        role=role,
        since=None if since_ms is None else iso_utc(since_ms),
        n=mean.n,
        log_score=mean.log_score if known else None,
        weighted_error=mean.weighted_error if known else None,
        rmse_vol=mean.rmse_vol if known else None,
        outside=mean.outside if known else None,
        arbitrage_free=mean.arbitrage_free if known else None,
    )
