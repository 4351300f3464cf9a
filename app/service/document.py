"""The published surface as it is stored and sent: wire.md's JSON, one struct a level, units beside the numbers.

A worker writes it once; its bytes are what history keeps, what subscribers get and what the API evaluates from.
The envelope's fields (version, prev_version, calibrated_at, age_ms, stale) are added when it leaves the service.
"""

from typing import Any

import msgspec

from app.quant.vol_band import CONFIDENCE_LEVEL

UNITS: dict[str, str] = {
    "vol": "decimal, ACT/365",
    "log_moneyness": "ln(strike/forward)",
    "total_variance": "vol^2 * t",
    "t": "years, ACT/365 from as_of to expiry",
    "rate": "decimal, continuously compounded, ACT/365",
    "confidence_level": f"{CONFIDENCE_LEVEL:g}: share of the next chain's mid vols that the bands are to hold",
}


class WorstQuote(msgspec.Struct, frozen=True):
    """The quote the model misses by most, vols as decimals."""

    strike: float
    bid_vol: float
    ask_vol: float
    model_vol: float


class FitQuality(msgspec.Struct, frozen=True):
    """Model vol against the mid of bid and ask vol over the two-sided quotes used, unweighted, decimals."""

    rmse_vol: float
    max_error_vol: float
    inside_spread: float
    worst: WorstQuote | None


class BandDocument(msgspec.Struct, frozen=True):
    """Error bars at nodes of log-moneyness: ``sd`` of the vol, and ``half_width`` of its band at the confidence level.

    Linear between the nodes, in proportion to |log-moneyness| beyond them.
    """

    log_moneyness: list[float]
    sd: list[float]
    half_width: list[float]


class SliceDocument(msgspec.Struct, frozen=True):
    """One expiry. Without a curve ``parameters`` and ``fit`` are null and ``reason`` says why.

    ``bands`` is null where no error bars are known.
    """

    expiry: str
    t: float
    forward: float | None
    forward_sd: float | None
    discount_factor: float | None
    status: str
    reason: str | None
    parameters: dict[str, Any] | None
    quotes_used: int
    quotes_dropped: dict[str, int]
    fit: FitQuality | None
    bands: BandDocument | None = None


class SurfaceQuality(msgspec.Struct, frozen=True):
    """The same over all slices."""

    rmse_vol: float
    max_error_vol: float
    inside_spread: float
    quotes_used: int
    quotes_dropped: dict[str, int]


class PlaceDocument(msgspec.Struct, frozen=True):
    """Where a margin is smallest; log_moneyness is null where that is a wing's limit at infinity."""

    expiry: str
    log_moneyness: float | None
    value: float


class CertificateDocument(msgspec.Struct, frozen=True):
    """What is proven: see app/quant/certificate.py."""

    arbitrage_free: bool
    method: str
    min_butterfly_g: float
    min_calendar_gap: float | None
    max_wing_slope: float
    worst: dict[str, PlaceDocument]
    failures: list[str]


class NodeDrift(msgspec.Struct, frozen=True):
    """Change of vol at a fixed tenor and delta since the previous surface."""

    tenor_days: float
    delta: str
    vol_change: float


class ParameterDrift(msgspec.Struct, frozen=True):
    """Change of one parameter in the tenor bucket, root mean square over its expiries.

    ``zscore`` is the same in units of the change's own standard error, null where that is not known.
    """

    tenor: str
    parameter: str
    change: float
    zscore: float | None = None


class TenorDrift(msgspec.Struct, frozen=True):
    """Root mean square change of vol over the nodes of a tenor bucket."""

    tenor: str
    vol_rms: float


class DriftAlarm(msgspec.Struct, frozen=True):
    """A monitor that crossed its limit at ``raised_at``: ewma, cusum or page_hinkley of a tenor's level or skew."""

    monitor: str
    tenor: str
    series: str
    statistic: float
    limit: float
    raised_at: str


class DriftDocument(msgspec.Struct, frozen=True):
    """Distance to the previous surface; ``vol_rms`` is null where there is none.

    ``mahalanobis`` is the joint distance of all parameters in a tenor bucket in units of noise: up to 1 is noise alone.
    ``alarms`` are those of the last hour: drifts too slow for one update to show (app/quant/monitors.py).
    """

    vol_rms: float | None
    per_node: list[NodeDrift]
    per_tenor: list[TenorDrift]
    per_parameter: list[ParameterDrift]
    mahalanobis: dict[str, float] = {}
    alarms: list[DriftAlarm] = []


class RateCurveDocument(msgspec.Struct, frozen=True):
    """Forwards and discount factors of any tenor, calibrated with the surface: see app/quant/rate_curve.py.

    ``carry`` is ln(forward/spot)/t and ``discount_rate`` -ln(discount factor)/t at the pillars ``t``; ``spot`` is the
    forward carried back to t = 0.
    """

    spot: float
    t: list[float]
    carry: list[float]
    discount_rate: list[float]


class VolGrid(msgspec.Struct, frozen=True):
    """Model-free vols: ``vol[i][j]`` at tenor_days[i], delta[j]; null beyond the expiries."""

    tenor_days: list[float]
    delta: list[str]
    vol: list[list[float | None]]


class ConfidenceDocument(msgspec.Struct, frozen=True):
    """How the bands did: the share of recent mids, taken after the bands were published, that they held.

    ``coverage`` is null until a chain has followed a surface; buckets are tenor/moneyness (app/quant/conformal.py).
    """

    level: float
    coverage: float | None
    per_bucket: dict[str, float]


class RecalibrationDocument(msgspec.Struct, frozen=True):
    """Whether the surface was fitted to its chain (``fit``) or moved to it (``moved``), and why.

    A moved surface has the forwards and rates of its chain and, expiry by expiry, the total variance over log-moneyness
    of the surface fitted at ``fitted_as_of``. Error and inside share are those on its own chain.
    """

    kind: str
    reason: str
    fitted_as_of: str


class SurfaceDocument(msgspec.Struct, frozen=True):
    """A calibrated surface, the same bytes for the same chain, previous surface, its state and code."""

    underlying: str
    as_of: str
    sequence: int
    source: str
    venue: str
    premium: str
    status: str
    reason: str | None
    model: str
    units: dict[str, str]
    slices: list[SliceDocument]
    fit: SurfaceQuality
    certificate: CertificateDocument
    drift: DriftDocument
    rate_curve: RateCurveDocument
    vol_grid: VolGrid
    confidence: ConfidenceDocument | None = None
    regime: str | None = None
    """calm or shift: whether the market is still the one of the surface before (app/quant/regime.py)."""
    regime_reason: str | None = None
    chain_sha256: str | None = None
    """Of the chain's bytes as the store keeps them."""
    code_version: str | None = None
    """Package version and hash of the sources of the program that fitted it."""
    settings_sha256: str | None = None
    """Of the model asked for, its options, the gate's rules and the trigger of a fit."""
    recalibration: RecalibrationDocument | None = None


class SurfaceMessage(SurfaceDocument, frozen=True, kw_only=True):
    """A surface as GET and the stream send it: the document and its envelope."""

    version: str
    prev_version: str
    calibrated_at: str
    age_ms: int
    stale: bool


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SurfaceDocument).decode


def encode_document(document: SurfaceDocument) -> bytes:
    """Return the document's JSON bytes; floats in shortest round-trip form, so decoding gives the same numbers."""
    return _encode(document)


def decode_document(data: bytes) -> SurfaceDocument:
    """Return the document that was encoded. Raises msgspec.ValidationError for anything else."""
    return _decode(data)
