"""Search: which entries hold these words. ``words`` is the index, ``finder`` keeps it in step and answers from it."""
