"""The doors: bytes in, bytes out, no rules.

`websocket` is the first door: `reader` takes its messages line by line, `lines` decodes one. `server` serves it, by a
`protocol` of its own that offers a fast `lane` (`laneprotocol`). `page` are the dashboard's files, `guard` says which
browsers may knock.
"""
