"""`trued geolocate`: places, report, map and JSON from a small model; and each bad input in its sentence."""

import json

import pytest
import torch
from PIL import Image

from trued.cli.geolocate import report as geolocated
from trued.cli.geolocate.report import Answer, draw_map
from trued.cli.main import main
from trued.data.globe import haversine_km
from trued.errors import InputError
from trued.representation.geoclip.location_encoder import LocationEncoderConfig
from trued.representation.geoclip.model import GeoCLIP, GeoCLIPConfig, Guess

SHAPE = GeoCLIPConfig(3, 8, "colours", LocationEncoderConfig(sigmas=(1.0,), features=4, hidden=8, depth=1, dim=6))


class Colours:
    """The mean colour of a picture; a text is as long as it is."""

    name = "colours"

    def pictures(self, pictures):
        return torch.stack(
            [torch.tensor(picture.resize((1, 1)).getpixel((0, 0))).float() / 255 for picture in pictures]
        )

    def texts(self, texts):
        if "unreadable" in texts:
            raise InputError("colours reads no such text")
        return torch.tensor([[len(text) / 10, 0.0, 1.0] for text in texts])


@pytest.fixture
def room(tmp_path, monkeypatch):
    GeoCLIP(SHAPE, seed=1).save(tmp_path / "model")
    unit = torch.rand(40, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    places = unit * torch.tensor([160.0, 340.0])
    rows = "\n".join(f"{latitude:.4f},{longitude:.4f}" for latitude, longitude in places.tolist())
    (tmp_path / "places.csv").write_text(f"lat,lon\n{rows}\n")
    Image.new("RGB", (8, 6), (200, 30, 30)).save(tmp_path / "red <b>.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(geolocated, "open_backbone", lambda name, device: Colours())
    return tmp_path


OWN = ("--model", "model", "--gallery", "places.csv")


def test_a_picture_and_a_phrase_are_placed(room, capsys):
    assert main(["geolocate", "red <b>.png", "--text", "a desert", *OWN, "-k", "3"]) == 0
    out = capsys.readouterr().out
    assert "red <b>.png" in out
    assert "a desert" in out
    assert out.count("half of the probability lies within") == 2


def test_json_holds_what_the_model_says(room, capsys):
    assert main(["geolocate", "red <b>.png", "--text", "a desert", *OWN, "-k", "40", "--json"]) == 0
    picture, text = json.loads(capsys.readouterr().out)
    assert (picture["kind"], text["kind"], text["query"]) == ("picture", "text", "a desert")
    shares = [place["probability"] for place in picture["places"]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    model = GeoCLIP.load(room / "model")
    best = picture["places"][0]
    places = torch.tensor([[place["latitude"], place["longitude"]] for place in picture["places"]])
    logits = model(torch.tensor([[200, 30, 30]]) / 255, places)
    assert logits.argmax().item() == 0
    assert -90 <= best["latitude"] <= 90


def test_a_report_and_a_map_are_written(room, capsys):
    assert main(["geolocate", "red <b>.png", "--text", "sea", *OWN, "-o", "found.html", "--map", "found.svg"]) == 0
    page = (room / "found.html").read_text(encoding="utf-8")
    assert page.count("<svg") >= 2
    assert "red &lt;b&gt;.png" in page
    assert "red <b>" not in page
    assert "no address" in page
    assert (room / "found.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert "report" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to locate"),
        (["--text", " "], "--text is empty"),
        (["nowhere.png", *OWN], "nowhere.png is no picture: there is no such file"),
        (["places.csv", *OWN], "places.csv is no picture"),
        (["--text", "sea", *OWN, "-k", "0"], "top_k is 0"),
        (["--text", "sea", *OWN, "-k", "2.7"], "'2.7' is not a whole number"),
        (["--text", "sea", *OWN, "--device", "banana"], "device 'banana' is not on this machine"),
        (["--text", "sea", *OWN, "--device", "cuda:99"], "device 'cuda:99' is not on this machine"),
        (["--text", "sea", "--model", "nowhere", "--gallery", "places.csv"], "nowhere holds no GeoCLIP model"),
        (["--text", "sea", "--model", "model", "--gallery", "model/config.json"], "name a column 'lat'"),
        (["--text", "sea", *OWN, "--map", "found.png"], "ends in .svg"),
        (["--text", "unreadable", *OWN], "colours reads no such text"),
    ],
)
def test_bad_input_is_one_sentence(room, capsys, words, message):
    assert main(["geolocate", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("trued: ")
    assert error.count("\n") == 1


def test_more_places_than_the_gallery_has_are_all_of_them(room, capsys):
    (room / "three.csv").write_text("lat,lon\n1,2\n3,4\n-5,6\n")
    assert main(["geolocate", "--text", "sea", "--model", "model", "--gallery", "three.csv", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)[0]["places"]) == 3


def test_the_spread_is_over_the_whole_gallery_and_not_over_what_is_shown(room, capsys, monkeypatch):
    monkeypatch.setattr(geolocated, "MAPPED", 5)
    assert main(["geolocate", "--text", "a desert", *OWN, "-k", "2", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)[0]
    assert main(["geolocate", "--text", "a desert", *OWN, "-k", "40", "--json"]) == 0
    every = json.loads(capsys.readouterr().out)[0]
    assert len(shown["places"]) == 2
    assert shown["spread_km"] == every["spread_km"]
    first = every["places"][0]
    here = torch.tensor([[first["latitude"], first["longitude"]]])
    away = haversine_km(here, torch.tensor([[place["latitude"], place["longitude"]] for place in every["places"]]))
    share = torch.tensor([place["probability"] for place in every["places"]])
    radius = shown["spread_km"]
    assert float(share[away <= radius + 0.1].sum()) >= 0.5 > float(share[away < radius - 0.1].sum())


def test_the_map_numbers_the_first_places():
    likely = [Guess(48.9, 2.4, 0.6), Guess(-33.9, 151.2, 0.3), Guess(0.0, 0.0, 0.1)]
    svg = draw_map(Answer("q", "text", likely[:2], 10.0, likely))
    assert ">1</text>" in svg
    assert ">2</text>" in svg
    assert ">3</text>" not in svg
    assert "within 10 km" in svg
