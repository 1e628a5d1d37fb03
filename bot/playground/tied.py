"""Runs a module as `python -m` does, in a process that ends when the one that started it is gone, whatever it died of.

`python -m bot.playground.tied MODULE ARGUMENTS…`: standard input is a pipe that the parent holds open and never uses.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading


def _end_with_the_parent() -> None:
    os.read(0, 1)  # not by way of `sys.stdin`, which a thread must not hold while the interpreter ends
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
