"""The scores of champion and challengers as they are sent, one struct a level, units beside the numbers."""

import msgspec


class ModelScore(msgspec.Struct, frozen=True):
    """One model, out of sample: means over ``n`` chains, each scored against the surface that stood before it.

    Null where nothing was scored yet; ``dm_statistic``, ``p_value`` and ``verdict`` are a challenger's against the
    champion. ``failures`` counts chains that a challenger gave no surface for, ``last_failure`` says why the last.
    """

    model: str
    role: str
    since: str | None
    n: int
    log_score: float | None
    weighted_error: float | None
    rmse_vol: float | None
    outside: float | None
    arbitrage_free: float | None
    dm_statistic: float | None = None
    p_value: float | None = None
    verdict: str | None = None
    failures: int = 0
    last_failure: str | None = None


class ModelScores(msgspec.Struct, frozen=True):
    """The models of an underlying, champion first, as of the last chain they were scored on.

    ``promoted`` is the model that overrides the setting from the next chain on; null where none was promoted.
    """

    underlying: str
    as_of: str
    champion: str
    window: int
    units: dict[str, str]
    models: list[ModelScore]
    promoted: str | None = None


encode_report = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ModelScores).decode


def decode_report(data: bytes) -> ModelScores:
    """Return the report that was encoded. Raises msgspec.ValidationError for anything else."""
    return _decode(data)
