#!/usr/bin/env bash
# `make demo`: the example from end to end on this machine. Ana runs it, Ben gets her results in a second clone, and one
# changed parameter runs only what depends on it. Everything lies in .cache/demo and is stopped and removed at the
# end; KEEP=1 leaves the service running and the two projects in place, to try things with.
set -euo pipefail
cd "$(dirname "$0")/.."

top=$PWD
demo=$top/.cache/demo
export PATH=$top/.venv/bin:$PATH
export WHERRY_HOME=$demo/home
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
unset WHERRY_SERVER WHERRY_PROFILE WHERRY_TOKEN WHERRY_PROJECT WHERRY_USER

bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$'\e[1m' plain=$'\e[0m'
fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

# The command as one would type it, then the command.
run() {
  printf '%s$ %s%s\n' "$bold" "$*" "$plain"
  "$@"
}

commit() {
  git add -A
  git -c user.name="$1" -c user.email="$1@example.org" commit -qm "$2"
}

remove() {
  [ ! -d "$WHERRY_HOME" ] || wherry down >/dev/null 2>&1 || true
  rm -rf "$demo"
}

engine_was_ours=no
[ ! -f .cache/engine.pid ] || engine_was_ours=yes

# At the end, also after an error or Ctrl-C: what the demo started is stopped.
finish() {
  local status=$?
  trap - EXIT
  cd "$top"
  if [ "$status" -eq 0 ] && [ "${KEEP:-}" = 1 ]; then
    say "Kept, because of KEEP=1. To go on:"
    echo "  export WHERRY_HOME=$WHERRY_HOME PATH=$top/.venv/bin:\$PATH; cd $demo/ana"
    echo "and at the end: wherry down"
    exit 0
  fi
  if [ "$status" -ne 0 ] && [ -d "$WHERRY_HOME" ]; then
    echo "the demo failed; the end of the service's log:" >&2
    wherry service logs 2>/dev/null | tail -n 30 >&2 || true
  fi
  remove
  [ "$engine_was_ours" = yes ] || scripts/engine.sh stop
  exit "$status"
}

# check RUN EXPECTED: fails unless what the cache answered for the run's stages is EXPECTED.
check() {
  wherry show --json "$1" >"$demo/run.json"
  python - "$demo/run.json" "$2" <<'PYTHON'
import json, sys
run = json.load(open(sys.argv[1], encoding="utf-8"))
found = ",".join(stage["cache"] or "-" for stage in run["stages"])
if found != sys.argv[2]:
    sys.exit(f"error: the cache should have answered {sys.argv[2]}, and answered {found}")
PYTHON
}

trap finish EXIT
say "1. What Wherry needs: a Python environment, a Docker engine, the image that the stages run in"
scripts/setup.sh
scripts/engine.sh ensure
scripts/stage-image.sh
scripts/packages.sh git

say "2. Start the service of this machine: it brings its own S3 store and keeps everything in .cache/demo/home"
remove
mkdir -p "$demo"
run wherry up

say "3. Ana has a DVC project: a copy of examples/get-started in a git repository, with its data"
cp -R examples/get-started "$demo/ana"
cd "$demo/ana"
rm -rf data/pool_data data/train_data data/test_data models/model.pkl results dvc.lock .dvc/cache .dvc/tmp
git init -q -b main
run python make_pool_data.py
commit ana "Four shapes"

say "4. Ana submits it: every stage runs in a container of its own, its output comes as it is written"
export WHERRY_USER=ana
run wherry repro -n first
check first miss,miss,miss

say "5. The metrics are in her project, and dvc.lock is what dvc repro would have written"
run cat results/evaluate/metrics.json
run git status --short
commit ana "First results"

say "6. Ben clones the project somewhere else. He has no data, and needs none: the service has seen it all"
cd "$demo"
run git clone -q ana ben
cd ben
export WHERRY_USER=ben
run ls data
run wherry repro -n second
check second hit,hit,hit

say "7. Ben tries another learning rate: data_split does not depend on it, so only train and evaluate run"
run wherry repro -n slower -S train.learning_rate=0.05
check slower hit,miss,miss

say "That was it. What to try next (KEEP=1 make demo leaves the service running for it):"
cat <<'NEXT'
  wherry ps                      the runs so far, whose they are, how they ended
  wherry show slower             one of them, stage by stage
  wherry logs slower train       what a stage printed
  wherry status                  what a submission would run now, and why
  wherry pull first              the model and the data of a run, not only its metrics
  wherry dvc-remote --write      the store as an ordinary DVC remote: then `dvc pull` works
  wherry repro --help            everything a submission can be told
NEXT
