"""One door to `from_pretrained`: nobody goes round it, and what goes through it is safe."""

import ast
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

import trued
from trued.errors import InputError
from trued.fetch.pretrained import read_model, read_parts

SOURCES = Path(trued.__file__).parent
DOOR = SOURCES / "fetch" / "pretrained.py"


class Recorder:
    """Stands for a transformers class; keeps what it is called with."""

    def __init__(self) -> None:
        self.options: dict[str, object] = {}

    def from_pretrained(self, folder: str, **options: object) -> str:
        self.options = options
        return folder


def calls(path: Path) -> list[str]:
    """Calls in a file that load from a repository."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if (
            isinstance(node, ast.Attribute)
            and node.attr in ("from_pretrained", "hf_hub_download", "snapshot_download", "pipeline")
        )
        or (isinstance(node, ast.keyword) and node.arg == "trust_remote_code" and not _is_false(node.value))
    ]


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def test_no_bare_call_is_left():
    bare = {path.relative_to(SOURCES).as_posix(): calls(path) for path in SOURCES.rglob("*.py") if path != DOOR}
    assert {path: lines for path, lines in bare.items() if lines} == {}
    assert calls(DOOR)


def test_the_door_is_safe(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_text("")
    kind = Recorder()
    assert read_model(kind, tmp_path) == str(tmp_path)
    assert kind.options == {"use_safetensors": True, "trust_remote_code": False, "local_files_only": True}
    read_parts(kind, tmp_path)
    assert kind.options == {"trust_remote_code": False, "local_files_only": True}


def test_code_of_a_repository_is_not_run_and_nobody_is_asked(tiny, tmp_path, monkeypatch):
    import json

    tiny.model.save_pretrained(tmp_path)
    tiny.tokenizer.save_pretrained(tmp_path)
    mark = tmp_path / "ran"
    code = (
        f"open({str(mark)!r}, 'w')\nfrom transformers import LlamaConfig\nclass X(LlamaConfig):\n  model_type='mine'\n"
    )
    (tmp_path / "mine.py").write_text(code)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(
        json.dumps(config | {"auto_map": {"AutoConfig": "mine.X"}, "model_type": "mine"})
    )
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("somebody is asked"))
    with pytest.raises(InputError, match="needs code of its own repository, which is never run"):
        read_model(AutoModelForCausalLM, tmp_path)
    assert not mark.exists()


def test_a_folder_without_tokenizer_is_one_sentence(tiny, tmp_path):
    tiny.model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="could not be loaded") as raised:
        read_parts(AutoTokenizer, tmp_path)
    assert "\n" not in str(raised.value)
