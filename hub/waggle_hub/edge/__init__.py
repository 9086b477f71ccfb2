"""The doors: bytes in, bytes out, no rules. `lines` decodes, `websocket` is the first door, `page` the dashboard's
files, `guard` says which browsers may knock."""
