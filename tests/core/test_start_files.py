"""The files that a run is started with: what takes them, which fit, and how they are attached."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.command import CheckedStart, NotStartable, check, check_texts, moved_text, obstacle, parse, texts_of
from bot.core.files import MB, as_sent, how_many, why_not_all
from bot.core.model import (
    Accepts,
    AppMode,
    AttachmentStatus,
    FileLimits,
    FileProblem,
    SharedFile,
    StartInput,
)
from bot.core.ports import AppDescription
from bot.core.start_files import (
    MESSAGE_FILES,
    given_to,
    names_in,
    placed,
    sorted_out,
    with_files,
    with_message_files,
)
from tests.factories import make_run

LIMITS = FileLimits()
PICTURE = SharedFile("F1", "a.png", "image/png", 1_000)
SECOND = SharedFile("F2", "b.jpg", "image/jpeg", 1_000)
REPORT = SharedFile("F3", "report.pdf", "application/pdf", 1_000)
ARCHIVE = SharedFile("F4", "x.zip", "application/zip", 1_000)

IMAGE = Accepts(("image",))
IMAGES = Accepts(("image",), limit=2)
LINK = "https://example.com/a.png"


def file_input(variable: str, accepts: Accepts, *, required: bool = False) -> StartInput:
    kind = "file" if accepts.limit == 1 else "file-list"
    return StartInput(variable, "", kind, required, accepts=accepts)


def app(*inputs: StartInput, mode: AppMode = AppMode.WORKFLOW, beside: Accepts | None = None) -> AppDescription:
    return AppDescription("Any", mode, inputs, beside)


class TestWhatFits:
    """By Dify's own limits, before Dify sees it."""

    @pytest.mark.parametrize(
        ("given", "accepts", "reason"),
        [
            ((PICTURE,), IMAGE, None),
            ((LINK,), IMAGE, None),
            ((PICTURE, LINK), IMAGE, "takes one, and these are 2."),
            ((PICTURE, SECOND, LINK), IMAGES, "takes 2 at most, and these are 3."),
            ((PICTURE,) * 30, replace(IMAGES, limit=0), None),
            ((REPORT,), IMAGE, "takes an image."),
            ((PICTURE, REPORT), IMAGES, "does not take report.pdf: it takes an image."),
            ((LINK,), replace(IMAGE, methods=("local_file",)), "takes no link, only a file."),
            ((PICTURE,), replace(IMAGE, methods=("remote_url",)), "takes a link only, no file."),
            (("example.com/a.png",), IMAGE, "takes a link that begins with https://."),
            (("https://example.com/a.pdf",), IMAGE, "takes an image."),
            ((ARCHIVE,), Accepts(("custom",), (".ZIP",)), None),
            (
                (replace(PICTURE, size=11 * MB),),
                IMAGE,
                "takes no file of its kind above 10 MB, and this one has 11.0 MB.",
            ),
        ],
    )
    def test_a_place_says_why_it_does_not_take_it(self, given: tuple, accepts: Accepts, reason: str | None) -> None:
        assert why_not_all(given, accepts, LIMITS) == reason

    def test_the_first_place_that_fits_and_has_room_takes_a_file(self) -> None:
        """But for what is meant for another one, which takes it where it fits."""
        taker = app(file_input("one", IMAGE), file_input("some", IMAGES), beside=Accepts(limit=0))
        found, problems = placed("any", taker, [(REPORT, "one"), (PICTURE, "some"), (SECOND, None)])
        assert found == {MESSAGE_FILES: (REPORT,), "some": (PICTURE,), "one": (SECOND,)}
        assert problems == ()

    def test_what_fits_nowhere_is_told_with_what_would_fit(self) -> None:
        taker = app(file_input("one", IMAGE), file_input("cv", Accepts(("document",))))
        found, problems = placed("any", taker, [(PICTURE, None), (SECOND, None), (ARCHIVE, None)])
        assert found == {"one": (PICTURE,)}
        assert problems == (
            FileProblem("b.jpg", "any does not take it: one has no room for more; cv takes a document."),
            FileProblem("x.zip", "any does not take it: one takes an image; cv takes a document."),
        )
        assert placed("any", app(), [(PICTURE, None)])[1] == (FileProblem("a.png", "any takes no files."),)

    def test_of_the_files_of_a_message_the_first_ones_go_along(self) -> None:
        taken, problems = sorted_out([REPORT, PICTURE, SECOND, PICTURE], IMAGES, LIMITS)
        assert taken == (PICTURE, SECOND)
        assert [(each.name, each.reason) for each in problems] == [
            ("report.pdf", "takes an image."),
            ("a.png", "takes 2 at most."),
        ]

    def test_it_is_said_how_many_a_place_takes(self) -> None:
        own, mixed = Accepts(("custom",), ("log",), limit=3), Accepts(("image", "custom"), (".log", "CSV"))
        assert [how_many(each) for each in (IMAGE, IMAGES, Accepts(limit=0), own, mixed)] == [
            "an image",
            "up to 2 files, each an image",
            "any number of files",
            "up to 3 files, each a .log file",
            "an image or a .csv or .log file",
        ]


