"""Rules of the commands, one file for each group of ops: check everything, then change, then reply."""
