#!/usr/bin/env bash
# A Docker engine for tests and the demo.
#   engine.sh ensure   does nothing when an engine answers; else, on Debian as root, installs one and starts it
#   engine.sh stop     stops the engine that `ensure` started, and no other
set -euo pipefail
cd "$(dirname "$0")/.."

pid_file=.cache/engine.pid
log=.cache/engine.log
ready_within=90   # seconds

answers() {
  command -v docker >/dev/null && timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

# Process ids are reused: what we started is the process with this id and this start time.
started_at() {
  local stat
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
  stat=${stat##*) }   # the name in brackets may hold spaces
  echo "$stat" | cut -d' ' -f20
}

wait_ready() {
  local deadline=$((SECONDS + ready_within))
  until answers; do
    if [ "$SECONDS" -ge "$deadline" ] || ! started_at "$1" >/dev/null; then
      echo "error: the Docker engine did not become ready; the end of $log:" >&2
      tail -n 20 "$log" >&2
      exit 1
    fi
    sleep 0.2
  done
}

ensure() {
  if answers; then
    return
  fi
  if [ -n "${DOCKER_HOST:-}" ]; then
    echo "error: no Docker engine answers at DOCKER_HOST=$DOCKER_HOST" >&2
    exit 1
  fi
  scripts/packages.sh docker.io iptables || {
    echo "error: no Docker engine answers, and none can be installed here; start one and try again" >&2
    exit 1
  }
  if answers; then   # a service manager may have started it, or only the client was missing
    return
  fi
  if [ "$(id -u)" -ne 0 ]; then
    echo "error: no Docker engine answers; start one (as root: systemctl start docker) or join the docker group" >&2
    exit 1
  fi
  if [ -d /run/systemd/system ]; then
    systemctl start docker
    return
  fi
  mkdir -p .cache
  echo "starting dockerd, its log is $log" >&2
  setsid dockerd </dev/null >"$log" 2>&1 &
  local pid=$!
  echo "$pid $(started_at "$pid")" >"$pid_file"
  wait_ready "$pid"
}

stop() {
  [ -f "$pid_file" ] || return 0
  local pid start
  read -r pid start <"$pid_file"
  if [ "$(started_at "$pid" || true)" = "$start" ]; then
    kill "$pid"
    local deadline=$((SECONDS + 60))
    while [ "$(started_at "$pid" || true)" = "$start" ] && [ "$SECONDS" -lt "$deadline" ]; do
      sleep 0.2
    done
  fi
  rm -f "$pid_file"
}

case "${1:-ensure}" in
  ensure) ensure ;;
  stop) stop ;;
  *) echo "usage: $0 [ensure|stop]" >&2; exit 2 ;;
esac
