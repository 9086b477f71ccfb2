"""The store in one JSON document, for small hubs whose data a person reads and edits."""
