"""The composition root: every part is made here, handed what it needs, and closed in the opposite order."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx
import structlog
from aiohttp import ClientError
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot import listeners, transports
from bot.core.ports import Alarm, Clock, Dify, Slack, Store
from bot.dify.client import DifyClient
from bot.dify.stream_thread import StreamThread
from bot.errors import (
    ConfigError,
    DifyError,
    DifyUnauthorized,
    DifyUnavailable,
    LeaseLost,
    SlackUnavailable,
    StoreError,
)
from bot.services.commands import CommandDesk
from bot.services.conversations import ConversationDesk
from bot.services.descriptions import Descriptions
from bot.services.due import DueWork
from bot.services.file_carrier import FileCarrier
from bot.services.form_files import FormFileDesk
from bot.services.forms import DecisionDesk
from bot.services.homes import HomeDesk
from bot.services.limits import ServerLimits
from bot.services.message_files import MessageFiles
from bot.services.outbox import Outbox
from bot.services.reconcile import Reconciler
from bot.services.recorder import Recorder, arm_alarm
from bot.services.starts import StartDesk
from bot.services.streams import StreamSupervisor
from bot.services.windows import WindowDesk
from bot.settings import HOW_TO, Settings, Transport
from bot.slack.delivery.failures import slack_error
from bot.slack.gateway import SlackGateway
from bot.store.sql import open_store
from bot.timers import AlarmClock

log = structlog.get_logger(__name__)

DRAIN = 8.0
"""Seconds that effects under way get to finish after SIGTERM."""

LEAVE = 1.5
"""Seconds that Slack then gets for the progress under way, and the database to free what is left for others."""

NEXT_LOOK = 2.0
"""Seconds between two looks at what other processes have saved for this one: nothing here rings for that."""

BEATS_PER_LEASE = 3
"""A lease is renewed so often that two signs of life may fail."""

CAUGHT_UP = timedelta(minutes=10)
"""Within this time each run that waits is looked at after nobody was at work."""

LONGEST_WAIT = timedelta(minutes=70)
"""Nothing but a reminder, which is bound to a deadline, is ever put off for longer."""

PUT_BACK = 5.0
"""Seconds by which a clock that was put back is told from one that is set a little all the time."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        return datetime.now(UTC)


