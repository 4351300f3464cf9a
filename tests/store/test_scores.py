"""Scores and promotions on real servers."""

from collections.abc import Iterator

import pytest

from app.service.event import EventKind, Notice
from app.service.ports import CorruptPayload
from app.service.promotion import Promoting, Promotion, UnknownUnderlying
from app.service.score_board import KeptBoard, KeptScores
from app.store.connect import connect_promotions, connect_scores
from app.store.keys import Keys
from app.store.promotions import RedisPromotionDesk
from app.store.scores import RedisScoreKeeper
from tests.servers import RealServer
from tests.store.stored import AS_OF_MS, TIMINGS, OpenStore, claimed

SCORES = Keys().scores("BTC")
SVI = Promoting("svi", Notice(EventKind.PROMOTION, "svi takes over: promoted by the desk", {"model": "svi"}))
ESSVI = Promoting("essvi", Notice(EventKind.PROMOTION, "essvi takes over: promoted by the desk", {"model": "essvi"}))


@pytest.fixture
def keeper(store: OpenStore) -> RedisScoreKeeper:
    return connect_scores(store.url)


@pytest.fixture
def desk(store: OpenStore) -> Iterator[RedisPromotionDesk]:
    desk = connect_promotions(store.url)
    yield desk
    desk.close()


def test_a_board_comes_back_as_it_was_kept(store: OpenStore, keeper: RedisScoreKeeper) -> None:
    assert keeper.read("BTC") == KeptBoard()
    assert keeper.keep("BTC", AS_OF_MS, 0, board=b"board", report=b"{}")
    assert keeper.read("BTC") == KeptBoard(b"board")
    assert store.run(store.api.scores.scores("BTC")) == KeptScores(b"{}", None)
    assert store.run(store.api.scores.scores("ETH")) == KeptScores(None, None)


def test_scores_of_an_older_chain_are_lost_and_nothing_else(keeper: RedisScoreKeeper) -> None:
    assert keeper.keep("BTC", AS_OF_MS, 1, board=b"new", report=b"{}")
    assert not keeper.keep("BTC", AS_OF_MS, 0, board=b"old", report=b"[]")
    assert not keeper.keep("BTC", AS_OF_MS - 1, 9, board=b"old", report=b"[]")
    assert keeper.read("BTC").board == b"new"
    assert keeper.keep("BTC", AS_OF_MS, 1, board=b"again", report=b"{}"), "a repetition is no older"
    assert keeper.read("BTC").board == b"again"


def test_a_challenger_that_was_begun_is_known_until_scores_are_kept(keeper: RedisScoreKeeper) -> None:
    keeper.begin("BTC", "svi")
    assert keeper.read("BTC") == KeptBoard(b"", "svi")
    keeper.keep("BTC", AS_OF_MS, 0, board=b"board", report=b"{}")
    assert keeper.read("BTC").trying is None


def test_damaged_scores_begin_anew_and_are_never_served(
    server: RealServer, store: OpenStore, keeper: RedisScoreKeeper
) -> None:
    store.submit()
    keeper.keep("BTC", AS_OF_MS, 0, board=b"board", report=b"{}")
    assert store.run(store.api.scores.reports()) == {"BTC": b"{}"}
    for field in ("board", "report"):
        sealed = server.run("HGET", SCORES, field)
        server.run("HSET", SCORES, field, sealed[:-1] + bytes([sealed[-1] ^ 1]))
    assert keeper.read("BTC").board == b""
    with pytest.raises(CorruptPayload):
        store.run(store.api.scores.scores("BTC"))
    assert store.run(store.api.scores.reports()) == {}


def test_a_promoted_model_comes_with_every_claim(store: OpenStore, desk: RedisPromotionDesk) -> None:
    store.submit()
    worker = store.worker()
    first = claimed(worker)
    assert first.model == ""
    worker.commit(first, b"{}", outcome="ok", timings=TIMINGS)
    assert desk.promote("BTC", SVI) == Promotion("BTC", "svi", None)
    store.submit(as_of_ms=AS_OF_MS + 1)
    assert claimed(worker).model == "svi"
    assert store.run(store.api.scores.scores("BTC")).promoted == "svi"


def test_a_promotion_is_an_event_and_a_repetition_is_none(store: OpenStore) -> None:
    store.submit()
    promote = store.api.promotions.promote
    assert store.run(promote("BTC", SVI)) == Promotion("BTC", "svi", None)
    assert store.run(promote("BTC", SVI)) == Promotion("BTC", "svi", "svi")
    assert store.run(promote("BTC", ESSVI)) == Promotion("BTC", "essvi", "svi")
    events = store.run(store.api.events.page(before=None, limit=10, kind=EventKind.PROMOTION))
    assert [(e.underlying, e.message, e.values["model"]) for e in events] == [
        ("BTC", ESSVI.event.message, "essvi"),
        ("BTC", SVI.event.message, "svi"),
    ]
    assert store.counts().events["promotion"] == 2


def test_a_contest_promotes_only_instead_of_what_it_saw(store: OpenStore, desk: RedisPromotionDesk) -> None:
    store.submit()
    assert desk.promote("BTC", SVI, instead_of="essvi") is None
    assert desk.promote("BTC", SVI, instead_of="") == Promotion("BTC", "svi", None)
    assert desk.promote("BTC", ESSVI, instead_of="") is None
    assert store.run(store.api.scores.scores("BTC")).promoted == "svi"


def test_an_underlying_nobody_knows_is_not_promoted(store: OpenStore, desk: RedisPromotionDesk) -> None:
    with pytest.raises(UnknownUnderlying, match="'NOBODY'"):
        desk.promote("NOBODY", SVI)
    with pytest.raises(UnknownUnderlying):
        store.run(store.api.promotions.promote("NOBODY", SVI))
    assert store.run(store.api.fleet.status()).underlyings == ()
