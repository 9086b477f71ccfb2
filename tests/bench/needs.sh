#!/bin/sh
# What the benchmark needs that pip cannot bring: the servers it compares with, a C compiler for the load, Chromium for the
# page. Gets them from Debian's packages where it can, and says plainly what is missing where it cannot.
set -u
missing=""
have() { command -v "$1" >/dev/null 2>&1; }
have redis-server || missing="$missing redis-server"
have nats-server || [ -x /usr/sbin/nats-server ] || missing="$missing nats-server"
have cc || missing="$missing gcc libc6-dev"
have chromium || have chromium-browser || have google-chrome || missing="$missing chromium"
[ -z "$missing" ] && exit 0
if have apt-get && [ "$(id -u)" = 0 ]; then
    echo "waggle: installing$missing"
    # shellcheck disable=SC2086
    if { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $missing; } \
        >/tmp/waggle-needs.log 2>&1; then
        exit 0
    fi
    tail -n 5 /tmp/waggle-needs.log
fi
echo "waggle: the benchmark also needs:$missing (Debian's packages, as root: apt-get install$missing)"
echo "waggle: going on without; what cannot be measured is said"
