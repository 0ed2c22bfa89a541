"""API keys, and how often a client may ask."""

import pytest

from seq2seq.serve.limits import _MOST_CLIENTS, Keys, RateLimit


def test_without_keys_all_may_ask() -> None:
    assert "" in Keys([])
    assert "anything" in Keys([])
    assert not Keys([]).required


def test_only_known_keys_may_ask() -> None:
    keys = Keys(["secret", "ключ"])
    assert keys.required
    assert "secret" in keys
    assert "ключ" in keys
    assert not [key for key in ("", "secre", "secret ", "\ud800") if key in keys]


def test_a_bucket_fills_evenly() -> None:
    now = [0.0]
    limit = RateLimit(6, lambda: now[0])
    assert [limit.wait("a") for _ in range(6)] == [0.0] * 6
    assert limit.wait("a") == 10.0
    assert limit.wait("b") == 0.0
    now[0] = 9.5
    assert limit.wait("a") == pytest.approx(0.5)
    now[0] = 10.1
    assert limit.wait("a") == 0.0
    assert limit.wait("a") > 9
    now[0] = 1e6
    assert [limit.wait("a") > 0 for _ in range(7)] == [False] * 6 + [True]


def test_a_limit_below_one_lets_one_through_now_and_then() -> None:
    now = [0.0]
    limit = RateLimit(0.5, lambda: now[0])
    assert [limit.wait("a"), limit.wait("a")] == [0.0, 120.0]
    now[0] = 120.0
    assert limit.wait("a") == 0.0


def test_no_limit_lets_all_through() -> None:
    assert RateLimit(None).wait("a") == 0


def test_quiet_clients_are_forgotten() -> None:
    limit = RateLimit(1, lambda: 0.0)
    for client in range(_MOST_CLIENTS + 1):
        limit.wait(str(client))
    assert limit.wait("0") == 0
    assert limit.wait(str(_MOST_CLIENTS)) > 0
