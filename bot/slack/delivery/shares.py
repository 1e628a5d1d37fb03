"""Shows in a thread what Slack was given of a run's files: all of them in one message, and once."""

from __future__ import annotations

from collections.abc import Sequence

from bot.core.giving_out import to_share, to_tell
from bot.core.model import OutFile, Run
from bot.errors import SlackRejected, SlackUnauthorized
from bot.slack.delivery.failures import SCOPE_MISSING
from bot.slack.delivery.files import INFO, Files
from bot.slack.delivery.posted import Finder
from bot.slack.delivery.posts import Poster
from bot.slack.delivery.web_api import Errand, WebApi
from bot.slack.messages.blocks import Post
from bot.slack.messages.notices import files_missing, files_of

_USED = "file_not_found"
"""What Slack says of an upload that is completed already [believed]."""


class Shares:
    """Shares files by completing their uploads, which has no idempotency key (slack-platform §5.4)."""

    def __init__(self, web: WebApi, files: Files, finder: Finder, poster: Poster) -> None:
        self._web = web
        self._files = files
        self._finder = finder
        self._poster = poster

    async def share(self, run: Run, form_id: str | None, errand: Errand) -> None:
        """Share what was fetched of the files of a form, or of the run itself (None), and tell what could not be had.

        Raises:
            SlackUnavailable: no answer, 5xx or 429.
            ChannelUnreachable: the bot cannot write there.
            SlackRejected: any other refusal.
        """
        files = to_share(run, form_id)
        if files and not (errand.again and await self._is_shared(run, files[0], errand)):
            await self._complete(run, form_id, files, errand)
        if missing := to_tell(run, form_id):
            await self._poster.post(run, Post((files_missing(missing),)), errand)

    async def _complete(self, run: Run, form_id: str | None, files: Sequence[OutFile], errand: Errand) -> None:
        try:
            await self._files.complete(
                {file.slack_file_id: file.name for file in files if file.slack_file_id is not None},
                errand,
                channel_id=run.channel_id,
                thread_ts=run.thread_ts,
                initial_comment=files_of(run, form_id),
            )
        except SlackUnauthorized as refused:
            if refused.code not in SCOPE_MISSING:
                raise
            # Nothing else in the thread is to wait until an admin gives the app the scope.
            raise SlackRejected(str(refused), code=refused.code) from refused
        except SlackRejected as refused:
            if not (errand.again and refused.code == _USED):
                raise

    async def _is_shared(self, run: Run, file: OutFile, errand: Errand) -> bool:
        """Find out what an earlier try has shared: all of it or nothing.

        Where `files.info` does not tell it yet (slack-platform §5.1), the thread does.
        """
        try:
            await self._web.turn(INFO, errand)
            known = (await self._web.ask(INFO, file=file.slack_file_id))["file"]
        except SlackRejected:
            known = {}
        places = [places for kind in (known.get("shares") or {}).values() for places in kind.get(run.channel_id, ())]
        if any(place.get("thread_ts") == run.thread_ts for place in places):
            return True
        return file.slack_file_id in (await self._finder.find(run, errand)).file_ids
