"""The ASGI server: uvicorn with our HTTP and WebSocket protocols, and the fast path for whole messages."""
