"""The client for asyncio: what ``async with waggle.connect()`` gives.

`waggle.blocking` has the same file names, without ``await``.
"""
