"""What opening a database asks of the admin, and what a crash leaves."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection

from bot.core.effects import PostRoot
from bot.errors import ConfigError, StoreError
from bot.store.database import connect
from bot.store.sql import open_store
from tests.factories import NOW, make_run

SAVE_AND_WAIT = """
import asyncio, sys
from bot.core.effects import PostRoot
from bot.store.sql import open_store
from tests.factories import NOW, make_run

async def main():
    async with open_store(sys.argv[1]) as store:
        await store.add_run(make_run(), [PostRoot()], NOW)
        await store.claim_effects(NOW, 1)
        print("saved", flush=True)
        sys.stdin.read()

asyncio.run(main())
"""


async def test_what_was_saved_is_there_after_a_kill(database_url: str) -> None:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SAVE_AND_WAIT, database_url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert await child.stdout.readline() == b"saved\n"
    child.kill()
    await child.communicate()
    async with open_store(database_url) as store:
        assert await store.run("run-1") == make_run()
        assert [saved.effect for saved in await store.interrupted_effects()] == [PostRoot()]


async def test_a_new_sqlite_file_is_readable_by_its_owner_alone(sqlite_url: str) -> None:
    """It holds form tokens and reply URLs; so do the files beside it."""
    async with open_store(sqlite_url) as store:
        await store.add_run(make_run(), [], NOW)
        path = sqlite_url.removeprefix("sqlite:///")
        modes = [os.stat(path + suffix).st_mode & 0o777 for suffix in ("", "-wal", "-shm")]
    assert modes == [0o600, 0o600, 0o600]


async def test_sqlite_keeps_what_it_acknowledged_over_a_power_cut_and_reads_while_it_writes(sqlite_url: str) -> None:
    def settings(connection: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    database = connect(sqlite_url)
    full = 2
    assert await database.read(settings) == await database.write(settings) == ["wal", full, 1, 30_000]
    await database.close()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nonsense", "not a database URL"),
        ("mysql://db.example/bot", "sqlite or postgresql"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////nowhere/at/all/bot.sqlite3", "cannot be opened: No such file or directory"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_in_one_sentence(url: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as refusal:
        connect(url)
    assert str(refusal.value).startswith("DATABASE_URL")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_without_the_driver_of_postgresql_the_admin_is_told_what_to_install(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(ConfigError, match=r"pip install 'dify-slack-bot\[postgres\]'"):
        connect(f"{scheme}://bot@db.example/bot")


@pytest.mark.postgres
@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
async def test_postgresql_is_opened_by_the_urls_that_hosts_hand_out(postgres_url: str, scheme: str) -> None:
    async with open_store(f"{scheme}://{postgres_url.partition('://')[2]}?sslmode=disable") as store:
        assert await store.next_due() is None


async def test_a_server_that_cannot_be_reached_is_a_store_error() -> None:
    silent = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    silent.close()
    await silent.wait_closed()
    with pytest.raises(StoreError, match="cannot be reached"):
        async with open_store(f"postgresql://bot:hush@127.0.0.1:{port}/bot"):
            pass


@pytest.mark.postgres
async def test_a_server_that_refuses_the_login_is_a_store_error(postgres_url: str) -> None:
    with pytest.raises(StoreError):
        async with open_store(postgres_url + "_of_nobody"):
            pass


async def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, and longer than the header of one: " * 20)
    with pytest.raises(StoreError, match="not a database"):
        async with open_store(f"sqlite:///{tmp_path / 'notes.txt'}"):
            pass
