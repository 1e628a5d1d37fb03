"""The database behind `bot.core.ports.Store`: SQLite by default, PostgreSQL where several machines share the work."""
