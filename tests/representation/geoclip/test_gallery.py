"""The gallery: an exact search against brute force, the index against the exact search, files, and the kept vectors."""

import pytest
import torch
from torch.nn import functional as F

from trued.data.globe import equal_earth, from_sphere
from trued.errors import InputError
from trued.representation.geoclip import gallery as module
from trued.representation.geoclip.gallery import Gallery
from trued.representation.geoclip.gallery_index import GalleryIndex, _cells
from trued.representation.geoclip.location_encoder import LocationEncoder, LocationEncoderConfig
from trued.representation.geoclip.model import GeoCLIP, GeoCLIPConfig
from trued.representation.geoclip.places import read_places, released_places

ENCODER = LocationEncoder(LocationEncoderConfig(sigmas=(1.0, 4.0), features=16, hidden=32, depth=1, dim=16))


def spread(count, seed=0):
    return from_sphere(torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)))


def queries(count, seed=1):
    return F.normalize(torch.randn(count, 16, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.mark.parametrize("block", [1, 7, 100, 1000])
def test_search_is_brute_force_whatever_the_block(block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    gallery, points = Gallery.encode(spread(100), ENCODER), queries(5)
    result = gallery.search(points, 8, scale=30.0)
    scores = points @ gallery.vectors.T
    best = scores.topk(8, dim=1)
    assert torch.equal(result.indices, best.indices)
    torch.testing.assert_close(result.cosines, best.values)
    torch.testing.assert_close(result.probabilities, (30 * scores).softmax(1).gather(1, best.indices))


def test_an_index_that_probes_every_cell_is_exact():
    exact, points = Gallery.encode(spread(2000), ENCODER), queries(4)
    index = GalleryIndex(exact, members=20, probes=10**6)
    a, b = exact.search(points, 5, scale=20.0), index.search(points, 5, scale=20.0)
    torch.testing.assert_close(a.cosines, b.cosines)
    torch.testing.assert_close(a.probabilities, b.probabilities)
    torch.testing.assert_close(exact.places[a.indices], index.places[b.indices])
    torch.testing.assert_close(exact.vectors[index.order], index.vectors)


def test_an_index_finds_nearly_all_in_a_fraction_of_the_cells():
    exact, points = Gallery.encode(spread(20_000), ENCODER), queries(40)
    index = GalleryIndex(exact, members=50, probes=24)
    assert index.probes * 8 < len(index.counts)
    a, b = exact.search(points, 1, scale=20.0), index.search(points, 1, scale=20.0)
    same = (a.cosines - b.cosines).abs() < 1e-5
    assert same.float().mean() >= 0.9
    # The sum over the cells that were not probed is an estimate, and not left out.
    ratio = (b.probabilities / a.probabilities).log()[same]
    assert ratio.abs().mean() < 0.15
    probed_only = GalleryIndex(exact, members=50, probes=24)
    probed_only.standing.zero_()
    assert (probed_only.search(points, 1, scale=20.0).probabilities - a.probabilities).abs().mean() > 1e-5


def test_the_standing_places_make_an_unbiased_sum():
    exact, points = Gallery.encode(spread(600), ENCODER), queries(1)
    truth = (20 * points @ exact.vectors.T).exp().sum().item()
    sums = []
    for seed in range(300):
        index = GalleryIndex(exact, members=20, probes=1, seed=seed)
        result = index.search(points, 1, scale=20.0)
        sums.append(((20 * result.cosines).exp() / result.probabilities).item())
    mean, error = torch.tensor(sums).mean().item(), torch.tensor(sums).std().item() / 300**0.5
    assert abs(mean - truth) < 4 * error
    assert error > 0


def test_cells_hold_what_lies_together():
    places = spread(5000)
    cell = _cells(places, 50)
    assert len(places) <= 50 * len(cell.unique())
    xy = equal_earth(places)
    for number in cell.unique()[:20]:
        inside = xy[cell == number]
        assert (inside.max(0).values - inside.min(0).values).max() < 0.3


def test_more_places_than_the_probed_cells_hold():
    index = GalleryIndex(Gallery.encode(spread(100), ENCODER), members=2, probes=1)
    assert index.search(queries(2), 100).indices.sort(1).values[0].tolist() == list(range(100))


def test_kept_vectors_come_back_and_belong_to_weights_and_places(monkeypatch):
    places = spread(30)
    first = Gallery.encode(places, ENCODER, keep=True)
    calls = []
    monkeypatch.setattr(
        LocationEncoder, "embed", lambda self, latlon, **_: calls.append(len(latlon)) or torch.ones(1, 1)
    )
    again = Gallery.encode(places, ENCODER, keep=True)
    assert not calls
    assert torch.equal(first.vectors, again.vectors)
    monkeypatch.undo()
    other = LocationEncoder(ENCODER.config, seed=5)
    assert not torch.allclose(Gallery.encode(places, other, keep=True).vectors, first.vectors)
    assert len(Gallery.encode(places[:7], ENCODER, keep=True)) == 7
    torch.testing.assert_close(first.vectors.float(), ENCODER.embed(places), atol=1e-3, rtol=0)


def test_places_are_read_by_the_names_of_their_columns(tmp_path):
    file = tmp_path / "places.csv"
    file.write_text("name,Longitude,LAT\nA,151.2,-33.9\n\nB,2.35,48.86\n")
    assert read_places(file).tolist() == [pytest.approx([-33.9, 151.2]), pytest.approx([48.86, 2.35])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lat,lon\n", "holds no place"),
        ("", "header is empty"),
        ("x,y\n1,2\n", "header is x, y"),
        ("lat,lon\n1,2\n3,west\n", "line 3: '3,west'"),
        ("lat,lon\n1\n", "line 2"),
        ("lat,lon\n1,2\n151,-33\n", "place 1 is latitude 151.*other way round"),
        ("lat,lon\nnan,2\n", "latitude nan"),
    ],
)
def test_files_that_hold_no_places(tmp_path, text, message):
    file = tmp_path / "places.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_places(file)
    with pytest.raises(InputError, match=r"nowhere\.csv cannot be read"):
        read_places(tmp_path / "nowhere.csv")


def test_a_gallery_of_three_places_gives_three_of_five():
    config = GeoCLIPConfig(8, 8, "none", ENCODER.config)
    gallery = Gallery.encode(spread(3), ENCODER)
    for searched in (gallery, GalleryIndex(gallery)):
        result = searched.search(queries(2), 5, scale=3.0)
        assert result.indices.sort(1).values.tolist() == [[0, 1, 2]] * 2
        torch.testing.assert_close(result.probabilities.sum(1), torch.ones(2))
    answers = GeoCLIP(config, location=ENCODER).predict(torch.randn(2, 8), gallery)  # five by default
    assert [len(answer) for answer in answers] == [3, 3]


def test_a_gallery_has_a_vector_a_place():
    with pytest.raises(InputError, match="3 places and 2 vectors"):
        Gallery(spread(3), torch.zeros(2, 16))
    with pytest.raises(InputError, match="one at least"):
        Gallery.encode(spread(0), ENCODER)
    gallery = Gallery.encode(spread(3), ENCODER)
    with pytest.raises(InputError, match="latitude 151"):
        Gallery(torch.tensor([[151.0, 0.0]]), torch.zeros(1, 16))
    for top_k in (0, 2.7):
        for searched in (gallery, GalleryIndex(gallery)):
            with pytest.raises(InputError, match=f"top_k is {top_k}: give a whole number from 1"):
                searched.search(queries(1), top_k)
    with pytest.raises(InputError, match="both are at least 1"):
        GalleryIndex(gallery, members=0)


@pytest.mark.slow
def test_the_released_gallery_has_a_hundred_thousand_places():
    places = released_places()
    assert places.shape == (100_000, 2)
    torch.testing.assert_close(places[0], torch.tensor([-50.943392, -72.935664]))


def test_places_are_read_from_utf_16_and_beside_long_cells(tmp_path):
    file = tmp_path / "places.csv"
    file.write_bytes(f'note,lat,lon\n"{"x" * 200_000}\ny",-33.9,151.2\n'.encode("utf-16"))
    assert read_places(file).tolist() == [pytest.approx([-33.9, 151.2])]


def test_a_quote_that_is_not_closed_is_refused(tmp_path):
    file = tmp_path / "places.csv"
    file.write_text('lat,lon\n"1,2\n')
    with pytest.raises(InputError, match="cannot be read"):
        read_places(file)
