"""Runs a hub whose limits and bounds are given as JSON: shorter times, smaller windows than a person would choose."""

from __future__ import annotations

import json
import sys

from waggle_hub.__main__ import main
from waggle_hub.settings import Bounds

if __name__ == "__main__":
    chosen = json.loads(sys.argv[1])
    sys.exit(main(sys.argv[2:], Bounds(**chosen["bounds"]), **chosen["limits"]))
