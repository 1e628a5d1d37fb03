"""What people do with the bot, played on a stage and judged: each scenario has one outcome that is right."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from bot.playground.dify import App, RecordedRequest
from bot.playground.dify.apps import chat, content_review, file_form, file_start, long_report, odd, parallel, pick
from bot.playground.dify.forms import Form, FormStatus
from bot.playground.dify.graph import End, HumanInput, Llm
from bot.playground.dify.runs import RunStatus
from bot.playground.elsewhere import Elsewhere
from bot.playground.slack import Message, Result
from bot.playground.slack.files import Given, local_file
from bot.playground.slack.people import Surface
from bot.playground.slack.state import View
from bot.playground.slack.text import shown
from bot.playground.stage import SHORTCUT, Stage

Found = TypeVar("Found")
Act: TypeAlias = "Callable[[Scene], Awaitable[None]]"

HASTY_DEADLINE = 5
"""Seconds people get in the app `hasty`."""

_PATIENCE = 60.0
_HALF_OF_LONG = 8
"""Messages of the app `long`: Slack takes one a second."""
_REACTION_TIME = 0.5
"""Seconds, at any speed of Dify, that something takes which is to be interrupted."""
_BUSY_TIME = 2.0
"""Seconds, at any speed of Dify, that something takes which people are to see."""
_EXCERPT = 80
"""Characters of what people type that are told."""
_TOPIC, _LANGUAGE = "Team calendars", "English"
_REVIEW = f'/dify review topic="{_TOPIC}" language={_LANGUAGE}'
_SOUP = "Soup of the day, with bread"
_LATE_REFUSAL = "title in input form is not on the list of this week"
_CONTRACT: Given = ("contract.pdf", b"%PDF-1.7 The roof is mended by May.")
_ROOF, _ROOF_AGAIN = ("roof.png", b"\x89PNG\r\n\x1a\n before"), ("roof-again.png", b"\x89PNG\r\n\x1a\n after")
_PAPERS = '/dify papers topic="The roof"'
_FEEDBACK = "Warmer, please, and half as long."


class Unexpected(Exception):
    """Something else happened than should have; the message is a sentence for a reader."""


@dataclass(frozen=True)
class Scenario:
    """A play and what has to come of it."""

    name: str
    description: str
    outcome: str
    """What is true once it went well, as a sentence."""
    answers: int
    """How many of the bot's answers Dify takes."""
    act: Act


SCENARIOS: dict[str, Scenario] = {}


def scenario_apps() -> dict[str, App]:
    """Return the apps that the scenarios start, under the names people type."""
    review = content_review()
    hurried = [
        replace(node, timeout_seconds=HASTY_DEADLINE) if isinstance(node, HumanInput) else node for node in review.nodes
    ]
    return {
        "review": review,
        "hasty": replace(review, name="hasty_review", nodes=hurried),
        "polished": _polished_review(review),
        "pick": pick(),
        "long": replace(long_report(150_000, seconds=15.0), name="long"),
        "chat": chat(),
        "parallel": parallel(),
        "odd": odd(),
        "papers": file_form(),
        "intake": file_start(),
    }


def _polished_review(review: App) -> App:
    """The review, but for a model that takes its time to write out the revision that was approved."""
    polish = Llm("polish", "Polish", "{{#redraft.text#}}", seconds=6.0)
    end = End("polished", "Published", {"post": ("polish", "text"), "decision": ("second_review", "__action_value")})
    edges = [edge for edge in review.edges if not edge.startswith("second_review.approve ")]
    return replace(
        review,
        name="polished_review",
        nodes=(*review.nodes, polish, end),
        edges=(*edges, "second_review.approve -> polish -> polished"),
    )


async def play_scenario(
    scenario: Scenario, stage: Stage, channel: str, tell: Callable[[str], None], pace: float
) -> None:
    """Play one scenario in a channel; raises `Unexpected` unless everything was as it should be.

    `tell` gets a line whenever somebody does something; people take `pace` seconds before they do.
    """
    scene = Scene(stage, channel, tell, pace)
    await scenario.act(scene)
    scene.check_answers(scenario.answers)
    scene.check_posts()
    scene.check_manners()


