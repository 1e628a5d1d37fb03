"""What holds for all tests."""

from hypothesis import settings

# The same code is checked with the same examples, and how long one takes depends on the machine.
# `--hypothesis-profile=default` looks for others.
settings.register_profile("check", derandomize=True, deadline=None)
settings.load_profile("check")
