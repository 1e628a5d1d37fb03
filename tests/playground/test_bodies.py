"""Bytes that are made, sent and kept without being held in memory."""

from __future__ import annotations

import hashlib
import tracemalloc

import pytest

from bot.playground.bodies import Received, Repeated, body_of, whole

MB = 1024 * 1024


def received(content: bytes, piece: int) -> Received:
    """Bytes that came in pieces of so many."""
    body = Received()
    for start in range(0, len(content), piece):
        body.write(content[start : start + piece])
    return body


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 70_000, 200_001])
def test_a_pattern_is_repeated_up_to_the_last_byte(size: int) -> None:
    body = body_of((size, b"0123456789"))
    expected = (b"0123456789" * 20_001)[:size]
    assert (body.size, whole(body)) == (size, expected)
    assert body.sha256 == hashlib.sha256(expected).hexdigest()


@pytest.mark.parametrize("content", [b"", b"a", b"Gr\xc3\xb6\xc3\x9fe" * 40_000])
def test_given_bytes_are_themselves(content: bytes) -> None:
    body = body_of(content)
    assert (body.size, whole(body), body.sha256) == (len(content), content, hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("size", [0, 5, MB, MB + 1, 3 * MB])
def test_what_is_received_is_given_back(size: int) -> None:
    content = (b"abcdefg" * (size // 7 + 1))[:size]
    body = received(content, 100_000)
    assert (body.size, body.sha256) == (size, hashlib.sha256(content).hexdigest())
    assert whole(body) == content
    body.close()
    assert body.sha256 == hashlib.sha256(content).hexdigest()


def test_two_readers_do_not_disturb_each_other() -> None:
    body = received(b"ab" * MB, 100_000)
    pairs = zip(body.chunks(), body.chunks(), strict=True)
    assert all(one == other for one, other in pairs)
    body.close()


def test_neither_kind_holds_a_big_file_in_memory() -> None:
    tracemalloc.start()
    body = Received()
    for chunk in Repeated(50 * MB, b"video").chunks():
        body.write(chunk)
    assert body.sha256 == Repeated(50 * MB, b"video").sha256
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    body.close()
    assert peak < 4 * MB
