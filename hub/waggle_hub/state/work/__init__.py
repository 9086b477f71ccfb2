"""Work: which entries may be taken, in which order, by which waiting session."""
