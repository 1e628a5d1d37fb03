"""Which file fits where, by Dify's own rules (dify-api §12), before Dify sees it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from math import ceil
from mimetypes import MimeTypes
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from bot.core.model import (
    LOCAL_FILE,
    REMOTE_URL,
    Accepts,
    Attachment,
    AttachmentStatus,
    FileField,
    FileKind,
    FileLimits,
    Form,
    SharedFile,
)

MB = 1024 * 1024
PIECE = 64 * 1024
"""Bytes of a file that are read at once: what it takes of memory is a few of these."""

_IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "svg"})
_VIDEOS = frozenset({"mp4", "mov", "mpeg", "webm"})
_AUDIOS = frozenset({"mp3", "m4a", "wav", "amr", "mpga"})
_DOCUMENTS = frozenset(
    {"txt", "markdown", "md", "mdx", "pdf", "html", "htm", "xlsx", "xls", "vtt", "properties", "doc", "docx", "csv"}
    | {"eml", "msg", "ppt", "pptx", "xml", "epub"}
)
_BY_EXTENSION = (
    (FileKind.IMAGE, _IMAGES),
    (FileKind.VIDEO, _VIDEOS),
    (FileKind.AUDIO, _AUDIOS),
    (FileKind.DOCUMENT, _DOCUMENTS),
)
_MIME_TYPES = MimeTypes().types_map[True]
"""MIME types by extension, with a dot: those that Python knows, whatever a machine knows beside them."""
_KIND_NAMES = {
    FileKind.IMAGE: "an image",
    FileKind.DOCUMENT: "a document",
    FileKind.AUDIO: "a sound file",
    FileKind.VIDEO: "a video",
}
ANY_FILE = "any file"
_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
_MAX_NAME, _MAX_ENDING = 200, 20
_LINK = re.compile(r"https?://\S+", re.IGNORECASE)

GivenFile = SharedFile | str
"""A file of Slack's, or a link to one."""


def clean_name(name: str) -> str:
    """Return an untrusted file name as a name of up to 200 characters: no path, nothing that deceives, its extension.

    Dify shortens longer ones and takes no path separators (dify-api §12.1).
    """
    last = "".join(each for each in re.split(r"[/\\]", name)[-1] if not _deceives(each)).strip().rstrip(". ")
    if not last or last.startswith("."):
        # Neither a hidden file nor an extension alone, which would be none.
        last = f"file{last}"
    ending = PurePosixPath(last).suffix
    if len(ending) > _MAX_ENDING:
        ending = ""
    return last.removesuffix(ending)[: _MAX_NAME - len(ending)] + ending


def _deceives(character: str) -> bool:
    """Tell controls, halves of characters, ends of lines, and what turns the direction of a text, as in “fdp.exe”.

    What joins the parts of one emoji, or the letters of some scripts, is unseen, too, and stays.
    """
    category = unicodedata.category(character)
    turns = category == "Cf" and unicodedata.bidirectional(character) != "BN"
    return turns or category in _UNSEEN


def extension(name: str) -> str:
    """Return the extension of a file's name in small letters, without a dot; empty where it has none."""
    return PurePosixPath(name).suffix.lstrip(".").lower()


def detected_kind(name: str, mime_type: str) -> FileKind:
    """Return what Dify takes a file for: by its extension, else by its MIME type (dify-api §12.3)."""
    ending = extension(name)
    for kind, endings in _BY_EXTENSION:
        if ending in endings:
            return kind
    for kind in (FileKind.IMAGE, FileKind.VIDEO, FileKind.AUDIO):
        if kind in mime_type:
            return kind
    return FileKind.DOCUMENT if "text" in mime_type or "pdf" in mime_type else FileKind.CUSTOM


def name_of(given: GivenFile) -> str:
    """Return what a file or a link is called."""
    return link_name(given) if isinstance(given, str) else given.name


