"""The app's Home, over both ways to Slack: what waits, what runs and what has ended, each person's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.playground.dify import App
from bot.playground.dify.apps import pick
from bot.playground.dify.graph import End, HumanInput, action, text_input
from bot.playground.scenarios import DONE, Scene
from bot.playground.slack.text import shown
from bot.playground.stage import Stage
from tests.slack.hostile import HOSTILE, harm

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

ODD_TITLE = "Sign *off* <!channel> <https://evil.example|here> \u202eend"


def rough() -> App:
    """A form whose title would do harm where it could."""
    return App(
        name="rough",
        start=(text_input("text", required=True),),
        nodes=(
            HumanInput("ask", ODD_TITLE, content="Well?", actions=(action("go", "Go", "primary"),)),
            End("end", "End", {"said": ("start", "text")}),
        ),
        edges=("start -> ask", "ask.go -> end"),
    )


@pytest.fixture(scope="module")
def sample_apps() -> dict[str, App]:
    return {"pick": pick(), "rough": rough()}


@pytest.fixture
def messages(stage: Stage) -> Iterator[Scene]:
    """Ann's direct messages with the app, in which nothing may go wrong, either."""
    stage.workspace.direct_messages(stage.workspace.person("ann"))
    scene = Scene(stage, "@ann", lambda _: None, pace=0)
    yield scene
    scene.check_posts()
    scene.check_manners()


async def test_a_home_with_nothing_says_so(scene: Scene) -> None:
    """Cleo's, who starts nothing in any of these tests; ann starts all of it, and ben answers."""
    home = await scene.open_home("cleo")
    await scene.home_reads(
        home,
        "Nothing waits for you.",
        "Nothing of yours is running.",
        "Nothing of yours has ended lately.",
        "/dify help pick",
        "As of",
    )


async def test_a_form_is_listed_for_who_has_started_its_run_until_it_is_answered(scene: Scene) -> None:
    """And for nobody else; nobody has to open a Home again to see that it has changed."""
    root = await scene.start("ann", '/dify pick title="Spring menu" size=L')
    form = await scene.form(root, "Accept")
    home = await scene.open_home("ann")
    place = scene.workspace.channel(scene.channel)
    await scene.home_reads(home, "📝", "pick", f"<#{place.id}>", "title: Spring menu", "Nothing of yours is running.")
    await scene.home_reads(home, f"{scene.workspace.url}/archives/{place.id}/p{form.ts.replace('.', '')}", "Answer it")
    others = await scene.open_home("ben")
    await scene.home_reads(others, "Nothing waits for you.", "Nothing of yours is running.")
    await scene.select("ben", form, "priority", "low")
    await scene.click("ben", form, "Accept")
    await scene.reads(root, DONE)
    await scene.home_reads(home, "Nothing waits for you.", DONE, "title: Spring menu")
    assert "Spring menu" not in shown("", others.blocks)
    await scene.home_reads(await scene.open_home("ben"), "Nothing of yours has ended lately.")


async def test_the_button_starts_an_app_in_direct_messages(messages: Scene) -> None:
    """The Home shows what became of it."""
    home = await messages.open_home("ann")
    await messages.click("ann", home, "Start an app")
    window = messages.window("ann")
    await messages.select("ann", window, "App", "pick")
    await messages.until(lambda: window.title == "Start pick", "the window shows what pick takes")
    await messages.fill("ann", window, "title", "Winter menu")
    root = await messages.start_by_window("ann")
    form = await messages.form(root, "Accept")
    await messages.home_reads(home, "pick", "in direct messages", "title: Winter menu", "Answer it")
    await messages.select("ann", form, "priority", "high")
    await messages.click("ann", form, "Accept")
    await messages.reads(root, DONE)
    await messages.home_reads(home, "Nothing waits for you.", DONE)


@pytest.mark.parametrize(
    ("text", "seen"),
    [("<!channel> *b* `c`", "<!channel> ∗b∗ ˋcˋ"), (HOSTILE[4], HOSTILE[4]), ("<@U999> & <x>", "<@U999> & <x>")],
)
async def test_no_text_does_harm_in_a_home(scene: Scene, text: str, seen: str) -> None:
    """Neither what somebody enters nor what a builder calls a form."""
    window = await scene.open_window("ann", "/dify rough")
    await scene.fill("ann", window, "text", text)
    root = await scene.start_by_window("ann")
    form = await scene.form(root, "Go")
    home = await scene.open_home("ann")
    await scene.home_reads(home, "Sign ∗off∗ <!channel>", seen, "Answer it")
    sent = [block for block in home.blocks if "/archives/" not in str(block)]
    links = [block for block in home.blocks if "/archives/" in str(block)]
    assert links
    assert [found for found in harm("", sent) if not found.startswith("obeys <#")] == []
    urls = [part for block in links for part in block["text"]["text"].split("<") if part.startswith("http")]
    assert all(url.startswith(f"{scene.workspace.url}/archives/") for url in urls)
    await scene.click("ann", form, "Go")
    await scene.home_reads(home, "Nothing waits for you.", DONE)