class Scene:
    """People in one channel, from the beginning of a scenario to its end."""

    def __init__(self, stage: Stage, channel: str, tell: Callable[[str], None], pace: float) -> None:
        self.stage, self.channel = stage, channel
        self.workspace, self.dify = stage.workspace, stage.dify
        self._tell, self._pace = tell, pace
        self._calls, self._requests = len(self.workspace.calls), len(self.dify.requests)
        self._complaints = [len(bot.complaints()) for bot in stage.bots]
        self._there = set(self.workspace.channel(channel).log)
        self._active: set[str] = set()

    # --- what people do ----------------------------------------------------------------------------------------------

    async def command(self, name: str, line: str) -> Result:
        """Send a slash command."""
        await self._acts(name, line)
        return self._answered(await self.workspace.person(name).command(self.channel, line))

    async def start(self, name: str, line: str) -> Message:
        """Send a slash command that starts a run, and return the run's root message."""
        return await self._root_after(lambda: self.command(name, line))

    async def open_window(self, name: str, line: str) -> View:
        """Send a slash command that opens a window, and return the window."""
        await self.command(name, line)
        return self.window(name)

    async def submit(self, name: str) -> Result:
        """Send the window that somebody has open."""
        await self._acts(name, "sends the window")
        return self._answered(await self.workspace.person(name).submit_view())

    async def type_into_window(self, name: str, field: str, text: str) -> None:
        """Type into a field of the window that somebody has open; the bot is told of it."""
        before = len(self.workspace.deliveries)
        await self.fill(name, self.window(name), field, text)

        def told() -> bool:
            deliveries = self.workspace.deliveries[before:]
            return bool(deliveries) and all(each.acked is not None for each in deliveries)

        await self.until(told, "the bot takes in what was typed")

    async def close_window(self, name: str) -> None:
        """Close the window that somebody has open."""
        await self._acts(name, "closes the window")
        self._answered(await self.workspace.person(name).close_view())

    async def open_home(self, name: str) -> View:
        """Look at the app's Home, and return it as it is shown then."""
        await self._acts(name, "looks at the app's Home")
        person = self.workspace.person(name)
        before = person.home.hash if person.home else None
        await person.open_home()
        return await self.until(
            lambda: person.home if person.home and person.home.hash != before else None, f"{name} is shown the Home"
        )

    async def start_by_window(self, name: str) -> Message:
        """Send a window that starts a run, and return the run's root message."""
        root = await self._root_after(lambda: self.submit(name))
        self.expect(not self.workspace.person(name).views, "the window is closed")
        return root

    async def _root_after(self, act: Callable[[], Awaitable[Result]]) -> Message:
        before = {message.ts for message in self.workspace.channel(self.channel).roots}
        await act()
        return await self.until(
            lambda: next((root for root in self.workspace.channel(self.channel).roots if root.ts not in before), None),
            "a root message for the run appears",
        )

    async def say(self, name: str, root: Message, text: str) -> Message:
        """Reply in the thread of a message."""
        await self._acts(name, f"writes in the thread: “{text}”")
        return await self.workspace.person(name).post(self.channel, text, root.ts)

    async def share(self, name: str, root: Message | None, *files: Given, text: str = "") -> Message:
        """Reply in the thread of a message with files, or post them in the channel."""
        names = " and ".join(local_file(each).name for each in files)
        await self._acts(name, f"shares {names} in the {'thread' if root else 'channel'}")
        return await self.workspace.person(name).share(self.channel, files, text, root.ts if root else None)

    async def choose_files(self, name: str, window: View, field: str, *files: Given) -> None:
        """Choose files in a window."""
        names = " and ".join(local_file(each).name for each in files)
        await self._acts(name, f"chooses {names} in the field {field}")
        with _possible(name):
            self.workspace.person(name).choose_files(window, field, files)

    async def use_shortcut(self, name: str, message: Message) -> View:
        """Choose the bot's shortcut in the menu of a message, and return the window that it opens."""
        await self._acts(name, "chooses the shortcut in the menu of the message")
        with _possible(name):
            self._answered(await self.workspace.person(name).use_shortcut(message, SHORTCUT))
        return self.window(name)

    async def fill(self, name: str, surface: Surface, field: str, text: str) -> None:
        """Type into a field of a message or a window."""
        await self._acts(name, f"types {_excerpt(text)} into the field {field}")
        with _possible(name):
            self.workspace.person(name).fill(surface, field, text)

    async def select(self, name: str, surface: Surface, field: str, option: str) -> None:
        """Choose an option in a message or a window."""
        await self._acts(name, f"chooses “{option}” in the menu {field}")
        with _possible(name):
            self.workspace.person(name).select(surface, field, option)

    async def click(self, name: str, message: Surface, button: str, *, hesitates: bool = True) -> Result:
        """Press a button; who does not hesitate does it before anything else can happen."""
        if hesitates:
            await asyncio.sleep(self._pace)
        self._did(name, f"clicks [{button}]")
        with _possible(name):
            return self._answered(await self.workspace.person(name).click(message, button))

    async def click_at_once(self, message: Message, **buttons: str) -> None:
        """Let several people press a button at the same moment: `ann="Approve"`."""
        await asyncio.sleep(self._pace)
        for name, button in buttons.items():
            self._did(name, f"clicks [{button}] at the same moment")
        clicks = (self.workspace.person(name).click(message, button) for name, button in buttons.items())
        with _possible(" or ".join(buttons)):
            for result in await asyncio.gather(*clicks):
                self._answered(result)

    async def tell(self, line: str) -> None:
        """Tell the reader of something that happens outside of Slack."""
        await asyncio.sleep(self._pace)
        self._tell(line)

    async def kill(self, when: str) -> None:
        """End the bot as a crash would, at once."""
        await self.stage.bot.kill()
        self._tell(f"⚡ The bot is killed (kill -9) {when}")

    async def restart(self) -> None:
        """Start the bot again."""
        await self.tell("The bot is started again")
        await self.stage.bot.start()

    async def _acts(self, name: str, line: str) -> None:
        await asyncio.sleep(self._pace)
        self._did(name, line)

    def _did(self, name: str, line: str) -> None:
        self._active.add(name)
        self._tell(f"{name}: {line}" if line.startswith("/") else f"{name} {line}")

    # --- what they see -----------------------------------------------------------------------------------------------

    async def form(self, root: Message, button: str, title: str = "") -> Message:
        """Wait for an open form in a run's thread: a message with this button."""
        return await self.until(
            lambda: self.workspace.find(channel=self.channel, thread=root.ts, button=button, text=title),
            f"a form {title or ''} with the button [{button}] appears in the thread".replace("  ", " "),
        )

    async def reads(self, message: Message, *parts: str) -> None:
        """Wait until a message shows all these texts."""
        await self.until(
            lambda: self.shows(message, *parts),
            f"a message reads {' and '.join(f'“{part}”' for part in parts)}",
            instead=lambda: self.text(message),
        )

    async def read(self, message: Message, *parts: str) -> None:
        """Wait until a message shows all these texts, or has shown them together before."""
        await self.until(
            lambda: any(self._in(version.shown, *parts) for version in message.history),
            f"a message reads, or has read, {' and '.join(f'“{part}”' for part in parts)}",
            instead=lambda: self.text(message),
        )

    async def told(self, name: str, *parts: str) -> Message:
        """Wait until somebody is told all these texts in private, since this scenario began."""

        def note() -> Message | None:
            return next((each for each in self.notes(name) if self.shows(each, *parts)), None)

        return await self.until(
            note,
            f"{name} is told in private {' and '.join(f'“{part}”' for part in parts)}",
            instead=lambda: " / ".join(self.text(each) for each in self.notes(name)),
        )

    async def result(self, root: Message, *parts: str) -> Message:
        """Wait for the message in a run's thread that shows all these texts, and for the root to say it is done."""

        def replies() -> list[Message]:
            return self.workspace.channel(self.channel).replies(root.ts)

        found = await self.until(
            lambda: next((each for each in replies() if self.shows(each, *parts)), None),
            f"the thread shows {' and '.join(f'“{part}”' for part in parts)}",
            instead=lambda: " / ".join(map(self.text, replies())),
        )
        await self.reads(root, DONE)
        return found

    async def home_reads(self, home: View, *parts: str) -> None:
        """Wait until a Home shows all these texts."""
        await self.until(
            lambda: self._in(shown("", home.blocks), *parts),
            f"the Home reads {' and '.join(f'“{part}”' for part in parts)}",
            instead=lambda: self._as_read(shown("", home.blocks)),
        )

    def window(self, name: str) -> View:
        """The window that somebody has open."""
        with _possible(name):
            return self.workspace.person(name).view

    async def reply(self, root: Message, *parts: str) -> Message:
        """Wait for a reply of the bot in a thread that shows all these texts."""

        def found() -> Message | None:
            replies = self.workspace.channel(self.channel).replies(root.ts)
            return next((each for each in replies if each.author.bot_id and self.shows(each, *parts)), None)

        return await self.until(found, f"a reply shows {' and '.join(f'“{part}”' for part in parts)}")

    def notes(self, name: str) -> list[Message]:
        """What only this person was shown since the scenario began."""
        shown = self.workspace.find_all(channel=self.channel, visible_to=name)
        return [message for message in shown if message.ts not in self._there]

    def text(self, message: Message) -> str:
        """What a message says, mentions by name and emphasis left out."""
        return self._as_read(message.shown)

    def shows(self, message: Message, *parts: str) -> bool:
        """Whether a message shows all these texts, upper and lower case alike."""
        return self._in(message.shown, *parts)

    def _in(self, shown: str, *parts: str) -> bool:
        text = self._as_read(shown).casefold()
        return all(part.casefold() in text for part in parts)

    def _as_read(self, shown: str) -> str:
        text = shown.replace("*", "")
        for person in self.workspace.people.values():
            text = text.replace(f"<@{person.id}>", f"@{person.name}")
        return text

    @property
    def asked(self) -> Form:
        """Dify's side of the form that was opened last."""
        return self.dify.open_forms()[-1]

    # --- judging -----------------------------------------------------------------------------------------------------

    async def until(
        self, predicate: Callable[[], Found | None], claim: str, instead: Callable[[], str] | None = None
    ) -> Found:
        """Wait for the first true value; raises `Unexpected` when there is none in time."""
        try:
            return await self.workspace.wait_for(predicate, timeout=_PATIENCE)
        except TimeoutError as error:
            seen = f" What is there instead: {instead()!r}." if instead else ""
            raise Unexpected(f"It should have come about that {claim}, and it {error}.{seen}") from None

    def expect(self, is_so: bool, claim: str) -> None:
        """Raise `Unexpected` unless something is so."""
        if not is_so:
            raise Unexpected(f"It should be that {claim}, and it is not.")

    @property
    def submits(self) -> list[RecordedRequest]:
        """The answers to forms that the bot sent to Dify."""
        requests = self.dify.requests[self._requests :]
        return [each for each in requests if each.method == "POST" and "/form/human_input/" in each.path]

    @property
    def starts(self) -> list[RecordedRequest]:
        """The runs that the bot asked Dify to start."""
        return self.posted("/workflows/run")

    @property
    def uploads(self) -> list[RecordedRequest]:
        """The files that the bot uploaded to Dify."""
        return self.posted("/files/upload")

    @property
    def messages(self) -> list[RecordedRequest]:
        """The messages that the bot sent to a Chatflow."""
        return self.posted("/chat-messages")

    def posted(self, path: str) -> list[RecordedRequest]:
        """What the bot sent to Dify by POST, to paths that end so."""
        requests = self.dify.requests[self._requests :]
        return [each for each in requests if each.method == "POST" and each.path.endswith(path)]

    def check_answers(self, expected: int) -> None:
        """Exactly so many answers were taken by Dify, and none was sent twice."""
        taken = [each for each in self.submits if each.status == 200]
        self.expect(len(taken) == expected, f"Dify took {expected} answer(s) of the bot (it took {len(taken)})")
        paths = [each.path for each in self.submits]
        self.expect(len(paths) == len(set(paths)), f"no form was answered twice ({len(paths)} answers were sent)")

    def check_posts(self) -> None:
        """Everything the bot posted in the channel since the scenario began stands there once."""
        log = self.workspace.channel(self.channel).log
        posts = Counter(_post(message) for ts, message in log.items() if ts not in self._there and message.metadata)
        doubled = [post for post, times in posts.items() if times > 1]
        self.expect(not doubled, f"no message stands there twice ({len(doubled)} do)")

    def check_manners(self) -> None:
        """The bot pinged nobody who had no part in it, Slack refused nothing, and it logged no error."""
        log = self.workspace.channel(self.channel).log
        said = (
            message for ts, message in log.items() if ts not in self._there and message.author == self.workspace.bot
        )
        pinged = {ping for message in said for ping in message.pings}
        uninvited = pinged - {f"@{name}" for name in self._active}
        self.expect(not uninvited, f"nobody was pinged who took no part ({', '.join(sorted(uninvited))})")
        refused = [
            f"{call.method}: {call.response['error']}" for call in self.workspace.calls[self._calls :] if not call.ok
        ]
        self.expect(not refused, f"Slack refused no call ({'; '.join(refused)})")
        logs = zip(self.stage.bots, self._complaints, strict=True)
        complaints = [line for bot, before in logs for line in bot.complaints()[before:]]
        self.expect(not complaints, f"the bot logged no error ({'; '.join(complaints[:3])})")

    def _answered(self, result: Result) -> Result:
        self.expect(result.acked and not result.error, f"the bot answered within 3 s ({result.error})")
        return result


