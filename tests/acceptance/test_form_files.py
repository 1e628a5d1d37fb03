"""Files for forms: through the thread, through the window, and through everything that goes wrong with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from bot.playground.dify import App
from bot.playground.dify.api import Route
from bot.playground.dify.apps import file_form, parallel
from bot.playground.dify.graph import End, HumanInput, file, file_list
from bot.playground.elsewhere import Elsewhere
from bot.playground.scenarios import DONE, OPEN_WINDOW, Scene
from bot.playground.slack import LocalFile, Message
from bot.playground.slack.faults import Duplicate, Hold, SignInPage
from bot.playground.slack.files import Given
from bot.playground.slack.state import View
from bot.playground.stage import Stage
from tests.acceptance.conftest import apps

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

PDF, PNG = ("contract.pdf", b"%PDF-1.7 signed"), ("roof.png", b"\x89PNG\r\n\x1a\n roof")
ATTACHED = "✅ attached"


def _with_fields(app: App, name: str, *fields: object) -> App:
    nodes = (
        replace(node, inputs=(*fields, *node.inputs[2:])) if isinstance(node, HumanInput) else node
        for node in app.nodes
    )
    return replace(app, name=name, nodes=tuple(nodes))


def _both(name: str, legal: str, brand: str) -> App:
    """Two forms that are open at the same time, each of which wants a file of its type."""
    app = parallel()
    wanted = {"Legal review": file("contract", types=[legal]), "Brand review": file("photo", types=[brand])}
    asking = [
        replace(
            node,
            inputs=(wanted[node.title],),
            content=f"{{{{#$output.{wanted[node.title]['output_variable_name']}#}}}}",
        )
        if isinstance(node, HumanInput)
        else node
        for node in app.nodes
    ]
    ends = {"legal": ("legal", "__action_value")}
    asking = [replace(node, outputs=ends) if isinstance(node, End) else node for node in asking]
    return replace(app, name=name, nodes=tuple(asking))


@pytest.fixture(scope="module")
def sample_apps() -> dict[str, App]:
    """The sample apps, one whose fields both take documents, and one that takes links."""
    papers = file_form()
    own = {
        "either": _with_fields(
            papers, "either", file("contract", types=["document"]), file_list("photos", types=["document"], limit=2)
        ),
        "linked": _with_fields(
            papers,
            "linked",
            file("contract", types=["document"]) | {"allowed_file_upload_methods": ["remote_url"]},
            file_list("photos", types=["image"], limit=2),
        ),
    }
    own["same"] = _both("same", "document", "document")
    table = file("contract", types=["custom"], extensions=[".CSV"])
    own["table"] = _with_fields(papers, "table", table, file_list("photos", types=["image"], limit=2))
    own["both"] = _both("both", "document", "image")
    return apps() | own


async def asked(scene: Scene, app: str = "papers") -> tuple[Message, Message]:
    """Start a run; return its root and its form."""
    root = await scene.start("ann", f"/dify {app} topic=Roof")
    return root, await scene.form(root, "Hand in")


async def card(scene: Scene, root: Message, *parts: str) -> Message:
    """Wait for the card of the form, and for what it says."""
    found = await scene.reply(root, "Files for Hand in documents")
    await scene.reads(found, *parts)
    return found


def sent(scene: Scene, field: str) -> object:
    """What Dify got for a field, with names in the place of ids."""
    (submit,) = (each for each in scene.submits if each.status == 200)
    value = submit.body["inputs"][field]
    stored = scene.dify.files.stored
    names = [stored[each["upload_file_id"]].name for each in (value if isinstance(value, list) else [value])]
    return names if isinstance(value, list) else names[0]


async def test_a_file_that_fits_several_fields_goes_where_somebody_says(scene: Scene) -> None:
    root, form = await asked(scene, "either")
    await scene.share("ben", root, PDF)
    shown = await card(scene, root, "It fits several fields")
    assert not scene.uploads
    await scene.select("cleo", shown, "Choose the field", "Photos of the site")
    await scene.reads(shown, "contract.pdf → Photos of the site", ATTACHED)
    await scene.share("ben", root, ("other.pdf", b"%PDF-1.7 other"))
    await scene.reads(shown, "other.pdf", "It fits several fields")
    await scene.select("cleo", shown, "Choose the field", "The signed contract")
    await scene.reads(shown, "other.pdf → The signed contract")
    await scene.until(lambda: scene.text(shown).count(ATTACHED) == 2, "Dify has both")
    await scene.click("ann", form, "Hand in")
    await scene.reads(root, DONE)
    assert (sent(scene, "contract"), sent(scene, "photos")) == ("other.pdf", ["contract.pdf"])


async def test_every_file_is_uploaded_as_the_user_of_the_run(scene: Scene) -> None:
    """One of another user is taken with the answer and then fails the run (recording 10)."""
    root, form = await asked(scene)
    await scene.share("ben", root, PDF)
    await scene.share("cleo", root, PNG)
    shown = await card(scene, root)
    await scene.until(lambda: scene.text(shown).count(ATTACHED) == 2, "Dify has both")
    await scene.click("ben", form, "Hand in")
    await scene.reads(root, DONE)
    user = f"slack:{scene.workspace.team_id}:{scene.workspace.person('ann').id}"
    ids = [each["upload_file_id"] for each in (scene.submits[-1].body["inputs"]["contract"],)]
    assert {scene.dify.files.stored[each].user for each in ids} == {user}


async def test_a_link_is_sent_as_such_where_the_field_takes_links(scene: Scene) -> None:
    async with Elsewhere() as elsewhere:
        url = elsewhere.put("/plan.pdf", b"%PDF-1.7 plan", "application/pdf")
        root, form = await asked(scene, "linked")
        assert scene.shows(form, "reply to this thread with nothing but a link")
        await scene.say("ben", root, url)
        await card(scene, root, "plan.pdf → The signed contract", "🔗")
        await scene.share("ben", root, PNG)
        await card(scene, root, ATTACHED)
        await scene.click("ann", form, "Hand in")
        await scene.reads(root, DONE)
    assert scene.submits[-1].body["inputs"]["contract"] == {
        "transfer_method": "remote_url",
        "url": url,
        "type": "document",
    }


async def test_a_link_that_does_not_end_like_a_file_is_for_dify_to_look_at(scene: Scene) -> None:
    """As those of archives of papers do; Dify goes by what is served there."""
    async with Elsewhere() as elsewhere:
        url = elsewhere.put("/pdf/2401.12345", b"%PDF-1.7 paper", "application/pdf")
        root, form = await asked(scene, "linked")
        await scene.click("ann", form, "Hand in")
        await scene.told("ann", "needs a link: reply to this thread with nothing but that")
        await scene.say("ben", root, url)
        shown = await card(scene, root, "2401.12345", "It fits several fields")
        await scene.select("ben", shown, "Choose the field", "The signed contract")
        await scene.reads(shown, "2401.12345 → The signed contract")
        await scene.click("ann", form, "Hand in")
        await scene.reads(root, DONE)
    assert scene.submits[-1].body["inputs"]["contract"]["type"] == "document"


async def test_what_people_say_in_the_thread_of_a_form_is_no_file(scene: Scene) -> None:
    root, _ = await asked(scene)
    await scene.say("ben", root, "See https://example.com/plan.pdf for the plan, please.")
    await scene.share("ben", root, PDF)
    shown = await card(scene, root, ATTACHED)
    assert scene.text(shown).count(ATTACHED) == 1


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (LocalFile("plan.pdf", mode="external", address="https://drive.example/plan.pdf"), "linked from elsewhere"),
        (LocalFile("plan.pdf", b"%PDF", mode="hidden_by_limit"), "Slack hides it"),
        (LocalFile("plan.txt", b"text", mode="post"), "post"),
    ],
    ids=lambda value: value.mode if isinstance(value, LocalFile) else "",
)
async def test_what_slack_does_not_give_is_told_with_its_reason(scene: Scene, given: LocalFile, sentence: str) -> None:
    root, _ = await asked(scene)
    await scene.share("ben", root, given)
    await scene.told("ben", sentence)
    assert not scene.uploads


async def test_what_slack_does_not_give_takes_up_no_room(scene: Scene) -> None:
    """The payload says it already: what can be had beside it goes into the field, and each file has its own reason."""
    root, _ = await asked(scene)
    elsewhere = LocalFile("plan.pdf", mode="external", address="https://drive.example/plan.pdf")
    await scene.share("ben", root, elsewhere, LocalFile("notes.txt", b"text", mode="post"), PDF)
    note = await scene.told("ben", "plan.pdf: It is not kept in Slack", "notes.txt: It is a post")
    assert not scene.shows(note, "contract.pdf")
    await card(scene, root, "contract.pdf → The signed contract", ATTACHED)
    assert len(scene.uploads) == 1


async def test_a_file_of_another_workspace_is_looked_up_first(scene: Scene) -> None:
    root, _ = await asked(scene)
    await scene.share("ben", root, LocalFile(*PDF, is_stub=True))
    await card(scene, root, "contract.pdf → The signed contract", ATTACHED)


async def test_the_sign_in_page_is_not_taken_for_a_file(stage: Stage, new_scene: Callable[[], Scene]) -> None:
    """Slack answers 200 with it where the app lacks the scope (slack-platform §5.3); the admin is told which."""
    scene = new_scene()
    root, _ = await asked(scene)
    stage.workspace.faults.add("download", SignInPage())
    await scene.share("ben", root, PDF)
    await scene.told("ben", "contract.pdf", "lacks the scope files:read", "Whoever looks after the bot")
    assert not scene.uploads


async def test_whoever_presses_before_a_file_is_there_is_asked_to_wait(scene: Scene) -> None:
    root, form = await asked(scene)
    upload = scene.dify.hold_next(Route.UPLOAD)
    await scene.share("ben", root, PDF)
    await card(scene, root, "on its way to Dify")
    await scene.click("ann", form, "Hand in")
    await scene.told("ann", "The signed contract", "contract.pdf", "on its way")
    upload.set()
    shown = await card(scene, root, ATTACHED)
    await scene.share("ben", root, PNG)
    await scene.until(lambda: scene.text(shown).count(ATTACHED) == 2, "Dify has both")
    await scene.click("ann", form, "Hand in")
    await scene.reads(root, DONE)


async def test_a_file_that_dify_refuses_in_a_window_opens_the_form_again(scene: Scene) -> None:
    """What was typed is still there, and the reason is told in one sentence."""
    root, form = await asked(scene)
    await scene.click("ben", form, OPEN_WINDOW)
    window = scene.window("ben")
    await scene.choose_files("ben", window, "The signed contract", PDF)
    await scene.choose_files("ben", window, "Photos of the site", PNG)
    await scene.type_into_window("ben", "remarks", "Mind the chimney.")
    await scene.until(lambda: len(scene.uploads) == 2, "what is chosen is uploaded at once")
    scene.dify.fail_next(Route.UPLOAD, 413)
    await scene.choose_files("ben", window, "Photos of the site", ("large.png", b"\x89PNG large"))
    await scene.select("ben", window, "Decision", "Hand in")
    await scene.submit("ben")
    note = await scene.told("ben", "large.png: Dify takes no file that large.", "was not sent to Dify")
    assert ".." not in scene.text(note)
    await scene.reads(form, "The last answer was not sent to Dify, since a file of it cannot be used", "large.png")
    assert "did not take" not in scene.text(form)
    assert "Mind the chimney." in str(form.content.blocks)
    assert not scene.submits
    again = await scene.form(root, "Hand in")
    await scene.click("ben", again, "Hand in")
    await scene.reads(root, DONE)
    # Another picture was chosen in the place of the first.
    assert (sent(scene, "contract"), sent(scene, "photos")) == ("contract.pdf", [])


async def test_files_chosen_in_a_window_that_is_closed_stay_attached(scene: Scene) -> None:
    root, form = await asked(scene)
    await scene.click("ben", form, OPEN_WINDOW)
    window = scene.window("ben")
    await scene.choose_files("ben", window, "The signed contract", PDF)
    await scene.type_into_window("ben", "remarks", "Later.")
    await scene.close_window("ben")
    await card(scene, root, "contract.pdf → The signed contract", ATTACHED)
    await scene.click("ben", form, OPEN_WINDOW)
    assert any("contract.pdf" in str(block) for block in scene.window("ben").blocks)


async def test_a_file_outlives_a_crash_of_the_bot(scene: Scene) -> None:
    """Whatever was begun of it: it is attached once, and the answer holds it."""
    root, form = await asked(scene)
    upload = scene.dify.hold_next(Route.UPLOAD)
    await scene.share("ben", root, PDF, PNG)
    await card(scene, root, "on its way to Dify")
    await scene.kill("while a file is on its way")
    upload.set()
    await scene.restart()
    shown = await card(scene, root)
    await scene.until(lambda: scene.text(shown).count(ATTACHED) == 2, "Dify has both")
    await scene.click("ann", form, "Hand in")
    await scene.reads(root, DONE)
    assert (sent(scene, "contract"), sent(scene, "photos")) == ("contract.pdf", ["roof.png"])


async def test_a_window_that_is_sent_while_its_files_are_pulled_is_sent_to_dify_after_a_crash(scene: Scene) -> None:
    root, form = await asked(scene)
    await scene.click("ben", form, OPEN_WINDOW)
    window = scene.window("ben")
    upload = scene.dify.hold_next(Route.UPLOAD)
    await scene.choose_files("ben", window, "The signed contract", PDF)
    await scene.choose_files("ben", window, "Photos of the site", PNG)
    await scene.select("ben", window, "Decision", "Hand in")
    await scene.submit("ben")
    await scene.reads(form, "Hand in · @ben · sent once its files, which are on their way, are in Dify")
    await scene.kill("while the files of an answer are on their way")
    upload.set()
    await scene.restart()
    await scene.reads(form, "✅ Hand in", "@ben", "contract.pdf", "roof.png")
    await scene.reads(root, DONE)
    scene.check_answers(1)


async def test_a_name_arrives_as_it_is_and_a_type_that_nobody_knows_is_not_taken(scene: Scene) -> None:
    """Recording 08: accents, other scripts and emoji survive."""
    root, form = await asked(scene)
    await scene.share("ben", root, ("契約 é 📎.pdf", b"%PDF"), ("no-extension", b"\0"))
    await scene.told("ben", "no-extension", "takes a document")
    await scene.share("ben", root, ("Dach ü.PNG", b"\x89PNG"))
    shown = await card(scene, root, "契約 é 📎.pdf")
    await scene.until(lambda: scene.text(shown).count(ATTACHED) == 2, "Dify has both")
    await scene.click("ben", form, "Hand in")
    await scene.reads(root, DONE)
    assert (sent(scene, "contract"), sent(scene, "photos")) == ("契約 é 📎.pdf", ["Dach ü.PNG"])


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(413, "Dify takes no file that large"), (415, "does not take")],
)
async def test_what_dify_says_of_an_upload_is_told_as_a_sentence(scene: Scene, status: int, sentence: str) -> None:
    """Recording 08; the form stays as it is, and the next file is taken."""
    root, _ = await asked(scene)
    scene.dify.fail_next(Route.UPLOAD, status)
    await scene.share("ben", root, PDF)
    await scene.told("ben", "contract.pdf", sentence)
    await scene.share("ben", root, PDF)
    await card(scene, root, "contract.pdf → The signed contract", ATTACHED)


async def test_an_extension_that_the_server_blocks_is_told_with_its_reason(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An admin of Dify sets that; nothing tells of it beforehand (dify-api §12.1)."""
    root, _ = await asked(scene)
    monkeypatch.setattr(scene.dify, "extension_blacklist", frozenset({"pdf"}))
    await scene.share("ben", root, PDF)
    await scene.told("ben", "contract.pdf", "not allowed")


