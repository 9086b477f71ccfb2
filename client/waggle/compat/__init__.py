"""The tools and files of earlier systems: their MCP tools as profiles, and their data as entries."""
