#!/usr/bin/env bash
# sizes.sh OCB [ENTRY...]: prints a Markdown table of what each entry of builder-config.yaml (or those whose import path ends
# in one of ENTRY) adds to the stripped binary: the size of the whole, less the size of a build without that entry. What two
# entries share counts for neither.
set -euo pipefail
ocb=$(realpath "$1")
shift
wanted=("$@")
root=$(realpath "$(dirname "$0")/../..")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# bytes_without PATH: the size of the binary built without the entry of that import path (all entries for an empty PATH).
bytes_without() {
  rm -rf "$work/dist"
  awk -v name="$1" '
    function flush() { if (block != "" && !drop) printf "%s", block; block = ""; drop = 0 }
    /^  - / || /^[^ ]/ || /^$/ { flush() }
    { block = block $0 "\n" }
    /^  - gomod:|^    import:/ { path = $0; sub(/^[^:]*: */, "", path); sub(/ .*/, "", path)
                                 if (/import:/) drop = 0
                                 if (name != "" && path == name) drop = 1 }
    END { flush() }' "$root/builder-config.yaml" |
    sed -e "s#output_path: .*#output_path: $work/dist#" -e "s#=> \.\./*\$#=> $root#" -e "s#^    path: \.\$#    path: $root#" >"$work/manifest.yaml"
  "$ocb" --config "$work/manifest.yaml" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
  stat -c %s "$work/dist/otelcol-adaptive"
}

is_wanted() {
  [ ${#wanted[@]} -gt 0 ] || return 0
  local suffix
  for suffix in "${wanted[@]}"; do [[ $1 == *"/$suffix" ]] && return 0; done
  return 1
}

whole=$(bytes_without "")
echo "whole binary: $(awk -v b="$whole" 'BEGIN {printf "%.1f", b / 1e6}') MB"
echo
echo "| entry | adds, MB |"
echo "|---|---|"
awk '/^  - gomod:/ { if (path) print path; path = $3 } /^    import:/ { path = $2 } END { print path }' "$root/builder-config.yaml" |
  while read -r entry; do
    is_wanted "$entry" || continue
    echo "| \`${entry#*/*/}\` | $(awk -v w="$whole" -v b="$(bytes_without "$entry")" 'BEGIN {printf "%.1f", (w - b) / 1e6}') |"
  done
