"""What a run gives out is fetched when it is seen, and shown once: images in the text of their form, the rest below."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.core import effects as do
from bot.core import events as saw
from bot.core.effects import Effect
from bot.core.giving_out import MAX_INLINE, OUT_FILE_MOVES, OutFileMove, move_out_file, out_file_of, to_tell
from bot.core.lifecycle import advance
from bot.core.model import FormStatus, OutFile, OutFileStatus, Paragraph, Run, RunStatus
from bot.errors import UnknownHere
from tests.factories import NOW, make_form, make_run


def address(key: str, sign: str = "s") -> str:
    """Return an address as Dify signs it."""
    return f"https://dify.example/files/{key}/file-preview?timestamp=1&nonce=2&sign={sign}"


def path(key: str) -> str:
    """Return what names the file of an address."""
    return f"/files/{key}/file-preview"


def running(**changes: Any) -> Run:
    """Return a run that Dify executes."""
    return make_run(status=RunStatus.RUNNING, workflow_run_id="w", thread_ts="1.0", root_ts="1.0", **changes)


class Told:
    """A run, and what is to be done for it after each event."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def __call__(self, event: Any) -> tuple[Effect, ...]:
        """Let something happen."""
        transition = advance(self.run, event, NOW)
        self.run = transition.run
        return transition.effects

    def file(self, key: str) -> OutFile:
        """Return a file as it stands."""
        return next(each for each in self.run.out_files if each.key == path(key))


def asks(content: str, form_id: str = "form-1", **changes: Any) -> saw.FormRequired:
    """Return what Dify says when it asks."""
    return saw.FormRequired(
        make_form(form_id=form_id, content=content, status=FormStatus.REQUIRED, message_ts=None, **changes)
    )


def ends(**outputs: Any) -> saw.RunFinished:
    """Return what Dify says at the end."""
    return saw.RunFinished(RunStatus.SUCCEEDED, outputs)


# --- a form ----------------------------------------------------------------------------------------------------------


def test_a_form_waits_for_the_images_in_its_text_and_not_for_other_files() -> None:
    """An image stands in the message; a large document must not keep people from answering."""
    told = Told(running())
    assert told(asks(f"![a.png]({address('a')})\n\n[b.pdf]({address('b')})")) == (
        do.FetchFile(path("a")),
        do.FetchFile(path("b")),
    )
    assert told(saw.OutFileFetched(path("a"), "F1", inline=True)) == (do.PostForm("form-1"),)
    assert told(saw.OutFileFetched(path("b"), "F2")) == (do.ShareFiles("form-1"),)
    assert (told.file("a").inline, told.file("b").inline) == (True, False)


def test_a_form_without_images_is_posted_at_once() -> None:
    """Its files follow."""
    told = Told(running())
    assert told(asks(f"[b.pdf]({address('b')})")) == (do.FetchFile(path("b")), do.PostForm("form-1"))


def test_the_last_file_that_a_form_waits_for_lets_it_be_posted_and_shares_the_rest() -> None:
    """In this order."""
    told = Told(running())
    told(asks(f"![a.png]({address('a')}) [b.pdf]({address('b')})"))
    assert told(saw.OutFileFetched(path("b"), "F2")) == ()
    assert told(saw.OutFileMissed(path("a"), "it is gone.")) == (do.PostForm("form-1"), do.ShareFiles("form-1"))


def test_what_is_told_twice_does_nothing() -> None:
    """An interrupted fetch may be carried out again."""
    told = Told(running())
    told(asks(f"![a.png]({address('a')})"))
    told(saw.OutFileFetched(path("a"), "F1", inline=True))
    for event in (
        saw.OutFileFetched(path("a"), "F9"),
        saw.OutFileMissed(path("a"), "no."),
        saw.OutFileDelayed(path("a")),
    ):
        assert told(event) == ()
    assert told.file("a").slack_file_id == "F1"


def test_a_form_does_not_wait_long_for_an_image() -> None:
    """It is posted without it, and the image is shared below once it is there."""
    told = Told(running())
    told(asks(f"![a.png]({address('a')})"))
    assert told(saw.OutFileDelayed(path("a"))) == (do.PostForm("form-1"),)
    assert told(saw.OutFileDelayed(path("a"))) == ()
    # What is kept to be shown in a message cannot be shared below it.
    assert told(saw.OutFileFetched(path("a"), "F1", inline=True)) == (do.FetchFile(path("a")),)
    assert told(saw.OutFileFetched(path("a"), "F2")) == (do.ShareFiles("form-1"),)


