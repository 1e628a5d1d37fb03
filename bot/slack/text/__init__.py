"""Untrusted text made safe for each of Slack's surfaces: one reading of Markdown, and a writer for each."""
