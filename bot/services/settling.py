"""What it means that a form is closed."""

from __future__ import annotations

import structlog

from bot.core import events as saw
from bot.core.events import LifecycleEvent
from bot.core.model import Form, Run
from bot.core.ports import Dify
from bot.errors import DifyError, FormClosed

log = structlog.get_logger(__name__)


async def closed(dify: Dify, run: Run, form: Form, refusal: FormClosed) -> LifecycleEvent:
    """Name what happened to a form that Dify calls closed: where Dify tells, with the answer that closed it."""
    if not refusal.expired:
        try:
            answer = await dify.answer_given(run, form)
        except DifyError as exc:
            # That it is closed is known, and more than most apps tell.
            log.warning("the answer that closed a form cannot be read", run=run.run_id, error=str(exc))
        else:
            if answer is not None:
                return answer
    return saw.FormFoundClosed(form.form_id, refusal.expired)
