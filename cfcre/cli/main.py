"""The command ``cfcre``: its commands, and how errors leave it.

An error made on purpose is one line on the standard error stream and an exit code of
:mod:`cfcre.errors`, where 75 alone means that a retry can help. Anything else is a bug of this
program: one line too, exit code 70, and ``--verbose`` shows the trace.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

import click

from cfcre import __version__
from cfcre.cli import (
    benchmark,
    config,
    demo,
    extract,
    migrate,
    models,
    pipeline,
    predict,
    quarantine,
    repair,
    run_task,
    serve,
    spans,
    status,
    submit,
    ui,
    watch,
)
from cfcre.cli.options import Invocation
from cfcre.errors import CfcreError

__all__ = ["cli", "main"]

EXIT_BUG = 70
EXIT_INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="cfcre")
def cli() -> None:
    """Keep a relation extraction model up to date: drop labelled batches, get judged versions.

    Everything lives in one folder, ./.cfcre unless --home or CFCRE_HOME names another.
    """


for command in (
    submit.submit,
    watch.watch,
    status.status,
    repair.retry,
    repair.skip,
    quarantine.quarantine,
    models.models,
    models.promote,
    models.rollback,
    predict.predict,
    extract.extract,
    serve.serve,
    run_task.run_task,
    spans.spans,
    pipeline.pipeline,
    migrate.migrate,
    benchmark.benchmark,
    config.config,
    ui.ui,
    demo.demo,
):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    Args:
        arguments: Command line without the program's name; None takes the process's own.
    """
    invocation = Invocation()
    _heed_sigterm()
    try:
        cli.main(
            args=list(arguments) if arguments is not None else None,
            prog_name="cfcre",
            standalone_mode=False,
            obj=invocation,
        )
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as wrong:
        wrong.show()
        return wrong.exit_code
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted; 'cfcre watch', or the same command, takes up what was not finished")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe (head, less) is gone; nothing is left to be flushed to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except CfcreError as error:
        _trace(invocation)
        _say(f"error: {_one_line(error)}{_hint(error, invocation)}")
        return error.exit_code
    except Exception as error:
        _trace(invocation)
        how = "" if invocation.verbose else "; run again with --verbose for the trace"
        _say(f"error: this is a bug of cfcre: {type(error).__name__}: {_one_line(error)}{how}")
        return EXIT_BUG
    return 0


def _heed_sigterm() -> None:
    """As the first process of a container, stop when told to, as after Ctrl-C.

    The kernel drops a signal for process 1 that has no handler there: ``docker stop`` and
    Kubernetes would wait for their whole grace period and then kill.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _hint(error: CfcreError, invocation: Invocation) -> str:
    return " (trying again later can help)" if error.retryable else ""


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _trace(invocation: Invocation) -> None:
    if invocation.verbose:
        import traceback

        traceback.print_exc()


def _say(text: str) -> None:
    click.echo(f"cfcre: {text}", err=True)


if __name__ == "__main__":
    sys.exit(main())