async def migrate(database_url: str) -> None:
    """Bring the database to the present schema.

    Raises:
        ConfigError: the URL is not usable, or the database cannot be reached or refuses.
    """
    async with AsyncExitStack() as stack:
        await _store(database_url, stack)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run the bot until `stop` is set, then drain.

    Raises:
        ConfigError: a setting is wrong in a way that only Slack, the database or the network could tell.
        SlackUnavailable: Slack cannot be reached.
    """
    async with AsyncExitStack() as stack:
        store = await _store(settings.database_url, stack)
        client = _web_client(settings)
        identity = await _identity(client)
        ringing = asyncio.Event()
        alarm = AlarmClock(ringing.set)
        parts = await assemble(settings, store, client, stack, SystemClock(), alarm)
        app = bolt_app(settings, client, identity, parts)
        alarm.start()
        stack.callback(alarm.stop)
        workers = await stack.enter_async_context(at_work(parts, ringing))
        await stack.enter_async_context(_open_to_slack(settings, app, client, store))
        checks = asyncio.create_task(_check_apps(settings, parts.dify_of), name="check of the apps")
        stack.callback(checks.cancel)
        log.info("ready", transport=settings.transport.value, apps=sorted(settings.apps), team=identity.team_id)
        await _until(stop, workers)
        log.info("stopping")


async def _store(database_url: str, stack: AsyncExitStack) -> Store:
    try:
        return await stack.enter_async_context(open_store(database_url))
    except StoreError as exc:
        raise ConfigError(
            f"DATABASE_URL names a database that cannot be used ({exc}): {HOW_TO['database_url']}."
        ) from exc


async def _check_apps(settings: Settings, dify_of: Callable[[str], Dify]) -> None:
    """Warn of apps that cannot be started as things are; Dify may come up later, so the bot runs all the same."""
    for name, app in settings.apps.items():
        try:
            await dify_of(name).describe()
        except DifyUnauthorized:
            log.warning("Dify refuses the key of an app", app=name, mend=HOW_TO["dify_api_key"])
        except DifyError as exc:
            at = str(app.base_url)
            log.warning("an app cannot be read", app=name, at=at, error=str(exc), mend=HOW_TO["dify_base_url"])


@dataclass(frozen=True, slots=True)
class Parts:
    """The bot without its ways to the outside: what takes things in, and what carries them out."""

    store: Store
    slack: Slack
    dify_of: Callable[[str], Dify]
    recorder: Recorder
    outbox: Outbox
    reconciler: Reconciler
    due: DueWork
    streams: StreamSupervisor
    commands: CommandDesk
    starts: StartDesk
    decisions: DecisionDesk
    windows: WindowDesk
    conversations: ConversationDesk
    files: FormFileDesk
    homes: HomeDesk
    clock: Clock
    alarm: Alarm
    lease: timedelta
    """After so long without a sign of life another process takes over."""


async def assemble(
    settings: Settings, store: Store, client: AsyncWebClient, stack: AsyncExitStack, clock: Clock, alarm: Alarm
) -> Parts:
    """Make the parts; `stack` closes what they hold open."""
    recorder = Recorder(store, clock, timedelta(seconds=settings.poll_interval), settings.reminder_policy)
    recorder.watch(arm_alarm(alarm))
    gateway = SlackGateway(client, settings.slack_rate_factor, clock.now, store.holds_lease, shared=store.shared)
    slack = await stack.enter_async_context(gateway)
    dify_of = await _dify_clients(settings, stack)
    limits = _limits(settings)
    streams = StreamSupervisor(store, dify_of, limits, slack, recorder)
    max_execution = timedelta(minutes=settings.dify_max_execution_minutes)
    reconciler = Reconciler(store, dify_of, limits, recorder, streams, clock, max_execution)
    streams.on_lost_sight(reconciler.look_at)
    outbox: Outbox
    descriptions = Descriptions(dify_of, limits, clock)
    stack.push_async_callback(descriptions.close)
    commands = CommandDesk(store, descriptions, clock, lambda: outbox.wake())
    starts = StartDesk(store, slack, descriptions, clock, lambda: outbox.wake(), _new_id)
    outbox = Outbox(
        store=store,
        slack=slack,
        dify_of=dify_of,
        recorder=recorder,
        streams=streams,
        commands=commands,
        files=FileCarrier(slack, dify_of, descriptions),
        clock=clock,
        alarm=alarm,
    )
    recorder.watch(lambda transition: outbox.wake() if transition.effects else None)
    decisions = DecisionDesk(store, recorder)
    windows = WindowDesk(store, slack, recorder, reconciler.look_at, descriptions.file_limits, _new_id)
    recorder.watch(windows.watch)
    recorder.ask_who_looks(windows.looking)
    message_files = MessageFiles(slack, descriptions)
    conversations = ConversationDesk(
        store,
        recorder,
        message_files,
        clock,
        _new_id,
        settings.only_mentions,
        lambda: outbox.wake(),
    )
    files = FormFileDesk(store, slack, recorder, descriptions, message_files, _new_id, settings.only_mentions)
    homes = HomeDesk(store, slack, starts, clock, settings.slack_command, descriptions.app_names)
    stack.push_async_callback(homes.close)
    recorder.watch(homes.watch)
    due = DueWork(store, reconciler, recorder, clock, timedelta(days=settings.retention_days))
    lease = timedelta(seconds=settings.lease_seconds)
    return Parts(
        store,
        slack,
        dify_of,
        recorder,
        outbox,
        reconciler,
        due,
        streams,
        commands,
        starts,
        decisions,
        windows,
        conversations,
        files,
        homes,
        clock,
        alarm,
        lease,
    )


def _new_id() -> str:
    return secrets.token_hex(8)


async def _dify_clients(settings: Settings, stack: AsyncExitStack) -> Callable[[str], Dify]:
    # Building a TLS context costs more than a connection; every client shares one.
    tls = httpx.create_ssl_context()
    thread = await stack.enter_async_context(StreamThread())
    clients: dict[str, Dify] = {}
    for name, app in settings.apps.items():
        client = DifyClient(
            str(app.base_url),
            app.api_key.get_secret_value(),
            files_url=None if app.files_url is None else str(app.files_url),
            ssl_context=tls,
            carry=thread.carry,
        )
        clients[name] = await stack.enter_async_context(client)

    def dify_of(app: str) -> Dify:
        if app not in clients:
            # Its runs wait for it to come back: leaving an app out by mistake must not end them.
            raise DifyUnavailable(f"the app “{app}” is not configured any more", sent=False)
        return clients[app]

    return dify_of


def _limits(settings: Settings) -> dict[str, ServerLimits]:
    """Give the apps of one server the same limits."""
    of_server: dict[tuple[str | None, int | None], ServerLimits] = {}
    return {
        name: of_server.setdefault((app.base_url.host, app.base_url.port), ServerLimits(settings.dify_max_streams))
        for name, app in settings.apps.items()
    }


@asynccontextmanager
async def at_work(parts: Parts, ringing: asyncio.Event) -> AsyncIterator[frozenset[asyncio.Task[None]]]:
    """Take part in the work: the outbox, and what is due whenever the alarm, or the beat, sets `ringing`.

    Gives the tasks that do so and never end by themselves. At the end nothing is left half done.

    Raises:
        ConfigError: the database is for one process at a time, and another one has it.
        StoreError: the database refused or could not be reached.
    """
    await parts.store.join(parts.lease)
    await _catch_up(parts)
    draining = asyncio.Event()
    beat = asyncio.create_task(_beat(parts, ringing, draining), name="beat")
    try:
        await parts.outbox.recover()
        work = {"outbox": parts.outbox.run(), "alarm": _answer_alarm(parts, ringing)}
        if parts.store.shared:
            work["looks"] = _look_again_and_again(parts)
        workers = frozenset(asyncio.create_task(each, name=name) for name, each in work.items())
        ringing.set()
        try:
            yield workers | {beat}
        finally:
            draining.set()
            await _cancelled(*workers)
            await parts.outbox.drain(DRAIN)
            # Before the looks, since a stream that ends asks for one.
            await parts.streams.close()
            await parts.reconciler.close()
            await parts.windows.close()
            await _forget(parts)
    finally:
        await _cancelled(beat)
        await _leave(parts)


async def _look_again_and_again(parts: Parts) -> None:
    while True:
        await asyncio.sleep(NEXT_LOOK)
        parts.outbox.wake()


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _forget(parts: Parts) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(LEAVE):
            await parts.slack.forget()


async def _leave(parts: Parts) -> None:
    try:
        async with asyncio.timeout(LEAVE):
            await parts.store.leave(parts.clock.now())
    except (StoreError, TimeoutError):
        log.exception("the database is away; what is left here is free when the lease lapses")


async def _beat(parts: Parts, ringing: asyncio.Event, draining: asyncio.Event) -> None:
    """Give signs of life, and look for work that others left and for moments that were missed.

    Goes by a clock that nobody sets: the alarm's may jump, and other processes do not ring it.
    """
    ahead = _ahead(parts)
    while True:
        await asyncio.sleep(parts.lease.total_seconds() / BEATS_PER_LEASE)
        try:
            await _stay(parts)
            if _ahead(parts) < ahead - PUT_BACK:
                await _catch_up(parts)
            ahead = _ahead(parts)
            if not draining.is_set():
                await parts.outbox.recover()
        except StoreError:
            log.exception("the database is away")
        ringing.set()


async def _stay(parts: Parts) -> None:
    """Renew the lease. Where it is lost, all that was under way here is in other hands: begin anew."""
    try:
        await parts.store.stay(parts.lease)
    except LeaseLost:
        log.error("lease lost: other processes have taken over the work of this one, which begins anew")
        await parts.outbox.drain(0)
        await parts.streams.close()
        await _forget(parts)
        await parts.store.join(parts.lease)
        await _catch_up(parts)


async def _catch_up(parts: Parts) -> None:
    await parts.store.catch_up(parts.clock.now(), CAUGHT_UP, LONGEST_WAIT)


def _ahead(parts: Parts) -> float:
    """Return by how many seconds the clock that people set is ahead of the one that nobody sets."""
    return parts.clock.now().timestamp() - time.monotonic()


async def _until(stop: asyncio.Event, workers: frozenset[asyncio.Task[None]]) -> None:
    """Wait until `stop` is set; a worker that dies of a mistake of ours takes the bot with it, to be started anew."""
    stopped = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({stopped, *workers}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        stopped.cancel()


async def _answer_alarm(parts: Parts, ringing: asyncio.Event) -> None:
    """Do what is due, then set the alarm for what is due next."""
    while True:
        await ringing.wait()
        ringing.clear()
        try:
            # First, since what fails of the rest must not hold up what is tried again.
            parts.outbox.wake()
            await parts.due.do()
            next_due = await parts.store.next_due()
        except StoreError:
            log.exception("the database is away")
            next_due = parts.clock.now() + timedelta(seconds=5)
        if next_due is not None:
            # A look that is under way moves its own due moment; do not spin meanwhile.
            parts.alarm.arm(max(next_due, parts.clock.now() + timedelta(milliseconds=500)))


# --- Slack ---------------------------------------------------------------------------------------------------------


def _web_client(settings: Settings) -> AsyncWebClient:
    base_url = str(settings.slack_api_url)
    return AsyncWebClient(
        token=settings.slack_bot_token.get_secret_value(),
        base_url=base_url if base_url.endswith("/") else f"{base_url}/",
    )


async def _identity(client: AsyncWebClient) -> AuthorizeResult:
    """Ask Slack whose token this is, once: Bolt would ask with every request of a payload."""
    try:
        answer = await client.auth_test()
    except (SlackApiError, ClientError, TimeoutError) as exc:
        error = slack_error(exc)
        if isinstance(error, SlackUnavailable):
            raise SlackUnavailable(f"Slack cannot be reached at {client.base_url}: {error}", sent=False) from exc
        raise ConfigError(f"SLACK_BOT_TOKEN is refused by Slack ({error.code}): {HOW_TO['slack_bot_token']}.") from exc
    return AuthorizeResult(
        enterprise_id=answer.get("enterprise_id"),
        team_id=answer["team_id"],
        bot_id=answer["bot_id"],
        bot_user_id=answer["user_id"],
        bot_token=client.token,
    )


def bolt_app(settings: Settings, client: AsyncWebClient, identity: AuthorizeResult, parts: Parts) -> AsyncApp:
    """Return the app that takes in what people do, as the bot that `identity` names."""

    async def authorize() -> AuthorizeResult:
        return identity

    secret = settings.slack_signing_secret.get_secret_value() if settings.slack_signing_secret else ""
    app = AsyncApp(
        client=client,
        authorize=authorize,
        signing_secret=secret,
        # Otherwise each of Bolt's loggers takes the root's level, whatever `logs` says.
        logger=logging.getLogger("slack_bolt"),
        # A payload that no listener takes must still be acked, or Slack sends it three times more (§9.1).
        raise_error_for_unhandled_request=True,
    )
    listeners.register(
        app,
        settings.slack_command,
        parts.commands,
        parts.starts,
        parts.decisions,
        parts.windows,
        parts.conversations,
        parts.files,
        parts.homes,
        _new_id,
    )
    return app


@asynccontextmanager
async def _open_to_slack(
    settings: Settings, app: AsyncApp, client: AsyncWebClient, store: Store
) -> AsyncIterator[None]:
    if settings.transport is Transport.SOCKET:
        assert settings.slack_app_token is not None, "the transport was chosen by it"
        async with transports.socket_mode(app, settings.slack_app_token.get_secret_value(), client):
            yield
        return

    async with transports.http(app, settings.host, settings.port, partial(healthy, store)) as port:
        log.info("listening", host=settings.host, port=port)
        yield


async def healthy(store: Store) -> bool:
    """Tell whether the database answers, and took the last sign of life: else the bot can take nothing in."""
    try:
        await store.check()
    except StoreError:
        return False
    return True
