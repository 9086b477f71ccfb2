"""Full-text search: an index of the words in entries (`word_index`), kept in step with the state (`service`)."""
