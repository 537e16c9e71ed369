"""How a container runs a stage's commands: as DVC does, one shell after the other.

DVC starts each line of a string `cmd`, and each element of a list, in a shell of its own, in wdir, and
stops at the first that fails (research: command execution). On a laptop the shell is mostly bash without
its start-up files; in an image without bash it is sh. The setting `shell` says which, whatever the image has.

Of several commands the driver tells which one failed, in a line on its error output that is taken out of the log again:
an exit code has no room for it, and what the stage itself writes there can only mislead about its own failure.

Secrets come as a shell script on the standard input of the container, so that they stand neither in its
configuration, which the engine keeps on disk, nor in any argument list.
"""

import re
import shlex
from collections.abc import Mapping, Sequence

SECRETS_AT = "/run/secrets"
"""Where the stage finds its secrets as files: a folder in memory."""

_BASH = "bash --noprofile --norc"
_CHOICES = {
    None: f'if command -v bash >/dev/null 2>&1; then _wherry_shell="{_BASH}"; else _wherry_shell=sh; fi\n',
    "bash": f'_wherry_shell="{_BASH}"\n',
    "sh": "_wherry_shell=sh\n",
}

# PID 1 gets no default signal handlers: the trap passes SIGTERM on to the command, so that a stop does not have to wait
# for SIGKILL. One that comes before a command is known by its number is remembered: it is passed on then, and no other
# command is started. Names that no stage has in its environment: a variable that came from there would go on to the
# commands with what is assigned here.
_STOP = """\
_wherry_stop= _wherry_passed= _wherry_child=
_wherry_pass_on() { [ -z "$_wherry_child" ] || { _wherry_passed=1; kill -TERM "$_wherry_child" 2>/dev/null; }; }
trap '_wherry_stop=1; _wherry_pass_on' TERM
"""

# The last line of what is handed over: without it a service that died meanwhile has not handed over all.
_ALL = "# that is all"

# `cat` sees the end of the input, and nothing of it is left for the commands.
_TAKE_SECRETS = f"""\
_wherry_secrets=$(cat)
case "$_wherry_secrets" in
  *"{_ALL}") eval "$_wherry_secrets"; unset _wherry_secrets ;;
  *) echo "the service was interrupted before it had handed over the secrets" >&2; exit 125 ;;
esac
"""

# `wait` returns early when the trap ran: hence the second one.
_DRIVER = """\
_wherry_number=0
for _wherry_command in "$@"; do
  [ -z "$_wherry_stop" ] || exit 143
  _wherry_number=$((_wherry_number+1))
  $_wherry_shell -c "$_wherry_command" </dev/null &
  _wherry_child=$!
  [ "$_wherry_stop$_wherry_passed" != 1 ] || _wherry_pass_on
  wait "$_wherry_child"; _wherry_status=$?
  while kill -0 "$_wherry_child" 2>/dev/null; do wait "$_wherry_child"; _wherry_status=$?; done
  _wherry_child=
  [ "$_wherry_status" -eq 0 ] && continue
  [ $# -eq 1 ] || printf '\\036command %d failed\\036\\n' "$_wherry_number" >&2
  exit "$_wherry_status"
done
"""
_FAILED = re.compile(rb"\x1ecommand (?P<number>[0-9]{1,9}) failed\x1e")


def take_failed_command(line: bytes) -> tuple[bytes | None, int | None]:
    """Take what the driver says out of a line of the error output.

    Returns what the stage wrote in it, None for nothing at all, and the number of the command that failed, from 1.
    """
    found = _FAILED.search(line)
    if found is None:
        return line, None
    return line[: found.start()] + line[found.end() :] or None, int(found["number"])


def shell_argv(
    commands: Sequence[str], *, shell: str | None = None, takes_secrets: bool = False
) -> tuple[str, ...]:
    """The argument list for a container that runs the commands in order.

    `shell` is bash or sh, None for what the image has. With `takes_secrets` it first reads what `secrets_script` says.
    """
    script = f"{_STOP}{_TAKE_SECRETS if takes_secrets else ''}{_CHOICES[shell]}{_DRIVER}"
    return ("/bin/sh", "-c", script, "wherry", *commands)


def secrets_script(secrets: Mapping[str, bytes]) -> bytes:
    """A shell script that makes a variable and a file of each secret; empty when there is none.

    The names must be those of variables.
    """
    lines = []
    for name, value in secrets.items():
        # Bytes that are no text pass unchanged both ways.
        quoted = shlex.quote(value.decode(errors="surrogateescape")).encode(errors="surrogateescape")
        lines.append(
            f"{name}=".encode()
            + quoted
            + f"\nexport {name}\n".encode()
            # A file that only its owner can read: 0400.
            + f'(umask 377; printf %s "${name}" >{SECRETS_AT}/{name})\n'.encode()
        )
    return b"".join([*lines, _ALL.encode()]) if lines else b""