OPEN_WINDOW = "Open in window"
"""The button of a form that opens its window."""

DONE = "done in"
"""How a root message says that its run ended well."""


def _scenario(name: str, description: str, outcome: str, *, answers: int) -> Callable[[Act], Act]:
    """Register what people do as a scenario."""

    def register(act: Act) -> Act:
        SCENARIOS[name] = Scenario(name, description, outcome, answers, act)
        return act

    return register


@_scenario(
    "approve",
    "A draft is reviewed and approved with one click.",
    "the draft was published as it stood, and the form says who approved it",
    answers=1,
)
async def approve(scene: Scene) -> None:
    root = await scene.start("ann", _REVIEW)
    form = await scene.form(root, "Approve")
    await scene.click("ben", form, "Approve")
    await scene.reads(form, "✅ Approve", "@ben")
    await scene.result(root, f"# {_TOPIC}: less waiting, more doing", "decision")
    scene.expect(not form.buttons and not form.fields, "the decided form has no fields and buttons left")


@_scenario(
    "edit",
    "Somebody edits the draft in the form and applies the edit.",
    "the edited text was published, and stays readable on the form",
    answers=1,
)
async def edit(scene: Scene) -> None:
    edited = "# Team calendars\n\nOne calendar for all of us. Starts on Monday."
    root = await scene.start("ann", _REVIEW)
    form = await scene.form(root, "Apply edit")
    await scene.fill("ann", form, "edits", edited)
    await scene.click("ann", form, "Apply edit")
    await scene.reads(form, "✅ Apply edit", "@ann", "Starts on Monday.")
    await scene.result(root, "One calendar for all of us.", "decision")
    scene.expect(_given(scene)["edits"] == edited, "Dify got the text exactly as it was typed")


