#!/bin/sh
# What the tests need that pip cannot bring: Chromium for the dashboard, node for its model, axe-core for its accessibility, a C
# compiler for the load of the benchmark, curl for the examples of docs/http.md, the inspector of MCP for the doors of
# models.
# Gets them from Debian's packages and from npm where it can, and says plainly what is missing where it cannot.
set -u
cd "$(dirname "$0")" || exit 1
missing=""
have() { command -v "$1" >/dev/null 2>&1; }
axe=node_modules/axe-core/axe.min.js
inspector=node_modules/.bin/mcp-inspector
have chromium || have chromium-browser || have google-chrome || missing="$missing chromium"
have node || missing="$missing nodejs"
have curl || missing="$missing curl"
have cc || missing="$missing gcc libc6-dev"
{ [ -f "$axe" ] && [ -e "$inspector" ]; } || have npm || missing="$missing npm"
if [ -n "$missing" ] && have apt-get && [ "$(id -u)" = 0 ]; then
    echo "waggle: installing$missing"
    # shellcheck disable=SC2086
    if { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $missing; } \
        >/tmp/waggle-needs.log 2>&1; then
        missing=""
    else
        tail -n 5 /tmp/waggle-needs.log
    fi
fi
if { [ ! -f "$axe" ] || [ ! -e "$inspector" ]; } && have npm; then
    echo "waggle: installing axe-core and the inspector of MCP from npm"
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error || true
fi
[ -f "$axe" ] || missing="$missing axe-core"
[ -e "$inspector" ] || missing="$missing mcp-inspector"
[ -z "$missing" ] && exit 0
echo "waggle: the tests also need:$missing (Debian's packages, as root:"
echo "waggle: apt-get install chromium nodejs npm curl gcc libc6-dev;"
echo "waggle: axe-core and mcp-inspector come from npm: sh tests/needs.sh)"
[ -n "${CI:-}" ] && exit 1
echo "waggle: going on without; the tests that need them will fail and say so"