def kind_to_send(given: GivenFile, accepts: Accepts) -> FileKind | None:
    """Return the `type` under which a place takes a file or a link; None where it does not take it.

    Dify is strict about it: the detected type, else `custom` where the extension is allowed (dify-api §12.3). What a
    link leads to whose end is no extension that anybody knows, only Dify finds out (§12.5): it is taken for what is
    wanted.
    """
    name, mime_type = (given.name, given.mime_type) if isinstance(given, SharedFile) else _told_by_link(given)
    kind = detected_kind(name, mime_type)
    if not accepts.types or (kind in accepts.types and kind is not FileKind.CUSTOM):
        return kind
    if FileKind.CUSTOM in accepts.types and extension(name) in _endings(accepts.extensions):
        return FileKind.CUSTOM
    if isinstance(given, SharedFile) or kind is not FileKind.CUSTOM or mime_type:
        return None
    wanted = [FileKind(each) for each in accepts.types if each != FileKind.CUSTOM or not extension(name)]
    return wanted[0] if wanted else None


def _told_by_link(url: str) -> tuple[str, str]:
    """Return the last part of a link's path, and the MIME type that it stands for, if it is known."""
    parts = split_address(url)
    name = "" if parts is None else unquote(PurePosixPath(parts.path).name)
    return name, _MIME_TYPES.get(f".{extension(name)}", "")


def why_unfit(given: GivenFile, accepts: Accepts, limits: FileLimits) -> str | None:
    """Return why a place does not take a file or a link, as the rest of a sentence; None where it does."""
    if isinstance(given, str):
        return _why_link_unfit(given, accepts)
    if not accepts.takes_uploads:
        return "takes a link only, no file."
    if kind_to_send(given, accepts) is None:
        return f"takes {what_fits(accepts)}."
    return too_large(given.name, given.size, limits)


def why_not_all(given: Sequence[GivenFile], accepts: Accepts, limits: FileLimits, held: int = 0) -> str | None:
    """Return why a place that holds some files already does not take these as well, as the rest of a sentence."""
    if not accepts.has_room_for(held + len(given)):
        limit = "one" if accepts.limit == 1 else f"{accepts.limit} at most"
        return f"takes {limit}, and {'with these there would be' if held else 'these are'} {held + len(given)}."
    for each in given:
        if (reason := why_unfit(each, accepts, limits)) is not None:
            return reason if len(given) == 1 else f"does not take {name_of(each)}: it {reason}"
    return None


def too_large(name: str, size: int, limits: FileLimits) -> str | None:
    """Return that a file is larger than Dify takes one of its kind, as the rest of a sentence; None where it is not."""
    limit = size_limit(name, limits)
    if size <= limit:
        return None
    # Rounded up, or it might be told to have just what is taken.
    return f"takes no file of its kind above {limit // MB} MB, and this one has {ceil(size / MB * 10) / 10} MB."


def size_limit(name: str, limits: FileLimits) -> int:
    """Return how many bytes a file may have: Dify goes by its extension alone (dify-api §12.1)."""
    kind = detected_kind(name, "")
    return limits.of(kind if kind in (FileKind.IMAGE, FileKind.VIDEO, FileKind.AUDIO) else FileKind.DOCUMENT)


def _why_link_unfit(url: str, accepts: Accepts) -> str | None:
    if not accepts.takes_links:
        return "takes no link, only a file."
    if not _LINK.fullmatch(url) or split_address(url) is None:
        return "takes a link that begins with https://."
    return None if kind_to_send(url, accepts) is not None else f"takes {what_fits(accepts)}."


def what_fits(accepts: Accepts) -> str:
    """Return in words what a place takes."""
    kinds = [_KIND_NAMES[FileKind(kind)] for kind in accepts.types if kind in _KIND_NAMES]
    if FileKind.CUSTOM in accepts.types and (endings := _endings(accepts.extensions)):
        kinds.append(f"a {_either([f'.{ending}' for ending in sorted(endings)])} file")
    return _either(kinds) or ANY_FILE


