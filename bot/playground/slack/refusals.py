"""What Slack answers instead of doing what it was asked."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """An `ok: false` answer: Slack's error code, what `response_metadata.messages` says, and further keys."""

    def __init__(self, code: str, *messages: str, **more: Any) -> None:
        super().__init__(code, *messages)
        self.code = code
        self.messages = messages
        self.more = more

    def to_json(self) -> dict[str, Any]:
        """The body of the answer."""
        answer: dict[str, Any] = {"ok": False, "error": self.code, **self.more}
        if self.messages:
            answer["response_metadata"] = {"messages": list(self.messages)}
        return answer
