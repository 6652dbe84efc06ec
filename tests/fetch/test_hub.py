"""Where a model's files lie: paths and hub ids, the hub's cache, and a hub that does not answer."""

import time

import pytest

from trued.errors import InputError
from trued.fetch.hub import find_files, is_path


@pytest.fixture
def repo(tmp_path):
    """A repository with a model in two shards, a pickle and code beside it."""
    folder = tmp_path / "repository"
    (folder / "onnx").mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "model-00001-of-00002.safetensors", "onnx/model.onnx", "README.md"):
        (folder / name).write_text("{}")
    for name in ("model-00002-of-00002.safetensors", "pytorch_model.bin", "modeling.py", "consolidated.safetensors"):
        (folder / name).write_text("{}")
    index = '{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}'
    (folder / "model.safetensors.index.json").write_text(index)
    return folder


@pytest.mark.parametrize(
    "source", ["./nope", "../nope", "/nope", "~/nope", "runs/a/b", "nope.json", "nope.safetensors", "dir/", ".\\nope"]
)
def test_a_mistyped_path_is_never_a_hub_id(source, hub):
    assert is_path(source)
    with pytest.raises(InputError, match="no such f") as raised:
        find_files(source)
    assert str(raised.value).startswith(
        f"{source}: no such {'file' if '.json' in source or '.safe' in source else 'fo'}"
    )
    assert "\n" not in str(raised.value)
    assert hub.requests == []


@pytest.mark.parametrize("source", ["gpt2", "org/name", "Qwen/Qwen2.5-0.5B-Instruct", "org/name@v1.0"])
def test_a_hub_id_is_no_path(source):
    assert not is_path(source)


def test_a_folder_that_exists_comes_before_a_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert find_files("org/name").repo is None


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("a b", "neither a folder nor a hub id"),
        ("name@http://127.0.0.1:1/v1", "is an endpoint"),
        ("", "neither a folder"),
    ],
)
def test_what_is_neither_path_nor_id_is_refused(source, words, hub):
    with pytest.raises(InputError, match=words):
        find_files(source)
    assert hub.requests == []


def test_only_safetensors_and_small_files_are_fetched(hub, repo):
    commit = hub.add("org/name", repo)
    files = find_files("org/name")
    assert (files.repo, files.revision, files.closed) == ("org/name", commit, "")
    assert sorted(path.name for path in files.folder.iterdir()) == [
        "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
        "model.safetensors.index.json", "tokenizer.json",
    ]  # fmt: skip
    files.require_weights()


def test_revisions_are_resolved_to_commits(hub, repo):
    commit = hub.add("org/name", repo)
    assert find_files("org/name@v1").revision == commit
    assert find_files("org/name", revision="v1").revision == commit
    with pytest.raises(InputError, match="org/name has no revision v2"):
        find_files("org/name", revision="v2")
    with pytest.raises(InputError, match="names the revision v1, and v2 is given"):
        find_files("org/name@v1", revision="v2")
    with pytest.raises(InputError, match="is a folder and has no revision v1"):
        find_files(repo, revision="v1")


def test_refusals_of_the_hub_say_what_to_do(hub, repo):
    with pytest.raises(InputError, match=r"the hub has no model org/nope, or it is private: .* set HF_TOKEN"):
        find_files("org/nope")
    hub.add("org/gated", repo)
    hub.status["org/gated"] = 403
    with pytest.raises(InputError, match=r"org/gated is gated: accept its terms at .* set HF_TOKEN"):
        find_files("org/gated")


@pytest.mark.parametrize("variable", ["TRUED_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_the_missing_file_is_named_and_nothing_is_asked(variable, hub, repo, monkeypatch):
    (repo / "model-00002-of-00002.safetensors").rename(repo / "later")
    hub.add("org/name", repo)
    find_files("org/name")
    hub.requests.clear()
    monkeypatch.setenv(variable, "1")
    with pytest.raises(InputError, match=rf"^org/other: config\.json is missing in the hub's cache .* {variable}=1"):
        find_files("org/other")
    files = find_files("org/name")
    files.require("config.json")
    with pytest.raises(InputError, match=rf"^org/name: model-00002-of-00002\.safetensors is missing .* {variable}=1"):
        files.require_weights()
    assert hub.requests == []


def test_a_hub_that_does_not_answer_is_asked_once_and_the_cache_serves(hub, repo, monkeypatch):
    from huggingface_hub import constants

    hub.add("org/name", repo)
    fetched = find_files("org/name")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    started = time.perf_counter()
    files = find_files("org/name")
    assert files.folder == fetched.folder
    assert "the hub does not answer" in files.closed
    with pytest.raises(InputError, match=r"org/new: config.json is missing .* the hub does not answer"):
        find_files("org/new")
    assert time.perf_counter() - started < 5


def test_pickled_weights_are_named_as_what_they_are(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_text("")
    with pytest.raises(InputError, match=r"has no model\.safetensors: pickle checkpoints are not supported"):
        find_files(tmp_path).require_weights()