@_scenario(
    "regenerate",
    "A draft is sent back with feedback; the new one is reviewed once more and approved.",
    "both forms were answered in the same thread, and the second draft was published",
    answers=2,
)
async def regenerate(scene: Scene) -> None:
    root = await scene.start("ann", _REVIEW)
    first = await scene.form(root, "Regenerate", "Review draft")
    await scene.fill("ben", first, "feedback", _FEEDBACK)
    await scene.click("ben", first, "Regenerate")
    await scene.reads(first, "✅ Regenerate", "@ben", _FEEDBACK)
    second = await scene.form(root, "Approve", "Review revision")
    scene.expect(second is not first, "the second form has a message of its own")
    await scene.click("ann", second, "Approve")
    await scene.reads(second, "✅ Approve", "@ann")
    await scene.result(root, f"# {_TOPIC}, in one breath", _FEEDBACK, "decision")


@_scenario(
    "race",
    "Two people click different buttons of one form at the same moment.",
    "one answer counted, and the other person was told who decided what",
    answers=1,
)
async def race(scene: Scene) -> None:
    root = await scene.start("cleo", _REVIEW)
    form = await scene.form(root, "Approve")
    asked = scene.asked
    clicked = {"ann": "Approve", "ben": "Apply edit"}
    await scene.click_at_once(form, **clicked)
    await scene.until(lambda: asked.answered, "one of the two answers reaches Dify")
    assert asked.answered
    chosen = asked.answered.action["title"]
    winner, loser = ("ann", "ben") if chosen == clicked["ann"] else ("ben", "ann")
    await scene.told(loser, f"@{winner}", chosen)
    await scene.reads(form, f"✅ {chosen}", f"@{winner}")
    await scene.result(root, f"# {_TOPIC}: less waiting, more doing", "decision")
    scene.expect(len(scene.submits) == 1, f"one answer was sent to Dify (it was {len(scene.submits)})")
    scene.expect(not scene.notes(winner), f"{winner}, who decided, was told nothing in private")


@_scenario(
    "elsewhere",
    "The form is answered on Dify's own page while it is open in Slack, where somebody then clicks.",
    "the answer given in Dify counted, the form says so, and so does a private answer to the click",
    answers=0,
)
async def elsewhere(scene: Scene) -> None:
    root = await scene.start("ann", _REVIEW)
    form = await scene.form(root, "Apply edit")
    asked = scene.asked
    await scene.fill("ben", form, "edits", "Not yet, please.")
    await scene.tell("Meanwhile somebody answers the form on Dify's own page: Approve")
    await scene.dify.answer_elsewhere(asked, "approve", {"edits": "", "feedback": ""})
    await scene.click("ben", form, "Apply edit", hesitates=False)
    await scene.told("ben", "answered")
    await scene.reads(form, "✅", "answered")
    await scene.result(root, f"# {_TOPIC}: less waiting, more doing", "decision")
    assert asked.answered
    scene.expect(asked.answered.action["id"] == "approve", "the answer given in Dify stands")


@_scenario(
    "expired",
    "Nobody answers before the deadline passes.",
    "the form says that it expired, and the run ended through its timeout branch",
    answers=0,
)
async def expired(scene: Scene) -> None:
    root = await scene.start("ann", _REVIEW.replace("review", "hasty"))
    form = await scene.form(root, "Approve")
    asked = scene.asked
    await scene.tell(f"Nobody answers; the deadline of this app passes after {HASTY_DEADLINE} seconds")
    await asyncio.sleep(max(0.0, asked.expires_at - scene.dify.clock.now()))
    scene.dify.sweep()
    await scene.reads(form, "⌛ Expired")
    await scene.result(root, "Nobody answered in time. Nothing was published.")
    scene.expect(not form.buttons, "the expired form has no buttons left")
    scene.expect(asked.status is FormStatus.TIMEOUT, "Dify counts the form as expired")


