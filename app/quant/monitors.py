"""Slow drift that no single update shows: EWMA, CUSUM and Page-Hinkley on standardised innovations of the smile.

Watched are, at each tenor of nodes.py, the level (mean of the node vols) and the skew (25-delta put less call). An
innovation is the change since the last sample less the move that goes with spot: by the skew-stickiness rule the level
is expected to change by R S ln(F'/F), S the slope of vol in log-moneyness at the money (Bergomi 2009); in units of its
own sd per step, itself an exponential average, and cut at MOST_DEVIATIONS so that one jump is not a drift.

    EWMA          z <- z + lambda (x - z), alarm at |z| > L sqrt(lambda / (2 - lambda))                (Roberts 1959)
    CUSUM         s <- max(0, s + x - k), both signs, alarm at s > h                                   (Page 1954)
    Page-Hinkley  M <- M + x - mean(x) - delta, both signs, alarm at M - min M > threshold             (Hinkley 1971)

Thresholds are set so that independent normal innovations raise FALSE_ALARMS_A_WEEK alarms over all monitors together.
For that a step has a length: chains are sampled about every five minutes, however often they come.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.interpolation import variances_of_rows
from app.quant.nodes import DELTA_NAMES, TENOR_DAYS
from app.quant.surface import VolSurface

SKEW_STICKINESS: Final = 1.2
"""R: 1 is sticky strike, 0 sticky moneyness, 2 the short limit of stochastic vol; equity and crypto lie near 1.2."""
STEP_MS: Final = 300_000
LEAST_STEP_MS: Final = 240_000
"""A sample is taken when this much has passed: five-minute chains come a little early, too."""
MOST_STEP_MS: Final = 3_600_000
"""After a longer gap the market is another one: sampling begins again."""
WARM_STEPS: Final = 12
"""Steps that only measure the scale: an hour."""
SCALE_MEMORY: Final = 48.0
"""Steps over which the scale is averaged: four hours."""
LEAST_SCALE: Final = 5e-4
"""Vol per step below which a change is rounding and noise of the fit, not a move."""
MOST_DEVIATIONS: Final = 3.0
EWMA_WEIGHT: Final = 0.1
CUSUM_REFERENCE: Final = 0.5
PAGE_HINKLEY_DELTA: Final = 0.25
FALSE_ALARMS_A_WEEK: Final = 1.0
EWMA_LIMIT: Final = 4.1
CUSUM_LIMIT: Final = 9.5
PAGE_HINKLEY_LIMIT: Final = 17.25
"""Each lets one of 24 monitors (4 tenors, 2 series, 3 kinds) alarm once in 48,000 steps, 24 weeks, when nothing is."""
ALARM_HELD_MS: Final = 3_600_000
"""How long an alarm stays published."""
SERIES: Final = tuple((tenor, name) for tenor in TENOR_DAYS for name in ("level", "skew"))
MONITORS: Final = ("ewma", "cusum", "page_hinkley")
_SLOPE_STEP: Final = 0.01
"""Log-moneyness over which the slope at the money is taken."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """A monitor that crossed its limit at ``raised_ms``."""

    monitor: str
    tenor_days: float
    series: str
    statistic: float
    limit: float
    raised_ms: int


@dataclass(frozen=True, slots=True)
class SeriesMonitor:
    """The statistics of one series: sd and steps it was measured over, EWMA, both CUSUMs and both Page-Hinkley sums."""

    variance: float = 0.0
    steps: int = 0
    ewma: float = 0.0
    rise: float = 0.0
    fall: float = 0.0
    mean: float = 0.0
    since: int = 0
    above: float = 0.0
    below: float = 0.0

    def reset(self) -> "SeriesMonitor":
        """Return the monitor with its scale and without what it gathered."""
        return SeriesMonitor(variance=self.variance, steps=self.steps)


@dataclass(frozen=True, slots=True)
class TenorSample:
    """Level and skew of the node vols, forward, and slope of vol in log-moneyness at the money."""

    level: float
    skew: float
    forward: float
    slope: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What is watched of a surface, by tenor; None beyond the expiries."""

    at_ms: int
    tenors: tuple[TenorSample | None, ...]


@dataclass(frozen=True, slots=True)
class MonitorState:
    """The last sample, a monitor for each of SERIES, and the alarms still held."""

    sample: Sample | None = None
    monitors: tuple[SeriesMonitor, ...] = (SeriesMonitor(),) * len(SERIES)
    alarms: tuple[Alarm, ...] = ()


def monitored(state: MonitorState, surface: VolSurface, nodes: FloatArray) -> MonitorState:
    """Return the state after ``surface``, whose ``node_vols`` are ``nodes``."""
    at_ms = surface.as_of_ms
    alarms = tuple(alarm for alarm in state.alarms if at_ms - alarm.raised_ms < ALARM_HELD_MS)
    last = state.sample
    if last is not None and at_ms - last.at_ms < LEAST_STEP_MS:
        return replace(state, alarms=alarms)
    sample = sample_of(surface, nodes)
    if last is None or at_ms - last.at_ms > MOST_STEP_MS:
        return MonitorState(sample, tuple(m.reset() for m in state.monitors), alarms)
    monitors = list(state.monitors)
    for i, change in enumerate(_changes(last, sample)):
        if change is not None:
            monitors[i], raised = stepped(monitors[i], change / math.sqrt((at_ms - last.at_ms) / STEP_MS))
            alarms += tuple(Alarm(kind, *SERIES[i], value, limit, at_ms) for kind, value, limit in raised)
    return MonitorState(sample, tuple(monitors), alarms)