def test_an_image_that_no_message_can_show_is_shared_below() -> None:
    """Whoever fetched it knows what Slack shows."""
    told = Told(running())
    told(asks(f"![a.svg]({address('a')})"))
    assert told(saw.OutFileFetched(path("a"), "F1", inline=False)) == (do.PostForm("form-1"), do.ShareFiles("form-1"))
    assert not told.file("a").inline


def test_images_that_slack_refuses_are_fetched_once_more_and_shared_below() -> None:
    """The form itself is posted without them by the same effect."""
    told = Told(running())
    told(asks(f"![a.png]({address('a')}) ![b.png]({address('b')})"))
    told(saw.OutFileFetched(path("a"), "F1", inline=True))
    told(saw.OutFileFetched(path("b"), "F2", inline=True))
    assert told(saw.ImagesRefused("form-1")) == (do.FetchFile(path("a")), do.FetchFile(path("b")))
    assert told(saw.ImagesRefused("form-1")) == ()
    told(saw.OutFileFetched(path("a"), "F3"))
    assert told(saw.OutFileFetched(path("b"), "F4")) == (do.ShareFiles("form-1"),)


def test_an_image_that_was_shown_and_is_refused_later_is_not_fetched_again() -> None:
    """Somebody deleted it: it is not to come back."""
    told = Told(running())
    told(asks(f"![a.png]({address('a')})"))
    told(saw.OutFileFetched(path("a"), "F1", inline=True))
    told(saw.FilesShared((path("a"),)))
    assert told(saw.ImagesRefused("form-1")) == ()
    assert not told.file("a").inline


def test_only_the_first_images_stand_in_a_form() -> None:
    """People decide there."""
    told = Told(running())
    keys = [f"k{number}" for number in range(MAX_INLINE + 3)]
    told(asks("\n".join(f"![{key}.png]({address(key)})" for key in keys)))
    assert [told.file(key).inline for key in keys] == [True] * MAX_INLINE + [False] * 3


def test_a_text_to_be_edited_holds_no_address() -> None:
    """The file that it names is shared below the form, which does not wait for it."""
    told = Told(running())
    default = Paragraph("feedback", f"As in ![a.png]({address('a')})")
    assert told(asks("Hi {{#$output.feedback#}}", inputs=(default,))) == (
        do.FetchFile(path("a")),
        do.PostForm("form-1"),
    )
    assert told.run.forms[0].inputs == (Paragraph("feedback", "As in 📎 a.png"),)


def test_a_file_of_an_earlier_form_is_neither_fetched_nor_shared_again() -> None:
    """Its address has another signature each time."""
    told = Told(running())
    told(asks(f"[b.pdf]({address('b')})"))
    told(saw.OutFileFetched(path("b"), "F1"))
    assert told(asks(f"[b.pdf]({address('b', 'other')})", "form-2")) == (do.PostForm("form-2"),)


def test_two_forms_wait_for_one_image() -> None:
    """It is fetched once, and stands in both."""
    told = Told(running())
    assert told(asks(f"![a.png]({address('a')})")) == (do.FetchFile(path("a")),)
    assert told(asks(f"![a.png]({address('a', 'other')})", "form-2")) == ()
    posted = told(saw.OutFileFetched(path("a"), "F1", inline=True, is_image=True))
    assert posted == (do.PostForm("form-1"), do.ShareFiles("form-1"), do.PostForm("form-2"))
    assert [told.file("a").stands_in(form_id) for form_id in ("form-1", "form-2", "form-3")] == [True, True, False]
    assert told(asks(f"![a.png]({address('a', 'third')})", "form-3")) == (do.PostForm("form-3"),)
    assert told.file("a").stands_in("form-3")


def test_a_form_waits_until_an_image_that_is_shared_elsewhere_can_stand_in_it() -> None:
    """Slack shows none whose upload is not completed; it does not wait for the other files that are shared there."""
    told = Told(running())
    told(saw.AnswerWritten(f"![a.png]({address('a')}) and [film.mp4]({address('b')})"))
    assert told(asks(f"![a.png]({address('a', 'other')})")) == ()
    assert told(saw.OutFileFetched(path("a"), "F1", is_image=True)) == (do.ShareFiles(None), do.PostForm("form-1"))
    assert told(asks(f"![a.png]({address('a', 'third')})", "form-2")) == (do.ShareFiles(None), do.PostForm("form-2"))
    told(saw.FilesShared((path("a"),)))
    assert told(asks(f"![a.png]({address('a', 'fourth')})", "form-3")) == (do.PostForm("form-3"),)
    assert all(told.file("a").stands_in(f"form-{number}") for number in (1, 2, 3))