async def test_a_field_for_an_extension_of_its_own_takes_that_alone(scene: Scene) -> None:
    """Recording 11: whatever the case, with a dot or without, and sent as `custom`."""
    root, form = await asked(scene, "table")
    assert scene.shows(form, "reply to this thread with a .csv file")
    await scene.share("ben", root, ("notes.txt", b"text"))
    await scene.told("ben", "notes.txt", "takes a .csv file")
    await scene.share("ben", root, ("Numbers.Csv", b"a,b"), PNG)
    shown = await card(scene, root, "Numbers.Csv → The signed contract")
    await scene.until(lambda: scene.text(shown).count(ATTACHED) == 2, "Dify has both")
    await scene.click("ben", form, "Hand in")
    await scene.reads(root, DONE)
    assert scene.submits[-1].body["inputs"]["contract"]["type"] == "custom"


async def test_a_list_may_stay_empty_and_a_link_that_leads_nowhere_is_refused_by_dify(scene: Scene) -> None:
    """Recording 09: the form opens again with Dify's reason, and what else was given is still there."""
    root, form = await asked(scene, "linked")
    async with Elsewhere() as elsewhere:
        url = elsewhere.put("/plan.pdf", b"%PDF-1.7 plan", "application/pdf")
    await scene.say("ben", root, url)
    shown = await card(scene, root, "plan.pdf → The signed contract")
    await scene.click("ben", form, "Hand in")
    await scene.told("ben", "Dify did not take")
    await scene.reads(form, "Dify did not take the last answer")
    await scene.click("cleo", shown, "Remove plan.pdf")
    async with Elsewhere() as elsewhere:
        url = elsewhere.put("/plan-b.pdf", b"%PDF-1.7 plan", "application/pdf")
        await scene.say("ben", root, url)
        await scene.reads(shown, "plan-b.pdf → The signed contract")
        await scene.click("ben", form, "Hand in")
        await scene.reads(root, DONE)
    inputs = scene.submits[-1].body["inputs"]
    assert (inputs["contract"]["url"], inputs["photos"]) == (url, [])


