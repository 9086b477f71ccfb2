"""Waggle for models: the tools and resources of MCP, for whatever can give commands on an agent's behalf.

`arguments` is what a model may say; `actions`, `waits` and `grants` what is done then; `patience` how long one may
take, and `parking` what goes on after that; `showing` how what comes back looks; `resources` the keys as resources.
`server` makes an MCP server of it all, which `stdio` serves to one editor, and the hub at ``/mcp`` to everybody. Needs
the `mcp` package, which nothing else here does.
"""
