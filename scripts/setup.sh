#!/usr/bin/env bash
# Make .venv (Wherry, editable, with everything development needs) and .venv-dvc (real DVC, which the tests
# compare with). Every package is pinned by version and hash. Run it as often as you like: when nothing it is
# made from has changed, it ends at once.
set -euo pipefail
cd "$(dirname "$0")/.."

uv=.venv/uv/bin/uv   # inside .venv, but out of reach of what is synchronised there

stamp() { cat "$@" | sha256sum | cut -c1-64; }
wherry_inputs=(scripts/setup.sh pyproject.toml requirements/uv.txt requirements/dev.txt)
dvc_inputs=(scripts/setup.sh requirements/dvc.txt)

# The environments are not relocatable: the stamp knows the folder too.
wherry_stamp="$(stamp "${wherry_inputs[@]}") $PWD"
dvc_stamp="$(stamp "${dvc_inputs[@]}") $PWD"
fresh() { [ "$(cat "$1/stamp" 2>/dev/null || true)" = "$2" ] && [ -x "$1/bin/python" ]; }

if fresh .venv "$wherry_stamp" && fresh .venv-dvc "$dvc_stamp"; then
  exit 0
fi

find_python() {
  local name
  for name in "${PYTHON:-}" python3 python3.11 python3.12 python3.13 python3.14; do
    if [ -n "$name" ] && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  return 1
}

ensure_python() {
  if python=$(find_python) && "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    return
  fi
  # Debian keeps ensurepip in a package of its own, and a bare machine may have no Python at all.
  scripts/packages.sh python3 python3-venv || {
    echo "error: Python 3.11 or newer with its venv module is needed; PYTHON=… names one" >&2
    exit 1
  }
  python=$(find_python) || { echo "error: this machine's Python is older than 3.11; PYTHON=… names another" >&2; exit 1; }
}

make_wherry() {
  echo "making .venv" >&2
  rm -f .venv/stamp
  .venv/bin/python -c 'import pip' 2>/dev/null || "$python" -m venv --clear .venv
  if [ ! -x "$uv" ] || ! .venv/bin/python - "$uv" <<'PYTHON'
import re, subprocess, sys
wanted = re.search(r"^uv==(\S+)", open("requirements/uv.txt", encoding="utf-8").read(), re.MULTILINE)[1]
found = subprocess.run([sys.argv[1], "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
sys.exit(found != wanted)
PYTHON
  then
    rm -rf .venv/uv
    .venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes \
      --target .venv/uv -r requirements/uv.txt
  fi
  # Compiled now: a service account that may not write here would compile at every start.
  "$uv" pip sync -q --compile-bytecode --python .venv/bin/python --require-hashes requirements/dev.txt
  "$uv" pip install -q --python .venv/bin/python --no-deps --no-build-isolation -e .
  .venv/bin/python -m compileall -q client service proto
  echo "$wherry_stamp" >.venv/stamp
}

make_dvc() {
  echo "making .venv-dvc" >&2
  [ -L .venv-dvc ] && rm .venv-dvc
  rm -f .venv-dvc/stamp
  [ -x .venv-dvc/bin/python ] || "$uv" venv -q --clear --python .venv/bin/python .venv-dvc
  "$uv" pip sync -q --compile-bytecode --python .venv-dvc/bin/python --require-hashes requirements/dvc.txt
  echo "$dvc_stamp" >.venv-dvc/stamp
}

# pip's settings from the environment hold for uv too.
if [ -n "${PIP_INDEX_URL:-}" ]; then export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"; fi
if [ -n "${PIP_EXTRA_INDEX_URL:-}" ]; then export UV_EXTRA_INDEX_URL="${UV_EXTRA_INDEX_URL:-$PIP_EXTRA_INDEX_URL}"; fi

fresh .venv "$wherry_stamp" || { ensure_python; make_wherry; }
fresh .venv-dvc "$dvc_stamp" || make_dvc
