"""What to do about it: intentions that are saved together with the state that asked for them.

Effects of the Slack lane are carried out one after the other per run, and so are those of the Dify lane; the two
lanes do not wait for each other. Each file has a lane of its own. Only the end of a text waits for nothing that has not
begun, and may be carried out beside it: the result, which does not repeat what stands above, waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.core.model import Addressed, Command, FileProblem, Rating, Run


@dataclass(frozen=True, slots=True)
class PostRoot:
    """Post the run's root message."""

    waits: bool = False
    """Its message to a Chatflow is sent when the answer before it is there."""


@dataclass(frozen=True, slots=True)
class RefreshRoot:
    """Redraw the root message as the run now stands."""


@dataclass(frozen=True, slots=True)
class PostForm:
    """Post the form into the thread."""

    form_id: str


@dataclass(frozen=True, slots=True)
class PostFormNotShown:
    """Tell the thread, in the place of a form that Slack does not take, where it can be answered."""

    form_id: str


@dataclass(frozen=True, slots=True)
class RefreshForm:
    """Redraw the form's message as the form now stands."""

    form_id: str


@dataclass(frozen=True, slots=True)
class PostAnswer:
    """Post the message that carries the streamed text of a segment."""

    segment: int = 0


@dataclass(frozen=True, slots=True)
class EndAnswer:
    """Let the streamed text of a segment that is over not look as if more of it were to come."""

    segment: int
    ts: str
    """Of the message that carries it."""


@dataclass(frozen=True, slots=True)
class PostResult:
    """Post the outputs, or the error, of the run that ended; into the answer's message where there is one."""


@dataclass(frozen=True, slots=True)
class PostResultNotShown:
    """Tell the thread that Slack does not take the result, and where it is kept."""


@dataclass(frozen=True, slots=True)
class AskAboutMessage:
    """Ask the thread whether a message written while a form was open is the answer or a new message."""

    titles: tuple[str, ...]
    """Of the forms that are open in the conversation."""
    forms: tuple[tuple[str, str, str], ...] = ()
    """Of each of them that takes a text here: its run, its id and its title."""


@dataclass(frozen=True, slots=True)
class AskAboutConversation:
    """Ask the thread whether a message is to begin a new conversation, since Dify does not know this one any more."""


@dataclass(frozen=True, slots=True)
class RefreshQuestion:
    """Let the question about a message that was held say what became of it."""


@dataclass(frozen=True, slots=True)
class TellSettled:
    """Tell somebody privately that what became of a message that was held had been said before."""

    user_id: str


@dataclass(frozen=True, slots=True)
class TellFilesLeftOut:
    """Tell somebody privately that the files of their message are not passed on."""

    user_id: str
    alone: bool = False
    """There was no text with them, so that nothing is sent at all."""


@dataclass(frozen=True, slots=True)
class TellFilesUnfit:
    """Tell somebody privately which files of their message to a Chatflow are not passed on, and why."""

    user_id: str
    problems: tuple[FileProblem, ...]
    alone: bool = False
    """There was nothing else with them, so that nothing is sent at all."""


@dataclass(frozen=True, slots=True)
class PostSuggestions:
    """Offer what Dify suggests to ask next, below the answer."""


@dataclass(frozen=True, slots=True)
class CloseSuggestions:
    """Take away the buttons of the suggestions: somebody has asked something."""


@dataclass(frozen=True, slots=True)
class TellAskedBefore:
    """Tell somebody who pressed a suggestion, privately, what was asked before, so that theirs is not."""

    user_id: str
    asker_id: str | None = None
    """Whose message it is; None where that is not known any more."""
    query: str = ""


@dataclass(frozen=True, slots=True)
class TellRated:
    """Tell somebody privately that Dify took their thumb; `taken` is False where it did not."""

    user_id: str
    rating: Rating
    taken: bool = True


@dataclass(frozen=True, slots=True)
class PostStuck:
    """Tell the thread that the run does not move."""


@dataclass(frozen=True, slots=True)
class PostKeyRefused:
    """Tell the thread that Dify refuses the app's key, so that nothing is heard of the run."""


@dataclass(frozen=True, slots=True)
class PostReminder:
    """Remind the thread of a form that waits for its answer."""

    form_id: str


@dataclass(frozen=True, slots=True)
class TellNotStarted:
    """Tell the starter privately that the channel cannot be written to; `code` is Slack's."""

    code: str


@dataclass(frozen=True, slots=True)
class TellDecided:
    """Tell somebody privately what became of the form they answered, and give back what they entered in vain."""

    user_id: str
    form_id: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GiveBackDraft:
    """Give back to somebody, privately, what they left in the window of a form, and tell what became of that."""

    user_id: str
    form_id: str
    values: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TellRefused:
    """Tell the person who answered, privately, why Dify refused it."""

    user_id: str
    form_id: str
    message: str


@dataclass(frozen=True, slots=True)
class TellInvalid:
    """Tell the person who pressed a button, privately, which fields to mend; nothing was decided."""

    user_id: str
    form_id: str
    problems: tuple[tuple[str, str], ...]
    """Pairs of an input's name and what is wrong with its value, as the rest of a sentence."""


@dataclass(frozen=True, slots=True)
class TellDraftWaits:
    """Tell the person who pressed a form's button, privately, what else they have entered; nothing was decided."""

    user_id: str
    form_id: str


