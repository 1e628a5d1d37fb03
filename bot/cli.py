"""The command line: `run` (default), `migrate`, `manifest`, `preview`, `demo`."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Annotated

import typer

from bot import logs, settings
from bot import manifest as manifests
from bot.errors import BotError, ConfigError
from bot.settings import Transport

CONFIG_ERROR = 2
"""Exit code where a setting is missing or wrong."""

WATCHING_PACE, PLAYING_PACE = 3.0, 0.5
"""Seconds that the people of a scenario take before everything they do."""

app = typer.Typer(
    help="Run Dify workflows from Slack and answer their Human Input forms where you talk.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; a wrong setting ends it with one sentence and exit code 2."""
    try:
        app()
    except ConfigError as exc:
        sys.exit(_complain(exc, CONFIG_ERROR))
    except BotError as exc:
        sys.exit(_complain(exc, 1))


def _complain(exc: BotError, code: int) -> int:
    typer.echo(f"dify-slack-bot: {exc}", err=True)
    return code


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"dify-slack-bot {version('dify-slack-bot')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def default(
    context: typer.Context,
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version, and end.")
    ] = False,
) -> None:
    """Run the bot when no command is named."""
    if context.invoked_subcommand is None:
        run()


@app.command()
def run() -> None:
    """Run the bot: Socket Mode where SLACK_APP_TOKEN is set, else HTTP."""
    from bot import bootstrap

    chosen = settings.load()
    logs.configure(chosen.log_level, chosen.log_format)
    asyncio.run(_until_signalled(bootstrap.serve, chosen))


async def _until_signalled(
    serve: Callable[[settings.Settings, asyncio.Event], Awaitable[None]], chosen: settings.Settings
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(chosen, stop)


@app.command()
def migrate() -> None:
    """Bring the database to the present schema, and end. `run` does so by itself."""
    from bot import bootstrap

    asyncio.run(bootstrap.migrate(settings.load_database_url()))
    typer.echo("The database is up to date.")


@app.command()
def manifest(
    mode: Annotated[Transport, typer.Option(help="How Slack reaches the bot.")] = Transport.SOCKET,
    command: Annotated[str, typer.Option(help="The slash command's name.")] = "/dify",
) -> None:
    """Print the Slack app's manifest, to paste into “Create an app from a manifest”."""
    try:
        name = settings.command_name(command)
    except ValueError:
        raise typer.BadParameter(settings.HOW_TO["slack_command"], param_hint="--command") from None
    typer.echo(manifests.as_yaml(mode.value, name), nl=False)


@app.command()
def preview(
    form: Annotated[str, typer.Argument(metavar="FORM.json", help="A file, or - for standard input.")],
) -> None:
    """Print a Dify form as the messages and the window Slack would get, with links to Slack's Block Kit Builder."""
    from bot.preview import preview

    typer.echo(preview(form))


@app.command()
def demo(
    play: Annotated[str | None, typer.Option(metavar="NAME", help="Play this scenario and judge its outcome.")] = None,
    page: Annotated[bool, typer.Option("--page", help="Show the scenario on the page, then leave it up.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the page is served; 0: any free port.")] = 8000,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    transport: Annotated[Transport, typer.Option(help="How Slack reaches the bot.")] = Transport.SOCKET,
    list_: Annotated[bool, typer.Option("--list", help="List the scenarios.")] = False,
) -> None:
    """Try the bot between a simulated Slack and a simulated Dify, on a page in the browser; no account is needed."""
    from bot.playground import demo as playground
    from bot.playground.scenarios import SCENARIOS

    if list_:
        typer.echo(playground.scenario_list())
        return
    if play is not None and play not in SCENARIOS:
        raise typer.BadParameter(
            f"there is no scenario {play!r}; there are: {', '.join(SCENARIOS)}", param_hint="--play"
        )
    if page and play is None:
        raise typer.BadParameter("it shows a scenario, so --play has to name one", param_hint="--page")
    served = playground.Page(port, in_browser=browser and sys.stdout.isatty())
    if play is None:
        went_well = asyncio.run(playground.demo(transport.value, sys.stdout, served))
    elif page:
        went_well = asyncio.run(playground.play(play, transport.value, sys.stdout, WATCHING_PACE, served))
    else:
        went_well = asyncio.run(playground.play(play, transport.value, sys.stdout, PLAYING_PACE))
    if not went_well:
        raise typer.Exit(1)
