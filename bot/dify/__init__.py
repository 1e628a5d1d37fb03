"""Everything that knows Dify's Service API."""
