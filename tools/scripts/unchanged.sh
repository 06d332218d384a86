#!/usr/bin/env bash
# unchanged.sh HINT COMMAND...: runs COMMAND and fails when it changed a file of the repository, tracked or new. The
# comparison is with the work tree as it was, so it also serves in a tree with uncommitted work.
set -euo pipefail
hint=$1
shift
hashes() { git ls-files -co --exclude-standard -z | xargs -0 sha256sum 2>/dev/null | sort -k 2 || true; }
before=$(hashes)
"$@"
after=$(hashes)
if [ "$before" != "$after" ]; then
  echo "out of date; run \`$hint\` and commit:" >&2
  diff <(echo "$before") <(echo "$after") | awk '/^[<>]/ {print "  " $3}' | sort -u >&2
  exit 1
fi
