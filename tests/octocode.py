"""What octocode-local-memory says where it refuses: its messages, to the letter."""

from __future__ import annotations

KEY = "Key must be a non-empty string"
LONG = "Key exceeds 255 characters"
FORMAT = "Invalid key format. Use only alphanumeric characters, colons, underscores, dots, slashes, and hyphens"
NO_VALUE = "Value cannot be undefined or null"
NO_TEXT = "Value must be a string"
TOO_LONG = "Value exceeds 10MB limit"
TTL = "TTL must be a number between 1 and 86400 seconds"
