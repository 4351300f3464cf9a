"""Challengers on a recorded market: scored out of sample, never in the champion's way, promoted when they win."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from app.quant.chain import OptionChain
from app.quant.contest import LEADING_FOR, LEAST_SCORES, Contest
from app.quant.models import DEFAULT_MODEL, MODELS
from app.quant.models.svi import Svi
from app.quant.scoring import WINDOW, MeanScore
from app.service.challenge import ChallengePolicy, challenge
from app.service.document import decode_document
from app.service.ports import Claim, PublishedSurface
from app.service.recalibrate import CalibrationPolicy, Fitted, recalibrate
from app.service.score_board import encode_board
from tests.quant.market import recorded_chains
from tests.service.memory_scores import MemoryScores

POLICY = CalibrationPolicy(model=DEFAULT_MODEL)
RULES = ChallengePolicy(challengers=("svi", "essvi"))


class Market:
    """A worker's days: every chain is fitted and published, then the challengers have it."""

    def __init__(self, rules: ChallengePolicy = RULES) -> None:
        self.scores = MemoryScores()
        self.rules = rules
        self.published: PublishedSurface | None = None

    def publish(self, chain: OptionChain) -> Claim:
        claim = Claim(
            underlying=chain.underlying,
            token="1-1",
            fence=1,
            attempt=1,
            as_of_ms=chain.as_of_ms,
            sequence=chain.sequence,
            received_ms=0,
            chain=b"",
            previous=self.published,
            state=self.published.state if self.published else b"",
            model=self.scores.promoted,
        )
        answer = recalibrate(claim, decode_chain=lambda _: chain, policy=POLICY)
        assert isinstance(answer, Fitted)
        self.published = PublishedSurface(
            chain.underlying, 1, 0, chain.as_of_ms, chain.sequence, 0, 0, answer.document, answer.state
        )
        return claim

    def challenge(self, claim: Claim, chain: OptionChain) -> None:
        challenge(
            claim,
            keeper=self.scores,
            desk=self.scores,
            decode_chain=lambda _: chain,
            policy=POLICY,
            rules=self.rules,
        )

    def take(self, chain: OptionChain) -> None:
        self.challenge(self.publish(chain), chain)


def test_everybody_is_scored_on_the_chain_after_their_surface() -> None:
    market = Market()
    chains = recorded_chains("BTC", 12)
    market.take(chains[0])
    assert {entry.model: entry.n for entry in market.scores.report.models} == {DEFAULT_MODEL: 0, "svi": 0, "essvi": 0}
    for chain in chains[1:]:
        market.take(chain)
    report = market.scores.report
    champion, essvi, svi = report.models
    assert (champion.model, champion.role, essvi.model, svi.model) == (DEFAULT_MODEL, "champion", "essvi", "svi")
    assert champion.n == svi.n == essvi.n == 11
    assert champion.since == svi.since
    assert champion.arbitrage_free == svi.arbitrage_free == essvi.arbitrage_free == 1.0
    assert champion.weighted_error is not None
    assert essvi.weighted_error is not None
    assert champion.weighted_error < essvi.weighted_error, "three numbers an expiry fit crypto smiles worse"
    assert essvi.log_score is not None
    assert champion.log_score is not None
    assert essvi.log_score < champion.log_score
    assert essvi.verdict == "worse"
    assert essvi.dm_statistic is not None
    assert essvi.dm_statistic > 0.0
    assert champion.verdict is None


def test_a_challenger_is_fitted_as_if_it_were_published() -> None:
    chains = recorded_chains("BTC", 3)
    market, alone = Market(), Market()
    alone.scores.promoted = "svi"
    for chain in chains:
        market.take(chain)
        alone.publish(chain)
    assert alone.published is not None
    assert market.scores.kept.entrants["svi"].document == alone.published.document
    assert market.scores.kept.entrants["svi"].state == alone.published.state


