"""The store in an SQLite database, the default."""
