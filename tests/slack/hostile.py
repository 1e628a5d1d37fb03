"""Strings that a model, a builder or a person may write to do harm (slack-platform §6.1), and how the harm is seen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bot.playground.slack.text import CONTROL, pinged_ids, text_objects
from bot.slack.messages.message import Message
from tests.slack.reading import Json, disguised_links, tells_host, wire

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
    "https://bank.example@evil.example/login",
    "<https://bank.example@evil.example/login>",
    "https://bank.example\\@evil.example www.bank.example&#64;evil.example",
    "https://bank.ex*a*mple@evil.example `a` **https**://bank.example_@evil.example_",
    "![https://bank.example](https://evil.example)",
    "https://bаnk.example/",  # its second letter is Cyrillic
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
"""`{m}` stands where a form may have a marker."""

PEOPLE = frozenset({"U1", "U2", "U3"})
"""Whom the tests' runs are about. No hostile string names one of them."""

HOSTILE = (
    *(text for text in INJECTIONS if "{m}" not in text),
    "<!everyone>",
    "<!channel|channel>",
    "<@W999>",
    "<@U999>",
    "<#C999|general>",
    "<!date^1^{date_long}^https://evil.example|tomorrow>",
    "<mailto:ann@evil.example|Ann>",
    "&#60;!channel&#62;",
    "&#x3c;@U999&#x3e;",
    "<<!here>!channel>",
    "<!chan\x00nel>",
    "<!chan\u202enel>",
    "&#x202e;elpmaxe.knab",
    "a&#10;&#10;# b&#10;<!here>",
    "@here @channel @everyone #general",
    "https://evil.example/a.png www.evil.example",
    ":rotating_light: :x:",
    "| a |\n|---|\n| <!here> |",
    "```\n<!here>\n```",
    "`<!here>`",
    "> <!here>",
    "- [ ] <!here>\n- [x](https://evil.example)",
    "</p><script>alert(1)</script><a href='https://evil.example'>bank</a>",
    "**<!here>** _<@U999>_ ~~<!subteam^S123|@all>~~",
    "[<!here>](https://evil.example)",
    "[a](https://evil.example/<!here>)",
    "[![bank](https://bank.example/a.png)](https://evil.example)",
    "[bank.example](<https://evil.example> 'bank.example')",
    "*_~`\\",
    "\ud800\udfff\ufdd0" + "0\ufdd1",
    "{{#$output.draft#}} {{#$output.nobody#}}",
    "<" * 200,
    "&" * 200,
)


def harm(text: str, blocks: list[Json]) -> list[str]:
    """Return what a text and blocks, as they are sent, would do that no text of others may."""
    found = [f"pings {who}" for who in {*pinged_ids(text, blocks)} - PEOPLE]
    obeyed = [text, *(each["text"] for each in text_objects(blocks) if each["type"] in ("mrkdwn", "markdown"))]
    controls = (control for each in obeyed for control in CONTROL.finditer(each))
    found += [f"obeys {each.group()}" for each in controls if _is_of_others(each)]
    for each in text_objects(blocks):
        if each["type"] == "mrkdwn" and not each.get("verbatim"):
            found.append(f"turns names and addresses into links: {each['text'][:60]}")
        if each["type"] == "plain_text" and each.get("emoji", True) and re.search(r":\w+:", each["text"]):
            found.append(f"shows emoji: {each['text'][:60]}")
    found += [f"hides the host of {address}" for address in _hidden_hosts(blocks)]
    found += [f"has {sign!r}" for sign in _INVISIBLE if any(sign in each for each in (text, *_strings(blocks)))]
    return found


def harm_of(message: Message) -> list[str]:
    """Return what a message would do that no text of others may."""
    return harm(message.text, wire(message)) + harm(message.plain, []) + disguised_links(message)


def _is_of_others(control: re.Match[str]) -> bool:
    """Say whether the bot itself would not write this: it names the channel of the tests, and real moments."""
    return bool(control["url"]) or control["unix"] == "1" or control["channel"] not in (None, "C1")


_INVISIBLE = "\x00\u202e\u2066\ud800\udfff\ufdd0"


def _strings(value: Any) -> Iterator[str]:
    """Every string but the ids, which Slack shows to nobody."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in ("value", "block_id", "action_id", "private_metadata", "initial_option"):
                yield from _strings(item)


def _hidden_hosts(value: Any) -> Iterator[str]:
    """Addresses of links in rich text that neither show their address nor have their host beside them."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict) and item.get("type") == "link":
                label, follower = _label(value, index)
                if not tells_host(label, item["url"], follower):
                    yield item["url"]
            yield from _hidden_hosts(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _hidden_hosts(item)


def _label(spans: list[Json], index: int) -> tuple[str, str]:
    """Return the whole label of a link, of which this span may be a part, and the text after it."""
    address = spans[index]["url"]
    first = index
    while first and spans[first - 1].get("url") == address:
        first -= 1
    end = index
    while end < len(spans) and spans[end].get("url") == address:
        end += 1
    follower = spans[end].get("text", "") if end < len(spans) else ""
    return "".join(span["text"] for span in spans[first:end]), follower