def test_no_form_waits_long_for_an_image_of_another() -> None:
    """Each names it instead; it is shared below the first."""
    told = Told(running())
    told(asks(f"![a.png]({address('a')})"))
    told(asks(f"![a.png]({address('a')})", "form-2"))
    assert told(saw.OutFileDelayed(path("a"))) == (do.PostForm("form-1"), do.PostForm("form-2"))
    assert told(saw.OutFileFetched(path("a"), "F1", is_image=True)) == (do.ShareFiles("form-1"),)
    assert not told.file("a").stands_in("form-2")


def test_an_image_that_cannot_be_had_holds_up_no_form() -> None:
    """Both tell why."""
    told = Told(running())
    told(asks(f"![a.png]({address('a')})"))
    told(asks(f"![a.png]({address('a')})", "form-2"))
    posted = told(saw.OutFileMissed(path("a"), "it is gone."))
    assert [effect for effect in posted if isinstance(effect, do.PostForm)] == [
        do.PostForm("form-1"),
        do.PostForm("form-2"),
    ]


def test_a_form_does_not_show_what_no_message_can_show() -> None:
    """That is known once it is fetched."""
    told = Told(running())
    told(saw.AnswerWritten(f"![a.svg]({address('a')})"))
    told(asks(f"![a.svg]({address('a')})"))
    assert told(saw.OutFileFetched(path("a"), "F1")) == (do.ShareFiles(None), do.PostForm("form-1"))
    told(asks(f"![a.svg]({address('a')})", "form-2"))
    assert not any(told.file("a").stands_in(f"form-{number}") for number in (1, 2))


def test_an_image_of_another_form_that_slack_refuses_is_not_fetched_again() -> None:
    """The form that shows it again is posted without it, and it stays where it is."""
    told = Told(running())
    told(asks(f"![a.png]({address('a')})"))
    told(saw.OutFileFetched(path("a"), "F1", inline=True, is_image=True))
    told(asks(f"![a.png]({address('a')})", "form-2"))
    assert told(saw.ImagesRefused("form-2")) == ()
    assert [told.file("a").stands_in(form_id) for form_id in ("form-1", "form-2")] == [True, False]


# --- the run itself --------------------------------------------------------------------------------------------------


def test_what_a_run_ends_with_is_fetched_and_shared_after_the_result() -> None:
    """The files do not hold up anything else."""
    told = Told(running())
    effects = told(ends(text=f"![a.png]({address('a')})"))
    assert do.FetchFile(path("a")) in effects
    assert do.PostResult() in effects
    assert do.ShareFiles(None) not in effects
    assert told(saw.OutFileFetched(path("a"), "F1")) == (do.ShareFiles(None),)


def test_all_files_of_the_end_are_shared_together() -> None:
    """As soon as of each is known whether it can be had."""
    told = Told(running())
    told(ends(text=f"[a.pdf]({address('a')}) [b.pdf]({address('b')})"))
    assert told(saw.OutFileMissed(path("a"), "it is gone.")) == ()
    assert told(saw.OutFileFetched(path("b"), "F1")) == (do.ShareFiles(None),)


def test_what_was_not_to_be_had_is_fetched_with_the_address_of_the_end() -> None:
    """It is signed anew then."""
    told = Told(running())
    told(asks(f"[b.pdf]({address('b')})"))
    told(saw.OutFileMissed(path("b"), "it is gone."))
    assert do.FetchFile(path("b")) in told(ends(text=f"[b.pdf]({address('b', 'new')})"))
    assert [file.url for file in told.run.out_files] == [address("b", "new")]


def test_the_files_of_a_text_that_is_over_are_fetched_then() -> None:
    """What a Chatflow says before it asks may have to be seen to decide; the end names the same files once more."""
    told = Told(running())
    assert told(saw.AnswerWritten(f"Look: ![a.png]({address('a')})")) == (do.FetchFile(path("a")),)
    assert told(saw.OutFileFetched(path("a"), "F1")) == (do.ShareFiles(None),)
    told(saw.FilesShared((path("a"),)))
    assert do.FetchFile(path("a")) not in told(ends(answer=f"Look: ![a.png]({address('a', 'new')})"))