def calmed(state: MonitorState, surface: VolSurface, nodes: FloatArray) -> MonitorState:
    """Return the state after a shift of regime: sampled anew, nothing gathered, scales kept."""
    return MonitorState(sample_of(surface, nodes), tuple(m.reset() for m in state.monitors), state.alarms)


def stepped(monitor: SeriesMonitor, change: float) -> tuple[SeriesMonitor, list[tuple[str, float, float]]]:
    """Return the monitor after ``change`` in one step, and (kind, statistic, limit) of what it raised.

    A monitor that raises an alarm begins again, with its scale.
    """
    steps = monitor.steps + 1
    memory = 1.0 / min(steps, SCALE_MEMORY)
    scale = max(math.sqrt(monitor.variance), LEAST_SCALE)
    cut = change if steps <= WARM_STEPS else _cut(change, MOST_DEVIATIONS * scale)
    variance = monitor.variance + memory * (cut * cut - monitor.variance)
    if steps <= WARM_STEPS:
        return SeriesMonitor(variance, steps), []
    x = cut / scale
    ewma = exponential_average(monitor.ewma, x, EWMA_WEIGHT)
    rise, fall = cusum(monitor.rise, x, CUSUM_REFERENCE), cusum(monitor.fall, -x, CUSUM_REFERENCE)
    since = monitor.since + 1
    mean = monitor.mean + (x - monitor.mean) / since
    above = page_hinkley(monitor.above, x - mean, PAGE_HINKLEY_DELTA)
    below = page_hinkley(monitor.below, mean - x, PAGE_HINKLEY_DELTA)
    statistics = (
        ("ewma", abs(ewma) / math.sqrt(EWMA_WEIGHT / (2.0 - EWMA_WEIGHT)), EWMA_LIMIT),
        ("cusum", max(rise, fall), CUSUM_LIMIT),
        ("page_hinkley", max(above, below), PAGE_HINKLEY_LIMIT),
    )
    raised = [(kind, value, limit) for kind, value, limit in statistics if value > limit]
    if raised:
        return SeriesMonitor(variance, steps), raised
    return SeriesMonitor(variance, steps, ewma, rise, fall, mean, since, above, below), []


def exponential_average(z: float, x: float, weight: float) -> float:
    """Return z + weight (x - z)."""
    return z + weight * (x - z)


def cusum(s: float, x: float, reference: float) -> float:
    """Return max(0, s + x - reference)."""
    return max(0.0, s + x - reference)


def page_hinkley(rise: float, deviation: float, delta: float) -> float:
    """Return M - min M after a step of M by ``deviation`` - delta, from its value before: max(0, rise + step)."""
    return max(0.0, rise + deviation - delta)


def sample_of(surface: VolSurface, nodes: FloatArray) -> Sample:
    """Return what is watched of ``surface``."""
    put, call = DELTA_NAMES.index("25P"), DELTA_NAMES.index("25C")
    watched = np.flatnonzero(np.isfinite(nodes).all(axis=1))
    t, vols = np.array(TENOR_DAYS)[watched] / 365.0, nodes[watched]
    w = variances_of_rows(np.tile([-_SLOPE_STEP, _SLOPE_STEP], (t.size, 1)), t, surface.stack)
    beside = np.sqrt(w / t[:, None])
    slope = (beside[:, 1] - beside[:, 0]) / (2.0 * _SLOPE_STEP)
    columns = vols.mean(axis=1), vols[:, put] - vols[:, call], surface.rate_curve.forward_at(t), slope
    tenors: list[TenorSample | None] = [None] * len(TENOR_DAYS)
    for i, numbers in zip(watched.tolist(), np.stack(columns, axis=1).tolist(), strict=True):
        tenors[i] = TenorSample(*numbers)
    return Sample(surface.as_of_ms, tuple(tenors))


def expected_move(slope: float, forward_before: float, forward: float) -> float:
    """Return R S ln(F'/F), the change of vol at the money that goes with the move of the forward."""
    return SKEW_STICKINESS * slope * math.log(forward / forward_before)


def _changes(before: Sample, after: Sample) -> Iterator[float | None]:
    """Yield the unexpected change of each of SERIES; None where it is not known at both ends."""
    for then, now in zip(before.tenors, after.tenors, strict=True):
        if then is None or now is None:
            yield from (None, None)
        else:
            yield now.level - then.level - expected_move(then.slope, then.forward, now.forward)
            yield now.skew - then.skew


def _cut(x: float, limit: float) -> float:
    return max(-limit, min(limit, x))
