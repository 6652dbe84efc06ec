"""The trackers' files of a training: where they lie, and that they survive what replaces the output."""

from __future__ import annotations

from pathlib import Path

import accelerate.tracking
import pytest
import torch
from accelerate.tracking import GeneralTracker
from accelerate.utils import LoggerType
from torch import nn

from trued.errors import InputError
from trued.files import TRACKERS, claim_output, whole_folder
from trued.learn.fit import FitConfig, fit


class Lines(GeneralTracker):
    """A tracker that appends a line a call to a file, as TensorBoard does to its events."""

    name = "tensorboard"
    requires_logging_directory = True
    main_process_only = True
    tracker = None

    def __init__(self, run_name, logging_dir, **_):
        super().__init__()
        (logging_dir / run_name).mkdir(parents=True, exist_ok=True)
        self.path = logging_dir / run_name / "events"

    def store_init_configuration(self, values):
        self.log(values)

    def log(self, values, step=None, **_):
        with open(self.path, "a") as file:
            file.write(f"{step} {sorted(values)}\n")


@pytest.fixture
def tracker(monkeypatch):
    """TensorBoard's place, whether it is installed here or not."""
    monkeypatch.setattr(accelerate.tracking, "_available_trackers", [LoggerType.TENSORBOARD])

    def make(run_name, logging_dir, **settings):
        return Lines(run_name, Path(logging_dir), **settings)

    make.requires_logging_directory = True
    make.main_process_only = True
    monkeypatch.setitem(accelerate.tracking.LOGGER_TYPE_TO_CLASS, "tensorboard", make)


def train(output, steps=2):
    model = nn.Linear(2, 1)
    return fit(
        model, lambda m, rows: {"loss": m(rows).square().mean()}, [torch.ones(2) for _ in range(4)],
        FitConfig(steps=steps, batch_size=2, trackers=("tensorboard",), checkpoint_every=1),
        collate=torch.stack, output=output, progress=False,
    )  # fmt: skip


def write(output, text="weights"):
    with whole_folder(output, kind="model") as work:
        (work / "model.safetensors").write_text(text)


def events(output):
    return (output / TRACKERS / "trued" / "events").read_text().splitlines()


def test_the_output_takes_the_name_that_was_given_and_has_the_trackers_files(tmp_path, tracker):
    output = tmp_path / "out"
    train(output)
    lines = events(output)
    assert len(lines) == 3  # the settings, and two steps
    write(output)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (output / "model.safetensors").read_text() == "weights"
    assert events(output) == lines


def test_a_run_that_was_cut_off_with_trackers_is_the_same_run(tmp_path, tracker):
    output = tmp_path / "out"
    train(output, steps=1)
    assert claim_output(output, kind="model") == output
    with open(output / TRACKERS / "trued" / "events", "a") as file:
        file.write("grown\n")  # after the folder was marked
    write(output)
    write(output, "newer")
    assert (output / "model.safetensors").read_text() == "newer"
    assert "grown" in events(output)


def test_files_of_others_are_still_refused(tmp_path, tracker):
    output = tmp_path / "out"
    train(output)
    (output / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="was not written by trued as a model"):
        write(output)
    other = tmp_path / "other"
    (other / TRACKERS).mkdir(parents=True)
    (other / TRACKERS / "mine").write_text("no run's")
    with pytest.raises(InputError, match=f"contains {TRACKERS}"):
        claim_output(other, kind="model")