async def test_what_only_looks_like_a_link_is_told_to_be_none(scene: Scene) -> None:
    root, _ = await asked(scene, "linked")
    await scene.say("ben", root, "https://[your-host]/plan.pdf")
    await scene.told("ben", "takes a link that begins with https://")


async def test_nothing_is_sent_while_a_file_waits_for_its_field(scene: Scene) -> None:
    """In the message as in the window: a list may be empty, so that nobody else would notice."""
    root, form = await asked(scene, "either")
    await scene.share("ben", root, PDF)
    shown = await card(scene, root, "It fits several fields")
    await scene.click("ann", form, "Withdraw")
    await scene.told("ann", "may be for contract.pdf")
    await scene.click("cleo", form, OPEN_WINDOW)
    await scene.select("cleo", scene.window("cleo"), "Decision", "Withdraw")
    refused = await scene.submit("cleo")
    assert any("may be for contract.pdf" in each for each in refused.field_errors.values())
    await scene.close_window("cleo")
    await scene.select("ben", shown, "Choose the field", "The signed contract")
    await scene.reads(shown, ATTACHED)
    await scene.click("ann", form, "Withdraw")
    await scene.reads(form, "✅ Withdraw")


async def test_each_file_goes_to_the_form_that_takes_it(scene: Scene) -> None:
    """Two forms of a run are open, and both say: reply to this thread."""
    root = await scene.start("ann", "/dify both topic=Roof")
    legal = await scene.form(root, "OK", "Legal review")
    brand = await scene.form(root, "OK", "Brand review")
    await scene.share("ben", root, PDF, PNG)
    first = await scene.reply(root, "Files for Legal review", "contract.pdf")
    second = await scene.reply(root, "Files for Brand review", "roof.png")
    await scene.reads(first, ATTACHED)
    await scene.reads(second, ATTACHED)
    await scene.click("ben", legal, "OK")
    await scene.click("ben", brand, "OK")
    await scene.reads(root, DONE)


