"""The slash command: what people type is read as they mean it, checked whole, and put right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.command import (
    PLACEHOLDER,
    CheckedStart,
    Choice,
    Draft,
    NotStartable,
    Pair,
    ParsedCommand,
    check,
    check_texts,
    choose_app,
    default_text,
    draft,
    example,
    has_placeholder,
    inputs,
    only_fit,
    parse,
    texts_of,
    write,
)
from bot.core.model import Accepts, AppMode, StartInput
from bot.core.ports import AppDescription

RECORDINGS = Path(__file__).parent.parent / "data" / "dify"


def as_slack_sends(command: str) -> str:
    """The text after the command's name, with Slack's three escapes."""
    text = command.partition(" ")[2]
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def start_input(variable: str, type: str = "text-input", **changes: Any) -> StartInput:
    return StartInput(**{"variable": variable, "label": "", "type": type, "required": False} | changes)


def workflow(*start_inputs: StartInput) -> AppDescription:
    return AppDescription("Content review", AppMode.WORKFLOW, start_inputs)


def chatflow(*start_inputs: StartInput) -> AppDescription:
    return AppDescription("Support", AppMode.CHATFLOW, start_inputs)


def recorded(name: str) -> AppDescription:
    """What a real app accepts, out of its recorded GET /parameters."""
    exchange = json.loads((RECORDINGS / name).read_text())["exchanges"][0]
    variables = [
        each for field in json.loads(exchange["response"]["body"])["user_input_form"] for each in field.values()
    ]
    names = ("variable", "label", "type", "required", "default", "max_length")
    return workflow(
        *(StartInput(**{name: each[name] for name in names}, options=tuple(each["options"])) for each in variables)
    )


TOPIC = start_input("topic", required=True, max_length=20)
LANGUAGE = start_input("language", "select", required=True, options=("English", "Japanese", "Chinese"))
REVIEW = workflow(TOPIC, LANGUAGE)


def outcome(text: str, app: AppDescription = REVIEW) -> CheckedStart | NotStartable:
    return check(parse(text), app, "/dify", "review")


def refused(text: str, app: AppDescription = REVIEW) -> NotStartable:
    found = outcome(text, app)
    assert isinstance(found, NotStartable)
    return found


def run_inputs(text: str, app: AppDescription) -> dict[str, Any]:
    found = outcome(text, app)
    assert isinstance(found, CheckedStart), found
    return dict(found.run_inputs)


class TestParse:
    """Words, pairs and quotation marks."""

    @pytest.mark.parametrize(
        ("text", "parsed"),
        [
            ("", ParsedCommand()),
            ("  \n ", ParsedCommand()),
            ("review", ParsedCommand("review")),
            ('"content review" topic=x', ParsedCommand("content review", (), (Pair("topic", "x"),))),
            ("review topic=x", ParsedCommand("review", (), (Pair("topic", "x"),))),
            ("topic=x", ParsedCommand(None, (), (Pair("topic", "x"),))),
            ("review now please topic=x", ParsedCommand("review", ("now", "please"), (Pair("topic", "x"),))),
            ("topic=Solar panels b=1", ParsedCommand(None, (), (Pair("topic", "Solar", ("panels",)), Pair("b", "1")))),
            ("a= b=", ParsedCommand(None, (), (Pair("a", ""), Pair("b", "")))),
            ("a=b=c", ParsedCommand(None, (), (Pair("a", "b=c"),))),
            ("=x a", ParsedCommand("=x", ("a",))),
            ("https://a.example/?b=c", ParsedCommand("https://a.example/?b=c")),
        ],
    )
    def test_words_and_pairs(self, text: str, parsed: ParsedCommand) -> None:
        assert parse(text) == parsed

    @pytest.mark.parametrize(
        ("value", "read"),
        [
            ('"two words"', "two words"),
            ("“two words”", "two words"),
            ("”two words“", "two words"),
            ('“two words"', "two words"),
            ("'two words'", "two words"),
            ("‘two words’", "two words"),
            ("‘it’s fine’", "it’s fine"),
            ('"it\'s fine"', "it's fine"),
            (r'"say \"hi\""', 'say "hi"'),
            (r"“say \“hi\””", "say “hi”"),
            (r'"C:\temp\\"', "C:\\temp\\"),
            ('\'{"k": "v"}\'', '{"k": "v"}'),
            ('"two\nlines"', "two\nlines"),
            ('""', ""),
            ("it's", "it's"),
            (r"C:\temp", r"C:\temp"),
            ('{"k":"v"}', '{"k":"v"}'),
        ],
    )
    def test_every_kind_of_quotation_mark_encloses_a_value(self, value: str, read: str) -> None:
        assert parse(f"review a={value} b=1").pairs == (Pair("a", read), Pair("b", "1"))

    @pytest.mark.parametrize("mark", ['"', "“", "”", "'", "‘", "’"])
    def test_an_unclosed_quotation_mark_swallows_no_other_pair(self, mark: str) -> None:
        parsed = parse(f"review topic={mark}Solar panels language=English")
        assert parsed.pairs == (Pair("topic", "Solar", ("panels",), closed=False), Pair("language", "English"))

    @pytest.mark.parametrize(
        ("token", "read"),
        [
            ("<@U012AB3CD|ann>", "@ann"),
            ("<@U012AB3CD>", "@U012AB3CD"),
            ("<#C012AB3CD|general>", "#general"),
            ("<#C012AB3CD|>", "#C012AB3CD"),
            ("<#C012AB3CD>", "#C012AB3CD"),
            ("<!here>", "@here"),
            ("<!subteam^S012|@editors>", "@editors"),
            ("<https://a.example/?b=1&amp;c=2>", "https://a.example/?b=1&c=2"),
            ("<http://a.example|a.example>", "http://a.example"),
            ("<https://a.example/|https://a.example>", "https://a.example/"),
            ("<tel:+41441234567|+41441234567>", "+41441234567"),
            ("<mailto:ann@a.example|ann@a.example>", "ann@a.example"),
            ("&lt;@U012AB3CD&gt;", "<@U012AB3CD>"),
            ("&amp;lt;", "&lt;"),
            ("R&amp;D", "R&D"),
        ],
    )
    def test_what_slack_escapes_is_plain_text_again(self, token: str, read: str) -> None:
        assert parse(f'review a={token} b="see {token}"').pairs == (Pair("a", read), Pair("b", f"see {read}"))

    @pytest.mark.parametrize(
        ("token", "read"),
        [
            ("<https://a.example/q3|our Q3 plan>", "our Q3 plan (https://a.example/q3)"),
            ("<https://a.example/?b=1&amp;c=2|R&amp;D>", "R&D (https://a.example/?b=1&c=2)"),
            ("<https://a.example/q3|a.example>", "a.example (https://a.example/q3)"),
            ("<mailto:ann@a.example|Ann>", "Ann (ann@a.example)"),
        ],
    )
    def test_words_with_a_link_keep_both(self, token: str, read: str) -> None:
        assert parse(f"Summarise {token} please").typed == f"Summarise {read} please"

    @pytest.mark.parametrize(
        ("text", "wants_help"),
        [
            ("help", True),
            (" Help ", True),
            ("", False),
            ("review help", False),
            ("help me", False),
            ("Help me write a letter", False),
            ("help topic=x", False),
        ],
    )
    def test_help_is_asked_for_by_that_word_alone(self, text: str, wants_help: bool) -> None:
        """A sentence that begins with it is meant for an app."""
        assert parse(text).wants_help is wants_help

    @pytest.mark.parametrize(
        ("text", "about"),
        [
            ("help review", "review"),
            ('Help "content review"', "content review"),
            ("Review help", "review"),
            ("help", None),
            ("review", None),
            ("", None),
            ("help me", None),
            ("review please help", None),
            ("review help topic=x", None),
            ("topic=help", None),
        ],
    )
    def test_help_about_an_app_is_asked_before_or_after_its_name(self, text: str, about: str | None) -> None:
        choice = None if about is None else Choice(about, ParsedCommand(about))
        assert parse(text).help_about(["content review", "review"]) == choice

    @pytest.mark.parametrize("names", [["summary"], ["summary", "review"]])
    def test_help_about_a_misspelt_app_is_about_the_nearest(self, names: list[str]) -> None:
        problem = "There is no app “summarise”: did you mean summary?"
        assert parse("help summarise").help_about(names) == Choice("summary", ParsedCommand("summary"), (problem,))

    @pytest.mark.parametrize("text", ["help me", "Help us", "help zzz", "help me now", "menus help", "help menus a=1"])
    def test_words_to_an_app_are_no_question_about_it(self, text: str) -> None:
        assert parse(text).help_about(["menu", "use"]) is None

    @given(st.text())
    def test_every_text_can_be_read(self, text: str) -> None:
        parse(text)

    @given(
        st.text(min_size=1),
        st.lists(st.tuples(st.from_regex(r"\w[\w.-]*", fullmatch=True), st.text())),
    )
    def test_a_written_command_reads_back_as_itself(self, app: str, values: list[tuple[str, str]]) -> None:
        parsed = parse(as_slack_sends(write("/dify", app, values)))
        assert parsed == ParsedCommand(app, (), tuple(Pair(key, value) for key, value in values))

    def test_json_is_written_without_backslashes(self) -> None:
        assert write("/dify", "review", [("config", '{"k": "v"}')]) == '/dify review config=\'{"k": "v"}\''


class TestChooseApp:
    """Which of the configured apps is meant."""

    def test_the_name_may_be_left_out_where_there_is_one_app(self) -> None:
        assert choose_app(parse("topic=x"), ["review"]) == Choice("review", parse("topic=x"))

    @pytest.mark.parametrize("typed", ["support", "Support"])
    def test_a_name_chooses_its_app(self, typed: str) -> None:
        assert choose_app(parse(typed), ["review", "support"]) == Choice("support", parse(typed))

    def test_the_nearest_name_takes_the_place_of_a_wrong_one(self) -> None:
        parsed = parse('suport topic="a b"')
        problem = "There is no app “suport”: did you mean support?"
        assert choose_app(parsed, ["review", "support"]) == Choice("support", parsed, (problem,))

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("zzz topic=x", "There is no app “zzz”: there is review and support."),
            ("help zzz", "There is no app “zzz”: there is review and support."),
            ("help suport", "There is no app “suport”: did you mean support?"),
            ("topic=x", "Say which app to start: review or support."),
            ("", "Say which app to start: review or support."),
        ],
    )
    def test_what_apps_there_are_is_told_where_none_can_be_meant(self, text: str, problem: str) -> None:
        assert choose_app(parse(text), ["review", "support"]) == Choice(None, parse(text), (problem,))

    @pytest.mark.parametrize(("text", "words"), [("Dear all, x=y", "Dear all,"), ('"Dear all" x=y', "Dear all")])
    def test_words_that_name_no_app_are_kept_for_the_one_that_the_keys_mean(self, text: str, words: str) -> None:
        assert choose_app(parse(text), ["review", "support"]).parsed.free_text == words

    @pytest.mark.parametrize("word", ["some", "Modify", "Notify", "diff"])
    def test_words_are_no_name_where_there_is_one_app_however_near_they_are_to_it(self, word: str) -> None:
        """Nothing of a sentence that begins so gets lost."""
        assert choose_app(parse(f"{word} words topic=x"), ["dify"]) == Choice(
            "dify", ParsedCommand(None, (word, "words"), (Pair("topic", "x"),))
        )

    @pytest.mark.parametrize(
        ("text", "fit"),
        [
            ("topic=x", None),
            ("topic=x language=English", "review"),
            ("query=x", "support"),
            ("topic=x zzz=1", None),
            ("", None),
        ],
    )
    def test_the_keys_tell_the_app_where_one_alone_takes_them_all(self, text: str, fit: str | None) -> None:
        apps = {"review": REVIEW, "titles": workflow(TOPIC), "support": chatflow()}
        assert only_fit(parse(text), apps) == fit


class TestHelp:
    """What an app takes."""

    def test_every_input_is_described_in_plain_words(self) -> None:
        app = workflow(
            TOPIC,
            start_input("notes", "paragraph", label="Your notes"),
            LANGUAGE,
            start_input("size", "select", options=("S", "M"), default="M"),
            start_input("copies", "number", default=1),
            start_input("draft", "checkbox", default=False),
            start_input("config", "json_object"),
            start_input("cv", "file", accepts=Accepts(("document",))),
        )
        assert inputs(app) == (
            "topic: a text of at most 20 characters; required.",
            "notes (Your notes): a text; optional.",
            "language: choose English, Japanese or Chinese; required.",
            "size: choose S or M; optional, “M” where it is left out.",
            "copies: a number; optional, “1” where it is left out.",
            "draft: true or false; optional, “false” where it is left out.",
            'config: a JSON object, as in {"key": "value"}; optional.',
            "cv: a document, by a link, or chosen in the start window; optional.",
        )

    def test_the_query_of_a_chatflow_is_described_as_its_message(self) -> None:
        assert inputs(chatflow()) == ("query (the message to the app): a text; required.",)

    def test_the_example_gives_what_is_required(self) -> None:
        app = workflow(TOPIC, LANGUAGE, start_input("copies", "number"))
        assert example(app, "/dify", "review") == '/dify review topic="…" language=English'

    @pytest.mark.parametrize(
        "needed",
        [
            start_input("cv", "file", required=True, accepts=Accepts(methods=("local_file",))),
            start_input("x", "select", default=""),
        ],
    )
    def test_there_is_no_example_where_no_command_is_right(self, needed: StartInput) -> None:
        assert example(workflow(TOPIC, needed), "/dify", "review") is None

    @pytest.mark.parametrize(
        ("command", "unfilled"),
        [
            ('/dify review topic="…" language=English', True),
            ('/dify review topic="wait…" language=English', False),
            ("/dify review", False),
        ],
    )
    def test_a_value_to_be_filled_in_is_told_from_one_that_was_given(self, command: str, unfilled: bool) -> None:
        assert has_placeholder(command) is unfilled


class TestCheck:
    """Values as Dify wants them, and every problem at once."""

    def test_a_right_command_becomes_run_inputs(self) -> None:
        assert outcome('topic="Solar panels" language=English') == CheckedStart(
            {"topic": "Solar panels", "language": "English"}
        )

    def test_all_problems_are_told_at_once_with_one_command_to_copy(self) -> None:
        app = workflow(TOPIC, LANGUAGE, start_input("age", "number"), start_input("note", max_length=3))
        assert refused("hello langage=Englisch age=old note=abcde zzz=1", app) == NotStartable(
            (
                "“langage” is no input of review: did you mean language?",
                "“zzz” is no input of review: it takes topic, language, age and note.",
                "topic is missing.",
                "“Englisch” is no option of language: did you mean English?",
                "age must be a number, and “old” is none. It may be left out.",
                "note has 5 characters, 2 more than the 3 it may have.",
            ),
            '/dify review topic="…" language=English note=abc',
            "zzz=1\nlanguage=Englisch\nage=old\nnote=abcde",
        )

    def test_an_app_without_inputs_takes_none(self) -> None:
        assert refused("a=1", workflow()) == NotStartable(
            ("“a” is no input of review: it takes none.",), "/dify review", "a=1"
        )

    def test_a_missing_value_is_shown_as_a_placeholder_or_as_the_first_option(self) -> None:
        app = workflow(TOPIC, LANGUAGE, start_input("agree", "checkbox", required=True))
        assert refused("", app) == NotStartable(
            ("topic is missing.", "language is missing: choose English, Japanese or Chinese.", "agree is missing."),
            '/dify review topic="…" language=English agree=true',
        )

    @pytest.mark.parametrize("blank", ['""', '"  "', "", PLACEHOLDER])
    def test_a_blank_or_a_placeholder_is_no_value_for_what_is_required(self, blank: str) -> None:
        found = refused(f"topic={blank} language=English")
        assert (found.problems, found.left_over) == (("topic is missing.",), "")

    def test_the_label_helps_to_find_the_input_where_it_says_more(self) -> None:
        app = workflow(
            start_input("name", label="Full name", required=True), start_input("bio", label="Bio", required=True)
        )
        assert refused("", app).problems == ("name (Full name) is missing.", "bio is missing.")

    def test_a_value_with_spaces_and_no_quotation_marks_is_put_together(self) -> None:
        assert refused("topic=Solar panels & sun language=English") == NotStartable(
            (
                "“panels & sun” stands alone: a value with spaces needs quotation marks,"
                ' as in topic="Solar panels & sun".',
            ),
            '/dify review topic="Solar panels & sun" language=English',
        )

    def test_an_unclosed_quotation_mark_is_told_and_closed(self) -> None:
        assert refused('topic="Solar panels language=English') == NotStartable(
            ('The quotation mark that begins topic is not closed: did you mean topic="Solar panels"?',),
            '/dify review topic="Solar panels" language=English',
        )

    def test_a_word_before_the_pairs_is_told(self) -> None:
        assert refused("review now topic=x language=English") == NotStartable(
            ("“now” stands alone: write every value as key=value.",), "/dify review topic=x language=English", "now"
        )

    def test_problems_that_are_known_already_are_told_first(self) -> None:
        known = "There is no app “reviw”: did you mean review?"
        assert check(parse("reviw topic=x"), REVIEW, "/dify", "review", (known,)) == NotStartable(
            (known, "language is missing: choose English, Japanese or Chinese."),
            "/dify review topic=x language=English",
        )
        assert check(parse("reviw topic=x language=English"), REVIEW, "/dify", "review", (known,)) == NotStartable(
            (known,), "/dify review topic=x language=English"
        )

    def test_of_a_key_given_twice_the_last_is_kept(self) -> None:
        assert refused("topic=a language=English topic=b") == NotStartable(
            ("topic is given more than once.",), "/dify review topic=b language=English", "topic=a"
        )

    def test_a_wrong_key_never_takes_the_place_of_a_given_one(self) -> None:
        found = refused("topic=a topics=b language=English")
        assert (found.corrected, found.left_over) == ("/dify review topic=a language=English", "topics=b")

    def test_what_the_corrected_command_does_not_hold_whole_is_given_back_whole(self) -> None:
        """However long: a problem cites the beginning of it only."""
        words, nines = "tea " * 14 + "time", "nine " * 30 + "ten"
        app = workflow(TOPIC, start_input("age", "number"), start_input("size", "select", options=("S", "M")))
        for typed in (words, f'topic="{words}"'):
            found = refused(f"review {typed}", app)
            assert found.corrected == '/dify review topic="tea tea tea tea tea "'
            assert found.left_over == f"topic={words}"
        found = refused(f'topic=tea age="{nines}" size=M', app)
        assert (found.corrected, found.left_over) == ("/dify review topic=tea size=M", f"age={nines}")

    @pytest.mark.parametrize(("length", "fits"), [(20, True), (21, False)])
    def test_a_text_may_have_exactly_its_maximal_length(self, length: int, fits: bool) -> None:
        assert isinstance(outcome(f"topic={'x' * length} language=English"), CheckedStart) is fits

    @pytest.mark.parametrize(
        ("typed", "sent"), [("41", 41), ("-7", -7), ("+7", 7), ("4.5", 4.5), ("1e3", 1000.0), ("5.0", 5.0)]
    )
    def test_a_number_is_sent_as_a_number(self, typed: str, sent: float) -> None:
        inputs = run_inputs(f"age={typed}", workflow(start_input("age", "number")))
        assert inputs == {"age": sent}
        assert type(inputs["age"]) is type(sent)

    @pytest.mark.parametrize("typed", ["old", "4,5", "1_000", "nan", "inf", "1e999", "9" * 5000])
    def test_what_neither_people_nor_json_write_as_a_number_is_none(self, typed: str) -> None:
        assert "age must be a number" in refused(f"age={typed}", workflow(start_input("age", "number"))).problems[0]

    @pytest.mark.parametrize(
        ("typed", "sent"),
        [(yes, True) for yes in ("true", "Yes", "ON", "1")] + [(no, False) for no in ("false", "No", "OFF", "0")],
    )
    def test_a_checkbox_takes_the_usual_words(self, typed: str, sent: bool) -> None:
        assert run_inputs(f"agree={typed}", workflow(start_input("agree", "checkbox"))) == {"agree": sent}

    def test_a_checkbox_takes_no_other_word(self) -> None:
        assert refused("agree=maybe", workflow(start_input("agree", "checkbox"))) == NotStartable(
            ("agree must be true or false, and “maybe” is neither. It may be left out.",), "/dify review", "agree=maybe"
        )
        assert refused("agree=maybe", workflow(start_input("agree", "checkbox", required=True))) == NotStartable(
            ("agree must be true or false, and “maybe” is neither.",), "/dify review agree=true", "agree=maybe"
        )

    @pytest.mark.parametrize(
        ("required", "corrected"), [(True, '/dify review copies="…" size=S'), (False, "/dify review")]
    )
    def test_an_optional_value_that_cannot_be_read_is_left_out_of_the_corrected_command(
        self, required: bool, corrected: str
    ) -> None:
        app = workflow(
            start_input("copies", "number", required=required),
            start_input("size", "select", required=required, options=("S", "M")),
        )
        found = refused("copies=many size=enormous", app)
        assert found.corrected == corrected
        assert [problem.endswith("It may be left out.") for problem in found.problems] == [not required] * 2

    @pytest.mark.parametrize(
        ("typed", "sent"),
        [
            ('{"k":1}', {"k": 1}),
            ('\'{"k": "two words"}\'', {"k": "two words"}),
            ("‘{“k”: 1}’", {"k": 1}),
            ('\'{"k": "a “quoted” word"}\'', {"k": "a “quoted” word"}),
            ("{}", {}),
        ],
    )
    def test_a_json_object_is_sent_as_an_object(self, typed: str, sent: dict[str, Any]) -> None:
        assert run_inputs(f"config={typed}", workflow(start_input("config", "json_object"))) == {"config": sent}

    @pytest.mark.parametrize("typed", ["[1]", "5", "{", '{"k":NaN}', '{"k":1e999}', r'{"k":"\ud800"}', "[" * 100_000])
    def test_what_is_no_json_object_or_cannot_be_sent_as_one_is_refused(self, typed: str) -> None:
        found = refused(f"config={typed}", workflow(start_input("config", "json_object")))
        assert found == NotStartable(
            ('config must be a JSON object, as in {"key": "value"}. It may be left out.',),
            "/dify review",
            f"config={typed}",
        )

    def test_a_file_is_given_by_a_link_and_what_is_none_is_left_out(self) -> None:
        app = workflow(TOPIC, start_input("cv", "file", accepts=Accepts()))
        assert refused("cv=a.pdf topic=x", app) == NotStartable(
            ("cv takes a link that begins with https://.",), "/dify review topic=x", "cv=a.pdf"
        )

    def test_an_empty_text_is_sent_and_any_other_empty_value_is_left_out(self) -> None:
        app = workflow(
            start_input("note", default="at first"), start_input("age", "number"), start_input("agree", "checkbox")
        )
        assert run_inputs('note="" age= agree=', app) == {"note": ""}

    def test_a_long_value_or_list_is_told_shortened(self) -> None:
        many = start_input("city", "select", options=tuple(f"town {number}" for number in range(250)))
        problem = refused(f"city={'x' * 4000}", workflow(many)).problems[0]
        assert problem.startswith("“xxx")
        assert problem.endswith(
            "…” is no option of city: choose town 0, town 1, town 2, town 3, town 4, town 5, town 6,"
            " town 7, town 8, town 9 and 240 more. It may be left out."
        )

    def test_a_select_without_options_takes_nothing(self) -> None:
        app = workflow(start_input("city", "select", required=True))
        assert refused("", app) == NotStartable(("city is missing: it has no options.",))
        assert refused("city=Rome", app) == NotStartable(
            ("“Rome” is no option of city: it has no options.",), left_over="city=Rome"
        )

    def test_a_chatflow_needs_a_query(self) -> None:
        assert refused("language=English", chatflow(LANGUAGE)) == NotStartable(
            ("query (the message to the app) is missing.",), '/dify review language=English query="…"'
        )

    def test_a_query_is_no_run_input(self) -> None:
        assert outcome('query="Hello there" language=English', chatflow(LANGUAGE)) == CheckedStart(
            {"language": "English"}, "Hello there"
        )

    def test_a_start_input_named_query_gets_the_query(self) -> None:
        app = chatflow(start_input("query", "number"))
        assert outcome('query="Hello there"', app) == CheckedStart({"query": "Hello there"}, "Hello there")

    def test_a_workflow_has_no_query(self) -> None:
        assert refused("query=x topic=a language=English").corrected == "/dify review topic=a language=English"

    def test_words_before_the_pairs_are_taken_for_the_query_of_a_chatflow(self) -> None:
        found = refused("review hello there language=English", chatflow(LANGUAGE))
        assert found.problems == ("“hello there” stands alone: write every value as key=value.",)
        assert found.corrected == '/dify review language=English query="hello there"'

    def test_an_emptied_number_is_none_and_not_its_default(self) -> None:
        """Dify takes an empty text for no number, and would fill in the default of one that is left out."""
        assert run_inputs("age=", workflow(start_input("age", "number", default="7"))) == {"age": ""}

    def test_a_longest_length_of_zero_is_none(self) -> None:
        """As Dify takes it."""
        assert run_inputs("note=tea", workflow(start_input("note", max_length=0))) == {"note": "tea"}
        assert inputs(workflow(start_input("note", max_length=0))) == ("note: a text; optional.",)


NOTES = start_input("notes", "paragraph")


class TestFreeText:
    """Words without any key."""

    @pytest.mark.parametrize(
        ("text", "app", "started"),
        [
            ("review Solar panels", workflow(TOPIC), CheckedStart({"topic": "Solar panels"})),
            ("review Solar", workflow(TOPIC), CheckedStart({"topic": "Solar"})),
            ('review "Solar panels"', workflow(TOPIC), CheckedStart({"topic": "Solar panels"})),
            ('review "two"  \n words, it\'s', workflow(NOTES), CheckedStart({"notes": '"two"  \n words, it\'s'})),
            ("review R&amp;D for <@U1|ann>", workflow(NOTES), CheckedStart({"notes": "R&D for @ann"})),
            ("review tea", workflow(NOTES, TOPIC), CheckedStart({"topic": "tea"})),
            ("review tea", workflow(NOTES, start_input("age", "number")), CheckedStart({"notes": "tea"})),
            ("review Hello there!", chatflow(NOTES), CheckedStart({}, "Hello there!")),
            ("review hello", chatflow(start_input("query")), CheckedStart({"query": "hello"}, "hello")),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_words_are_the_message_or_the_one_text_that_they_can_be(
        self, text: str, app: AppDescription, started: CheckedStart
    ) -> None:
        assert outcome(text, app) == started

    @pytest.mark.parametrize(
        "app",
        [
            workflow(TOPIC, start_input("title", required=True)),
            workflow(NOTES, start_input("title")),
            workflow(start_input("age", "number", required=True)),
            workflow(),
        ],
    )
    def test_words_that_may_be_more_than_one_text_or_none_are_told_and_kept(self, app: AppDescription) -> None:
        found = refused("review Solar panels", app)
        assert "“Solar panels” stands alone: write every value as key=value." in found.problems
        assert "Solar panels" in f"{found.corrected} {found.left_over}"

    def test_what_is_missing_besides_the_words_is_told(self) -> None:
        assert refused("review Solar panels") == NotStartable(
            ("language is missing: choose English, Japanese or Chinese.",),
            '/dify review topic="Solar panels" language=English',
        )

    def test_words_are_refused_where_they_are_too_long(self) -> None:
        assert refused(f"review {'x ' * 20}", workflow(TOPIC)).problems == (
            "topic has 39 characters, 19 more than the 20 it may have.",
        )

    def test_words_for_the_only_app_are_the_whole_text(self) -> None:
        choice = choose_app(parse('Solar  "panels" now'), ["dify"])
        assert check(choice.parsed, workflow(TOPIC), "/dify", "dify") == CheckedStart({"topic": 'Solar  "panels" now'})


class TestDraft:
    """What a window begins with."""

    def test_what_was_given_is_kept_and_what_is_missing_is_not_told(self) -> None:
        app = workflow(TOPIC, LANGUAGE, start_input("age", "number"))
        assert draft(parse("review titl=x topic=tea age=old"), app, "review", ("Known.",)) == Draft(
            {"topic": "tea", "age": "old"},
            (
                "Known.",
                "“titl” is no input of review: its value was not filled in.",
                "age must be a number, and “old” is none. It may be left out.",
            ),
            "titl=x",
        )

    @pytest.mark.parametrize(
        ("typed", "texts", "problem"),
        [
            ("summer launch", {"topic": "summer launch"}, "“summer launch” stands in topic now: look it over."),
            ("summer age=5", {"topic": "summer", "age": "5"}, "“summer” stands in topic now: look it over."),
            ("tpic=tea", {"topic": "tea"}, "“tpic” is no input of review: its value stands in topic now."),
            ("topic=Solar panels", {"topic": "Solar panels"}, "“panels” was taken for a part of topic: look it over."),
            ('topic="tea', {"topic": "tea"}, "The quotation mark that begins topic is not closed: look over where"),
            ("topic=a topic=b", {"topic": "b"}, "topic is given more than once: the last stands there now."),
        ],
    )
    def test_the_window_says_what_was_made_of_a_slip_and_not_how_a_command_is_written(
        self, typed: str, texts: dict[str, str], problem: str
    ) -> None:
        app = workflow(start_input("topic", required=True), start_input("title", required=True), start_input("age"))
        found = draft(parse(f"review {typed}"), app, "review")
        assert found.texts == texts
        assert found.problems[0].startswith(problem)

    def test_words_beside_values_stand_in_the_one_field_that_they_may_be_meant_for(self) -> None:
        app = workflow(start_input("topic", required=True), start_input("age", "number"))
        found = draft(parse("review tea age=5"), app, "review")
        assert found == Draft({"topic": "tea", "age": "5"}, ("“tea” stands in topic now: look it over.",))
        given_twice = draft(parse("review tea topic=coffee"), app, "review")
        assert given_twice.texts == {"topic": "coffee"}
        assert given_twice.problems == ("“tea” fits no field here; nothing of it was filled in.",)
        assert given_twice.left_over == "tea"

    def test_words_are_kept_whole_where_the_app_takes_no_text(self) -> None:
        words = f"Dear all,\n{'we meet at noon. ' * 20}Ann"
        found = draft(parse(f"review {words}"), workflow(start_input("age", "number")), "review")
        assert (found.texts, found.left_over) == ({}, words)

    def test_words_are_not_said_to_stand_where_a_misspelt_key_has_put_its_value(self) -> None:
        app = workflow(start_input("topic", required=True), start_input("age", "number"))
        assert draft(parse("review Summer launch tpoic=x"), app, "review") == Draft(
            {"topic": "x"},
            (
                "“Summer launch” fits no field here; nothing of it was filled in.",
                "“tpoic” is no input of review: its value stands in topic now.",
            ),
            "Summer launch",
        )

    def test_of_two_misspelt_keys_one_value_alone_is_said_to_stand_in_a_field(self) -> None:
        app = workflow(start_input("topic", required=True), start_input("age", "number"))
        assert draft(parse("review tpic=a tpoic=b"), app, "review") == Draft(
            {"topic": "a"},
            (
                "“tpic” is no input of review: its value stands in topic now.",
                "“tpoic” is no input of review: its value was not filled in.",
            ),
            "tpoic=b",
        )

    @pytest.mark.parametrize("typed", ["why is x=5 wrong?", "E=mc² “explained”", 'a="b" and  c=d'])
    def test_a_sentence_with_an_equals_sign_is_kept_whole_where_the_app_takes_words(self, typed: str) -> None:
        """It is looked over before it is sent: it may be a mistyped key all the same."""
        app = workflow(start_input("topic", required=True), start_input("age", "number"))
        found = draft(parse(f"review {typed}"), app, "review")
        assert found.texts == {"topic": typed}
        (problem,) = found.problems
        assert problem.endswith("is no input of review: all of your words stand in topic now. Look them over.")
        assert draft(parse(f"support {typed}"), chatflow(), "support").texts == {"query": typed}
        told = refused(f"review {typed}", app)
        assert told.problems[0].endswith("is no input of review: it takes topic and age.")
        assert parse(told.corrected or "").pairs[-1].value == typed

    def test_a_placeholder_is_not_told_either(self) -> None:
        assert draft(parse("review topic=…"), REVIEW, "review").problems == ()

    def test_texts_are_checked_like_a_command(self) -> None:
        assert check_texts({"topic": "x" * 21}, REVIEW) == {
            "topic": "topic has 21 characters, 1 more than the 20 it may have.",
            "language": "language is missing: choose English, Japanese or Chinese.",
        }
        assert check_texts({"topic": "tea", "language": "English"}, REVIEW) == outcome("topic=tea language=English")

    @given(
        st.fixed_dictionaries(
            {},
            optional={
                "topic": st.text(min_size=1, max_size=20).filter(str.strip),
                "age": st.integers(-(10**6), 10**6).map(str) | st.floats(-1e6, 1e6).map(str),
                "agree": st.sampled_from(["true", "false"]),
                "config": st.dictionaries(st.text(), st.integers()).map(json.dumps),
                "query": st.text(min_size=1).filter(str.strip),
            },
        )
    )
    def test_a_start_gives_the_texts_that_it_is_read_from(self, texts: dict[str, str]) -> None:
        """So that it can be asked for once more."""
        app = chatflow(
            start_input("topic"),
            start_input("age", "number"),
            start_input("agree", "checkbox"),
            start_input("config", "json_object"),
        )
        start = check_texts({"query": "hello"} | texts, app)
        if isinstance(start, CheckedStart):
            assert check_texts(texts_of(start, app), app) == start

    @pytest.mark.parametrize(
        ("field", "text"),
        [
            (start_input("a", default="tea"), "tea"),
            (start_input("a", default="tea", max_length=2), ""),
            (start_input("a", "select", default="S", options=("S",)), "S"),
            (start_input("a", "select", default="XL", options=("S",)), ""),
            (start_input("a", "number", default=7), "7"),
            (start_input("a", "number", default="some"), ""),
            (start_input("a", "checkbox", default=True), "true"),
            (start_input("a", "json_object", default={"k": 1}), '{"k": 1}'),
            (start_input("a", "file", default="x", accepts=Accepts()), ""),
            (start_input("a"), ""),
        ],
    )
    def test_only_a_default_that_can_be_sent_is_filled_in(self, field: StartInput, text: str) -> None:
        assert default_text(field) == text


class TestRecordedApps:
    """The same answers as a real Dify server gave."""

    def test_a_required_value_is_not_filled_from_its_default(self) -> None:
        """Recording 18: `color` is required, has the default "green", and leaving it out is an error."""
        assert (
            "color (Colour) is missing: choose red, green or blue."
            in refused("", recorded("18-all-start-inputs.json")).problems
        )

    def test_an_optional_select_may_be_left_out_where_its_default_is_null(self) -> None:
        """Recording 18: `size`."""
        assert not any("size" in problem for problem in refused("", recorded("18-all-start-inputs.json")).problems)

    def test_an_optional_select_with_an_empty_default_must_be_given(self) -> None:
        """Recording 19."""
        assert refused("", recorded("19-optional-select.json")) == NotStartable(
            ("size is missing: choose S, M or L.",), "/dify review size=S"
        )
        assert run_inputs("size=M", recorded("19-optional-select.json")) == {"size": "M"}


_start_inputs = st.builds(
    start_input,
    st.sampled_from(["topic", "language", "age", "agree", "config", "query"]),
    st.sampled_from(["text-input", "paragraph", "select", "number", "checkbox", "json_object"]),
    required=st.booleans(),
    max_length=st.none() | st.integers(1, 30),
    default=st.none() | st.just(""),
    options=st.lists(st.text(min_size=1).filter(str.strip), max_size=3).map(tuple),
)


@given(
    st.sampled_from(AppMode),
    st.lists(_start_inputs, max_size=4, unique_by=lambda field: field.variable),
    st.lists(st.tuples(st.sampled_from(["topic", "topc", "language", "age", "agree", "query", "zzz"]), st.text())),
)
def test_a_corrected_command_leaves_nothing_wrong_but_its_placeholders(
    mode: AppMode, start_inputs: list[StartInput], typed: list[tuple[str, str]]
) -> None:
    app = AppDescription("Any app", mode, tuple(start_inputs))
    found = outcome(as_slack_sends(write("/dify", "review", typed)), app)
    if isinstance(found, CheckedStart) or found.corrected is None:
        return
    parsed = parse(as_slack_sends(found.corrected))
    again = check(parsed, app, "/dify", "review")
    unfilled = {pair.key for pair in parsed.pairs if pair.value == PLACEHOLDER}
    if isinstance(again, NotStartable):
        assert len(again.problems) <= len(unfilled)
        assert again.corrected == found.corrected
