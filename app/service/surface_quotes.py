"""A surface and the chain it was fitted to -> SurfaceQuotes: each quote as vols, beside the model's."""

import math

from app.quant.arrays import FloatArray
from app.quant.chain import OptionChain
from app.quant.chain_vols import ExpiryVols, chain_vols, fitted_smiles
from app.quant.dropped import Dropped
from app.service.document import SurfaceDocument
from app.service.evaluate import surface_of
from app.service.iso_time import iso_utc
from app.service.quotes_document import OptionType, SliceQuotes, SurfaceQuotes, UnusedQuote


def judged_by_previous(document: SurfaceDocument) -> bool:
    """Return True where quotes were left out because the surface before did not confirm them."""
    return document.fit.quotes_dropped.get(Dropped.UNCONFIRMED.value, 0) > 0


def surface_quotes(
    document: SurfaceDocument, version: int, chain: OptionChain, previous: SurfaceDocument | None
) -> SurfaceQuotes:
    """Return the quotes of ``chain`` beside ``document``, which was fitted to it.

    ``previous`` is the surface it followed; needed only where it was ``judged_by_previous``. Raises InvalidQuery for a
    document without a slice that has a curve.
    """
    before = surface_of(previous) if previous and judged_by_previous(document) else None
    fitted = fitted_smiles(chain, document.model, before)
    vols = chain_vols(chain, fitted, surface_of(document))
    return SurfaceQuotes(document.underlying, str(version), document.as_of, [_slice(expiry) for expiry in vols])


def _slice(vols: ExpiryVols) -> SliceQuotes:
    return SliceQuotes(
        expiry=iso_utc(vols.expiry_ms),
        forward=None if math.isnan(vols.forward) else vols.forward,
        strike=vols.strike.tolist(),
        type=[_type(is_call) for is_call in vols.is_call.tolist()],
        log_moneyness=vols.k.tolist(),
        bid_vol=_column(vols.bid_vol),
        ask_vol=_column(vols.ask_vol),
        mid_vol=_column(vols.mid_vol),
        model_vol=_column(vols.model_vol),
        used=vols.used.tolist(),
        dropped=[UnusedQuote(each.strike, _type(each.is_call), each.reason) for each in vols.dropped],
    )


def _type(is_call: bool) -> OptionType:
    return "C" if is_call else "P"


def _column(values: FloatArray) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]
