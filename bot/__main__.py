"""`python -m bot`, the same as the command `dify-slack-bot`."""

from __future__ import annotations

from bot.cli import main

if __name__ == "__main__":
    main()
