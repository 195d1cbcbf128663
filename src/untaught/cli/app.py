"""The command line: parse, run, print. Heavy modules are imported inside the commands.

Exit codes: 0 done, 1 failed, 2 bad usage or input, 130 interrupted (the best picture so far has been written).
"""

from __future__ import annotations

import contextlib
import difflib
import re
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import untaught
from untaught.cli.batch_command import batch_command
from untaught.cli.film_command import film_command
from untaught.cli.other_commands import DEMO, STUDIO, completion_command
from untaught.cli.outputs import complain
from untaught.cli.parsing import Command, help_of_app, help_of_command, make_app
from untaught.cli.report_commands import REPORT_COMMANDS
from untaught.cli.run import DONE, FAILED, INTERRUPTED
from untaught.cli.safety import out_of_memory
from untaught.cli.streams import guarded_streams
from untaught.cli.task_commands import again_commands, task_commands
from untaught.cli.tiles_command import tiles_command
from untaught.errors import InputError, UntaughtError
from untaught.imaging.files import reason
from untaught.settings import cut

__all__ = ["commands", "main"]

BAD_INPUT = 2

_ABOUT = "Restore a damaged picture from that picture alone, with an untrained network. No data, no download."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: the words after ``untaught``; those of the process if None.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    with _sigterm_interrupts(), guarded_streams() as out:
        code = _guarded(words)
        if out is not None:
            out.flush()
            # A reader that has seen enough, such as head, is no failure.
            if out.error is not None and not isinstance(out.error, BrokenPipeError):
                _fail(f"the result could not be printed: {reason(out.error)}", FAILED)
                code = code or FAILED
        return code


def _guarded(words: Sequence[str]) -> int:
    """Run a command; what it raises becomes a sentence and an exit code."""
    try:
        return _run(words)
    except InputError as error:
        return _fail(error, BAD_INPUT)
    except UntaughtError as error:
        return _fail(error, FAILED)
    except KeyboardInterrupt:
        return _fail("interrupted before there was a picture; nothing was written", INTERRUPTED)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return _fail("there is not enough memory for a picture of this size: crop it or make it smaller", FAILED)


def commands(words: Sequence[str] = ()) -> dict[str, Command]:
    """All commands by name.

    Args:
        words: of the command line, which go into the record.
    """

    def script(shell: str) -> str:
        app = make_app(made, _ABOUT, untaught.__version__, completing=True)
        return app.generate_completion(shell=shell)  # type: ignore[arg-type]

    listed = [
        *task_commands(words),
        batch_command(words),
        tiles_command(words),
        film_command(words),
        *again_commands(words),
        *REPORT_COMMANDS,
        DEMO,
        STUDIO,
        completion_command(script),
    ]
    made = {command.name: command for command in listed}
    return made


def _run(words: Sequence[str]) -> int:
    from cyclopts import CycloptsError

    made = commands(words)
    before_end = words[: words.index("--")] if "--" in words else words
    command = made.get(words[0]) if words else None
    if {"--help", "-h"} & set(before_end):
        if command is None and not words[0].startswith("-"):
            raise InputError(_unknown(words[0], made))
        print(help_of_app(made, _ABOUT) if command is None else help_of_command(command))
        return DONE
    if words == ["--version"]:
        print(f"untaught {untaught.__version__}")
        return DONE
    if command is None:
        raise InputError(_unknown(words[0], made) if words else "no command was given: see untaught --help")
    app = make_app({command.name: command}, _ABOUT, untaught.__version__)
    try:
        run, bound, _ = app.parse_args(words, print_error=False, exit_on_error=False, help_on_error=False)
    except CycloptsError as error:
        raise InputError(f"{_sentence(error, command)}: see untaught {command.name} --help") from None
    return int(run(*bound.args, **bound.kwargs))


def _unknown(word: str, made: Mapping[str, Command]) -> str:
    near = difflib.get_close_matches(word, made, n=1)
    hint = f"did you mean {near[0]}?" if near else "see untaught --help"
    return f"there is no command {word}: {hint}"


def _sentence(error: Any, command: Command) -> str:
    """An error of cyclopts in our words."""
    import cyclopts

    options = [option for group in command.groups().values() for option in group]
    flags = [flag for option in options for flag in (option.flag, *option.usage.names, option.usage.negative) if flag]
    if isinstance(error, cyclopts.UnknownOptionError):
        found = error.token.keyword or error.token.value
        near = [flag for flag in flags if flag.startswith(found) and len(found) > 3]
        near = near or difflib.get_close_matches(found, flags, n=1)
        return f"{command.name} has no option {found}" + (f"; did you mean {near[0]}?" if near else "")
    if isinstance(error, cyclopts.MissingArgumentError) and error.argument is not None:
        name = error.argument.name
        count, _ = error.argument.token_count()
        if error.tokens_so_far or error.keyword or error.argument.tokens:
            return f"{error.keyword or name} needs {'a value' if count == 1 else f'{count} values'}"
        return f"{command.name} needs {name}"
    if isinstance(error, cyclopts.RepeatArgumentError):
        return f"{error.token.keyword} is given twice"
    if isinstance(error, cyclopts.UnusedCliTokensError) and error.unused_tokens:
        return f"{command.name} cannot use {' '.join(error.unused_tokens)}"
    return str(error).rstrip(".")


def _fail(error: object, code: int) -> int:
    # A record may hold a word of megabytes.
    complain(re.sub(r"\S{500,}", lambda word: cut(word[0], 400), str(error)))
    return code


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C for a while. Python lets only the main thread handle signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if previous is None else previous)