@_scenario(
    "crash",
    "The bot is killed while a form is open, while an answer is on its way, and while the result is being written.",
    "no message is missing or stands there twice, each answer counted once, and the result was posted whole",
    answers=2,
)
async def crash(scene: Scene) -> None:
    dify = scene.dify
    root = await scene.start("ann", _REVIEW.replace("review", "polished"))
    first = await scene.form(root, "Regenerate", "Review draft")
    asked = scene.asked
    await scene.fill("ben", first, "feedback", _FEEDBACK)
    await scene.kill("while the form is open")
    await scene.restart()

    dify.delay_next("submit_form", _REACTION_TIME * dify.clock.speed)
    await scene.click("ben", first, "Regenerate")
    await dify.wait_for(lambda: scene.submits)
    await scene.kill("while ben's answer is on its way: Dify takes it, and nobody is there to hear so")
    await dify.wait_for(lambda: asked.answered)
    await scene.restart()
    await scene.reads(first, "✅ Regenerate", "@ben", _FEEDBACK)

    second = await scene.form(root, "Approve", "Review revision")
    run = dify.runs[scene.asked.run_id]
    await scene.click("ann", second, "Approve")
    await dify.wait_for(lambda: run.status is RunStatus.RUNNING)
    await dify.clock.sleep(1.0)
    scene.expect(run.status is RunStatus.RUNNING, "the run is still writing its result")
    await scene.kill("while the run goes on and its result is being written")
    await scene.restart()
    await scene.reads(second, "✅ Approve", "@ann")
    await scene.result(root, f"# {_TOPIC}, in one breath", _FEEDBACK, "decision")
    scene.expect(len(scene.starts) == 1, "the run was started once")


@_scenario(
    "invalid",
    "A command and then a form are filled in wrongly, and put right.",
    "every mistake was named to who made it, nothing typed was lost, and the mended answer went through",
    answers=1,
)
async def invalid(scene: Scene) -> None:
    window = await scene.open_window("ann", '/dify pick titel="Spring menu" size=XXL')
    scene.expect(_says(window, "“titel”", "its value stands in title now", "“XXL”"), "the window names every mistake")
    scene.expect(not scene.starts, "nothing was started with wrong values")
    await scene.select("ann", window, "size", "S")
    root = await scene.start_by_window("ann")
    form = await scene.form(root, "Accept")
    scene.expect(
        scene.starts[0].body["inputs"] == {"title": "Spring menu", "size": "S", "copies": 1},
        "Dify got the mended values",
    )
    await scene.fill("ben", form, "remarks", "Less garlic")
    drawn = len(form.history)
    await scene.click("ben", form, "Accept")
    await scene.told("ben", "Priority")
    scene.expect(not scene.submits, "nothing was sent to Dify while a menu was empty")
    scene.expect(len(form.history) == drawn, "the form ben was typing in was not redrawn")
    await scene.select("ben", form, "priority", "high")
    await scene.click("ben", form, "Accept")
    await scene.reads(form, "✅ Accept", "@ben", "Less garlic", "high")
    await scene.result(root, "Less garlic", "decision")
    scene.expect(_given(scene) == {"remarks": "Less garlic", "priority": "high"}, "Dify got what ben typed and chose")


@_scenario(
    "start-window",
    "A run is started in a window, another by a few words; Dify refuses that one late, and it is tried again.",
    "each run got what was entered, the refusal was told with its reason, and nothing had to be typed twice",
    answers=2,
)
async def start_window(scene: Scene) -> None:
    window = await scene.open_window("ann", "/dify")
    await scene.select("ann", window, "App", "pick")
    await scene.until(lambda: window.title == "Start pick", "the window shows what pick takes")
    await scene.fill("ann", window, "title", "Spring menu")
    await scene.select("ann", window, "size", "L")
    await scene.fill("ann", window, "copies", "2.5")
    root = await scene.start_by_window("ann")
    await _accept(scene, root)
    scene.expect(
        scene.starts[-1].body["inputs"] == {"title": "Spring menu", "size": "L", "copies": 2.5},
        "Dify got what ann entered",
    )

    scene.dify.refuse_starts(pick(), _LATE_REFUSAL)
    refused = await scene.start("ben", f"/dify pick {_SOUP}")
    reply = await scene.until(
        lambda: scene.workspace.find(channel=scene.channel, thread=refused.ts, button="Try again"),
        "the thread says within seconds that Dify refused the start, and why",
    )
    scene.expect(scene.shows(reply, _LATE_REFUSAL), "the reason is Dify's own")
    scene.dify.take_starts(pick())
    await scene.click("ben", reply, "Try again")
    again = scene.window("ben")
    scene.expect(_says(again, _LATE_REFUSAL), "the window says why the first try failed")
    root = await scene.start_by_window("ben")
    await _accept(scene, root)
    scene.expect(scene.starts[-1].body["inputs"]["title"] == _SOUP, "what ben typed was still there")


@_scenario(
    "window",
    "A form is filled in in its window, which is closed, outlives a crash of the bot, is opened again and sent.",
    "nothing typed was lost, Dify got it exactly, and who came too late got it back in the window",
    answers=2,
)
async def form_window(scene: Scene) -> None:
    feedback = "\n".join(f"{number}. {_FEEDBACK}" for number in range(1, 91))
    root = await scene.start("ann", _REVIEW)
    first = await scene.form(root, OPEN_WINDOW, "Review draft")
    await scene.click("ben", first, OPEN_WINDOW)
    await scene.type_into_window("ben", "feedback", feedback)
    await scene.close_window("ben")
    await scene.kill("while ben's draft waits")
    await scene.restart()
    await scene.click("ben", first, OPEN_WINDOW)
    again = scene.window("ben")
    scene.expect(_says(again, "Your draft of"), "the window names ben's draft")
    scene.expect(feedback in _prefills(again), "ben's draft stands in its field again")
    await scene.select("ben", again, "Decision", "Regenerate")
    await scene.submit("ben")
    scene.expect(not scene.workspace.person("ben").views, "the window is closed")
    await scene.reads(first, "✅ Regenerate", "@ben")
    scene.expect(_given(scene)["feedback"] == feedback, "Dify got the text exactly as it was typed")

    second = await scene.form(root, OPEN_WINDOW, "Review revision")
    await scene.click("cleo", second, OPEN_WINDOW)
    await scene.type_into_window("cleo", "edits", "Not yet, please.")
    await scene.click("ann", second, "Approve")
    late = scene.window("cleo")
    await scene.until(lambda: _says(late, "✅", "Approve", "Not yet, please."), "cleo's window says what became of it")
    await scene.reply(root, f"# {_TOPIC}, in one breath")
    await scene.reads(root, DONE)