def test_what_travels_is_bounded() -> None:
    market = Market()
    for chain in recorded_chains("BTC", 2):
        market.take(chain)
    full = Contest(tuple(np.random.default_rng(1).standard_normal(WINDOW).tolist()))
    board = market.scores.kept
    entrants = {name: msgspec.structs.replace(e, contest=full) for name, e in board.entrants.items()}
    empty = {name: msgspec.structs.replace(e, document=b"") for name, e in entrants.items()}
    assert len(encode_board(msgspec.structs.replace(board, entrants=empty))) < 2 * 8_000


def test_without_challengers_nothing_is_read_or_written() -> None:
    market = Market(ChallengePolicy(challengers_by_underlying=(("ETH", ("svi",)),)))
    market.take(recorded_chains("BTC", 1)[0])
    assert market.scores.board == b""


@pytest.mark.parametrize(
    ("rules", "champion", "expected"),
    [
        (RULES, "svi_spline", ("svi", "essvi")),
        (RULES, "svi", ("essvi", "svi_spline")),
        (ChallengePolicy(), "svi", ()),
        (ChallengePolicy(("svi",), (("BTC", ("essvi",)),)), "svi_spline", ("essvi",)),
    ],
)
def test_the_champion_does_not_challenge_and_a_dethroned_one_does(rules, champion, expected) -> None:
    assert rules.challengers_of("BTC", champion, "svi_spline") == expected


def test_a_lost_write_loses_one_score() -> None:
    market = Market()
    chains = recorded_chains("BTC", 5)
    market.take(chains[0])
    market.publish(chains[1])
    market.take(chains[2])
    assert market.scores.kept.mean.n == 0
    market.take(chains[3])
    assert market.scores.kept.mean.n == 1
    late = market.publish(chains[4])
    market.scores.order = (chains[4].as_of_ms + 1, 0)
    market.challenge(late, chains[4])
    assert market.scores.kept.mean.n == 1


class Broken(Svi):
    name = "broken"

    def fit(self, smiles, previous, options):  # noqa: ARG002
        raise ZeroDivisionError("a defect")


def test_a_challenger_that_raises_is_counted_and_said(monkeypatch, caplog) -> None:
    monkeypatch.setattr("app.quant.calibration.MODELS", {**MODELS, "broken": Broken()})
    monkeypatch.setattr("app.quant.maintenance.MODELS", {**MODELS, "broken": Broken()})
    monkeypatch.setattr("app.service.recalibrate.MODELS", {**MODELS, "broken": Broken()})
    market = Market(ChallengePolicy(challengers=("broken", "svi")))
    for chain in recorded_chains("BTC", 3):
        market.take(chain)
    broken, svi = market.scores.kept.entrants["broken"], market.scores.kept.entrants["svi"]
    assert (broken.failures, broken.failure, broken.document) == (3, "ZeroDivisionError: a defect", b"")
    assert svi.mean.n == 2
    assert "challenger_raised" in caplog.text
    entry = next(each for each in market.scores.report.models if each.model == "broken")
    assert (entry.n, entry.log_score, entry.failures) == (0, None, 3)


def test_a_rejected_challenger_keeps_its_last_surface_and_is_scored_by_it() -> None:
    first, second, third = recorded_chains("BTC", 3)
    market = Market(ChallengePolicy(challengers=("svi",)))
    market.take(first)
    stood = market.scores.kept.entrants["svi"]
    claim = market.publish(second)
    partial = replace(second, expiries=second.expiries[:-1])
    market.challenge(claim, partial)
    kept = market.scores.kept.entrants["svi"]
    assert kept.document == stood.document
    assert kept.state != stood.state
    assert kept.failure is not None
    assert "missing: 1 expiries" in kept.failure
    market.take(third)
    assert market.scores.kept.entrants["svi"].mean.n == 2


class WorkerDied(BaseException):
    """What no handler of the worker's may catch."""


