"""A form as a message and as a window."""
