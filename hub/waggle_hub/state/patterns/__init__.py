"""Patterns: which patterns match a key, and whether two patterns overlap."""
