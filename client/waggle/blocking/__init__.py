"""The client without ``await``: the same file names and methods as `waggle.api`, run in a thread."""
