"""Keys of callers on real servers: found by the API as the operator made them, and no longer once revoked."""

import pytest

from app.service.access_key import Scope, issue, recognised
from app.service.ports import CorruptPayload
from app.store.connect import connect_access_keys
from app.store.keys import Keys
from tests.servers import RealServer
from tests.store.stored import OpenStore, opened


def test_a_key_made_is_found_until_it_is_revoked(server: RealServer, store: OpenStore) -> None:
    cabinet = connect_access_keys(store.url)
    text, key = issue("desk 7", [Scope.READ, Scope.INGEST], {"BTC", "ETH"}, now_ms=17)
    _, other = issue("all", [Scope.ADMIN], None, now_ms=16)
    for each in (key, other):
        cabinet.add(each)
    assert cabinet.kept() == [other, key]
    found = store.run(store.api.key_ring.keys())
    assert recognised(found, text) == key
    assert text.encode() not in str(server.run("HGETALL", Keys().access_keys())).encode()
    assert cabinet.revoke(key.key_id)
    assert not cabinet.revoke(key.key_id)
    assert recognised(store.run(store.api.key_ring.keys()), text) is None
    cabinet.close()


def test_a_damaged_record_lets_nobody_in(valkey: RealServer) -> None:
    valkey.run("HSET", Keys().access_keys(), "1", "{}")
    with opened(valkey.url) as store, pytest.raises(CorruptPayload):
        store.run(store.api.key_ring.keys())
