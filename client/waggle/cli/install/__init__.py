"""The command `install`: register `waggle mcp` in the settings of an editor."""