def told_one(scene: Scene, *parts: str) -> Callable[[], bool]:
    """Whether exactly one of ann and cleo was told this, and the other nothing of the kind."""
    return lambda: (
        [any(scene.shows(each, *parts) for each in scene.notes(name)) for name in ("ann", "cleo")].count(True) == 1
    )


async def test_whoever_removes_a_file_that_is_gone_is_told(scene: Scene) -> None:
    root, _ = await asked(scene)
    await scene.share("ben", root, PDF)
    shown = await card(scene, root, ATTACHED)
    await scene.click_at_once(shown, ann="Remove contract.pdf", cleo="Remove contract.pdf")
    await scene.until(
        told_one(scene, "contract.pdf is not among the files for Hand in documents any more"),
        "the second click is told",
    )
    await scene.reads(shown, "No file is attached")


async def test_the_second_choice_of_a_field_for_a_file_is_told(scene: Scene) -> None:
    root, _ = await asked(scene, "either")
    await scene.share("ben", root, PDF)
    shown = await card(scene, root, "It fits several fields")
    await scene.select("ann", shown, "Choose the field", "Photos of the site")
    await scene.select("cleo", shown, "Choose the field", "The signed contract")
    await scene.until(told_one(scene, "contract.pdf goes to", "already"), "the second choice is told")
    await scene.reads(shown, "contract.pdf → ", ATTACHED)


