"""Programs that a command starts: run while a lock or job is held, kept in the foreground, ended with the command."""
