"""Every error the bot raises on purpose.

    BotError
    ├── ConfigError             a setting is missing or wrong; its text is shown as it is
    ├── IllegalTransition       somebody asked for a move the tables do not know
    ├── UnknownHere             a run, form or user action that the bot does not know
    ├── StoreError              the database refused or could not be reached
    ├── LeaseLost               another process took this one for dead and took over its work
    ├── DifyError               Dify answered no, or did not answer
    │   ├── DifyUnavailable     no answer, 5xx or back-pressure: the same call may work later
    │   └── DifyRejected        an answer that stays the same however often one asks
    │       ├── DifyUnauthorized    key unknown, revoked, or the app's API switched off (401, 403)
    │       ├── DifyNotFound        unknown here, or not visible to this key and user (404)
    │       ├── FormRefused         the values or the action do not fit the form; it stays open (400)
    │       └── FormClosed          the form can no longer be answered (412)
    └── SlackError              Slack answered no, or did not answer
        ├── SlackUnavailable    no answer, 5xx or 429: the same call may work later
        │   ├── FileNotReady        Slack still processes a file
        │   └── ImagesRefused       Slack shows no image of a message, and takes it without
        └── SlackRejected       an answer that stays the same however often one asks
            ├── TriggerUsed         the click has opened its window already
            ├── SlackUnauthorized   token revoked, or a scope is missing: an admin can put that right
            ├── FileUnavailable     a file that Slack lists and does not give
            └── ChannelUnreachable  the bot cannot write there: not a member, archived, unknown

An error's class says whether to try again; nothing branches on the text of a message.
"""

from __future__ import annotations


class BotError(Exception):
    """Base of everything below."""


class ConfigError(BotError):
    """A setting is missing or wrong. The message is one sentence for the admin."""


class IllegalTransition(BotError):
    """An event that the transition tables do not allow in the present state."""


class UnknownHere(BotError):
    """A run, a form or a user action that the bot does not know, or not any more."""


class StoreError(BotError):
    """The database refused a statement or could not be reached."""


class LeaseLost(BotError):
    """Another process took this one for dead and took over its work: nothing of it may be finished here."""


class DifyError(BotError):
    """Dify answered no, or did not answer.

    `status` is the HTTP status (None without an answer), `code` Dify's own error code
    (None where the body carried none), `message` Dify's text, for people and logs only.
    """

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code


class DifyUnavailable(DifyError):
    """No answer, 5xx or back-pressure. `sent` is False when the request surely never reached Dify."""

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None, sent: bool = True) -> None:
        super().__init__(message, status=status, code=code)
        self.sent = sent


class DifyRejected(DifyError):
    """An answer that stays the same however often one asks."""


class DifyUnauthorized(DifyRejected):
    """The app's key is unknown or revoked, or its API is switched off."""


class DifyNotFound(DifyRejected):
    """Unknown, or not visible to this key and user."""


class FormRefused(DifyRejected):
    """The submitted values or the action do not fit the form, which stays open."""


class FormClosed(DifyRejected):
    """The form can no longer be answered; `expired` tells a passed deadline from an answer given."""

    def __init__(self, message: str, *, expired: bool, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message, status=status, code=code)
        self.expired = expired


class SlackError(BotError):
    """Slack answered no, or did not answer. `code` is Slack's own error code, where there is one."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class SlackUnavailable(SlackError):
    """No answer, 5xx or 429.

    `retry_after` is Slack's own wish in seconds, if it had one. `sent` is False when Slack surely did not
    carry the call out (a 429, a refused connection); otherwise it may have.
    """

    def __init__(
        self, message: str, *, code: str | None = None, retry_after: float | None = None, sent: bool = True
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after
        self.sent = sent


class FileNotReady(SlackUnavailable):
    """Slack still processes a file, and tells neither its size nor its type (slack-platform §5.2)."""


class ImagesRefused(SlackUnavailable):
    """Slack does not take a message because of the images in it: without them it may."""


class SlackRejected(SlackError):
    """An answer that stays the same however often one asks."""


class TriggerUsed(SlackRejected):
    """A click opens one window: this one has opened it already, perhaps when it was delivered before."""


class SlackUnauthorized(SlackRejected):
    """Slack does not take the bot's token, or the app lacks a scope."""


class FileUnavailable(SlackRejected):
    """Slack lists a file and does not give it. The message is a sentence about it for people, without its name."""


class ChannelUnreachable(SlackRejected):
    """The bot cannot write there: not a member, archived, or unknown."""
