"""A channel as text for a terminal: roots, threads, Block Kit, drafts, and what only one person sees."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from rich import box
from rich.columns import Columns
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.emoji import Emoji
from rich.markdown import Heading, Markdown
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from bot.playground.slack.forms import STATEFUL, Control, Draft, buttons, controls
from bot.playground.slack.people import Person
from bot.playground.slack.state import Message, View
from bot.playground.slack.text import CONTROL, Json, unescape
from bot.playground.slack.workspace import Workspace

WIDTH = 100
_FIELD_LINES = 8
"""Lines of a text field that Slack's clients show before it scrolls."""
_BUTTONS = {"primary": ("●", "bold green"), "danger": ("▲", "bold red"), None: ("", "bold")}
_TASK_MARKS = {"pending": "○", "in_progress": "◐", "complete": "✓", "error": "✗"}
_INLINE = re.compile(
    CONTROL.pattern
    + r"|```\n?(?P<fence>.+?)\n?```"
    + r"|`(?P<code>[^`\n]+)`"
    + r"|(?<![\w*])\*(?P<bold>[^*\n]+)\*(?![\w*])"
    + r"|(?<![\w_])_(?P<italic>[^_\n]+)_(?![\w_])"
    + r"|(?<![\w~])~(?P<strike>[^~\n]+)~(?![\w~])",
    re.DOTALL,
)
_STYLES = {"bold": "bold", "italic": "italic", "strike": "strike"}
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_ESCAPE = re.compile("\x1b\\[[0-9;]*m")
_EMPTY_LINE = re.compile(r"│?\s*")
_DATE_TOKEN = re.compile(r"\{(\w+)\}")


def transcript(workspace: Workspace, channel: str, person: str | None = None, color: bool = False) -> str:
    """The channel as `person` sees it, or with everyone's private lines; `color` adds terminal escapes.

    The modal the person has open stands below. Dates are in the person's zone, else in UTC. No line is longer than 100
    columns.
    """
    reader = workspace.person(person) if person else None
    page = _Page(workspace, reader)
    messages = reader.sees(channel) if reader else [*workspace.channel(channel).log.values()]
    shown = [message for message in messages if not message.deleted]
    drawn: list[RenderableType] = [
        Rule(f"#{channel}" + (f", as {person} sees it" if person else ""), align="left", style="dim")
    ]
    for root in shown:
        if root.is_root:
            tree = Tree(page.message(root), guide_style="dim")
            for reply in shown:
                if reply.thread_ts == root.ts:
                    tree.add(page.message(reply))
            drawn += ["", tree]
    if reader and reader.views:
        drawn += ["", page.modal(reader.view, reader.draft(reader.view))]
    return "\n".join(_lines(Group(*drawn), WIDTH, color)).rstrip("\n") + "\n"


def message_lines(workspace: Workspace, message: Message, width: int = WIDTH, color: bool = False) -> list[str]:
    """One message, its author and time in the first line, as everyone who may see it finds it."""
    return list(_lines(_Page(workspace, None).message(message), width, color))


def _lines(drawn: RenderableType, width: int, color: bool) -> Iterator[str]:
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        markup=False,
        highlight=False,
    )
    console.print(drawn)
    return _tidied(out.getvalue().splitlines())