async def _accept(scene: Scene, root: Message) -> None:
    form = await scene.form(root, "Accept")
    await scene.select("cleo", form, "priority", "low")
    await scene.click("cleo", form, "Accept")
    await scene.result(root, "decision")


def _says(window: View, *parts: str) -> bool:
    """Whether a window shows all these texts."""
    return all(part in shown("", window.blocks) for part in parts)


def _prefills(window: View) -> list[str]:
    """What the text fields of a window hold at first."""
    return [block["element"].get("initial_value", "") for block in window.blocks if block["type"] == "input"]


@_scenario(
    "chat",
    "A support chat in a thread: replies, a suggestion, a refund that a person decides, and a message meanwhile.",
    "each reply was the next message of one conversation, and none was sent while it might have been the answer",
    answers=1,
)
async def chat_in_thread(scene: Scene) -> None:
    root = await scene.start("ann", '/dify chat query="Where is my order?"')
    await scene.result(root, "message 1 of our conversation")
    offered = await scene.form(root, "Can I change the address?")
    await scene.click("ann", offered, "Can I change the address?")
    answer = await scene.reply(root, "message 2", "Before it you asked: Where is my order?")
    await scene.until(lambda: "👍" in answer.buttons, "the answer has thumbs")
    await scene.click("ann", answer, "👍")
    await scene.told("ann", "your rating")

    await scene.say("ann", root, "I want my money back.")
    form = await scene.form(root, "Approve")
    await scene.say("ann", root, "And how long will that take?")
    question = await scene.reply(root, "is it the answer")
    scene.expect(len(scene.messages) == 3, "the message was not sent while the form was open")
    await scene.click("ann", question, "Send as a new message")
    await scene.reply(root, "message 4")
    await scene.click("ben", form, "Approve")
    answer = await scene.reply(root, "I want my money back.", "Your money is on its way.", "👍")
    scene.expect(not scene.shows(answer, "I am asking now."), "what stands above is not said again")
    scene.expect(len({each.body["user"] for each in scene.messages}) == 1, "the conversation is one user's")
    scene.expect(len(scene.messages) == 4, "every message was sent once")


@_scenario(
    "files",
    "A form that wants files is answered from its thread: two people share what it asks for, one takes a file back.",
    "each file went into the field that it fits, Dify got exactly those, and gave them back into the thread",
    answers=1,
)
async def files_in_thread(scene: Scene) -> None:
    root = await scene.start("ann", _PAPERS)
    form = await scene.form(root, "Hand in", "Hand in documents")
    scene.expect(scene.shows(form, "reply to this thread with"), "the form says how files are given")
    await scene.share("ben", root, _CONTRACT, _ROOF)
    card = await scene.reply(root, "Files for Hand in documents")
    await scene.reads(card, "contract.pdf → The signed contract", "roof.png → Photos of the site")
    await scene.until(lambda: scene.text(card).count("✅ attached") == 2, "the card says that Dify has both")
    await scene.click("ann", card, "Remove roof.png")
    await scene.share("cleo", root, _ROOF_AGAIN)
    await scene.reads(card, "roof-again.png → Photos of the site", "@cleo")
    await scene.until(lambda: scene.text(card).count("✅ attached") == 2, "the card says that Dify has the new one")
    await scene.fill("ann", form, "remarks", "Looks tight.")
    await scene.click("ann", form, "Hand in")
    await scene.reads(form, "✅ Hand in", "@ann", "contract.pdf", "roof-again.png", "Looks tight.")
    await scene.reads(root, DONE)
    await _check_papers(scene, root, "contract.pdf", ["roof-again.png"])


@_scenario(
    "files-window",
    "A form that wants files is answered in its window, beside a file that stands in its thread already.",
    "one submit sent all of it: what was attached before, what was chosen in the window, and what was typed",
    answers=1,
)
async def files_in_window(scene: Scene) -> None:
    root = await scene.start("ann", _PAPERS)
    form = await scene.form(root, OPEN_WINDOW, "Hand in documents")
    await scene.share("cleo", root, _ROOF)
    card = await scene.reply(root, "Files for Hand in documents", "✅ attached")
    await scene.click("ben", form, OPEN_WINDOW)
    window = scene.window("ben")
    scene.expect(_says(window, "roof.png"), "the window names what is attached")
    await scene.select("ben", window, "Decision", "Hand in")
    missing = await scene.submit("ben")
    said = missing.field_errors.values()
    scene.expect(any("needs a file: choose it here" in each for each in said), "the missing file is named")
    await scene.choose_files("ben", window, "The signed contract", _CONTRACT)
    await scene.choose_files("ben", window, "Photos of the site", _ROOF_AGAIN)
    await scene.type_into_window("ben", "remarks", "As agreed.")
    await scene.submit("ben")
    scene.expect(not scene.workspace.person("ben").views, "the window is closed")
    await scene.reads(form, "✅ Hand in", "@ben", "contract.pdf", "roof.png", "roof-again.png", "As agreed.")
    await scene.reads(card, "contract.pdf", "roof-again.png")
    await scene.reads(root, DONE)
    await _check_papers(scene, root, "contract.pdf", ["roof.png", "roof-again.png"])


