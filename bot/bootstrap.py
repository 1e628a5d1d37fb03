"""The composition root: every part is made here, handed what it needs, and closed in the opposite order."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
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
from bot.core.ports import Alarm, Clock, Dify, Store
from bot.dify.client import DifyClient
from bot.dify.stream_thread import StreamThread
from bot.errors import ConfigError, DifyError, DifyUnauthorized, DifyUnavailable, SlackUnavailable, StoreError
from bot.services.commands import CommandDesk
from bot.services.forms import DecisionDesk
from bot.services.limits import ServerLimits
from bot.services.outbox import Outbox
from bot.services.reconcile import Reconciler
from bot.services.recorder import Recorder, arm_alarm
from bot.services.streams import StreamSupervisor
from bot.settings import HOW_TO, Settings, Transport
from bot.slack.failures import slack_error
from bot.slack.gateway import SlackGateway
from bot.store.sql import open_store
from bot.timers import AlarmClock

log = structlog.get_logger(__name__)

DRAIN = 8.0
"""Seconds that effects under way get to finish after SIGTERM."""

DELIVERIES_KEPT = timedelta(days=1)
"""How long a Slack delivery is remembered; its last retry comes within minutes (slack-platform §4.3)."""


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
    dify_of: Callable[[str], Dify]
    recorder: Recorder
    outbox: Outbox
    reconciler: Reconciler
    streams: StreamSupervisor
    commands: CommandDesk
    decisions: DecisionDesk
    clock: Clock
    alarm: Alarm


async def assemble(
    settings: Settings, store: Store, client: AsyncWebClient, stack: AsyncExitStack, clock: Clock, alarm: Alarm
) -> Parts:
    """Make the parts; `stack` closes what they hold open."""
    recorder = Recorder(store, clock, timedelta(seconds=settings.poll_interval))
    recorder.watch(arm_alarm(alarm))
    slack = await stack.enter_async_context(SlackGateway(client))
    dify_of = await _dify_clients(settings, stack)
    limits = _limits(settings)
    streams = StreamSupervisor(dify_of, limits, slack, recorder)
    reconciler = Reconciler(store, dify_of, limits, recorder, streams, clock)
    streams.on_lost_sight(reconciler.look_at)
    outbox: Outbox
    commands = CommandDesk(store, dify_of, limits, clock, lambda: outbox.wake())
    outbox = Outbox(
        store=store,
        slack=slack,
        dify_of=dify_of,
        recorder=recorder,
        streams=streams,
        commands=commands,
        clock=clock,
        alarm=alarm,
    )
    recorder.watch(lambda transition: outbox.wake() if transition.effects else None)
    decisions = DecisionDesk(recorder)
    return Parts(store, dify_of, recorder, outbox, reconciler, streams, commands, decisions, clock, alarm)


async def _dify_clients(settings: Settings, stack: AsyncExitStack) -> Callable[[str], Dify]:
    # Building a TLS context costs more than a connection; every client shares one.
    tls = httpx.create_ssl_context()
    thread = await stack.enter_async_context(StreamThread())
    clients: dict[str, Dify] = {}
    for name, app in settings.apps.items():
        client = DifyClient(str(app.base_url), app.api_key.get_secret_value(), ssl_context=tls, carry=thread.carry)
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
    """Take up what a process before left, work off the outbox, and do what is due whenever the alarm sets `ringing`.

    Gives the tasks that do so and never end by themselves. At the end nothing is left half done.
    """
    await parts.outbox.recover()
    await parts.reconciler.recover()
    workers = frozenset(
        {
            asyncio.create_task(parts.outbox.run(), name="outbox"),
            asyncio.create_task(_answer_alarm(parts, ringing), name="alarm"),
        }
    )
    ringing.set()
    try:
        yield workers
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        await parts.outbox.drain(DRAIN)
        await parts.reconciler.close()
        await parts.streams.close()


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
            await parts.store.forget_deliveries(parts.clock.now() - DELIVERIES_KEPT)
            await parts.reconciler.look_at_due()
            parts.outbox.wake()
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
    listeners.register(app, settings.slack_command, parts.commands, parts.decisions, lambda: secrets.token_hex(8))
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
    """Tell whether the database answers; without it the bot can take nothing in."""
    try:
        await store.next_due()
    except StoreError:
        return False
    return True