async def test_files_that_come_after_the_decision_are_named_with_who_decided(stage: Stage, scene: Scene) -> None:
    root, form = await asked(scene)
    await scene.share("ben", root, PDF)
    shown = await card(scene, root, ATTACHED)
    redrawing = asyncio.Event()
    stage.workspace.faults.add("chat.update", Hold(redrawing), times=3)
    await scene.click("ann", form, "Withdraw", hesitates=False)
    await scene.click("ben", shown, "Remove contract.pdf", hesitates=False)
    await scene.told("ben", "Too late: @ann already chose Withdraw", "Its files stay as they are")
    redrawing.set()
    await scene.reads(form, "✅ Withdraw")


async def window_with(scene: Scene, form: Message, *files: Given) -> View:
    """Let ben open the form's window, choose these for the contract and type something, which tells the bot of them."""
    await scene.click("ben", form, OPEN_WINDOW)
    window = scene.window("ben")
    await scene.choose_files("ben", window, "The signed contract", *files)
    await scene.type_into_window("ben", "remarks", "As agreed.")
    return window


async def test_a_file_that_is_taken_out_of_a_window_again_is_not_sent(scene: Scene) -> None:
    """Sent or closed: of what came from a window, its person wants what it holds in the end."""
    root, form = await asked(scene)
    window = await window_with(scene, form, PDF)
    await scene.choose_files("ben", window, "Photos of the site", PNG, ("odd.png", b"\x89PNG odd"))
    await scene.type_into_window("ben", "remarks", "As agreed, but for one.")
    shown = await card(scene, root, "contract.pdf", "roof.png", "odd.png")
    await scene.choose_files("ben", window, "Photos of the site")
    await scene.select("ben", window, "Decision", "Hand in")
    assert not (await scene.submit("ben")).field_errors
    await scene.reads(form, "✅ Hand in", "contract.pdf")
    await scene.reads(root, DONE)
    assert (sent(scene, "contract"), sent(scene, "photos")) == ("contract.pdf", [])
    assert not scene.shows(shown, "odd.png")


