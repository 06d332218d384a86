#!/usr/bin/env bash
# govulncheck.sh GOVULNCHECK: checks the product's module against the vulnerability database. A machine that cannot reach
# the database is told so, loudly, and passes: the check says nothing about the code there. Any finding fails.
set -euo pipefail
if output=$("$1" ./... 2>&1); then
  echo "$output" | tail -n 3
  exit 0
fi
if grep -qE 'fetching vulnerabilities|no such host|connection refused|403|dial tcp' <<<"$output" &&
  ! grep -q '^Vulnerability #' <<<"$output"; then
  echo "WARNING: govulncheck could not reach the vulnerability database; NOT checked:" >&2
  echo "$output" | tail -n 2 >&2
  exit 0
fi
echo "$output" >&2
exit 1
