"""One policy for what goes wrong: the exit code, one sentence on standard error, and no traceback."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys

import pytest
from cyclopts import App

from trued import __version__
from trued.cli import main as cli
from trued.cli.main import app, main
from trued.errors import InputError


@pytest.fixture
def command(monkeypatch):
    """Register a command `oops` that raises, or returns, what it is told."""

    def register(outcome):
        def oops() -> int:
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        trial = App(name="trued", suppress_keyboard_interrupt=False)
        trial.command(oops)
        monkeypatch.setattr(cli, "app", trial)
        monkeypatch.delenv("TRUED_DEBUG", raising=False)

    return register


def noted(error: BaseException, note: str) -> BaseException:
    error.add_note(note)
    return error


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_version(capsys, word):
    assert main([word]) == 0
    assert capsys.readouterr().out == f"trued {__version__}\n"


@pytest.mark.parametrize(
    ("words", "level"),
    [([], "WARNING"), (["-q"], "ERROR"), (["-v"], "INFO"), (["-v", "-v"], "DEBUG"), (["-vv"], "DEBUG"),
     (["--quiet"], "ERROR"), (["--verbose"], "INFO")],
)  # fmt: skip
def test_verbosity_is_the_level_of_the_log(capsys, words, level):
    assert main([*words, "--version"]) == 0
    assert logging.getLevelName(logging.getLogger().level) == level
    assert main(["papers", "list", *words]) == 0
    assert logging.getLevelName(logging.getLogger().level) == level


def test_words_after_two_dashes_are_no_verbosity():
    assert cli._without_verbosity(["-v", "papers", "--", "-q"]) == ["papers", "--", "-q"]
    assert logging.getLogger().level == logging.INFO


def test_completion_can_be_installed(capsys):
    assert main(["--help"]) == 0
    assert "--install-completion" in capsys.readouterr().out
    script = app.generate_completion(shell="bash")
    assert "align" in script
    assert "dpo" in script


def test_a_module_that_an_extra_brings_is_named_with_its_remedy(command, capsys):
    command(ModuleNotFoundError("No module named 'torch'", name="torch"))
    assert main(["oops"]) == 2
    assert capsys.readouterr().err.startswith("trued: torch is not installed: pip install -e '.[models]'")
    command(ModuleNotFoundError("No module named 'ours'", name="ours"))
    assert main(["oops"]) == 70


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["chekc"], "trued: unknown command 'chekc'; did you mean check?"),
        (["papers", "lits"], "trued: unknown command 'lits'; did you mean list"),
        (["papers", "show", "c-advull"], "did you mean c-advul"),
        (["papers", "list", "--feild", "vision"], "--field"),
        (["papers", "show"], "slug"),
        (["run", "c-advull"], "did you mean c-advul"),
    ],
)
def test_bad_use_is_one_sentence_with_the_nearest_names(capsys, words, message):
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith("trued: ")
    assert err.count("\n") == 1
    assert message.lower() in err.lower()


def test_an_unknown_command_imports_no_other():
    """cyclopts would import every command to word its own message."""
    code = "import sys; from trued.cli.main import main; main(['chekc']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("outcome", "code", "message"),
    [
        (InputError("row 17: 'targets' is empty;\n give one"), 2, "trued: row 17: 'targets' is empty; give one\n"),
        (noted(InputError("bad."), "Continue with: x"), 2, "trued: bad. Continue with: x\n"),
        (KeyboardInterrupt("interrupted after step 3 of 9"), 130, "trued: interrupted after step 3 of 9\n"),
        (KeyboardInterrupt(), 130, "trued: interrupted\n"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), 2, "trued: out: Permission denied\n"),
    ],
)
def test_what_the_user_can_fix_has_no_traceback(command, capsys, outcome, code, message):
    command(outcome)
    assert main(["oops"]) == code
    assert capsys.readouterr().err == message


def test_debug_shows_the_traceback_as_well(command, capsys, monkeypatch):
    command(InputError("no"))
    monkeypatch.setenv("TRUED_DEBUG", "1")
    assert main(["oops"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("trued: no\n")


def caused(by: BaseException) -> BaseException:
    try:
        raise RuntimeError("could not save") from by
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    "outcome",
    [
        OSError(errno.ENOSPC, "No space left on device", "model.safetensors"),
        caused(OSError(errno.EDQUOT, "Disk quota exceeded")),
        RuntimeError("Error while serializing: No space left on device (os error 28)"),
        RuntimeError("(sqlite3.OperationalError) database or disk is full"),
    ],
)
def test_a_full_disk_is_one_sentence(command, capsys, outcome):
    command(outcome)
    assert main(["oops"]) == 2
    assert capsys.readouterr().err.startswith("trued: the disk is full")


def test_a_fault_of_ours_is_neither_a_gate_nor_bad_input(command, capsys):
    command(ZeroDivisionError("oh"))
    assert main(["oops"]) == 70
    assert "ZeroDivisionError: oh" in capsys.readouterr().err


def test_a_gate_that_falls_short_is_exit_code_1(command):
    command(1)
    assert main(["oops"]) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes of Unix")
def test_ctrl_c_ends_a_process_with_130_and_a_sentence(tmp_path):
    code = (
        "import sys, time; from trued.cli.main import app, main\n"
        "def wait(): print('ready', flush=True); time.sleep(30)\n"
        "app.command(wait); sys.exit(main(['wait']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a script's background job ignores it
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == "trued: interrupted\n"


@pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes of Unix")
@pytest.mark.parametrize("words", [["--help"], ["papers", "list"], ["papers", "list", "--json"]])
def test_a_reader_that_goes_away_is_not_an_error(words):
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "trued.cli.main", *words], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(read)
    os.close(write)
    _, err = process.communicate(timeout=20)
    assert err == ""
    assert process.returncode == 141


def test_every_command_is_where_it_is_said_to_be():
    for name in cli.COMMANDS:
        assert app[name].help


# The first two are the shortest answers; the others have the most options of all commands.
@pytest.mark.parametrize(
    "words",
    [["--help"], ["papers", "list"], ["check", "--help"], ["attack", "suite", "--help"], ["align", "mixat", "-h"]],
)
def test_what_needs_no_model_answers_in_half_a_second(words):
    def seconds() -> float:
        before = os.times()
        subprocess.run([sys.executable, "-m", "trued.cli.main", *words], capture_output=True, check=True)
        after = os.times()
        return after.children_user - before.children_user + after.children_system - before.children_system

    # Processor time, and the best of some: other work on the machine is not what is measured.
    assert min(seconds() for _ in range(3)) < 0.5