def test_what_is_fetched_while_others_are_shared_is_shared_next() -> None:
    """Slack was not told of it yet."""
    told = Told(running())
    told(saw.AnswerWritten(f"[a.pdf]({address('a')})"))
    told(saw.OutFileFetched(path("a"), "F1"))
    told(ends(text=f"[b.pdf]({address('b')})"))
    told(saw.OutFileFetched(path("b"), "F2"))
    told(saw.FilesShared((path("a"),)))
    assert (told.file("a").status, told.file("b").status) == (OutFileStatus.SHARED, OutFileStatus.FETCHED)


def test_what_has_no_address_is_told_after_the_result() -> None:
    """There is nothing to fetch; where there is something else to be fetched, it is told then."""
    bare = {"dify_model_identity": "__dify__file__", "filename": "a.pdf", "related_id": "a", "url": None}
    told = Told(running())
    effects = told(ends(deep=[{"file": bare}]))
    assert not [effect for effect in effects if isinstance(effect, do.FetchFile)]
    assert effects.index(do.PostResult()) < effects.index(do.ShareFiles(None))
    assert [file.name for file in to_tell(told.run, None)] == ["a.pdf"]
    other = Told(running())
    assert do.ShareFiles(None) not in other(ends(deep=[bare], text=f"[b.pdf]({address('b')})"))
    assert other(saw.OutFileFetched(path("b"), "F1")) == (do.ShareFiles(None),)


def test_what_is_missing_is_told_once() -> None:
    """Whatever is shared later, and though a later text names it once more."""
    told = Told(running())
    told(saw.AnswerWritten(f"[a.pdf]({address('a')})"))
    assert told(saw.OutFileMissed(path("a"), "it is gone.")) == (do.ShareFiles(None),)
    assert [file.key for file in to_tell(told.run, None)] == [path("a")]
    told(saw.FilesShared((), (path("a"),)))
    assert to_tell(told.run, None) == ()
    told(ends(text=f"[a.pdf]({address('a', 'new')}) [b.pdf]({address('b')})"))
    told(saw.OutFileMissed(path("a"), "it is gone."))
    assert told(saw.OutFileFetched(path("b"), "F1")) == (do.ShareFiles(None),)
    assert to_tell(told.run, None) == ()


def test_what_is_found_while_it_is_told_to_be_missing_is_not_missing() -> None:
    """It is shared."""
    told = Told(running())
    told(saw.AnswerWritten(f"[a.pdf]({address('a')})"))
    told(saw.OutFileMissed(path("a"), "it is gone."))
    told(ends(text=f"[a.pdf]({address('a', 'new')})"))
    told(saw.FilesShared((), (path("a"),)))
    assert told(saw.OutFileFetched(path("a"), "F1")) == (do.ShareFiles(None),)
    assert told.file("a").status is OutFileStatus.FETCHED


def test_what_slack_does_not_share_after_all_is_told() -> None:
    """Once."""
    told = Told(running())
    told(ends(text=f"[a.pdf]({address('a')})"))
    told(saw.OutFileFetched(path("a"), "F1"))
    assert told(saw.FilesNotShared(None, "Slack does not show it.")) == (do.ShareFiles(None),)
    assert told.file("a").reason == "Slack does not show it."
    assert told(saw.FilesNotShared(None, "Slack does not show it.")) == ()


def test_no_error_shows_an_address() -> None:
    """An error may quote what a step got."""
    told = Told(running())
    told(saw.RunFinished(RunStatus.FAILED, error=f"cannot read {address('a')}"))
    assert told.run.error == "cannot read 📎 file"


@pytest.mark.parametrize("status", OutFileStatus)
@pytest.mark.parametrize("move", OutFileMove)
def test_a_file_moves_by_the_table_alone(status: OutFileStatus, move: OutFileMove) -> None:
    """A move that does not fit was told twice."""
    file = OutFile("k", "a.png", "u", status=status)
    target = OUT_FILE_MOVES.get(status, {}).get(move)
    assert move_out_file(file, move) == (file if target is None else replace(file, status=target))


def test_what_was_never_given_out_is_unknown() -> None:
    with pytest.raises(UnknownHere):
        out_file_of(make_run(), path("a"))
