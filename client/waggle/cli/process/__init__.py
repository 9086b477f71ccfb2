"""Programs that a command starts: run while a lock or job is held, run for events, ended with the command."""