@_scenario(
    "files-wrong",
    "Files that are too big, of the wrong kind and too many are shared; then the right ones.",
    "each mistake was told to who made it, with what would fit, and nothing of it reached Dify",
    answers=1,
)
async def wrong_files(scene: Scene) -> None:
    root = await scene.start("ann", _PAPERS)
    form = await scene.form(root, "Hand in", "Hand in documents")
    await scene.share("ben", root, ("setup.exe", b"MZ"))
    await scene.told("ben", "setup.exe", "takes a document")
    await scene.share("ben", root, ("poster.png", (12 * 1024 * 1024, b"\0")))
    await scene.told("ben", "poster.png", "above 10 MB")
    await scene.share("cleo", root, *(_photo(number) for number in range(1, 5)))
    await scene.told("cleo", "photo-4.png", "has room for 3 files")
    await scene.click("ann", form, "Hand in")
    await scene.told("ann", "The signed contract", "needs a file")
    scene.expect(not scene.submits, "nothing was sent to Dify while the contract was missing")
    await scene.share("ann", root, _CONTRACT)
    card = await scene.reply(root, "Files for Hand in documents")
    await scene.until(lambda: scene.text(card).count("✅ attached") == 4, "the card says that Dify has all of them")
    await scene.click("ann", form, "Hand in")
    await scene.reads(form, "✅ Hand in", "@ann")
    await scene.reads(root, DONE)
    await _check_papers(scene, root, "contract.pdf", ["photo-1.png", "photo-2.png", "photo-3.png"])
    scene.expect(len(scene.uploads) == 4, "Dify was given nothing but these")


@_scenario(
    "start-files",
    "Three runs are started with files: chosen in the window, taken from a message, and given by a link.",
    "each run got exactly its files, each as what it is and in the name of who started it",
    answers=0,
)
async def start_with_files(scene: Scene) -> None:
    window = await scene.open_window("ann", "/dify")
    await _choose_intake(scene, "ann", window)
    await scene.choose_files("ann", window, "Contract", _CONTRACT)
    root = await scene.start_by_window("ann")
    await scene.reads(root, DONE, "contract.pdf")
    _check_start(scene, "ann", ["contract.pdf"])

    message = await scene.share("ben", None, _CONTRACT, _ROOF, text="Here is all we have.")
    window = await scene.use_shortcut("cleo", message)
    await _choose_intake(scene, "cleo", window)
    scene.expect(_says(window, "contract.pdf") and _says(window, "roof.png"), "the window holds what the message did")
    root = await scene.start_by_window("cleo")
    await scene.reads(root, DONE, "contract.pdf", "roof.png")
    _check_start(scene, "cleo", ["contract.pdf", "roof.png"])

    async with Elsewhere() as elsewhere:
        url = elsewhere.put("/plan.pdf", b"%PDF-1.7 The plan.", "application/pdf")
        root = await scene.start("ben", f"/dify intake contract={url}")
        await scene.reads(root, DONE, "plan.pdf")
        await scene.reply(root, "contract:", "plan.pdf")
    link = {"transfer_method": "remote_url", "url": url, "type": "document"}
    scene.expect(scene.starts[-1].body["inputs"]["contract"] == link, "Dify got the link as such")
    scene.expect(len(scene.starts) == 3, "nothing was started twice")
    scene.expect(len(scene.uploads) == 3, "Dify was given nothing else")


async def _choose_intake(scene: Scene, name: str, window: View) -> None:
    await scene.select(name, window, "App", "intake")
    await scene.until(lambda: window.title == "Start intake", "the window shows what intake takes")


def _check_start(scene: Scene, name: str, files: list[str]) -> None:
    """The last start held these files, uploaded as the user in whose name it was sent."""
    body = scene.starts[-1].body
    user = f"slack:{scene.workspace.team_id}:{scene.workspace.person(name).id}"
    given = [body["inputs"]["contract"], *body["inputs"].get("photos", [])]
    sent = [scene.dify.files.stored[each["upload_file_id"]] for each in given]
    scene.expect([each.name for each in sent] == files, f"Dify got {' and '.join(files)}")
    scene.expect([each["type"] for each in given] == ["document", "image"][: len(files)], "each as what it is")
    scene.expect({body["user"], *(each.user for each in sent)} == {user}, f"all of it in the name of {name}")


def _photo(number: int) -> tuple[str, bytes]:
    return (f"photo-{number}.png", b"\x89PNG\r\n\x1a\n" + bytes([number]))


async def _check_papers(scene: Scene, root: Message, contract: str, photos: list[str]) -> None:
    """Dify was sent these files in the fields of the form, each as what it is, and they come back into the thread."""
    given = _given(scene)
    names = {file_id: file.name for file_id, file in scene.dify.files.stored.items()}
    sent = given["contract"]
    assert isinstance(sent, dict), "a file is one mapping"
    scene.expect((names[sent["upload_file_id"]], sent["type"]) == (contract, "document"), "Dify got the contract")
    pictures = given["photos"]
    assert isinstance(pictures, list), "a file list is a list of mappings"
    scene.expect([names[each["upload_file_id"]] for each in pictures] == photos, "Dify got the photos, in their order")
    scene.expect({each["type"] for each in pictures} == {"image"}, "each of them as a picture")
    await scene.until(lambda: _shared_by_bot(scene, root) == [contract, *photos], "the files come back")


def _shared_by_bot(scene: Scene, root: Message) -> list[str]:
    """The names of the files that the bot shared in a thread."""
    replies = scene.workspace.channel(scene.channel).replies(root.ts)
    return [file["name"] for each in replies if each.author.bot_id for file in each.content.files]


