"""Starting the bot: what is wrong with the settings is said in one sentence, without any traceback."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from bot.playground.bot_process import free_port
from bot.playground.slack import SlackServer, Workspace
from bot.playground.stage import HOST
from tests.acceptance.conftest import apps, open_stage

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

RIGHT = {
    "SLACK_BOT_TOKEN": "xoxb-demo",
    "SLACK_APP_TOKEN": "xapp-demo",
    "DIFY_API_KEY": "app-demo-quick",
    "DATABASE_URL": "sqlite:///bot.sqlite3",
}


@dataclass(frozen=True)
class Ended:
    """How the command ended."""

    code: int | None
    out: str
    err: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def slack_api_url() -> AsyncIterator[str]:
    """A workspace that knows the right tokens."""
    async with SlackServer(Workspace(people=["ann"], channels={})) as server:
        yield server.api_url


async def run_bot(folder: Path, environment: Mapping[str, str], *arguments: str) -> Ended:
    """Run `python -m bot …` to its end, in a folder of its own."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", *arguments),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            out, err = await child.communicate()
    except TimeoutError:
        child.kill()
        await child.wait()
        raise
    return Ended(child.returncode, out.decode(), err.decode())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        pytest.param({"SLACK_BOT_TOKEN": ""}, "SLACK_BOT_TOKEN", id="no bot token"),
        pytest.param({"SLACK_BOT_TOKEN": "xoxb-revoked"}, "SLACK_BOT_TOKEN", id="bot token Slack does not know"),
        pytest.param({"SLACK_APP_TOKEN": ""}, "SLACK_SIGNING_SECRET", id="neither transport"),
        pytest.param({"SLACK_APP_TOKEN": "xapp-revoked"}, "SLACK_APP_TOKEN", id="app token Slack does not know"),
        pytest.param({"DIFY_API_KEY": ""}, "DIFY_API_KEY", id="no Dify app"),
        pytest.param({"PORT": "eighty"}, "PORT", id="port that is no number"),
        pytest.param({"DATABASE_URL": "mysql://somewhere"}, "DATABASE_URL", id="unknown database"),
    ],
)
async def test_wrong_setting_ends_the_start(
    tmp_path: Path, slack_api_url: str, changes: dict[str, str], named: str
) -> None:
    """Exit code 2, and one sentence that names the variable and repeats no token."""
    ended = await run_bot(tmp_path, RIGHT | {"SLACK_API_URL": slack_api_url} | changes, "run")
    assert ended.code == 2, ended.err
    assert ended.out == ""
    assert ended.err.startswith("dify-slack-bot: ")
    assert len(ended.err.splitlines()) == 1
    assert named in ended.err
    assert not any(token in ended.err for token in ("xoxb-demo", "xapp-demo", "xoxb-revoked", "xapp-revoked"))


async def test_port_in_use_ends_the_start(tmp_path: Path, slack_api_url: str) -> None:
    """Over HTTP the address is part of the settings."""
    server = await asyncio.start_server(lambda reader, writer: None, HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        over_http = {"SLACK_APP_TOKEN": "", "SLACK_SIGNING_SECRET": "demo-signing-secret"}
        here = {"SLACK_API_URL": slack_api_url, "HOST": HOST, "PORT": str(port)}
        ended = await run_bot(tmp_path, RIGHT | over_http | here, "run")
    assert ended.code == 2
    assert f"PORT {port}" in ended.err
    assert len(ended.err.splitlines()) == 1


async def test_slack_out_of_reach_ends_the_start(tmp_path: Path) -> None:
    """That is no setting's fault as far as the bot can tell: exit code 1, and still one sentence."""
    nowhere = f"http://{HOST}:{free_port(HOST)}/api/"
    ended = await run_bot(tmp_path, RIGHT | {"SLACK_API_URL": nowhere}, "run")
    assert ended.code == 1
    assert len(ended.err.splitlines()) == 1
    assert nowhere in ended.err


async def test_requests_with_another_signature_are_refused(tmp_path: Path) -> None:
    """Whoever does not know the signing secret gets 401, and nothing happens."""
    async with open_stage("http", tmp_path, apps()) as stage:
        stage.workspace.signing_secret = "another-secret"
        refused = await stage.workspace.person("ann").command("content", "/dify quick")
        assert not refused.acked
        with pytest.raises(RuntimeError, match="HTTP 401"):
            await stage.slack.deliver_over_http(stage.workspace.courier.transport.url)  # type: ignore[attr-defined]
        # The bot reads its apps at the start.
        assert {request.path for request in stage.dify.requests} <= {"/v1/info", "/v1/parameters"}


async def test_help_names_the_commands(tmp_path: Path) -> None:
    """It needs no settings."""
    ended = await run_bot(tmp_path, {}, "--help")
    assert ended.code == 0
    assert all(command in ended.out for command in ("run", "demo", "migrate", "manifest"))


async def test_migrate_needs_only_the_database(tmp_path: Path) -> None:
    """It can be run before anything else is set, and twice."""
    database = {"DATABASE_URL": "sqlite:///bot.sqlite3"}
    first, second = [await run_bot(tmp_path, database, "migrate") for _ in range(2)]
    assert first.code == second.code == 0, first.err + second.err
    assert "bot.sqlite3" in os.listdir(tmp_path)
