"""The database behind `bot.core.ports.Store`: a file of SQLite by default, or a PostgreSQL server."""
