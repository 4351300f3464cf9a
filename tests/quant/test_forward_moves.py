"""Moves of forwards: of all together, of one apart, and who is believed where puts and calls outvote the venue."""

from dataclasses import replace

import pytest

from app.quant.calibration import SurfaceStatus
from app.quant.forward_moves import ForwardMoves, forward_moves, judged_carry, judged_votes
from app.quant.gate_rules import DEFAULT_RULES
from app.quant.parity_check import ParityCheck
from app.quant.surface import VolSurface
from tests.quant.market import maintained_series

AT = 4
"""The expiry that moves."""


def surface() -> VolSurface:
    return maintained_series("BTC")[11].fit.surface


def after(scales: dict[int, float]) -> VolSurface:
    """The surface with the forwards of these places scaled."""
    moved = (replace(s, forward=scales.get(i, 1.0) * s.forward) for i, s in enumerate(surface().slices))
    return replace(surface(), slices=tuple(moved))


def test_the_level_is_the_median_and_the_rest_is_carry() -> None:
    everything = dict.fromkeys(range(len(surface().slices)), 0.8)
    moves = forward_moves(after({**everything, AT: 0.81}), surface())
    assert moves.level == pytest.approx(-0.22314355, abs=1e-8)
    assert moves.furthest == pytest.approx(0.01242252, abs=1e-8)
    assert moves.carry[surface().slices[AT].expiry_ms] == pytest.approx(0.01242252, abs=1e-8)
    strangers = replace(surface(), slices=(replace(surface().slices[0], expiry_ms=1),))
    assert forward_moves(strangers, surface()) == ForwardMoves(0.0, {})


@pytest.mark.parametrize(
    ("level", "apart", "widening", "found"),
    [
        (0.0, 0.007, 1.0, None),
        (0.0, 0.008, 1.0, SurfaceStatus.REJECTED),
        (0.0, 0.008, 1.2, None),
        (-0.3, 0.03, 1.0, None),
        (-0.3, 0.04, 1.0, SurfaceStatus.REJECTED),
    ],
)
def test_carry_moves_by_a_part_of_the_level(
    level: float, apart: float, widening: float, found: SurfaceStatus | None
) -> None:
    moves = ForwardMoves(level, {1: 0.0, 2: -apart})
    assert [status for status, _ in judged_carry(moves, widening, False, DEFAULT_RULES)] == ([found] if found else [])
    believed = [status for status, _ in judged_carry(moves, widening, True, DEFAULT_RULES)]
    assert believed == ([SurfaceStatus.DEGRADED] if found else [])


@pytest.mark.parametrize(
    ("moved", "outvoted", "told"),
    [(1.008, 0.008, True), (0.992, 0.008, True), (1.0, 0.008, False), (1.002, 0.008, False), (1.008, 0.0, False)],
)
def test_expiries_beside_it_say_who_is_wrong(moved: float, outvoted: float, told: bool) -> None:
    """Where the forward stayed with its neighbours it was the venue's that was wrong, and the surface is right."""
    now = after({AT: moved})
    checks = [ParityCheck(s.t, 9, 9, outvoted=outvoted if i == AT else 0.0) for i, s in enumerate(now.slices)]
    found = list(judged_votes(forward_moves(now, surface()), now, checks))
    assert [status for status, _ in found] == ([SurfaceStatus.DEGRADED] if told else [])
    if told:
        assert found[0][1].startswith(f"forward: that of {now.slices[AT].t * 365.0:.1f} days moved by ")
    assert not list(judged_votes(forward_moves(now, surface()), now, []))
