"""The rules of a client session, without a socket, a clock or an event loop.

Commands and received lines go in; lines to send, outcomes and events come out.
"""
