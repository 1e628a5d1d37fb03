"""Everything that knows Slack's wire: what people see, what their payloads say, and the way to the Web API."""
