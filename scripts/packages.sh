#!/usr/bin/env bash
# Install the Debian packages named as arguments, unless they are there already.
# Needs root and apt only when something is missing; says so in one sentence when it cannot help.
set -euo pipefail

look() {
  local package status
  missing=()
  for package in "$@"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
  done
}

look "$@"
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "error: this machine is not Debian; install what the packages '${missing[*]}' hold by your own means" >&2
  exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "error: packages are missing; as root: apt-get install ${missing[*]}" >&2
  exit 1
fi

# One at a time: apt does not wait for another. What was missing may be there by then. Whatever a package starts
# does not inherit the lock.
exec 9>/run/wherry-packages.lock
flock 9
look "$@"
[ ${#missing[@]} -eq 0 ] && exit 0

echo "installing ${missing[*]} with apt" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{ apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; } </dev/null >"$log" 2>&1 9>&- || {
  cat "$log" >&2
  exit 1
}