async def test_a_file_that_is_taken_out_of_a_window_that_is_closed_is_not_attached(scene: Scene) -> None:
    root, form = await asked(scene)
    window = await window_with(scene, form, PDF)
    await scene.share("cleo", root, PNG)
    shown = await card(scene, root, "contract.pdf", "roof.png")
    await scene.choose_files("ben", window, "The signed contract")
    await scene.type_into_window("ben", "remarks", "Not agreed.")
    await scene.close_window("ben")
    await scene.until(lambda: not scene.shows(shown, "contract.pdf"), "what ben took out is taken back")
    assert scene.shows(shown, "roof.png → Photos of the site")


async def test_a_window_that_holds_a_file_which_was_removed_is_not_sent_without_a_word(scene: Scene) -> None:
    """Neither side decides it for the other: who sends it takes the file out, or chooses it once more."""
    root, form = await asked(scene)
    window = await window_with(scene, form, PDF)
    shown = await card(scene, root, "contract.pdf", ATTACHED)
    await scene.click("cleo", shown, "Remove contract.pdf")
    await scene.reads(shown, "No file is attached")
    await scene.type_into_window("ben", "remarks", "As agreed, I say.")
    await scene.select("ben", window, "Decision", "Hand in")
    refused = await scene.submit("ben")
    assert any("holds contract.pdf, which was removed" in each for each in refused.field_errors.values())
    assert scene.shows(shown, "No file is attached")
    await scene.choose_files("ben", window, "The signed contract", PDF)
    assert not (await scene.submit("ben")).field_errors
    await scene.reads(root, DONE)
    assert sent(scene, "contract") == "contract.pdf"


