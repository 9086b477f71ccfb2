"""The wire: messages, errors, names, patterns and file formats that the client and the hub share.

The hub imports this package and `waggle.mcp`, and nothing else of the client.
"""
