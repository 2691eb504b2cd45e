"""The command line: flowlake COMMAND. Each command is a module of flowlake.commands with add and run.

Exit codes: 0 done; 1 the work failed (an audit that did not pass, a lake that could not be read);
2 the command line or the input made no sense.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import sys
from collections.abc import Sequence

from flowlake.commands import COMMANDS, CommandFailed

EPILOG = """\
exit codes: 0 done, 1 the work failed, 2 the command line or the input made no sense.

examples:
  flowlake demo                                        a simulated estate, the whole way, on this machine
  flowlake read FILE.log.gz                            what is in a flow log object
  flowlake enrich --lake ./lake --hour 2026-01-01T00   raw flow logs in, published conversations out
  flowlake tables --lake ./lake                        what was published
  flowlake query --lake ./lake --sql 'select count(*) from conversations'
"""


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The parser; with only, the named command alone is imported (commands bring heavy libraries)."""
    parser = argparse.ArgumentParser(
        prog="flowlake",
        description="VPC flow logs that say who talked to whom.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"flowlake {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=summary,
            description=summary,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if only is None or name == only:
            module = importlib.import_module(f"flowlake.commands.{name}")
            module.add(sub)
            sub.set_defaults(run=module.run)
    return parser


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("flowlake")
    except PackageNotFoundError:
        return "(not installed)"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command. Returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    named = arguments[0] if arguments and arguments[0] in COMMANDS else ""
    options = build_parser(only=named).parse_args(arguments)
    if sys.stdout is None:  # closed by who called: nobody wants the answer, only the exit code
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    try:
        code = int(options.run(options))
        sys.stdout.flush()
        return code
    except CommandFailed as failure:
        print(f"flowlake {options.command}: {failure}", file=sys.stderr)
        return failure.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _leave_stdout()
        return 0
    except OSError as error:
        print(f"flowlake {options.command}: {error}", file=sys.stderr)
        _leave_stdout()  # what it could not take it can't take at the end either
        return 1


def _leave_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def script() -> int:
    """main, for a process that ends with it."""
    code = main()
    if "duckdb" not in sys.modules:  # which takes what was not collected for leaks, and says so
        gc.freeze()  # what is left goes with the process: looking through it once more takes a second, for nothing
    return code


if __name__ == "__main__":
    sys.exit(script())
