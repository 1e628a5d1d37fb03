"""What nodes of a run have put out, and how texts refer to it (`{{#node.variable#}}`)."""

import json
from typing import Any, TypeAlias

from bot.playground.dify.graph import REFERENCE, Selector

Pool: TypeAlias = dict[Selector, Any]

FILE_IDENTITY = "__dify__file__"


def is_file(value: object) -> bool:
    """Tell whether a value is a file object of Dify."""
    return isinstance(value, dict) and value.get("dify_model_identity") == FILE_IDENTITY


def bare(value: Any) -> Any:
    """Return a value whose files have lost their addresses, as some events show them (recordings 09, 18, 31)."""
    if is_file(value):
        return {name: item for name, item in value.items() if name not in ("related_id", "url")}
    if isinstance(value, list):
        return [bare(item) for item in value]
    return value


def as_text(value: Any) -> str:
    """Write a value as Dify does in a text: nothing for null, indented JSON, `True`, files as links (recording 35)."""
    if value is None:
        return ""
    if is_file(value):
        image = "!" if value["type"] == "image" else ""
        return f"{image}[{value['filename']}]({value['url']})"
    if isinstance(value, list) and all(is_file(item) for item in value):
        return "\n".join(as_text(item) for item in value)
    if isinstance(value, dict | list):
        return json.dumps(value, indent=2, ensure_ascii=False)
    return str(value)


def fill_in(template: str, pool: Pool) -> str:
    """Replace references by their values; what leads nowhere stays as bare `node.variable` (recording 35).

    The markers of form fields, `{{#$output.name#}}`, are left alone.
    """

    def value_of(match: Any) -> str:
        group, name = match.groups()
        if group == "$output":
            return str(match.group(0))
        selector = (group, name)
        return as_text(pool[selector]) if selector in pool else f"{group}.{name}"

    return REFERENCE.sub(value_of, template)


def pieces(template: str) -> list[str | Selector]:
    """Cut a template into its texts and the selectors between them."""
    cut: list[str | Selector] = []
    position = 0
    for match in REFERENCE.finditer(template):
        if text := template[position : match.start()]:
            cut.append(text)
        cut.append((match.group(1), match.group(2)))
        position = match.end()
    if rest := template[position:]:
        cut.append(rest)
    return cut