def _either(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def how_many(accepts: Accepts) -> str:
    """Return in words what a place takes, and how much of it."""
    what = what_fits(accepts)
    if accepts.limit == 1:
        return what
    each = "" if what == ANY_FILE else f", each {what}"
    return f"up to {accepts.limit} files{each}" if accepts.limit else f"any number of files{each}"


def endings_taken(accepts: Accepts) -> tuple[str, ...]:
    """Return the extensions of what a place takes, without dots; none where it takes any file.

    For a first choice only: Dify goes by the MIME type where it knows no extension (dify-api §12.3).
    """
    taken = {ending for kind, endings in _BY_EXTENSION if kind in accepts.types for ending in endings}
    return tuple(sorted(taken | _endings(accepts.extensions) if FileKind.CUSTOM in accepts.types else taken))


def largest_taken(accepts: Accepts, limits: FileLimits) -> int:
    """Return the size in bytes above which a place takes no file of any kind."""
    kinds = [FileKind(kind) for kind in accepts.types if kind in set(FileKind)] or list(FileKind)
    return max(limits.of(kind) for kind in kinds)


def given_by(attachment: Attachment, given: GivenFile) -> Attachment:
    """Return an attachment as it stands once its place is known: a file is to be pulled, a link Dify fetches itself."""
    if isinstance(given, str):
        return replace(attachment, status=AttachmentStatus.READY, url=given)
    return replace(attachment, slack_file_id=given.file_id, mime_type=given.mime_type, size=given.size)


def given_as(attachment: Attachment) -> GivenFile:
    """Return what somebody gave."""
    if attachment.url is not None:
        return attachment.url
    return SharedFile(attachment.slack_file_id or "", attachment.name, attachment.mime_type, attachment.size)


def attached(attachments: Iterable[Attachment], form_id: str | None, field: str | None) -> tuple[Attachment, ...]:
    """Return what is attached to a place and stays: not what was refused or removed."""
    return tuple(each for each in attachments if each.form_id == form_id and each.field == field and each.status.counts)


def file_fields(form: Form) -> tuple[FileField, ...]:
    """Return the fields of a form that hold files."""
    return tuple(field for field in form.inputs if isinstance(field, FileField))


def link_name(url: str) -> str:
    """Return what a link is called: the last part of its path, or else its host."""
    parts = split_address(url)
    if parts is None:
        return "link"
    last = unquote(PurePosixPath(parts.path).name)
    return clean_name(last) if last else parts.hostname or "link"


def split_address(url: str) -> SplitResult | None:
    """Return the parts of an address; None of what only looks like one, such as `https://[your-host]/`."""
    try:
        return urlsplit(url)
    except ValueError:
        return None


def links_in(text: str) -> tuple[str, ...]:
    """Return the links of a text that is nothing but links; none of any other."""
    words = text.split()
    return tuple(words) if words and all(_LINK.fullmatch(word) for word in words) else ()


def as_value(attachments: Iterable[Attachment], *, many: bool) -> Any:
    """Return what stands for attachments in the values of an answer or a start: our ids, until they are sent."""
    named = [{"attachment_id": each.attachment_id} for each in attachments]
    return named if many else (named[0] if named else None)


def attachment_ids(value: Any) -> tuple[str, ...]:
    """Return the ids of the attachments in a value, in their order."""
    each_of = value if isinstance(value, list) else [value]
    return tuple(str(each["attachment_id"]) for each in each_of if isinstance(each, dict) and "attachment_id" in each)


def as_sent(values: Mapping[str, Any], attachments: Collection[Attachment]) -> dict[str, Any]:
    """Return values as Dify takes them: with its own mapping in the place of each attachment (dify-api §12.2)."""
    by_id = {each.attachment_id: each for each in attachments}

    def sent(value: Any) -> Any:
        if isinstance(value, list):
            return [sent(each) for each in value]
        if isinstance(value, dict) and "attachment_id" in value:
            return mapping(by_id[value["attachment_id"]])
        return value

    return {name: sent(value) for name, value in values.items()}


def mapping(attachment: Attachment) -> dict[str, str]:
    """Return Dify's mapping of a file.

    `type` is always in it: without one Dify refuses the example of its own documentation (recording 09).
    """
    assert attachment.status is AttachmentStatus.READY, "only what Dify has, or can fetch, is sent"
    if attachment.url is not None:
        return {"transfer_method": REMOTE_URL, "url": attachment.url, "type": attachment.kind}
    assert attachment.upload_file_id is not None, "Dify has named it"
    return {"transfer_method": LOCAL_FILE, "upload_file_id": attachment.upload_file_id, "type": attachment.kind}


def _endings(extensions: Iterable[str]) -> set[str]:
    return {each.lstrip(".").lower() for each in extensions}