def test_a_challenger_that_ended_its_worker_rests_longer_each_time(monkeypatch) -> None:
    market = Market(ChallengePolicy(challengers=("svi", "essvi")))
    chains = recorded_chains("BTC", 9)
    market.take(chains[0])
    begin = market.scores.begin

    def deadly(underlying: str, model: str) -> None:
        begin(underlying, model)
        if model == "svi":
            raise WorkerDied

    monkeypatch.setattr(market.scores, "begin", deadly)
    died = []
    for chain in chains[1:]:
        try:
            market.take(chain)
            died.append(False)
        except WorkerDied:
            died.append(True)
    assert died == [True, False, False, True, False, False, False, False]
    kept = market.scores.kept.entrants["svi"]
    assert (kept.unended, kept.rest) == (2, 0)
    assert kept.failure == "its fit did not end, and the worker with it"
    assert market.scores.kept.entrants["essvi"].failures == 0
    monkeypatch.setattr(market.scores, "begin", begin)
    market.take(replace(chains[-1], as_of_ms=chains[-1].as_of_ms + 1))
    assert market.scores.kept.entrants["svi"].unended == 0


def led(market: Market, gain: float) -> None:
    """Let svi have been better by ``gain`` for a whole window."""
    board = market.scores.kept
    noise = 0.02 * np.random.default_rng(2).standard_normal(WINDOW)
    contest = Contest(tuple((noise - gain).tolist()), leading=LEADING_FOR)
    svi = msgspec.structs.replace(board.entrants["svi"], contest=contest, mean=MeanScore(n=WINDOW, arbitrage_free=1.0))
    entrants = {**board.entrants, "svi": svi}
    market.scores.board = encode_board(msgspec.structs.replace(board, entrants=entrants))


def test_a_winner_takes_over_once_and_starts_from_nothing() -> None:
    market = Market(replace(RULES, automatic=True))
    chains = recorded_chains("BTC", 5)
    market.take(chains[0])
    led(market, 5.0)
    market.take(chains[1])
    (promotion,) = market.scores.promotions
    assert market.scores.promoted == "svi"
    assert promotion.event.message.startswith(f"svi takes over from {DEFAULT_MODEL}: better by ")
    assert promotion.event.values["chains"] == WINDOW
    market.take(chains[2])
    assert market.published is not None
    assert decode_document(market.published.document).model == "svi"
    assert market.scores.kept.champion == "svi"
    assert market.scores.kept.mean.n == 0
    assert market.scores.kept.entrants.keys() == {"essvi", DEFAULT_MODEL}
    market.take(chains[3])
    market.take(chains[4])
    assert market.scores.kept.mean.n == 2
    assert market.scores.kept.entrants[DEFAULT_MODEL].mean.n == 2
    assert len(market.scores.promotions) == 1, "the way back is as long"
    assert LEAST_SCORES > 2


def test_nobody_is_promoted_unless_told_to() -> None:
    market = Market()
    first, second = recorded_chains("BTC", 2)
    market.take(first)
    led(market, 5.0)
    market.take(second)
    assert market.scores.promotions == []
    assert market.scores.report.models[2].verdict == "better"


def test_a_promotion_that_was_overtaken_by_another_is_not_made() -> None:
    market = Market(replace(RULES, automatic=True))
    first, second = recorded_chains("BTC", 2)
    market.take(first)
    led(market, 5.0)
    claim = market.publish(second)
    market.scores.promoted = "essvi"  # by hand, meanwhile
    market.challenge(claim, second)
    assert market.scores.promoted == "essvi"


def test_a_board_of_another_version_starts_anew() -> None:
    market = Market()
    chains = recorded_chains("BTC", 3)
    market.take(chains[0])
    market.scores.board = b"\xff" + market.scores.board[1:]
    market.take(chains[1])
    assert market.scores.kept.mean.n == 0
    market.take(chains[2])
    assert market.scores.kept.mean.n == 1
