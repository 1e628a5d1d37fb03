"""What opening a database asks of the admin, and what a crash leaves."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import URL, Connection, event, make_url
from structlog.testing import capture_logs

from bot.core.effects import CheckCommand, PostResult, PostRoot, Transition
from bot.core.model import Run
from bot.errors import ConfigError, StoreError
from bot.store.database import Database, PostgresqlDatabase, connect
from bot.store.migrations import _LOCK as MIGRATING
from bot.store.migrations import migrate
from bot.store.sql import SqlStore, open_store
from tests.factories import NOW, make_command, make_run
from tests.store.conftest import LEASE

SAVE_AND_WAIT = """
import asyncio, sys
from datetime import timedelta
from bot.core.effects import PostRoot
from bot.store.sql import open_store
from tests.factories import NOW, make_run

async def main():
    async with open_store(sys.argv[1]) as store:
        await store.join(timedelta(minutes=1))
        await store.add_run(make_run(), [PostRoot()], NOW)
        await store.claim_effects(NOW, 1)
        await store.stay(timedelta(0))
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
        await store.join(timedelta(minutes=1))
        assert [saved.effect for saved in await store.take_over(NOW)] == [PostRoot()]


async def test_a_new_sqlite_file_is_readable_by_its_owner_alone(sqlite_url: str) -> None:
    """It holds form tokens and reply URLs; so do the files beside it."""
    async with open_store(sqlite_url) as store:
        await store.add_run(make_run(), [], NOW)
        path = sqlite_url.removeprefix("sqlite:///")
        modes = [os.stat(path + suffix).st_mode & 0o777 for suffix in ("", "-wal", "-shm")]
    assert modes == [0o600, 0o600, 0o600]