@_scenario(
    "long",
    "A run writes a report of 150,000 characters while people read along.",
    "it was read from its beginning in one message below the other, and the whole of it stands below them as a file",
    answers=0,
)
async def long(scene: Scene) -> None:
    root = await scene.start("ann", f'/dify long topic="{_TOPIC}"')
    replies = scene.workspace.channel(scene.channel).replies
    first = await scene.until(lambda: next(iter(replies(root.ts)), None), "the text appears in the thread")
    await scene.reads(first, "# The long report", "goes on below")
    scene.expect(not scene.shows(root, DONE), "people read while the run is still writing")
    await scene.reads(root, DONE)
    await scene.until(lambda: len(replies(root.ts)) > _HALF_OF_LONG, "half of its messages are there")
    await scene.until(lambda: any(each.content.files for each in replies(root.ts)), "the file appears below the text")
    *messages, shared = replies(root.ts)
    unfinished = [each for each in messages if each.in_progress or "✍️" in each.shown]
    scene.expect(not unfinished, "no message looks as if more were to come")
    scene.expect(bool(shared.content.files), "the file is the last in the thread")
    content = scene.workspace.files.by_id[shared.content.files[0]["id"]].content or b""
    scene.expect(len(content.decode()) == 150_000, "the file holds every character")


@_scenario(
    "parallel",
    "A run asks two forms at once; two people answer them at nearly the same moment.",
    "each form was named by what it asks for, and the second answer was sent once the first had gone through",
    answers=2,
)
async def two_at_once(scene: Scene) -> None:
    root = await scene.start("ann", f'/dify parallel topic="{_TOPIC}"')
    legal = await scene.form(root, "OK", "Legal review")
    brand = await scene.form(root, "OK", "Brand review")
    scene.expect(legal is not brand, "each form has a message of its own")
    await scene.fill("ann", legal, "note", "No risk.")
    await scene.fill("ben", brand, "note", "Our colours, please.")
    scene.dify.delay_next("submit_form", _BUSY_TIME * scene.dify.clock.speed)
    await scene.click("ann", legal, "OK")
    await scene.click("ben", brand, "OK", hesitates=False)
    await scene.read(brand, "⏳ OK", "@ben", "waits its turn")
    await scene.reads(legal, "✅ OK", "@ann", "No risk.")
    await scene.reads(brand, "✅ OK", "@ben", "Our colours, please.")
    # Dify streams an output as soon as it is known, and to nobody while the bot is between two streams. What was said
    # in the thread by then is not said again in the result, so that each stands there once, in one place or the other.
    await scene.result(root, "legal:", "brand:")
    replies = scene.workspace.channel(scene.channel).replies(root.ts)
    said = [scene.text(each) for each in replies if each not in (legal, brand)]
    for note in ("No risk.", "Our colours, please."):
        scene.expect(sum(each.count(note) for each in said) == 1, f"the output “{note}” stands there once")
    for title in ("Legal review", "Brand review"):
        forms = [each for each in replies if scene.shows(each, f"📝 {title}")]
        scene.expect(len(forms) == 1, f"the form {title} stands there once, though Dify names an open form again")


@_scenario(
    "odd",
    "A form of everything odd that Dify allows is edited and decided in its window, and a second one has no text.",
    "every option and button could be told from the others, and Dify got exactly what was chosen and typed",
    answers=2,
)
async def everything_odd(scene: Scene) -> None:
    root = await scene.start("ann", "/dify odd")
    form = await scene.form(root, OPEN_WINDOW, "Odd form")
    asked = scene.asked
    scene.expect(len(form.buttons) == len(asked.node.actions) + 1, "each of the 20 decisions has a button")
    scene.expect(len(set(form.buttons)) == len(form.buttons), "no two buttons read the same")
    scene.expect(scene.shows(form, "<!channel>") and not scene.shows(form, "nobody"), "the text is harmless and whole")
    await scene.click("ben", form, OPEN_WINDOW)
    window = scene.window("ben")
    default = next(item["default"]["value"] for item in asked.inputs if item["output_variable_name"] == "long")
    scene.expect(default in _prefills(window), "the window holds the whole report to be edited")
    edited = default.replace("The long report", "The long report, edited")
    await scene.select("ben", window, "Many options", "244. An option")
    await scene.fill("ben", window, "No option at all", "Something else")
    await scene.fill("ben", window, "Lost", "Found")
    await scene.type_into_window("ben", "Long", edited)
    await scene.select("ben", window, "Decision", "20. Decision 19")
    await scene.submit("ben")
    await scene.reads(form, "✅ 20. Decision 19", "@ben", "Something else")
    given = _given(scene)
    scene.expect(given["long"] == edited, "Dify got the edited report to the character")
    scene.expect(str(given["many"]).endswith("two"), "Dify got the whole of the option that was chosen")
    assert asked.answered
    scene.expect(asked.answered.action["id"] == "decision_20", "of two decisions that read alike, the second counted")

    blank = await scene.form(root, "OK", "No text")
    await scene.fill("cleo", blank, "answer", "Nothing was asked, and all is well.")
    await scene.click("cleo", blank, "OK")
    await scene.reads(blank, "✅ OK", "@cleo")
    await scene.reply(root, "The long report, edited", "goes on below")
    await scene.result(root, "decision_20", "Nothing was asked, and all is well.")


@contextmanager
def _possible(name: str) -> Iterator[None]:
    """Raise `Unexpected` when somebody does not find what to click or fill in."""
    try:
        yield
    except LookupError as error:
        raise Unexpected(f"{name} should have been able to do that, but there is {error}.") from None


def _excerpt(text: str) -> str:
    """Quote a text, or the beginning of a long one."""
    line = " ".join(text.split())
    return f"“{line}”" if len(line) <= _EXCERPT else f"“{line[:_EXCERPT]}…” ({len(text):,} characters)"


def _post(message: Message) -> str:
    """Return what the bot calls this message in its metadata."""
    return json.dumps(message.metadata, sort_keys=True)


def _given(scene: Scene) -> Mapping[str, object]:
    """Return the values of the last answer the bot sent."""
    values: Mapping[str, object] = scene.submits[-1].body["inputs"]
    return values
