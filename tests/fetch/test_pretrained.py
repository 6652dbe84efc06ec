"""One door to `from_pretrained`: nobody goes round it, and what goes through it is safe."""

import ast
import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors.torch import save_file
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForCausalLM, AutoTokenizer

import trued
from trued.errors import InputError
from trued.fetch.pretrained import read_gguf_parts, read_model, read_parts

SOURCES = Path(trued.__file__).parent
DOOR = SOURCES / "fetch" / "pretrained.py"
HUB = SOURCES / "fetch" / "hub.py"
UNPICKLER = SOURCES / "fetch" / "pickled.py"

DOOR_ONLY = {"from_pretrained", "pipeline", "hf_hub_download", "snapshot_download", "load_custom_generate"}
NEVER = {"torch.hub", "pickle", "joblib", "dill", "cloudpickle", "sentence_transformers", "AutoPeftModel", "runpy"}


class Recorder:
    """Stands for a transformers class; keeps what it is called with."""

    def __init__(self) -> None:
        self.options: dict[str, object] = {}

    def from_pretrained(self, folder: str, **options: object) -> object:
        self.options = options
        return (SimpleNamespace(base_model_prefix="model"), {}) if "output_loading_info" in options else folder


def names(node: ast.AST) -> set[str]:
    """Names that a piece of syntax uses or imports."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)} | {
            alias.name for alias in node.names
        }
    return {ast.unparse(node), node.attr} if isinstance(node, ast.Attribute) else set()


def calls(path: Path, wanted: set[str]) -> list[str]:
    """What a file uses of the wanted names, or passes as `trust_remote_code` other than False."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    result = [ast.unparse(node) for node in ast.walk(tree) if names(node) & wanted]
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in ("trust_remote_code", "allow_pickle", "allow_all_kernels"):
            value = node.value
            if not (isinstance(value, ast.Constant) and value.value is False):
                result.append(ast.unparse(node))
    return result


def elsewhere(wanted: set[str], *allowed: Path) -> dict[str, list[str]]:
    found = {path.relative_to(SOURCES).as_posix(): calls(path, wanted) for path in SOURCES.rglob("*.py")}
    return {name: lines for name, lines in found.items() if lines and SOURCES / name not in allowed}


def test_no_bare_call_is_left():
    assert elsewhere(DOOR_ONLY, DOOR, HUB) == {}
    assert calls(DOOR, {"from_pretrained"})
    assert set(calls(HUB, DOOR_ONLY)) == {"from huggingface_hub import HfApi, snapshot_download"}


def test_nothing_is_unpickled_but_pinned_files():
    assert elsewhere({"torch.load", "load_object"}, UNPICKLER) == {}
    assert calls(UNPICKLER, {"torch.load"}) == ["torch.load"]
    assert elsewhere(NEVER) == {}


def test_a_bare_call_is_seen(tmp_path):
    path = tmp_path / "bare.py"
    for line in (
        "AutoModel.from_pretrained('x')",
        "f(trust_remote_code=True)",
        "f(trust_remote_code=flag)",
        "torch.load(p)",
        "import pickle",
        "from torch import hub",
        "torch.hub.load('x')",
        "from sentence_transformers import SentenceTransformer",
        "from transformers import pipeline",
        "np.load(p, allow_pickle=True)",
    ):
        path.write_text(line)
        assert calls(path, DOOR_ONLY | NEVER | {"torch.load"}), line


def test_the_door_is_safe(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    save_file({}, tmp_path / "model.safetensors")
    kind = Recorder()
    read_model(kind, tmp_path)
    safe = {"trust_remote_code": False, "local_files_only": True}
    judged = {"use_safetensors": True, "output_loading_info": True, "ignore_mismatched_sizes": True}
    assert kind.options == safe | judged
    read_parts(kind, tmp_path)
    assert kind.options == safe
    read_gguf_parts(kind, tmp_path / "model.gguf")
    assert kind.options == safe | {"gguf_file": "model.gguf"}


REPOSITORY = {
    "tokenizer": (AutoTokenizer, "AutoTokenizer", "tokenizer_config.json", "PreTrainedTokenizerFast"),
    "configuration": (AutoConfig, "AutoConfig", "config.json", "LlamaConfig"),
    "image processor": (AutoImageProcessor, "AutoImageProcessor", "preprocessor_config.json", "CLIPImageProcessor"),
    "model": (AutoModelForCausalLM, "AutoModelForCausalLM", "config.json", "LlamaForCausalLM"),
    "encoder": (AutoModel, "AutoModel", "config.json", "LlamaModel"),
}


@pytest.mark.parametrize("part", REPOSITORY)
def test_code_of_a_repository_is_not_run_and_nobody_is_asked(part, tiny, tmp_path, monkeypatch, capfd):
    kind, auto, name, parent = REPOSITORY[part]
    tiny.model.save_pretrained(tmp_path)
    tiny.tokenizer.save_pretrained(tmp_path)
    mark = tmp_path / "ran"
    code = f"open({str(mark)!r}, 'w')\nfrom transformers import {parent}\nclass X({parent}):\n  model_type = 'mine'\n"
    (tmp_path / "mine.py").write_text(code)
    path = tmp_path / name
    facts = json.loads(path.read_text()) if path.is_file() else {}
    target = ["mine.X", "mine.X"] if part == "tokenizer" else "mine.X"
    path.write_text(
        json.dumps(
            facts
            | {"auto_map": {auto: target}, "model_type": "mine", "tokenizer_class": "X", "image_processor_type": "X"}
        )
    )
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("somebody is asked"))
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 5))
    with pytest.raises(InputError) as raised:
        (read_model if part in ("model", "encoder") else read_parts)(kind, tmp_path)
    assert "\n" not in str(raised.value)
    assert not mark.exists()
    assert "[y/N]" not in "".join(capfd.readouterr())


def test_a_known_family_with_code_beside_it_is_loaded_without_the_code(tiny, tmp_path):
    tiny.model.save_pretrained(tmp_path)
    (tmp_path / "mine.py").write_text("raise SystemExit")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModelForCausalLM": "mine.X"}}))
    assert type(read_model(AutoModelForCausalLM, tmp_path)).__name__ == "LlamaForCausalLM"


def test_a_folder_without_tokenizer_is_one_sentence(tiny, tmp_path):
    tiny.model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="could not be loaded") as raised:
        read_parts(AutoTokenizer, tmp_path)
    assert "\n" not in str(raised.value)


def test_loading_prints_nothing(tiny, tmp_path):
    """Another process, since transformers keeps the standard error that it was imported with."""
    tiny.model.save_pretrained(tmp_path)
    code = (
        "import sys; from transformers import AutoModelForCausalLM; from trued.fetch.pretrained import read_model; "
        "read_model(AutoModelForCausalLM, sys.argv[1])"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert ended.stdout + ended.stderr == ""
