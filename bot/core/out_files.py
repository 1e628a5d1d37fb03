"""What files a run gives out: which of its texts and values name one that Dify keeps, and what is said in their place.

An address that Dify signs (dify-api §12.6) is good for whoever reads it, for minutes: none of them is shown to anybody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bot.core.files import clean_name, detected_kind, split_address
from bot.core.model import REMOTE_URL, FileKind, OutFile, OutFileStatus

_HOST, _PATH = r"https?://[^\s()<>\"'\\]{1,300}?", r"/files/[^\s()<>\"'?\\]{1,300}"
_QUERY = r"(?:[A-Za-z0-9_%&=;.~+-]|\\u0026)+(?<![.;])"
_NAME = r"(?:[^\[\]\n]|\[[^\[\]\n]{0,100}\]){0,500}"
"""Of a file, as Dify puts it between brackets: it may have some of its own, as in `report[1].pdf`."""
_ADDRESS = rf"(?:{_HOST})?{_PATH}\?{_QUERY}"
_SIGNED = re.compile(rf"(?P<image>!?)\[(?P<name>{_NAME})\]\((?P<linked>{_ADDRESS})\)|(?P<bare>{_ADDRESS})")
"""A Markdown link or image, or a bare address, of a form that Dify signs (dify-api §12.6)."""
_UNFINISHED = re.compile(
    rf"(?:!|!?\[{_NAME}(?:\[[^\[\]\n]{{0,100}}|\](?:\([^\s()<>\"']{{0,2000}})?)?"
    r"|https?://[^\s()<>\"']{0,2000}|https?:?/?|h(?:tt?)?|/(?:f(?:i(?:l(?:es?)?)?)?|files/[^\s()<>\"']{0,2000})?)$"
)
"""The end of a text that may become a link, or an address."""
_LONGEST_UNFINISHED = 2_700
_FILES = "/files/"
_DIFY_FILE = "__dify__file__"
_SIGNATURE = frozenset({"timestamp", "nonce", "sign"})
NO_ADDRESS = "Dify gives no address from which it could be fetched. It may be found in Dify's log of this run."
LINKED = "📎 {name}"
"""What stands in a text in the place of an address that Dify signed."""


@dataclass(frozen=True, slots=True)
class SignedLink:
    """A link in a text to a file of Dify's, by an address that Dify signed."""

    name: str
    """What the text calls it, or else its path."""
    url: str = field(repr=False)
    is_image: bool = False

    @property
    def key(self) -> str:
        """What is the same in all addresses that Dify signs for the file."""
        return key_of(self.url)


def is_file(value: Any) -> bool:
    """Tell whether a value of an output is a file object (dify-api §12.6)."""
    return isinstance(value, dict) and value.get("dify_model_identity") == _DIFY_FILE


def is_remote(file: Mapping[str, Any]) -> bool:
    """Tell whether a file object is a link to somewhere else, which is not Dify's to give."""
    return file.get("transfer_method") == REMOTE_URL and bool(file.get("url"))


def out_files(value: Any, form_id: str | None) -> tuple[OutFile, ...]:
    """Return the files in a text, or anywhere in outputs, that Dify keeps: file objects, and links that it signed.

    One that is named without an address that Dify signed is missed from the beginning.
    """
    found: dict[str, OutFile] = {}
    for each in (*_file_objects(value, form_id), *_linked_files(value, form_id)):
        found.setdefault(each.key, each)
    return tuple(found.values())


def without_addresses(text: str) -> str:
    """Return a text with names in the place of addresses that Dify signed: they are good for whoever reads them."""
    return with_links(text, lambda link: LINKED.format(name=link.name))


def with_links(text: str, put: Callable[[SignedLink], str]) -> str:
    """Return a text with what `put` says in the place of each link that Dify signed."""
    if _FILES not in text:
        return text
    return _SIGNED.sub(lambda match: match[0] if (link := _link(match)) is None else put(link), text)


@dataclass(slots=True)
class GrowingText:
    """A text that is still being written, as it may be shown: what is shown of it stays the beginning of it."""

    shown: str = ""
    """Without addresses that Dify signed, and without an end that may become one."""
    _rest: str = ""

    def add(self, more: str) -> str:
        """Let it grow, and return what is shown of it."""
        text = self._rest + more
        unfinished = _UNFINISHED.search(text, max(len(text) - _LONGEST_UNFINISHED, 0))
        end = len(text) if unfinished is None else unfinished.start()
        self.shown, self._rest = self.shown + without_addresses(text[:end]), text[end:]
        return self.shown

    def whole(self) -> str:
        """Return all of it, now that it is over."""
        return self.shown + without_addresses(self._rest)


def _file_objects(value: Any, form_id: str | None) -> Iterator[OutFile]:
    if isinstance(value, list):
        for each in value:
            yield from _file_objects(each, form_id)
    elif is_file(value):
        if not is_remote(value):
            yield _of_object(value, form_id)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _file_objects(each, form_id)


def _of_object(file: Mapping[str, Any], form_id: str | None) -> OutFile:
    url, name = str(file.get("url") or ""), clean_name(str(file.get("filename") or ""))
    if not is_signed(url):
        key = str(file.get("related_id") or file.get("reference") or name)
        return OutFile(key, name, "", form_id, status=OutFileStatus.MISSED, reason=NO_ADDRESS)
    kind = detected_kind(name, str(file.get("mime_type") or ""))
    return OutFile(key_of(url), name, url, form_id, kind is FileKind.IMAGE)


def _linked_files(value: Any, form_id: str | None) -> Iterator[OutFile]:
    if isinstance(value, str):
        links = map(_link, _SIGNED.finditer(value)) if _FILES in value else ()
        for link in filter(None, links):
            yield OutFile(link.key, clean_name(link.name), link.url, form_id, link.is_image)
    elif isinstance(value, list):
        for each in value:
            yield from _linked_files(each, form_id)
    elif isinstance(value, dict) and not is_file(value):
        for each in value.values():
            yield from _linked_files(each, form_id)


def is_signed(url: str) -> bool:
    """Tell whether an address is of the form that Dify signs (dify-api §12.6)."""
    parts = split_address(url)
    return parts is not None and _FILES in parts.path and parse_qs(parts.query).keys() >= _SIGNATURE


def key_of(url: str) -> str:
    """Return what is the same in all addresses that Dify signs for a file."""
    return urlsplit(url).path


def _link(match: re.Match[str]) -> SignedLink | None:
    # In JSON, or in HTML, that stands in a text.
    url = (match["linked"] or match["bare"]).replace("\\u0026", "&").replace("&amp;", "&")
    if not is_signed(url):
        return None
    last = PurePosixPath(key_of(url)).name
    name = " ".join((match["name"] or "").split()) or ("file" if last == "file-preview" else last)
    return SignedLink(name, url, bool(match["image"]))
