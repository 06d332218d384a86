#!/usr/bin/env bash
# coverage.sh PROFILE MINIMUM: prints the statement coverage of each package's own, non-generated code and fails when the
# total is under MINIMUM per cent. A block counts as covered when any package's tests reached it.
set -euo pipefail
profile=$1 minimum=$2
awk -v minimum="$minimum" '
  NR == 1 { next }                                   # mode: line
  $1 ~ /\/generated_|\/internal\/metadata(test)?\// { next }
  { block = $1; statements[block] = $2; if ($3 > 0) hit[block] = 1 }
  END {
    for (block in statements) {
      path = block; sub(/:.*/, "", path); sub(/\/[^\/]*$/, "", path)
      total[path] += statements[block]; all += statements[block]
      if (block in hit) { covered[path] += statements[block]; allCovered += statements[block] }
    }
    for (path in total) printf "%6.1f %%  %s\n", 100 * covered[path] / total[path], path | "sort -k 3"
    close("sort -k 3")
    percent = all ? 100 * allCovered / all : 0
    printf "coverage: %.1f %% of %d own statements (at least %d %%)\n", percent, all, minimum
    exit percent < minimum
  }' "$profile"