async def test_what_does_not_fit_in_a_window_that_is_closed_is_told(scene: Scene) -> None:
    root, form = await asked(scene)
    await scene.click("ben", form, OPEN_WINDOW)
    photos = [(f"{number}.png", b"\x89PNG %d" % number) for number in range(1, 4)]
    await scene.share("cleo", root, ("first.png", b"\x89PNG first"))
    shown = await card(scene, root, "first.png", ATTACHED)
    await scene.choose_files("ben", scene.window("ben"), "Photos of the site", *photos)
    await scene.type_into_window("ben", "remarks", "As agreed.")
    await scene.type_into_window("ben", "remarks", "As agreed with cleo.")
    await scene.close_window("ben")
    note = await scene.told("ben", "not attached", "3.png", "takes 3 at most")
    assert scene.notes("ben") == [note], "it is told once"
    await scene.reads(shown, "1.png → Photos", "2.png → Photos")
    assert not scene.shows(shown, "3.png")


async def test_who_begins_anew_drops_the_files_of_the_window_and_keeps_the_others(scene: Scene) -> None:
    root, form = await asked(scene)
    await window_with(scene, form)
    await scene.close_window("ben")
    await scene.share("cleo", root, PNG)
    window = await window_with(scene, form, PDF)
    shown = await card(scene, root, "contract.pdf", "roof.png")
    before = window.blocks
    await scene.workspace.person("ben").click(window, "Begin anew")
    await scene.until(lambda: not scene.shows(shown, "contract.pdf"), "what ben chose is taken back")
    assert scene.shows(shown, "roof.png → Photos of the site")
    await scene.until(lambda: window.blocks != before, "the window holds what the form says")
    assert "roof.png" in str(window.blocks)
    await scene.close_window("ben")


async def test_a_link_that_is_entered_in_a_window_outlives_its_closing(scene: Scene) -> None:
    """As all that is entered there; and no button of the message passes over it."""
    async with Elsewhere() as elsewhere:
        url = elsewhere.put("/plan.pdf", b"%PDF-1.7 plan", "application/pdf")
        root, form = await asked(scene, "linked")
        await scene.click("ben", form, OPEN_WINDOW)
        await scene.type_into_window("ben", "The signed contract", url)
        await scene.close_window("ben")
        await scene.click("ben", form, "Withdraw")
        await scene.told("ben", "Not sent yet", "Hand in documents", "Nothing was decided")
        await scene.click("ben", form, OPEN_WINDOW)
        window = scene.window("ben")
        assert url in str(window.blocks)
        await scene.select("ben", window, "Decision", "Hand in")
        assert not (await scene.submit("ben")).field_errors
        await scene.reads(root, DONE)
    assert scene.submits[-1].body["inputs"]["contract"]["url"] == url


async def test_a_link_that_is_none_is_told_at_its_field(scene: Scene) -> None:
    _, form = await asked(scene, "linked")
    await scene.click("ben", form, OPEN_WINDOW)
    window = scene.window("ben")
    await scene.type_into_window("ben", "The signed contract", "plan.pdf")
    await scene.select("ben", window, "Decision", "Hand in")
    ((block_id, sentence),) = (await scene.submit("ben")).field_errors.items()
    assert block_id in {block["block_id"] for block in window.blocks}
    assert "takes a link that begins with https://" in sentence