@dataclass(frozen=True, slots=True)
class TellCannotStop:
    """Tell somebody privately why Stop can do nothing now."""

    user_id: str


@dataclass(frozen=True, slots=True)
class TellNotStartable:
    """Answer a command that cannot be carried out: what is wrong, and a command that would be right."""

    response_url: str
    problems: tuple[str, ...]
    corrected: str | None = None
    left_over: str = ""
    """What was typed and stands nowhere in it."""


@dataclass(frozen=True, slots=True)
class TellInputs:
    """Answer a command that asks what an app takes: a line for each input, and a command to copy."""

    response_url: str
    app: str
    inputs: tuple[str, ...]
    example: str | None = None
    problems: tuple[str, ...] = ()
    """Why the app is a guess, a sentence each."""


@dataclass(frozen=True, slots=True)
class OfferStart:
    """Answer whoever addressed the bot: how an app is started, with a button that starts one with their message."""

    message: Addressed
    command: str
    """The slash command."""


@dataclass(frozen=True, slots=True)
class TellUsage:
    """Answer whoever asked the bot for help in a message: how the slash command is used, and which apps there are."""

    message: Addressed
    command: str
    app_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckCommand:
    """Check a command against the app's parameters, then save the run it asks for or the answer to it."""

    command: Command


@dataclass(frozen=True, slots=True)
class PostCard:
    """Post the card of a form: the message that lists what is attached to it."""

    form_id: str


@dataclass(frozen=True, slots=True)
class RefreshCard:
    """Redraw the card of a form as its attachments now stand."""

    form_id: str


@dataclass(frozen=True, slots=True)
class TellNotAttached:
    """Tell somebody privately which of the files that they gave are not attached, and why."""

    user_id: str
    form_id: str
    problems: tuple[FileProblem, ...]


@dataclass(frozen=True, slots=True)
class TellNothingAsks:
    """Tell somebody privately that nothing in a Workflow's thread asks for the files that they shared there."""

    user_id: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TellFilesTooLate:
    """Tell somebody privately what became of the form whose files they wanted to change, so that they cannot."""

    user_id: str
    form_id: str
    names: tuple[str, ...] = ()
    """Of the files that they gave in vain; none where they wanted to move or take back one."""


@dataclass(frozen=True, slots=True)
class TellFileStands:
    """Tell somebody privately how a file stands that they wanted to move or take back: another click came first."""

    user_id: str
    attachment_id: str


@dataclass(frozen=True, slots=True)
class ShareFiles:
    """Share in the thread what was fetched of the files in the text of a form, or that the run ended with (None)."""

    form_id: str | None


@dataclass(frozen=True, slots=True)
class PullFile:
    """Pull a file from Slack and upload it to Dify."""

    attachment_id: str


@dataclass(frozen=True, slots=True)
class FetchFile:
    """Fetch a file from Dify, whose address is valid for minutes, and give it to Slack."""

    key: str


@dataclass(frozen=True, slots=True)
class StartRun:
    """Send the start to Dify. Sent at most once: Dify has no idempotency key."""


@dataclass(frozen=True, slots=True)
class ReadSuggestions:
    """Read what Dify suggests to ask next."""


@dataclass(frozen=True, slots=True)
class RateAnswer:
    """Give Dify what somebody thinks of the answer."""

    user_id: str
    rating: Rating


@dataclass(frozen=True, slots=True)
class StopRun:
    """Ask Dify to stop the task."""


@dataclass(frozen=True, slots=True)
class SubmitForm:
    """Subscribe to the run, then send the answer."""

    form_id: str


@dataclass(frozen=True, slots=True)
class SettleForm:
    """Read the form to learn whether it is still open."""

    form_id: str


DrawnEffect = (
    PostRoot
    | RefreshRoot
    | PostForm
    | PostFormNotShown
    | RefreshForm
    | PostResult
    | PostResultNotShown
    | AskAboutMessage
    | AskAboutConversation
    | RefreshQuestion
    | TellSettled
    | TellFilesLeftOut
    | TellFilesUnfit
    | PostSuggestions
    | CloseSuggestions
    | TellAskedBefore
    | TellRated
    | PostStuck
    | PostKeyRefused
    | PostReminder
    | TellNotStarted
    | TellDecided
    | GiveBackDraft
    | TellRefused
    | TellInvalid
    | TellDraftWaits
    | TellCannotStop
    | TellNotStartable
    | TellInputs
    | OfferStart
    | TellUsage
    | PostCard
    | RefreshCard
    | TellNotAttached
    | TellNothingAsks
    | TellFilesTooLate
    | TellFileStands
)
TextEffect = PostAnswer | EndAnswer
"""What the streamed text is, only the process knows that hears it."""
SlackEffect = DrawnEffect | TextEffect | ShareFiles
FileEffect = PullFile | FetchFile
"""What is carried from one platform to the other: each in a lane of its own, since a large one takes its time."""
DifyEffect = CheckCommand | StartRun | StopRun | SubmitForm | SettleForm | ReadSuggestions | RateAnswer
Effect = SlackEffect | DifyEffect | FileEffect


@dataclass(frozen=True, slots=True)
class Transition:
    """What follows from an event: the run as it is to be saved, and what is to be done, in this order."""

    run: Run
    effects: tuple[Effect, ...] = ()
