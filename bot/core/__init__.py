"""The rules, as pure values: no clock, no network, no SQL, no Slack."""
