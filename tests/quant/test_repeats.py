"""A chain sent again: known by its last digit, forgotten after a while, and never mistaken for a quiet market."""

from dataclasses import replace

import numpy as np

from app.quant.calibration import SurfaceStatus
from app.quant.chain import OptionChain
from app.quant.maintenance import maintain_surface
from app.quant.repeats import REMEMBERED, ChainMemory, digests_of, repeated_share
from tests.quant.market import maintained_series, recorded_chains

AT = 11


def remembered(*chains: OptionChain) -> ChainMemory:
    memory = ChainMemory()
    for chain in chains:
        memory = memory.after(digests_of(chain), chain.as_of_ms)
    return memory


def share(chain: OptionChain, memory: ChainMemory) -> float:
    return repeated_share(chain, digests_of(chain), memory)


def test_a_chain_that_comes_again_is_known_and_one_that_stays_is_not() -> None:
    first, second, third = recorded_chains("BTC", 3)
    assert share(first, ChainMemory()) == 0.0
    assert share(first, remembered(first)) == 0.0, "nothing changed: no news"
    assert share(third, remembered(first, second)) == 0.0
    assert share(first, remembered(first, second)) == 1.0
    restamped = replace(first, as_of_ms=third.as_of_ms, sequence=9)
    assert share(restamped, remembered(first, second)) == 1.0
    half = replace(third, expiries=first.expiries[:4] + third.expiries[4:])
    quotes = [int(((e.bid > 0.0) & (e.ask > 0.0)).sum()) for e in half.expiries]
    assert share(half, remembered(first, second)) == sum(quotes[:4]) / sum(quotes)


def test_one_price_or_size_makes_another_expiry() -> None:
    chain = recorded_chains("BTC", 1)[0]
    quotes = chain.expiries[0]
    for column in ("bid", "ask", "bid_size", "ask_size", "strike"):
        changed = getattr(quotes, column).copy()
        changed[3] = np.nextafter(changed[3], 1e9) if np.isfinite(changed[3]) else 1.0
        other = replace(chain, expiries=(replace(quotes, **{column: changed}), *chain.expiries[1:]))
        same = [a == b for a, b in zip(digests_of(chain), digests_of(other), strict=True)]
        assert same == [False] + [True] * (len(same) - 1), column


def test_only_the_last_hour_is_remembered() -> None:
    chains = recorded_chains("BTC")
    memory = remembered(*chains[: REMEMBERED + 1])
    assert len(memory.chains) == REMEMBERED
    assert share(chains[0], memory) == 0.0
    assert share(chains[1], memory) == 1.0
    assert memory.after(digests_of(chains[REMEMBERED]), chains[REMEMBERED + 1].as_of_ms) is memory


def test_a_feed_that_stands_still_under_fresh_stamps_is_degraded_after_ten_minutes() -> None:
    before, chain = maintained_series("BTC")[AT], recorded_chains("BTC")[AT]
    verdicts = []
    for minutes in (4, 8, 12, 16):
        lag = minutes * 60_000
        still = tuple(replace(e, timestamp_ms=e.timestamp_ms + lag) for e in chain.expiries)
        before = maintain_surface(
            replace(chain, as_of_ms=chain.as_of_ms + lag, expiries=still),
            previous=before.fit.surface,
            state=before.state,
        )
        verdicts.append((before.fit.status.value, before.fit.reason))
    frozen = "frozen: seconds since any quote changed is {}, more than 600"
    assert verdicts == [("ok", None), ("ok", None), ("degraded", frozen.format(720)), ("degraded", frozen.format(960))]
    after = maintain_surface(recorded_chains("BTC")[AT + 4], previous=before.fit.surface, state=before.state)
    assert after.fit.status is SurfaceStatus.OK


def test_no_recorded_market_repeats_itself() -> None:
    for underlying in ("BTC", "ETH"):
        chains = recorded_chains(underlying)
        for i in range(1, len(chains)):
            assert share(chains[i], remembered(*chains[max(0, i - REMEMBERED) : i])) < 0.05, (underlying, i)


def test_a_replayed_chain_is_rejected_by_name_and_the_next_true_one_passes() -> None:
    before, chains = maintained_series("BTC")[AT], recorded_chains("BTC")
    old = chains[AT - 5]
    lag = chains[AT + 1].as_of_ms - old.as_of_ms
    restamped = replace(
        chains[AT + 1],
        expiries=tuple(replace(e, timestamp_ms=e.timestamp_ms + lag) for e in old.expiries),
        futures=old.futures,
    )
    again = maintain_surface(restamped, previous=before.fit.surface, state=before.state)
    assert again.fit.status is SurfaceStatus.REJECTED
    assert again.fit.reason == "repeated: share of quotes of an earlier chain is 1, more than 0.1"
    assert again.state.memory == before.state.memory
    after = maintain_surface(chains[AT + 2], previous=before.fit.surface, state=again.state)
    assert after.fit.status is SurfaceStatus.OK