class TestChecking:
    """A start with files is checked like any other."""

    def test_links_are_given_in_a_command(self) -> None:
        taker = app(file_input("avatar", IMAGE, required=True), file_input("photos", IMAGES))
        start = check(parse(f'review avatar={LINK} photos="{LINK} {LINK}"'), taker, "/dify", "review")
        assert start == CheckedStart({}, "", {"avatar": (LINK,), "photos": (LINK, LINK)})
        assert check_texts(texts_of(start, taker), taker) == start

    def test_files_and_links_are_given_together_in_a_window(self) -> None:
        taker = app(file_input("photos", IMAGES, required=True), beside=IMAGES)
        start = check_texts({"photos": LINK}, taker, {"photos": (PICTURE,), MESSAGE_FILES: (SECOND,)})
        assert start == CheckedStart({}, "", {"photos": (PICTURE, LINK), MESSAGE_FILES: (SECOND,)})

    @pytest.mark.parametrize(
        ("methods", "how", "corrected"),
        [
            ((), "choose an image in the start window, or give a link.", '/dify review avatar="…"'),
            (("local_file",), "choose an image in the start window.", None),
            (("remote_url",), "give a link to an image.", '/dify review avatar="…"'),
        ],
    )
    def test_what_is_missing_is_told_with_how_to_add_it(
        self, methods: tuple[str, ...], how: str, corrected: str | None
    ) -> None:
        taker = app(file_input("avatar", replace(IMAGE, methods=methods), required=True))
        assert obstacle("review", taker) is None
        assert check(parse("review"), taker, "/dify", "review") == NotStartable(
            (f"avatar is missing: {how}",), corrected
        )

    def test_an_empty_optional_one_is_left_out(self) -> None:
        assert check_texts({"photos": "  "}, app(file_input("photos", IMAGES))) == CheckedStart({})

    def test_what_stands_in_the_wrong_place_is_told_by_field(self) -> None:
        taker = app(file_input("avatar", IMAGE), beside=IMAGE)
        assert check_texts({MESSAGE_FILES: "nonsense"}, taker, {"avatar": (REPORT,)}) == {
            "avatar": "avatar takes an image.",
            MESSAGE_FILES: f"{MESSAGE_FILES} (Files) takes a link that begins with https://.",
        }

    def test_a_text_goes_where_another_app_takes_one(self) -> None:
        """Whatever each of them calls it; what it calls the same stays there."""
        first = app(StartInput("title", "", "text-input", False), StartInput("size", "", "number", False))
        chat = app(mode=AppMode.CHATFLOW)
        second = app(StartInput("size", "", "number", False), StartInput("body", "", "paragraph", False))
        assert moved_text({"query": "Hi"}, None, first) == ({"title": "Hi"}, {})
        assert moved_text({"title": "Hi", "size": "3"}, first, second) == ({"body": "Hi", "size": "3"}, {})
        assert moved_text({"body": "Hi"}, second, chat) == ({"query": "Hi"}, {})

    def test_what_another_app_has_no_field_for_is_told_by_name(self) -> None:
        """However many fields hold the same text."""
        first = app(StartInput("title", "", "text-input", False), StartInput("size", "", "number", False))
        named = app(StartInput("body", "", "paragraph", False), StartInput("note", "", "paragraph", False))
        assert moved_text({"query": "Hi"}, None, app()) == ({}, {"query": "Hi"})
        assert moved_text({"title": "5", "size": "5"}, first, named) == ({"body": "5"}, {"size": "5"})
        assert moved_text({"title": "5", "body": "5"}, first, named) == ({"body": "5"}, {"title": "5"})


