"""The simulated Dify server answers the recorded requests as the real server did.

Compared are status, headers, content type, the sequence of events, the shape of every body and event (keys and JSON types,
recursively), and the values that tell something (texts, messages, statuses, codes); ids, times and addresses differ.
"""

import pytest

from bot.playground.dify import Dify, DifyServer
from tests.playground.dify.recorded_apps import recorded_apps
from tests.playground.dify.replay import Replay, Step, load


async def expire(dify: Dify) -> None:
    await dify.expire(dify.open_forms()[0])


async def expire_before_the_check(dify: Dify) -> None:
    await dify.expire(dify.open_forms()[0], sweep=False)


async def check(dify: Dify) -> None:
    dify.sweep()


async def reach_the_global_limit(dify: Dify) -> None:
    await dify.expire_globally(dify.open_forms()[-1])


# What was done to the real server itself, by recording and by the exchange after whose start it was done.
STEPS: dict[str, dict[int, Step]] = {
    "14": {2: expire_before_the_check, 6: check, 12: expire, 15: expire, 20: reach_the_global_limit},
    "47": {1: expire, 6: reach_the_global_limit},
    "48": {3: reach_the_global_limit},
}

# Exchanges that are not replayed, by recording.
LEFT_OUT: dict[str, dict[int, str]] = {}

SPEED = 20.0
NAMES = "01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 19 20 21 25 27 29 31 33 34 35 37 40 41 42 43 44 45 46 47 48".split()


@pytest.mark.parametrize("name", NAMES)
async def test_replay(name: str) -> None:
    dify = Dify(recorded_apps(), speed={"20": 200, "27": 200}.get(name, SPEED))
    async with DifyServer(dify) as server:
        replay = Replay(
            load(name, LEFT_OUT.get(name, {})),
            dify,
            server,
            steps=STEPS.get(name, {}),
            longest_pause=700.0 if name == "27" else 5.0,
            ids={},
        )
        await replay.play()
    assert not replay.differences, "\n".join(replay.differences)
