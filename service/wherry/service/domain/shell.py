"""How a container runs a stage's commands: as DVC does, one shell after the other.

DVC starts each line of a string `cmd`, and each element of a list, in a shell of its own, in wdir, and
stops at the first that fails (research: command execution). On a laptop the shell is mostly bash without
its start-up files; in an image without bash it is sh.
"""

from collections.abc import Sequence

# PID 1 gets no default signal handlers: the trap passes SIGTERM on to the command, so that a stop
# does not have to wait for SIGKILL. `wait` returns early when the trap ran: hence the second one.
_DRIVER = """\
if command -v bash >/dev/null 2>&1; then shell="bash --noprofile --norc"; else shell=sh; fi
trap 'kill -TERM "$child" 2>/dev/null' TERM
for command in "$@"; do
  $shell -c "$command" </dev/null &
  child=$!
  wait "$child"; status=$?
  while kill -0 "$child" 2>/dev/null; do wait "$child"; status=$?; done
  [ "$status" -eq 0 ] || exit "$status"
done
"""


def shell_argv(commands: Sequence[str]) -> tuple[str, ...]:
    """The argument list for a container that runs the commands in order."""
    return ("/bin/sh", "-c", _DRIVER, "wherry", *commands)
