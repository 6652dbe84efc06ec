"""`trued`: the names of the commands, and one policy for what goes wrong.

Knows which module holds which command, and what an exit code means. Imports no command before it is called, so that
help and the paper list answer at once. Knows nothing of what the commands do.

Exit codes: 0 fine · 1 a gate fell short · 2 bad use or bad input, said in one sentence · 130 Ctrl-C ·
70 a fault of trued's own, with its traceback · 141 the reader of the output went away.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence

from cyclopts import CycloptsError
from cyclopts.exceptions import UnknownCommandError

from trued import __version__
from trued.cli.help import CommandGroup, print_help
from trued.cli.terminal import remember_command
from trued.errors import InputError, missing_extra, nearest

FINE, SHORT, BAD, FAULT, INTERRUPTED, READER_GONE = 0, 1, 2, 70, 130, 141

_WRONG_PATH = (PermissionError, FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)

app = CommandGroup(
    name="trued",
    help="Check, attack, align and repair language models, and reproduce what papers claim.",
    help_epilogue=(
        "With any command: -v says more, -vv everything, -q only errors. Exit codes: 0 fine, 1 a gate fell short, "
        "2 bad use or bad input. TRUED_DEBUG=1 shows tracebacks."
    ),
    version=f"trued {__version__}",
    version_flags=["--version", "-V"],
    suppress_keyboard_interrupt=False,
)
# name → where it is, and its line in `trued --help`, which is given here so that help imports nothing
COMMANDS = {
    "loop": ("trued.cli.loop:loop", "Check a model, attack it, align it, and check it again."),
    "check": ("trued.cli.check.command:check", "Measure refusals, robustness and usefulness; gates for a pipeline."),
    "repair": (
        "trued.cli.repair.command:repair",
        "Bring back refusals that fine-tuning lost, by restoring a few weights.",
    ),
    "attack": ("trued.cli.attack.app:app", "Attack a model you are responsible for, and count how often it complies."),
    "align": ("trued.cli.align.app:app", "Train an adapter that refuses what it should, under attack too."),
    "represent": ("trued.cli.represent:app", "Bring two frozen encoders into one space, from few pairs."),
    "geolocate": (
        "trued.cli.geolocate.command:geolocate",
        "Say where on Earth pictures were taken, and where phrases point.",
    ),
    "sample": ("trued.cli.sample:sample", "Draw text from a masked language model, exactly, and say what it cost."),
    "papers": ("trued.cli.papers.app:app", "List the papers and show what each one claims."),
    "run": ("trued.cli.run:run", "Run the experiments on papers' claims and print the verdicts."),
    "report": ("trued.cli.report:report", "List the runs, or write the report of one again."),
    "serve": ("trued.cli.serve:serve", "Serve the page of the daily papers, with search, verdicts and runs."),
}
for _name, (_path, _help) in COMMANDS.items():
    app.command(_path, name=_name, help=_help)
app.command(
    "trued.cli.main:install_completion", name="--install-completion",
    help="Install completion of commands and options for your shell.",
)  # fmt: skip


def __getattr__(name: str) -> Callable[..., None]:
    """Return cyclopts' command that installs completion; the modules that write shell scripts are seldom needed."""
    if name != "install_completion":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cyclopts.completion.install import create_install_completion_command

    return create_install_completion_command(app.install_completion, add_to_startup=True)


LEVELS = {"-q": logging.ERROR, "-v": logging.INFO, "-vv": logging.DEBUG}
VERBOSITY = {"--quiet": "-q", "--verbose": "-v", **{word: word for word in LEVELS}}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; whatever the user can fix is one sentence on standard error.

    Args:
        arguments: the words after `trued`; those of the process by default.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    remember_command(words)
    words = _without_verbosity(words)
    if not os.environ.get("TRUED_DEBUG"):
        # What libraries say about their own future is nothing that a user of the command line can fix.
        warnings.simplefilter("ignore", FutureWarning)
    try:
        if _asks_for_help(words):
            print_help(app, words)
            result = FINE
        else:
            result = app(words, print_error=False, exit_on_error=False, result_action="return_value")
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes standard output once more at exit; the second failure would be printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except (Exception, KeyboardInterrupt) as error:
        code, sentence = explain(error)
        if sentence is None or os.environ.get("TRUED_DEBUG"):
            traceback.print_exc()
        if sentence is not None:
            print(f"trued: {sentence}", file=sys.stderr)
        return code
    return result if isinstance(result, int) else FINE


def _asks_for_help(words: Sequence[str]) -> bool:
    end = words.index("--") if "--" in words else len(words)
    return any(word in app.help_flags for word in words[:end])


def _without_verbosity(words: Sequence[str]) -> list[str]:
    """Set the logging level that -v, -vv or -q sets, and return the other words; after `--` all words stay."""
    end = words.index("--") if "--" in words else len(words)
    flags = [VERBOSITY[word] for word in words[:end] if word in VERBOSITY]
    level = flags[-1] if flags else None
    if level == "-v" and flags.count("-v") > 1:
        level = "-vv"
    logging.basicConfig(format="trued: %(message)s", level=LEVELS[level] if level else logging.WARNING, force=True)
    return [word for word in words[:end] if word not in VERBOSITY] + list(words[end:])


def explain(error: BaseException) -> tuple[int, str | None]:
    """Return the exit code for an error, and the sentence to say, or None where it is a fault of trued's own."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, str(error) or "interrupted"
    if any(isinstance(cause, KeyboardInterrupt) for cause in _chain(error)):
        return INTERRUPTED, "interrupted"  # a library that was being imported turned it into an error of its own
    if isinstance(error, CycloptsError):
        return BAD, _parse_sentence(error)
    if isinstance(error, InputError):
        return BAD, _sentence(error)
    if (extra := missing_extra(error)) is not None:
        return BAD, _sentence(extra)
    for cause in _chain(error):
        if _disk_full(cause):
            name = getattr(cause, "filename", None)
            return BAD, f"the disk is full{f' ({name})' if name else ''}: free some space and run the same again"
    if isinstance(error, _WRONG_PATH) and error.filename is not None:
        return BAD, f"{error.filename}: {error.strerror}"
    return FAULT, None


def _parse_sentence(error: CycloptsError) -> str:
    error.verbose = False
    if isinstance(error, UnknownCommandError) and error.unused_tokens:
        # cyclopts would import every command to compose this sentence
        parent = error.app or app
        names = [name for name in parent if not name.startswith("-")]
        where = " ".join(["trued", *(error.command_chain or ())])
        word = error.unused_tokens[0]
        return f"unknown command '{word}'{nearest(word, names)} (commands of `{where}`: {', '.join(names)})"
    text = _sentence(error)
    return f"{text[:1].lower()}{text[1:]}"


def _sentence(error: BaseException) -> str:
    """Return the message on one line, with the notes that were added on its way up, such as how to continue."""
    return ". ".join(" ".join(text.split()).rstrip(".") for text in (str(error), *getattr(error, "__notes__", ())))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _disk_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # Libraries that write from Rust, C++ or SQLite report it only as text.
    text = str(error).lower()
    return "no space left on device" in text or "disk is full" in text


if __name__ == "__main__":
    sys.exit(main())
