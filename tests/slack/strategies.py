"""Any form that is legal in Dify, with the texts a model or a careless builder may put into it."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st

from bot.core.model import ButtonStyle, FileField, Form, FormInput, Paragraph, Select, UserAction
from tests.factories import NOW, make_form

INJECTIONS = (
    "<!channel>",
    "<!here|here>",
    "<@U999|ann>",
    "<!subteam^S123>",
    "<https://evil.example|https://bank.example>",
    "&lt;!channel&gt;",
    "&amp;lt;!everyone&amp;gt;",
    "[https://bank.example](https://evil.example)",
    "\\[bank\\](https://evil.example)",
    "\\![bank](https://evil.example/a.png)",
    "![bank](https://evil.example/a.png)",
    "[bank][1]\n\n[1]: https://evil.example",
    "`[bank](https://evil.example)`",
    "```\n[bank](https://evil.example)\n```",
    "\\```\n\n[bank](https://evil.example)",
    "<https://evil.example>",
    "[x](javascript:alert)",
    "[x](https://bank.example@evil.example)",
    "\u202egnab\u202c",
    "*bold*\n> quote\n",
    "| a | b |\n|---|---|\n| <!here> | {m} |",
    "- one\n  - two {m}\n",
    "```py\nx = 1\n{m}\ny[0](z)\n```",
    "**Draft: {m}**",
    "`{m}`",
    "> said {m} so",
    "# Title {m}",
    "[link {m}](https://ok.example)",
)

odd_text = st.one_of(
    st.text(max_size=40), st.sampled_from(INJECTIONS), st.sampled_from(["", " ", "\n", "é日本🙂", "a" * 60])
)


def _repeated(texts: st.SearchStrategy[str], most: int) -> st.SearchStrategy[str]:
    return st.builds(lambda text, times: text * times, texts, st.integers(1, most))


names = st.from_regex(r"[a-z_][a-z0-9_]{0,29}", fullmatch=True)
titles = st.one_of(st.text(min_size=1, max_size=100), st.sampled_from([text[:100] for text in INJECTIONS]))
long_text = st.one_of(
    odd_text, _repeated(odd_text, 20), st.sampled_from(["Long line. \n" * 400, "<" * 3_100, "word " * 900])
)


@st.composite
def inputs(draw: st.DrawFn) -> tuple[FormInput, ...]:
    """Draw up to 60 inputs."""
    found: list[FormInput] = []
    count = draw(st.one_of(st.integers(0, 4), st.sampled_from([0, 20, 40, 41])))
    # A single file makes the whole form one that cannot be answered here.
    kinds = st.sampled_from(["paragraph", "select", "files", *draw(st.sampled_from([[], [], ["file"]]))])
    known = draw(st.lists(names, max_size=4, unique=True))
    for name in [*known, *(f"field_{number}" for number in range(60))][:count]:
        kind = draw(kinds)
        if kind == "paragraph":
            found.append(Paragraph(name, draw(long_text)))
        elif kind == "select":
            options = draw(st.lists(odd_text, max_size=5))
            times = draw(st.sampled_from([1, 1, 50, 250]))
            found.append(Select(name, tuple(f"{option}{index}" for index in range(times) for option in options)))
        else:
            found.append(FileField(name, many=kind == "files"))
    return tuple(found)


@st.composite
def forms(draw: st.DrawFn) -> Form:
    """Draw a form that Dify would ask for."""
    fields = draw(inputs())
    markers = [f"{{{{#$output.{field.name}#}}}}" for field in fields] + ["{{#$output.nobody#}}"]
    pieces = [text.replace("{m}", draw(st.sampled_from(markers))) for text in draw(st.lists(long_text, max_size=5))]
    placed = draw(st.lists(st.sampled_from(markers), max_size=8))
    styles = draw(st.lists(st.tuples(titles, st.sampled_from(ButtonStyle)), max_size=20))
    return make_form(
        node_title=draw(titles),
        content=draw(st.sampled_from(["\n\n", " ", "\n"])).join(draw(st.permutations(pieces + placed))),
        inputs=fields,
        user_actions=tuple(UserAction(f"action_{number}", *action) for number, action in enumerate(styles)),
        expires_at=draw(st.one_of(st.none(), st.just(NOW + timedelta(days=3)))),
        form_token=draw(st.sampled_from(["form-token-demo", "form-token-demo", None])),
    )
