"""HTTP: single commands, Server-Sent Events, export and import, OpenAPI, metrics, health."""
