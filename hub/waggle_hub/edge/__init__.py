"""The edge: the transports (doors) through which agents and people reach the hub. Bytes in, bytes out, no rules.

* `websocket`: messages of lines; `command_reader` submits them, `decode` reads one line.
* `http/`: single commands, Server-Sent Events, export and import, OpenAPI, metrics, health.
* `mcp`: the tools for models.
* `dashboard`: the files of the page.

`identity` says who is calling, `origin_check` and `cors` which browsers may call. `server/` is uvicorn with our
protocols.
"""
