"""What goes over the page's one WebSocket: the documents it is sent, and how its requests are answered.

The first message holds every document; later ones those that changed, and the keys of those that are gone. A key is a
path, its first part says what kind of document it names. Times are Unix seconds. A `Surface` is the key of the document
that somebody uses, `messages/<channel id>/<ts>` or `views/<view id>`; a `Field` is `<block_id>/<action_id>`.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

Json: TypeAlias = dict[str, Any]
Surface: TypeAlias = str
Field: TypeAlias = str


class Update(TypedDict):
    """A message to the page: documents by key, and the keys of those that are gone."""

    set: dict[str, Any]
    drop: list[str]
    first: NotRequired[bool]
    """Set on the first message of a connection: what it does not hold does not exist."""


class Request(TypedDict):
    """What the page asks for; the further keys are the arguments of `do` (`Actions`)."""

    id: int
    do: str


class Reply(TypedDict):
    """The answer to the request with this id."""

    id: Any
    ok: bool
    result: NotRequired[Json]
    error: NotRequired[str]
    """A sentence for the person at the page, where `ok` is false."""


# --- the workspace ---------------------------------------------------------------------------------------------------


class WorkspaceDoc(TypedDict):
    """`workspace`: what never changes."""

    name: str
    url: str
    """What the addresses of its messages begin with."""
    app: AppUser
    people: list[PersonDoc]
    channels: list[ChannelDoc]
    commands: list[str]
    shortcuts: list[ShortcutDoc]
    """What the menu of every message offers."""
    examples: list[Example]
    """What the composer's help and the welcome offer, the best one first."""


class AppUser(TypedDict):
    """The app and its bot user."""

    name: str
    user_id: str
    bot_id: str


class PersonDoc(TypedDict):
    """Somebody the page can act as."""

    id: str
    name: str
    zone: str
    """IANA name."""


class ChannelDoc(TypedDict):
    """A channel, or the app's direct messages with one person (`im`)."""

    id: str
    name: str
    kind: Literal["channel", "group", "im"]
    members: list[str]
    """User ids."""


class ShortcutDoc(TypedDict):
    """A shortcut in the menu of a message."""

    callback_id: str
    name: str


class Example(TypedDict):
    """A line to type, and what comes of it."""

    command: str
    says: str


class AuthorDoc(TypedDict):
    """Who wrote a message."""

    id: str
    name: str
    is_app: bool


class FileDoc(TypedDict):
    """A file that a message shares; its bytes are at `/files/<id>`."""

    id: str
    name: str
    mimetype: str
    size: int
    is_image: bool
    deleted: bool


class MessageDoc(TypedDict):
    """`messages/<channel id>/<ts>`: a message as it stands; a deleted one is dropped."""

    channel: str
    ts: str
    thread_ts: str | None
    author: AuthorDoc
    visible_to: str | None
    """The only person who sees it, None for everybody."""
    text: str
    """mrkdwn; where there are blocks it is only the notification."""
    blocks: list[Json]
    files: list[FileDoc]
    edited: bool
    streaming: bool


class ViewDoc(TypedDict):
    """`views/<view id>`: a modal or App Home of one person; the modal with the highest depth is on top."""

    id: str
    person: str
    kind: Literal["modal", "home"]
    title: str
    submit: str | None
    close: str | None
    blocks: list[Json]
    depth: int
    errors: dict[str, str]
    """By block_id, since the last submission that was not accepted."""


DraftDoc: TypeAlias = dict[Field, Json]
"""`drafts/<user id>/<surface>`: what somebody put into fields, each as it stands in `state.values`."""


class RefusalDoc(TypedDict):
    """`refusals/<n>`: something the app sent and Slack refused."""

    at: float
    what: str
    code: str
    messages: list[str]


# --- the bot and its traffic -----------------------------------------------------------------------------------------


class BotDoc(TypedDict):
    """`bot`: the bot's process."""

    state: Literal["starting", "running", "stopped"]
    pid: int | None
    since: float
    error: str | None
    """Why it ended by itself, or could not start."""


class TrafficSummary(TypedDict):
    """Something that went to the bot (`in`) or came from it (`out`), in short."""

    kind: Literal["payload", "call", "dify", "poll"]
    """A poll is a request to Dify that the bot has made before, to see whether anything has changed, or an event that
    it is told again then."""
    direction: Literal["in", "out"]
    title: str
    about: str
    ok: bool
    status: int | str | None
    """HTTP status, Slack's error code or `ack`; None while it is under way, and for events."""
    ms: float | None
    """Milliseconds to the answer."""


class TrafficDoc(TrafficSummary):
    """`traffic/<n>`; the action `body` gives all of it."""

    n: int
    at: float


# --- Dify ------------------------------------------------------------------------------------------------------------


class NodeDoc(TypedDict):
    """A step of an app."""

    id: str
    title: str
    type: str
    """Dify's word, such as `llm` or `human-input`."""


class EdgeDoc(TypedDict):
    """The way from one step to another; `handle` is the user action or `true`/`false` it is taken by."""

    source: str
    target: str
    handle: str | None


class ParameterDoc(TypedDict):
    """What an app is started with and people can type as `name=value`."""

    name: str
    label: str
    required: bool
    options: list[str]
    """All that it can be; empty where it can be anything."""


class DifyAppDoc(TypedDict):
    """`dify/apps/<name>`: an app under the name people type."""

    name: str
    says: str
    parameters: list[ParameterDoc]
    nodes: list[NodeDoc]
    edges: list[EdgeDoc]


Step: TypeAlias = Literal["running", "done", "waiting", "failed"]


class RunDoc(TypedDict):
    """`dify/runs/<id>`: one of the newest runs."""

    id: str
    app: str
    status: str
    started: float
    steps: dict[str, Step]
    """By node id; a node that was not reached yet is missing."""
    person: str | None
    """User id of who started it."""


class FormDoc(TypedDict):
    """`dify/forms/<id>`: a form that can be answered now; they come in the order in which they were opened."""

    id: str
    run: str
    app: str
    person: str | None
    """User id of who started the run."""
    title: str
    node: str
    expires: float
    actions: list[Json]
    """Each with `id`, `title` and `button_style`."""
    inputs: list[Json]


class DifyDoc(TypedDict):
    """`dify`: the server itself."""

    slow: float
    """Seconds that every request waits before it is looked at."""