class TestAttaching:
    """What is given stands in the run until it is sent."""

    TAKER = app(file_input("avatar", IMAGE), file_input("photos", IMAGES), beside=IMAGES)

    def test_inputs_name_what_is_attached_and_what_is_beside_them_does_not_stand_there(self) -> None:
        run = with_files(
            make_run(run_inputs={"topic": "Tea"}),
            self.TAKER,
            {"avatar": (LINK,), "photos": (PICTURE, SECOND), MESSAGE_FILES: (PICTURE,)},
        )
        assert run.run_inputs == {
            "topic": "Tea",
            "avatar": {"attachment_id": "start-1"},
            "photos": [{"attachment_id": "start-2"}, {"attachment_id": "start-3"}],
        }
        ready, pulling = AttachmentStatus.READY, AttachmentStatus.PULLING
        assert [(each.attachment_id, each.field, each.status, each.user_id) for each in run.attachments] == [
            ("start-1", "avatar", ready, run.starter_id),
            ("start-2", "photos", pulling, run.starter_id),
            ("start-3", "photos", pulling, run.starter_id),
            ("start-4", None, pulling, run.starter_id),
        ]
        assert names_in(run, "photos") == ("a.png", "b.jpg")
        assert names_in(run, None) == ("a.png",)

    def test_what_was_given_can_be_given_once_more_but_for_what_was_refused(self) -> None:
        given = {"avatar": (LINK,), "photos": (PICTURE, SECOND), MESSAGE_FILES: (PICTURE,)}
        run = with_files(make_run(), self.TAKER, given)
        first, second, *rest = run.attachments
        refused = replace(run, attachments=(first, replace(second, status=AttachmentStatus.REFUSED), *rest))
        assert given_to(run) == given
        assert given_to(refused) == {**given, "photos": (SECOND,)}

    def test_the_next_message_has_its_own_files_and_those_of_the_inputs(self) -> None:
        """What Dify has is used again, and what it refused is tried again: the inputs need it."""
        start = with_files(make_run(), self.TAKER, {"photos": (PICTURE, SECOND), MESSAGE_FILES: (PICTURE,)})
        one, two, beside = start.attachments
        first = replace(
            start,
            attachments=(
                replace(one, status=AttachmentStatus.READY, upload_file_id="up-1"),
                replace(two, status=AttachmentStatus.REFUSED, reason="Too large."),
                beside,
            ),
        )
        said = with_message_files(make_run(run_inputs=first.run_inputs), first, [REPORT], Accepts())
        assert [(each.attachment_id, each.field, each.status) for each in said.attachments] == [
            ("start-1", "photos", AttachmentStatus.READY),
            ("start-2", "photos", AttachmentStatus.PULLING),
            ("message-1", None, AttachmentStatus.PULLING),
        ]
        there = [replace(each, status=AttachmentStatus.READY, upload_file_id="up") for each in said.attachments]
        assert len(as_sent(said.run_inputs, there)["photos"]) == 2