async def test_a_file_that_slack_still_processes_waits_for_that(stage: Stage, scene: Scene) -> None:
    root, _ = await asked(scene)
    await scene.share("ben", root, LocalFile(*PDF, is_processed=False))
    await card(scene, root, "contract.pdf", "on its way to Dify")
    stage.workspace.files.process(list(stage.workspace.files.by_id)[-1])
    await card(scene, root, "contract.pdf", ATTACHED)


async def test_a_stub_that_slack_still_processes_is_told_so(stage: Stage, scene: Scene) -> None:
    """Its payload says nothing of it, and people wait for an ack."""
    root, _ = await asked(scene)
    stage.workspace.files.processing_seconds = 60.0
    try:
        await scene.share("ben", root, LocalFile(*PDF, is_stub=True))
        await scene.told("ben", "Slack has not finished processing it, or it is empty. If it is not, share it")
    finally:
        stage.workspace.files.processing_seconds = 0.0


async def test_a_file_that_fits_several_forms_goes_where_somebody_says(scene: Scene) -> None:
    root = await scene.start("ann", "/dify same topic=Roof")
    legal = await scene.form(root, "OK", "Legal review")
    brand = await scene.form(root, "OK", "Brand review")
    await scene.share("ben", root, PDF)
    shown = await scene.reply(root, "contract.pdf", "It fits several forms")
    await scene.click("ben", legal, "OK")
    await scene.told("ben", "may be for contract.pdf")
    await scene.select("cleo", shown, "Choose the field", "Legal review: ")
    placed = await scene.reply(root, "Files for Legal review", "contract.pdf → ")
    await scene.reads(placed, ATTACHED)
    await scene.share("ben", root, ("logo.pdf", b"%PDF-1.7 logo"))
    other = await scene.reply(root, "Files for Brand review", "logo.pdf → ")
    await scene.reads(other, ATTACHED)
    await scene.click("ben", legal, "OK")
    await scene.click("ben", brand, "OK")
    await scene.reads(root, DONE)


async def test_a_file_that_nothing_asks_for_is_told_so(scene: Scene) -> None:
    """In the thread of a Workflow, where nobody else would say anything; once, also where it is delivered twice."""
    root, form = await asked(scene)
    await scene.share("ann", root, PDF)
    await card(scene, root, ATTACHED)
    await scene.click("ann", form, "Withdraw")
    await scene.reads(root, DONE)
    scene.workspace.faults.add("events_api", Duplicate())
    await scene.share("ben", root, PDF, text="For the record")
    note = await scene.told("ben", "contract.pdf", "has ended and asks for nothing")
    await scene.say("ben", root, "And a word.")
    root = await scene.start("ann", "/dify review topic=Tea language=English")
    await scene.form(root, OPEN_WINDOW)
    await scene.share("ben", root, PDF)
    other = await scene.told("ben", "contract.pdf", "does not ask for a file right now")
    assert scene.notes("ben") == [note, other]


async def test_a_window_that_is_sent_too_late_names_the_files_in_it(stage: Stage, scene: Scene) -> None:
    root, form = await asked(scene)
    await scene.share("ann", root, PDF)
    await card(scene, root, ATTACHED)
    await scene.click("ben", form, OPEN_WINDOW)
    window = scene.window("ben")
    await scene.choose_files("ben", window, "Photos of the site", PNG)
    await scene.select("ben", window, "Decision", "Hand in")
    # The window is told nothing of the decision in time.
    telling = asyncio.Event()
    stage.workspace.faults.add("views.update", Hold(telling))
    await scene.click("ann", form, "Withdraw", hesitates=False)
    await scene.submit("ben")
    late = scene.window("ben")
    await scene.until(lambda: "Not attached: 📎 roof.png" in str(late.blocks), "the window names what it held")
    telling.set()
    await scene.close_window("ben")
