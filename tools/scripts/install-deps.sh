#!/usr/bin/env bash
# Installs what `make test` needs beside Go, git and make. Does nothing where everything is there; where it cannot
# install (no Debian package manager, no rights), it names what is missing.
set -euo pipefail

# command:package. gcc: the race detector links with cgo; chromium: the tests look at the pages;
# prometheus (with promtool) and prometheus-alertmanager: the tests compare with them; nginx: stands in front of the receiver in a test.
needed=(gcc:gcc chromium:chromium prometheus:prometheus prometheus-alertmanager:prometheus-alertmanager nginx:nginx)
missing=()
PATH=$PATH:/usr/sbin # where nginx is
for pair in "${needed[@]}"; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
if command -v dpkg >/dev/null && ! dpkg -s libc6-dev >/dev/null 2>&1; then missing+=(libc6-dev); fi
[ ${#missing[@]} -eq 0 ] && exit 0

root=()
[ "$(id -u)" -eq 0 ] || root=(sudo)
if ! command -v apt-get >/dev/null || { [ ${#root[@]} -gt 0 ] && ! command -v sudo >/dev/null; }; then
  echo "make test needs: ${missing[*]} (names of Debian packages); please install them" >&2
  exit 1
fi
echo "installing ${missing[*]}"
"${root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
# Their services, where there are any, would take the ports of the alert page and of its cluster, and port 80.
for package in "${missing[@]}"; do
  case $package in
    prometheus* | nginx)
      "${root[@]}" systemctl disable --now "$package" >/dev/null 2>&1 || "${root[@]}" service "$package" stop >/dev/null 2>&1 || true
      ;;
  esac
done
