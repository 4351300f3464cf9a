"""Champion and challengers: after a surface is out, other models get the same chain and are scored beside it.

Everybody is scored on the new chain by the surface that stood before it, then the challengers are fitted to it, warm
from their own surfaces and with their own gate and bars, exactly as the champion was. The published surface waits for
none of this and no failure of a challenger reaches it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from app.quant.calibration import read_chain
from app.quant.chain import OptionChain
from app.quant.errors import QuantError
from app.quant.models import MODELS
from app.quant.scoring import Score, score_surfaces
from app.quant.surface import VolSurface
from app.service.document import SurfaceDocument, decode_document
from app.service.evaluate import surface_of
from app.service.event import EventKind, Notice, Value
from app.service.ports import Claim, PublishedSurface
from app.service.promotion import Promoting, PromotionDesk
from app.service.recalibrate import CalibrationPolicy, Fitted, Unfit, model_of, recalibrate
from app.service.score_board import Board, Entrant, KeptBoard, ScoreKeeper, decode_board, encode_board
from app.service.score_document import encode_report
from app.service.score_report import report_of

log = logging.getLogger(__name__)

LONGEST_REST: Final = 512
"""Chains that a challenger which keeps ending its worker sits out; the rest doubles up to this."""


@dataclass(frozen=True, slots=True)
class ChallengePolicy:
    """Which models challenge, by underlying, and whether one that wins takes over by itself."""

    challengers: tuple[str, ...] = ()
    challengers_by_underlying: tuple[tuple[str, tuple[str, ...]], ...] = ()
    automatic: bool = False

    def challengers_of(self, underlying: str, champion: str, configured: str) -> tuple[str, ...]:
        """Return the challengers of ``champion``; once it was promoted, the ``configured`` model is one of them."""
        named = dict(self.challengers_by_underlying).get(underlying, self.challengers)
        entered = dict.fromkeys((*named, configured)) if named else {}
        return tuple(name for name in entered if name != champion)


def challenge(
    claim: Claim,
    *,
    keeper: ScoreKeeper,
    desk: PromotionDesk,
    decode_chain: Callable[[bytes], OptionChain],
    policy: CalibrationPolicy,
    rules: ChallengePolicy,
) -> None:
    """Score and fit the challengers of the claimed chain, whose surface was published.

    Raises StoreUnavailable: then the scores of this chain are lost, and nothing else.
    """
    champion = model_of(claim, policy)
    names = rules.challengers_of(claim.underlying, champion, policy.model_for(claim.underlying))
    if not names:
        return
    chain = decode_chain(claim.chain)
    board = _scored(_board_of(keeper.read(claim.underlying), champion, names), claim, chain)
    entrants = dict(board.entrants)
    for name in names:
        if entrants[name].rest:
            entrants[name] = msgspec.structs.replace(entrants[name], rest=entrants[name].rest - 1)
            continue
        keeper.begin(claim.underlying, name)
        entrants[name] = _fitted(entrants[name], name, claim, chain, policy)
    board = msgspec.structs.replace(board, entrants=entrants, as_of_ms=claim.as_of_ms, sequence=claim.sequence)
    report = encode_report(report_of(claim.underlying, board))
    kept = keeper.keep(claim.underlying, claim.as_of_ms, claim.sequence, board=encode_board(board), report=report)
    if kept and rules.automatic and (winner := _winner(board)):
        desk.promote(claim.underlying, winner, instead_of=claim.model)


def _board_of(kept: KeptBoard, champion: str, names: tuple[str, ...]) -> Board:
    """Return the board to go on with. Another champion starts another contest; surfaces are kept."""
    board = decode_board(kept.board)
    if board is None:
        board = Board(champion, 0, 0, {})
    entrants = {name: board.entrants.get(name, Entrant()) for name in names}
    if kept.trying in entrants:
        entrants[kept.trying] = _rested(entrants[kept.trying])
        log.error("challenger_ended_its_worker", extra={"model": kept.trying, "rest": entrants[kept.trying].rest})
    if board.champion == champion:
        return msgspec.structs.replace(board, entrants=entrants)
    fresh = Entrant()
    entrants = {
        name: msgspec.structs.replace(e, since_ms=None, mean=fresh.mean, contest=fresh.contest)
        for name, e in entrants.items()
    }
    # The surface that stood is another model's, so this chain scores nobody: no chain has the order (0, 0).
    return Board(champion, 0, 0, entrants)


def _rested(entrant: Entrant) -> Entrant:
    unended = entrant.unended + 1
    return msgspec.structs.replace(
        entrant,
        failures=entrant.failures + 1,
        failure="its fit did not end, and the worker with it",
        unended=unended,
        rest=min(2**unended, LONGEST_REST),
    )


def _scored(board: Board, claim: Claim, chain: OptionChain) -> Board:
    """Return the board with one more score each, where the surfaces of before are all of one chain."""
    stood = claim.previous
    if stood is None or (stood.as_of_ms, stood.sequence) != (board.as_of_ms, board.sequence):
        return board
    champion = _surface(stood.document)
    standing = {name: surface for name, e in board.entrants.items() if (surface := _surface(e.document))}
    if champion is None or not standing:
        return board
    surfaces, certified = zip(champion, *standing.values(), strict=True)
    smiles = read_chain(chain, board.champion).smiles
    scores = score_surfaces(smiles, surfaces, certified, chain.as_of_ms)
    if scores is None:
        return board
    first, *others = scores
    entrants = dict(board.entrants)
    for name, score in zip(standing, others, strict=True):
        entrants[name] = _met(entrants[name], score, first, claim.as_of_ms)
    return msgspec.structs.replace(
        board,
        mean=board.mean.after(first),
        since_ms=board.since_ms or claim.as_of_ms,
        entrants=entrants,
    )


def _met(entrant: Entrant, score: Score, champion: Score, as_of_ms: int) -> Entrant:
    return msgspec.structs.replace(
        entrant,
        mean=entrant.mean.after(score),
        contest=entrant.contest.after(champion.log_score - score.log_score),
        since_ms=entrant.since_ms or as_of_ms,
    )


def _surface(document: bytes) -> tuple[VolSurface, bool] | None:
    """Return a surface and whether it was certified; None for no document, or one of another version."""
    if not document:
        return None
    try:
        published: SurfaceDocument = decode_document(document)
        return surface_of(published), published.certificate.arbitrage_free
    except (msgspec.DecodeError, QuantError, KeyError) as unreadable:
        log.warning("surface_not_scored", extra={"reason": str(unreadable)})
        return None


def _fitted(entrant: Entrant, name: str, claim: Claim, chain: OptionChain, policy: CalibrationPolicy) -> Entrant:
    previous = None
    if entrant.document:
        previous = PublishedSurface(claim.underlying, 0, 0, 0, 0, 0, 0, entrant.document, entrant.state)
    own = replace(claim, previous=previous, state=entrant.state, model=name)
    try:
        answer = recalibrate(own, decode_chain=lambda _: chain, policy=policy)
    except Exception as error:  # a defect of a challenger is the challenger's
        log.exception("challenger_raised", extra={"underlying": claim.underlying, "model": name})
        answer = Unfit(f"{type(error).__name__}: {error}", "error")
    if isinstance(answer, Fitted):
        return msgspec.structs.replace(entrant, document=answer.document, state=answer.state, unended=0)
    log.warning("challenger_failed", extra={"underlying": claim.underlying, "model": name, "reason": answer.reason})
    return msgspec.structs.replace(
        entrant,
        state=answer.state or entrant.state,
        failures=entrant.failures + 1,
        failure=answer.reason,
        unended=0,
    )


def _winner(board: Board) -> Promoting | None:
    """Return the promotion of the challenger that won by most; None where none did."""
    won = {
        name: e.contest.gain()
        for name, e in board.entrants.items()
        if MODELS[name].arbitrage_free and e.contest.is_won(e.mean)
    }
    if not won:
        return None
    name = max(won, key=won.__getitem__)
    contest = board.entrants[name].contest
    test = contest.test()
    if test is None:
        return None
    message = (
        f"{name} takes over from {board.champion}: better by {won[name]:.3g} nats a quote over"
        f" {len(contest.differentials)} chains, Diebold-Mariano {test.statistic:.2f}, p = {test.p_value:.2g}"
    )
    values: dict[str, Value] = {
        "model": name,
        "before": board.champion,
        "by": "contest",
        "gain": won[name],
        "chains": len(contest.differentials),
        "dm_statistic": test.statistic,
        "p_value": test.p_value,
    }
    return Promoting(name, Notice(EventKind.PROMOTION, message, values))
