"""The store: entries in key order, their expiry, snapshots, and the tombstones of deleted keys."""
