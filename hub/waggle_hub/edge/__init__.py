"""The doors: bytes in, bytes out, no rules.

`websocket` is the first door: `reader` takes its messages line by line, `lines` decodes one. `server` serves it, by a
`protocol` of its own that offers a fast `lane` (`laneprotocol`), and HTTP by `httpprotocol`.

HTTP is the second: `routes` says which path leads where, an `exchange` is one request and its answer. `http` makes
calls of what is asked, and `callers` hears the answers; `events` and `portable` tell what a `stream` hears. `openapi`
describes all that, `statuses` says what errors are there, `metrics` and `health` are for those who run hubs.

`mcp` is the third: the tools for models, which call as those over HTTP do.

`page` are the dashboard's files, `guard` says which browsers may knock, and `cors` what their pages are told.
"""
