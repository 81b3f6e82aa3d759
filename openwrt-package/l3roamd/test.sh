#!/bin/sh
# Run by the feed's checks on a system that the package is installed on: test.sh PACKAGE VERSION

[ "$1" = l3roamd ] || exit 0

# The whole word: 0.1.0 is not 0.1.01.
l3roamd -V | grep -wF "$2" || exit 1
l3roamd -h | grep -F -- --uci || exit 1

# Without a node address it must say so and end, not run.
l3roamd -p 2001:db8::/64 2>&1 | grep -F -- -a
