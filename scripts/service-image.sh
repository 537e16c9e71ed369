#!/usr/bin/env bash
# Build the service's image, wherry/service:dev (or the name given). The wheels are fetched here, checked against
# the hashes of requirements/service.txt and copied in, so that the build itself needs no network.
# BASE names the base image; without it python:3.11-slim-bookworm is tried, and where no registry answers
# the stage image (Debian with Python) serves as well.
set -euo pipefail
cd "$(dirname "$0")/.."

tag="${1:-wherry/service:dev}"
wheels=.cache/wheels

choose_base() {
  local wanted=python:3.11-slim-bookworm
  if docker image inspect "$wanted" >/dev/null 2>&1 || timeout 120 docker pull -q "$wanted" </dev/null >/dev/null 2>&1; then
    echo "$wanted"
  else
    scripts/stage-image.sh
    echo wherry/base:bookworm
  fi
}

# Both bases are Debian 12 with Python 3.11, whatever Python this machine has.
fetch_wheels() {
  local stamp machine platforms=() version
  machine=$(docker version --format '{{.Server.Arch}}')
  case "$machine" in
    amd64) machine=x86_64 ;;
    arm64) machine=aarch64 ;;
  esac
  stamp=$(cat requirements/service.txt requirements/build.txt requirements/uv.txt scripts/service-image.sh | sha256sum | cut -c1-64)
  [ "$(cat "$wheels/stamp" 2>/dev/null || true)" = "$stamp $machine" ] && return
  platforms+=(--platform "manylinux2014_$machine")
  for version in $(seq 17 36); do
    platforms+=(--platform "manylinux_2_${version}_$machine")
  done
  rm -rf "$wheels"
  mkdir -p "$wheels"
  for list in service build uv; do
    .venv/bin/python -m pip download -qq --disable-pip-version-check --no-deps --require-hashes --only-binary :all: --no-binary antlr4-python3-runtime \
      --implementation cp --python-version 3.11 "${platforms[@]}" -d "$wheels" -r "requirements/$list.txt"
  done
  echo "$stamp $machine" >"$wheels/stamp"
}

# build TAG [OPTIONS]: build from here, and remove the image that had the tag before.
build() {
  local name=$1 before after log=.cache/service-image.log
  shift
  before=$(docker image ls -q --no-trunc "$name")
  DOCKER_BUILDKIT=0 docker build -t "$name" --build-arg "BASE=$base" "$@" . >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
  after=$(docker image ls -q --no-trunc "$name")
  [ -z "$before" ] || [ "$before" = "$after" ] || docker image rm "$before" >/dev/null 2>&1 || true
}

scripts/setup.sh
base="${BASE:-$(choose_base)}"
fetch_wheels
# The first stage has a name too: a cache for the next build, and no nameless image left behind.
build "$tag-build" --target build
build "$tag"
echo "$tag, from $base" >&2
