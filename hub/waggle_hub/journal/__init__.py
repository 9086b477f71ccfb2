"""The journal: what must survive a restart, written before any agent sees it (G2).

`interface` says what a journal and its store promise, `memory` is the journal that keeps nothing, `writer` the
thread that writes. `sqlite/` and `json/` are the stores.
"""
