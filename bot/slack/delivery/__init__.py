"""How things get to Slack: calls in their turn, posts that stand once, texts that grow."""