class _LeftHeading(Heading):
    """A heading where Slack puts it; rich would centre it."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        yield self.text


class _Markdown(Markdown):
    elements = {**Markdown.elements, "heading_open": _LeftHeading}  # noqa: RUF012  (as rich declares it)


class _Quote:
    """A text with a bar before each of its lines."""

    def __init__(self, text: Text) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._text.wrap(console, options.max_width - 2):
            yield Text("│ ", "dim") + line


class _Page:
    """Draws messages for one reader."""

    def __init__(self, workspace: Workspace, reader: Person | None) -> None:
        self._workspace, self._reader = workspace, reader
        self._zone: tzinfo = ZoneInfo(reader.zone) if reader else UTC
        self._draw: dict[str, Callable[[Json, Draft], RenderableType]] = {
            "section": self._section,
            "header": lambda block, _: Group(self._text(block["text"], "bold underline"), ""),
            "alert": lambda block, _: self._text(block["text"]),
            "divider": lambda block, _: Rule(style="dim"),
            "context": lambda block, _: Text(" · ").join(self._inline_elements(block)),
            "actions": lambda block, draft: Group("", self._controls(block, draft)),
            "context_actions": lambda block, draft: Group("", self._controls(block, draft)),
            "input": self._controls,
            "image": lambda block, _: self._image(block),
            "markdown": lambda block, _: self._markdown(block["text"]),
            "rich_text": lambda block, _: Group(*map(self._rich_part, block["elements"])),
            "table": lambda block, _: self._table(block),
            "task_card": lambda block, _: self._task(block),
            "plan": lambda block, _: Group(
                Text(_plain(block["title"]), "bold"), *map(self._task, block.get("tasks", []))
            ),
        }

    def message(self, message: Message) -> RenderableType:
        """Author, time and content."""
        head = Text(self._workspace.user_name(message.author.user_id), "bold")
        if message.author.bot_id:
            head.append(" APP", "dim")
        head.append(f"  {self._local(float(message.ts)):%H:%M}", "dim")
        if message.visible_to:
            head.append(f"  only visible to {self._workspace.user_name(message.visible_to)}", "dim italic")
        if message.edited_at and not message.blocks:
            head.append("  (edited)", "dim")
        if message.in_progress:
            head.append("  writing…", "dim italic")
        draft = self._reader.draft(message) if self._reader else {}
        blocks = [self._block(block, draft) for block in message.blocks] or [self.mrkdwn(message.text)]
        files = [Text(self._file(file), "blue") for file in message.content.files]
        return Group(head, *blocks, *files, "")

    def _file(self, file: Json) -> str:
        """Name, type and size, or what has become of it."""
        match file["mode"]:
            case "tombstone":
                return "📎 This file was deleted."
            case "hidden_by_limit":
                return "📎 This file is older than your plan shows."
            case "file_access":
                return "📎 A file of another workspace"
        about = ", ".join((file["pretty_type"], _bytes(file["size"]))) if file["size"] else "being processed"
        if file["is_external"]:
            about = file["external_type"]
        return f"📎 {_plain(file['title'])} ({about})"

    def _image(self, image: Json) -> Text:
        shown = self._workspace.files.image(image["slack_file"]) if "slack_file" in image else None
        name = f", {shown.name}" if shown else ""
        return Text(f"[image: {image['alt_text']}{name}]", "dim")

    def modal(self, view: View, draft: Draft) -> RenderableType:
        """Title, fields with what is wrong about them, and the buttons below."""
        parts: list[RenderableType] = []
        for block in view.blocks:
            parts.append(self._block(block, draft))
            if block["block_id"] in view.field_errors:
                parts.append(Text(f"⚠ {_plain(view.field_errors[block['block_id']])}", "red"))
        texts = [view.content[name]["text"] for name in ("close", "submit") if name in view.content]
        row = Text("  ".join(f"[{_plain(text)}]" for text in texts), "bold")
        return Panel(Group(*parts, "", row), title=Text(_plain(view.title)), title_align="left", box=box.ROUNDED)

    def mrkdwn(self, text: str, style: str = "") -> Text:
        """Slack's own markup as styled text."""
        drawn = Text(style=style)
        end = 0
        for found in _INLINE.finditer(text):
            drawn.append(_plain(text[end : found.start()]))
            drawn.append_text(self._inline(found))
            end = found.end()
        return drawn.append(_plain(text[end:]))

    def _inline(self, found: re.Match[str]) -> Text:
        for name, style in _STYLES.items():
            if found[name]:
                return self.mrkdwn(found[name], style)
        if found["code"] or found["fence"]:
            return Text(unescape(found["code"] or found["fence"]), "cyan")
        if found["url"]:
            label = unescape(found["label"] or found["url"])
            url = unescape(found["url"])
            return Text(label if label == url else f"{label} ({url})", "blue underline")
        if found["unix"]:
            return Text(self._date(float(found["unix"]), found["format"]))
        return Text(self._mention(found), "bold cyan")

    def _mention(self, found: re.Match[str]) -> str:
        if found["channel"]:
            channel = self._workspace.channel_by_id(found["channel"])
            return f"#{channel.name if channel else found['channel']}"
        return f"@{self._workspace.user_name(found['user'] or found['broadcast'] or found['group'])}"

    # --- blocks ------------------------------------------------------------------------------------------------------

    def _block(self, block: Json, draft: Draft) -> RenderableType:
        draw = self._draw.get(block["type"])
        return draw(block, draft) if draw else Text(f"[{block['type']}]", "dim")

    def _text(self, text: Json, style: str = "") -> Text:
        if text["type"] == "mrkdwn":
            return self.mrkdwn(text["text"], style)
        return Text(_plain(text["text"]), style)

    def _section(self, block: Json, draft: Draft) -> RenderableType:
        parts: list[RenderableType] = [self._text(block["text"])] if "text" in block else []
        if "fields" in block:
            cells = [self._text(cell) for cell in block["fields"]]
            parts.append(Columns(cells, width=WIDTH // 2 - 6, expand=False))
        return Group(*parts, self._controls(block, draft)) if "accessory" in block else Group(*parts)

    def _inline_elements(self, block: Json) -> Iterator[Text]:
        for element in block["elements"]:
            if element["type"] == "image":
                yield self._image(element)
            else:
                yield self._text(element, "dim")

    def _controls(self, block: Json, draft: Draft) -> RenderableType:
        """Fields below each other, buttons beside each other."""
        parts: list[RenderableType] = []
        row = Text()
        for control in controls([block]):
            if control.element["type"] == "feedback_buttons":
                row.append("  ".join(f"[{button.label}]" for button in buttons([block])), "dim")
            elif control.element["type"] == "button":
                mark, style = _BUTTONS[control.element.get("style")]
                row.append(f"[{mark} {_plain(control.label)}]" if mark else f"[{_plain(control.label)}]", style).append(
                    "  "
                )
            else:
                parts.append(self._field(control, draft))
        return Group(*parts, row) if row else Group(*parts)

    def _field(self, control: Control, draft: Draft) -> RenderableType:
        label = control.label + (" (optional)" if control.block.get("optional") else "")
        placeholder = control.element.get("placeholder", {}).get("text", "")
        if control.element["type"] not in STATEFUL:
            return Text(f"{label} ⋯")
        value = self._value(control.answer(draft))
        if control.element["type"].endswith("_input") and control.element["type"] != "file_input":
            content = Text(value) if value else Text(unescape(placeholder) or " ", "dim")
            is_long = sum(len(line) // WIDTH + 1 for line in value.splitlines()) > _FIELD_LINES
            return Panel(
                content,
                title=Text(label),
                title_align="left",
                subtitle=Text("scroll for more") if is_long else None,
                subtitle_align="right",
                height=_FIELD_LINES + 2 if is_long else None,
                box=box.ROUNDED,
                border_style="dim",
            )
        return Text(f"{label}: ").append(
            f"‹ {value or unescape(placeholder) or 'choose'} ▾ ›", "bold" if value else "dim"
        )

    def _value(self, value: object) -> str:
        """What a reader sees of a field's value."""
        if isinstance(value, list):
            return ", ".join(self._value(item) for item in value)
        if isinstance(value, dict) and "mode" in value:
            return self._file(value)
        if isinstance(value, dict) and "text" in value:
            return _plain(value["text"]["text"])
        if isinstance(value, dict):
            return self._rich_text(value).plain
        return "" if value is None else self._workspace.user_name(str(value))

    def _markdown(self, text: str) -> _Markdown:
        # slack-platform §6.1: entities in code are shown decoded, too; Markdown itself would show them as they are
        code_decoded = _CODE.sub(lambda found: unescape(found[0]), CONTROL.sub(self._control, text))
        return _Markdown(code_decoded, hyperlinks=False)

    def _control(self, found: re.Match[str]) -> str:
        if found["url"]:
            return f"[{found['label'] or found['url']}]({found['url']})"
        return self._date(float(found["unix"]), found["format"]) if found["unix"] else self._mention(found)

    def _table(self, block: Json) -> Table:
        table = Table(box=box.ROUNDED, show_header=False, border_style="dim")
        for row in block["rows"]:
            table.add_row(
                *(self._rich_text(cell) if "elements" in cell else Text(unescape(cell["text"])) for cell in row)
            )
        return table

    def _task(self, task: Json) -> RenderableType:
        texts = [self._rich_text(task[key]) for key in ("details", "output") if key in task]
        return Group(Text(f"{_TASK_MARKS[task['status']]} {_plain(task['title'])}"), *texts)

    def _rich_part(self, part: Json) -> RenderableType:
        text = self._rich_text(part)
        return _Quote(text) if part["type"] == "rich_text_quote" else text

    def _rich_text(self, part: Json) -> Text:
        """rich_text flattened: lists with bullets."""
        kind = part["type"]
        inner = [self._rich_text(element) for element in part.get("elements", [])]
        if kind == "rich_text_list":
            ordered = part["style"] == "ordered"
            return Text("\n").join(Text(f"{n}. " if ordered else "• ") + line for n, line in enumerate(inner, 1))
        if inner:
            return Text("\n" if kind == "rich_text" else "").join(inner)
        return Text(
            unescape(self._rich_word(part)), " ".join(name for name in part.get("style", {}) if name in _STYLES)
        )

    def _rich_word(self, part: Json) -> str:
        match part["type"]:
            case "user":
                return f"@{self._workspace.user_name(part['user_id'])}"
            case "broadcast":
                return f"@{part['range']}"
            case "emoji":
                return Emoji.replace(f":{part['name']}:")
            case "date":
                return self._date(float(part["timestamp"]), part["format"])
        return str(part.get("text") or part.get("url", ""))

    # --- dates -------------------------------------------------------------------------------------------------------

    def _local(self, unix: float) -> datetime:
        return datetime.fromtimestamp(unix, self._zone)

    def _date(self, unix: float, form: str) -> str:
        """slack-platform §6.3."""
        moment = self._local(unix)
        words = {
            "date_num": f"{moment:%Y-%m-%d}",
            "date": f"{moment:%B} {moment.day}, {moment.year}",
            "date_short": f"{moment:%b} {moment.day}, {moment.year}",
            "date_long": f"{moment:%A}, {moment:%B} {moment.day}, {moment.year}",
            "time": f"{moment:%H:%M}",
            "time_secs": f"{moment:%H:%M:%S}",
            "ago": self._ago(unix),
        }

        def word(token: re.Match[str]) -> str:
            plain = words.get(token[1].removesuffix("_pretty"), token[0])
            return (self._near_day(moment) or plain) if token[1].endswith("_pretty") else plain

        return _DATE_TOKEN.sub(word, form)

    def _near_day(self, moment: datetime) -> str | None:
        today = self._local(self._workspace.now()).date()
        days = {timedelta(0): "today", timedelta(1): "tomorrow", timedelta(-1): "yesterday"}
        return days.get(moment.date() - today)

    def _ago(self, unix: float) -> str:
        seconds = self._workspace.now() - unix
        amount, unit = abs(seconds), "seconds"
        for size, larger in ((60, "minutes"), (60, "hours"), (24, "days")):
            if amount < size:
                break
            amount, unit = amount / size, larger
        return f"{int(amount)} {unit} ago" if seconds >= 0 else f"in {int(amount)} {unit}"


def _tidied(lines: list[str]) -> Iterator[str]:
    """The lines without trailing spaces, and with one empty line where several follow each other."""
    was_empty = True
    for line in lines:
        is_empty = _EMPTY_LINE.fullmatch(_ESCAPE.sub("", line)) is not None
        if not (is_empty and was_empty):
            yield line.rstrip()
        was_empty = is_empty


def _bytes(count: int) -> str:
    """A file's size as Slack shows it."""
    for unit in ("B", "KB", "MB"):
        if count < 1024:
            return f"{count} {unit}"
        count //= 1024
    return f"{count} GB"


def _plain(text: str) -> str:
    """Entities and emoji codes as characters."""
    return Emoji.replace(unescape(text))
