"""Measurements, side by side with what is there: `python -m tests.bench` (docs/performance.md shows its tables).

How to read the folder: `__main__` runs scenarios one after another; each scenario is a module (`sets`, `handoff`,
`fanout`, `million`, `expiry`, `page`) with one `run`, that gives tables. `arena` starts the hub and its rival,
`callers` are the clients that are compared, `fastclient` and `fastredis` the cheapest clients that Python can have,
`crowd` and `pinger` are processes of their own, so that what loads a server and what watches it disturb each other
little.

A new scenario: a module with `async def run(arena: Arena) -> Result`, and its line in `__main__.SCENARIOS`.

Rules, so that the figures mean something:
1. Hub and rival are real processes on loopback, measured in one run, in rounds that take turns.
2. Like is compared with like: bare socket with bare socket, library with library.
3. The CPU of both ends is shown: where the client is the one at 100 %, the server was not measured. The CPU time of the
   server for each piece of work hardly depends on what else the machine does.
4. What else the machine did meanwhile is shown too. A run on a busy machine says nothing.
"""
