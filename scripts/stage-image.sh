#!/usr/bin/env bash
# Make sure the engine has the image that the example's stages and the tests run in: wherry/base:bookworm,
# Debian 12 with Python, NumPy and PyYAML. Built from Debian's image where a registry answers, else from
# Debian's packages, kept as a tar in .cache/ so that the next engine gets it in seconds.
set -euo pipefail
cd "$(dirname "$0")/.."

image=wherry/base:bookworm
packages=python3,python3-numpy,python3-yaml
label=wherry.packages

made_of=$(docker image inspect --format "{{index .Config.Labels \"$label\"}}" "$image" 2>/dev/null || true)
if [ "$made_of" = "$packages" ]; then
  exit 0
fi

from_registry() {
  local base=debian:bookworm-slim
  if ! docker image inspect "$base" >/dev/null 2>&1; then
    timeout 120 docker pull -q "$base" </dev/null >/dev/null 2>&1 || return 1
  fi
  DOCKER_BUILDKIT=0 docker build -q -t "$image" --label "$label=$packages" - >/dev/null 2>&1 <<DOCKERFILE
FROM $base
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends ${packages//,/ } && rm -rf /var/lib/apt/lists/*
DOCKERFILE
}

from_packages() {
  local tar
  tar=".cache/stage-image-$(echo "$packages" | sha256sum | cut -c1-12)-$(uname -m).tar"
  if [ ! -f "$tar" ]; then
    scripts/packages.sh mmdebstrap
    echo "no registry answers: building $image from Debian's packages, about a minute" >&2
    mmdebstrap --quiet --variant=minbase --format=tar --include="$packages" bookworm "$tar.part" </dev/null
    mv "$tar.part" "$tar"
  fi
  docker import --change "LABEL $label=$packages" --change 'CMD ["/bin/bash"]' "$tar" "$image" >/dev/null
}

mkdir -p .cache
from_registry || from_packages