async def test_sqlite_keeps_what_it_acknowledged_over_a_power_cut_and_reads_while_it_writes(sqlite_url: str) -> None:
    def settings(connection: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    database = connect(sqlite_url)
    full = 2
    assert await database.read(settings) == await database.write(settings) == ["wal", full, 1]
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


# --- SQLite is for one process at a time -----------------------------------------------------------------------------


async def test_a_second_process_is_told_that_one_is_there(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both may read and migrate it: an admin looks into the database of a bot that runs."""
    monkeypatch.setattr("bot.store.database._SUCCESSION", 0.1)
    async with open_store(sqlite_url) as store, open_store(sqlite_url) as other:
        await store.join(LEASE)
        with pytest.raises(ConfigError, match=r"^DATABASE_URL: another dify-slack-bot is using .* PostgreSQL"):
            await other.join(LEASE)
        assert await other.next_due() is None
        await store.stay(LEASE)


async def test_a_process_waits_for_the_one_before_it_to_drain(sqlite_url: str) -> None:
    async with open_store(sqlite_url) as store, open_store(sqlite_url) as successor:
        await store.join(LEASE)
        with capture_logs() as logged:
            joining = asyncio.create_task(successor.join(LEASE))
            await store.add_run(make_run(), [PostRoot()], NOW)
            [root] = await store.claim_effects(NOW, 10)
        assert not joining.done()
        assert [entry["event"] for entry in logged] == ["waiting for another dify-slack-bot that uses this database"]
        await store.finish_effect(root.row_id)
        await store.leave(NOW)
        await joining
        assert await successor.take_over(NOW) == ()


async def test_a_process_that_is_no_more_lets_the_next_one_in(sqlite_url: str) -> None:
    """However it ended; the lock is its owner's alone."""
    async with open_store(sqlite_url) as store:
        await store.join(LEASE)
        await store.join(LEASE)
    async with open_store(sqlite_url) as successor:
        await successor.join(LEASE)
    assert os.stat(sqlite_url.removeprefix("sqlite:///") + ".lock").st_mode & 0o777 == 0o600


async def test_a_lock_file_that_cannot_be_made_is_a_wrong_setting(sqlite_url: str) -> None:
    async with open_store(sqlite_url) as store:
        os.mkdir(sqlite_url.removeprefix("sqlite:///") + ".lock")
        with pytest.raises(ConfigError, match=r"\.lock cannot be opened: Is a directory$"):
            await store.join(LEASE)


# --- a database that takes nothing -----------------------------------------------------------------------------------


async def test_a_full_database_saves_nothing_and_says_so(sqlite_url: str) -> None:
    """What was saved before stays readable, and work goes on once there is room."""
    database = connect(sqlite_url)
    await migrate(database)
    store = SqlStore(database)
    await store.join(LEASE)
    await store.add_run(make_run(), [PostRoot()], NOW)
    [root] = await store.claim_effects(NOW, 10)
    pages: list[int] = []

    def fill_up(connection: Connection) -> None:
        pages.append(connection.exec_driver_sql("PRAGMA page_count").scalar_one())

    await database.read(fill_up)
    database._engine.dispose()
    event.listen(
        database._engine, "connect", lambda connection, _: connection.execute(f"PRAGMA max_page_count = {pages[0]}")
    )
    much = make_command(text="tea " * 10_000)
    for refused in (
        store.add_effect(CheckCommand(much), NOW, delivery="delivery-1"),
        store.change("run-1", lambda run: Transition(replace(run, query=much.text), (PostResult(),)), NOW),
        store.change("run-1", lambda run: Transition(replace(run, query=much.text)), NOW, done=root.row_id),
    ):
        with pytest.raises(StoreError, match="full"):
            await refused
    assert await store.run("run-1") == make_run()
    await database.close()

    async with open_store(sqlite_url) as reopened:
        await reopened.join(LEASE)
        assert await reopened.take_over(NOW) == (root,)
        assert await reopened.claim_effects(NOW, 10) == ()
        assert await reopened.add_effect(CheckCommand(much), NOW, delivery="delivery-1")


async def test_a_locked_database_saves_nothing_and_says_so(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_store(sqlite_url) as store:
        await store.join(LEASE)
        monkeypatch.setattr("bot.store.database._ACK_SECONDS", 0.05)
        with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(StoreError, match=r"locked|busy"):
                await store.add_effect(CheckCommand(make_command()), NOW, delivery="delivery-1")
            other.execute("ROLLBACK")
        monkeypatch.undo()
        assert await store.add_effect(CheckCommand(make_command()), NOW, delivery="delivery-1")


async def test_a_database_that_only_answers_is_not_healthy(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes no sign of life, so it would take nothing from people either."""
    monkeypatch.setattr("bot.store.database._ACK_SECONDS", 0.05)
    async with open_store(sqlite_url) as store:
        await store.join(LEASE)
        await store.check()
        with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="locked"):
                await store.stay(LEASE)
            assert await store.next_due() is None
            with pytest.raises(StoreError, match="sign of life"):
                await store.check()
            other.execute("ROLLBACK")
        await store.stay(LEASE)
        await store.check()


@pytest.mark.postgres
async def test_a_process_whose_lease_lapsed_is_not_healthy(postgres_url: str) -> None:
    async with open_store(postgres_url) as store:
        await store.join(LEASE)
        await store.check()
        await store.stay(timedelta(0))
        with pytest.raises(StoreError, match="lease"):
            await store.check()


@asynccontextmanager
async def writing(database: Database) -> AsyncIterator[None]:
    """Another piece of work is being written meanwhile; what is written stands in line behind it."""
    begun, may_end = threading.Event(), threading.Event()

    def work(connection: Connection) -> None:
        begun.set()
        assert may_end.wait(60)

    ahead = asyncio.create_task(database.write(work))
    try:
        await asyncio.to_thread(begun.wait)
        yield
    finally:
        may_end.set()
        await ahead


async def test_what_stood_in_line_for_too_long_is_refused_and_not_saved_later(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waited for it has been told by then that it was not saved."""
    async with open_store(sqlite_url) as store:
        async with writing(store._database):
            monkeypatch.setattr("bot.store.database._ACK_SECONDS", 0.0)
            behind = asyncio.create_task(store.add_effect(CheckCommand(make_command()), NOW, delivery="delivery-1"))
            await asyncio.sleep(0)
            monkeypatch.undo()
        with pytest.raises(StoreError, match="busy"):
            await behind
        assert await store.add_effect(CheckCommand(make_command()), NOW, delivery="delivery-1")


async def test_what_nobody_waits_for_may_stand_in_line_for_longer_than_an_ack_may_take(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy machine is no reason to take the database for away."""
    async with open_store(sqlite_url) as store:
        await store.join(LEASE)
        async with writing(store._database):
            monkeypatch.setattr("bot.store.database._ACK_SECONDS", 0.001)
            sign_of_life = asyncio.create_task(store.stay(LEASE))
            await asyncio.sleep(0.002)
        await sign_of_life
        await store.check()


async def test_what_waits_for_an_ack_goes_ahead_in_the_line(sqlite_url: str) -> None:
    database = connect(sqlite_url)
    written: list[str] = []

    def write(name: str, *, before_ack: bool) -> asyncio.Task[None]:
        return asyncio.create_task(database.write(lambda connection: written.append(name), before_ack=before_ack))

    async with writing(database):
        waiting = [
            write("poll", before_ack=False),
            write("click", before_ack=True),
            write("sign of life", before_ack=False),
            write("command", before_ack=True),
        ]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert written == ["click", "command", "poll", "sign of life"]
    await database.close()


async def test_a_write_that_is_given_up_in_line_holds_nobody_up(sqlite_url: str) -> None:
    database = connect(sqlite_url)
    async with writing(database):
        given_up = asyncio.create_task(database.write(lambda connection: pytest.fail("nobody waits for this")))
        await asyncio.sleep(0)
        given_up.cancel()
        behind = asyncio.create_task(database.write(lambda connection: "written"))
        await asyncio.sleep(0)
    assert await behind == "written"
    assert given_up.cancelled()
    await database.close()


@pytest.mark.postgres
async def test_who_waits_for_an_ack_waits_for_no_row_and_nothing_is_saved_later(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else wants the row waits for it."""

    def finish(run: Run) -> Transition:
        return Transition(run, (PostResult(),))

    async with open_store(postgres_url) as store:
        await store.join(LEASE)
        await store.add_run(make_run(), [], NOW)
        other = await asyncpg.connect(postgres_url)
        async with other.transaction():
            await other.execute("SELECT * FROM runs FOR UPDATE")
            background = asyncio.create_task(store.change("run-1", finish, NOW))
            monkeypatch.setattr("bot.store.database._ACK_SECONDS", 0.3)
            with pytest.raises(StoreError, match="does not answer within"):
                await store.change("run-1", finish, NOW, delivery="delivery-1")
            monkeypatch.undo()
            assert not background.done()
        await other.close()
        assert await background is not None
        assert len(await store.claim_effects(NOW, 10)) == 1
        assert await store.change("run-1", finish, NOW, delivery="delivery-1") is not None


@pytest.mark.postgres
async def test_a_migration_waits_for_another_that_takes_long(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.store.database._ANSWER_SECONDS", 0.1)
    other = await asyncpg.connect(postgres_url)
    await other.execute("SELECT pg_advisory_lock($1)", MIGRATING)
    database = connect(postgres_url)
    migrating = asyncio.create_task(migrate(database))
    assert await asyncio.wait({migrating}, timeout=1.0) == (set(), {migrating})
    await other.close()
    await migrating
    await database.close()


class Partition:
    """A way to the database server that can stop carrying anything, without a word."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()

    @asynccontextmanager
    async def before(self, url: URL) -> AsyncIterator[str]:
        """Give the URL of the same database, reached through here."""
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection(url.host, url.port)
            tasks.update(
                {asyncio.create_task(self._carry(reader, back)), asyncio.create_task(self._carry(there, writer))}
            )

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        try:
            port = server.sockets[0].getsockname()[1]
            yield url.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self.open.wait()
            writer.write(data)
            await writer.drain()
        writer.close()


@pytest.mark.postgres
@pytest.mark.parametrize("moment", ["before", "during", "at the end of"])
async def test_a_write_into_a_partition_is_given_up_without_saying_good_bye(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Nothing is read, answered or closed there: the driver alone would wait for 2 s more, for a friendly end."""
    way = Partition()

    def cut_off() -> None:
        way.open.clear()

    def insert(connection: Connection) -> None:
        if moment == "during":
            cut_off()
        connection.exec_driver_sql("INSERT INTO noted VALUES (1)")
        if moment == "at the end of":
            cut_off()

    async with way.before(make_url(postgres_url)) as url:
        database = PostgresqlDatabase(make_url(url))
        await database.write(lambda connection: connection.exec_driver_sql("CREATE TABLE noted (number INTEGER)"))
        monkeypatch.setattr("bot.store.database._ACK_SECONDS", 0.1)
        if moment == "before":
            cut_off()
        with pytest.raises(StoreError, match=r"does not answer within 0\.1 s"):
            await database.write(insert, before_ack=True)
        assert database._under_way, "the driver still waits"
        way.open.set()
        noted = await database.read(lambda connection: connection.exec_driver_sql("SELECT * FROM noted").all())
        # Of a commit that was sent, only the database knows whether it got there.
        assert noted == [] or moment == "at the end of"
        await database.close()


@pytest.mark.postgres
async def test_a_database_that_is_out_of_reach_is_given_up_and_found_again(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that nobody closes would else be waited for until the machine gives it up: a quarter of an hour."""
    way = Partition()
    async with way.before(make_url(postgres_url)) as url, open_store(url) as store:
        await store.join(LEASE)
        monkeypatch.setattr("bot.store.database._ANSWER_SECONDS", 0.2)
        way.open.clear()
        for unanswered in (store.next_due(), store.stay(LEASE), store.next_due()):
            with pytest.raises(StoreError, match="does not answer"):
                await unanswered
        monkeypatch.undo()
        way.open.set()
        await store.stay(LEASE)
        assert await store.next_due() is None
