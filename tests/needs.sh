#!/bin/sh
# What the tests need that pip cannot bring: Chromium for the page, node for its model.
# Gets them from Debian's packages where it can, and says plainly what is missing where it cannot.
set -u
missing=""
have() { command -v "$1" >/dev/null 2>&1; }
have chromium || have chromium-browser || have google-chrome || missing="$missing chromium"
have node || missing="$missing nodejs"
[ -z "$missing" ] && exit 0
if have apt-get && [ "$(id -u)" = 0 ]; then
    echo "waggle: installing$missing"
    # shellcheck disable=SC2086
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $missing; } \
        >/tmp/waggle-needs.log 2>&1 && exit 0
    tail -n 5 /tmp/waggle-needs.log
fi
echo "waggle: the tests also need:$missing (as root: apt-get install$missing)"
[ -n "${CI:-}" ] && exit 1
echo "waggle: going on without; the tests that need them will fail and say so"
