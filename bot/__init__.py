"""Answers Dify's Human Input forms from Slack."""
