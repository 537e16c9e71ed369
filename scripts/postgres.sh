#!/usr/bin/env bash
# Make sure that PostgreSQL's programs are on this machine: tests start a cluster of their own with them.
# No cluster is made and none is started.
set -euo pipefail
cd "$(dirname "$0")/.."

for programs in /usr/lib/postgresql/*/bin; do
  [ -x "$programs/initdb" ] && exit 0
done
command -v initdb >/dev/null && exit 0

if [ "$(id -u)" -eq 0 ] && [ -d /etc/apt ] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
  # Debian's package would make a cluster and try to start it.
  mkdir -p /etc/postgresql-common
  echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
fi
scripts/packages.sh postgresql
