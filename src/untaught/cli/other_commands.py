"""The commands studio, demo and completion."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from untaught.cli.parsing import Command
from untaught.errors import InputError
from untaught.imaging.files import reason
from untaught.settings import settings
from untaught.tasks.options import Count, Switch, Usage

__all__ = ["DEMO", "STUDIO", "completion_command"]


@settings
class StudioOptions:
    """Options of studio."""

    port: Annotated[
        Annotated[int, Field(ge=0, le=65535)] | None,
        Field(description="port to listen on (default: 8791, or a free one if that is taken)"),
        Usage(metavar="N"),
    ] = None
    no_browser: Annotated[Switch, Field(description="print the address and do not open it")] = False
    folder: Annotated[
        Path | None,
        Field(description="where pictures and jobs are kept (default: in your user data folder)"),
        Usage(metavar="FOLDER"),
    ] = None
    batch: Annotated[
        Path | None,
        Field(description="folder of the results of a batch; the first page links to their summary"),
        Usage(metavar="FOLDER"),
    ] = None
    host: Annotated[
        str,
        Field(description="address to listen on; one that others can reach needs a token of your own"),
        Usage(metavar="ADDRESS"),
    ] = "127.0.0.1"
    token_file: Annotated[
        Path | None,
        Field(
            description="file with the password of the page, 16 characters or more; the environment variable "
            "UNTAUGHT_TOKEN may hold it instead (default: made at random, kept in the folder)"
        ),
        Usage(metavar="FILE"),
    ] = None
    certificate: Annotated[
        Path | None,
        Field(description="certificate in PEM format, for HTTPS; needs --key"),
        Usage(metavar="FILE"),
    ] = None
    key: Annotated[Path | None, Field(description="private key of the certificate"), Usage(metavar="FILE")] = None


def _studio(options: StudioOptions) -> int:
    token = _token(options.token_file)
    if options.host not in ("127.0.0.1", "localhost", "::1") and not token:
        raise InputError(f"others can reach {options.host}: choose a token that they have to know, by --token-file")
    if (options.certificate is None) != (options.key is None):
        raise InputError("--certificate and --key belong together: give both")
    try:
        from untaught.studio.server import serve
    except ImportError as error:
        if (error.name or "").startswith("untaught"):
            raise
        raise InputError('the studio is an extra: pip install "untaught[studio]"') from error
    # The server ends in its own way; before it runs and after it, an interruption is no failure.
    with suppress(KeyboardInterrupt):
        serve(
            options.folder,
            host=options.host,
            port=options.port,
            token=token,
            certificate=None
            if options.certificate is None or options.key is None
            else (options.certificate, options.key),
            browser=not options.no_browser,
            batch=options.batch,
        )
    return 0


def _token(path: Path | None) -> str:
    """The token of the user's own, empty if there is none. It is no option: everybody can read a command line."""
    token = os.environ.pop("UNTAUGHT_TOKEN", None)  # not for the processes that the studio starts
    if path is not None:
        try:
            token = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the token cannot be read from {path}: {reason(error)}") from error
    if token is not None and len(token) < 16:
        raise InputError(f"the token has {len(token)} characters: use at least 16")
    return token or ""


STUDIO = Command(
    name="studio",
    about="Open a local web page: paint over what is missing and watch the picture come back. Needs untaught[studio].",
    example="untaught studio --folder pictures",
    options={"options": StudioOptions},
    run=_studio,
)
"""The command that opens the studio."""


@settings
class DemoOptions:
    """Options of demo."""

    output: Annotated[
        Path,
        Field(description="folder for the pictures and their figures, made if it does not exist"),
        Usage(metavar="FOLDER", names=("-o",)),
    ] = Path("untaught-demo")
    iterations: Annotated[
        Count | None, Field(description="iterations for each picture (default: 300 and 200)"), Usage(metavar="N")
    ] = None


def _demo(options: DemoOptions) -> int:
    from untaught.cli.demo import run_demo

    return run_demo(options.output, options.iterations)


DEMO = Command(
    name="demo",
    about="Restore two bundled photographs and compare with biharmonic inpainting.",
    example="untaught demo -o demo",
    options={"options": DemoOptions},
    run=_demo,
)
"""The command that runs the demonstration."""


@settings
class CompletionOptions:
    """Options of completion."""

    shell: Annotated[Literal["bash", "zsh", "fish"], Field(description="bash, zsh or fish"), Usage(positional=True)]


def completion_command(script: Callable[[str], str]) -> Command:
    """The command that prints the completion script of a shell.

    Args:
        script: makes the script for the name of a shell.
    """

    def completion(options: CompletionOptions) -> int:
        print(script(options.shell))
        return 0

    return Command(
        name="completion",
        about="Print a script that completes untaught's commands and options in a shell.",
        example='eval "$(untaught completion bash)"',
        options={"options": CompletionOptions},
        run=completion,
    )
