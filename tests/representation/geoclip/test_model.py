"""GeoCLIP: logits and loss by their formulas, the queue, training that finds places, saving, and the released model."""

import math

import pytest
import torch
from torch.nn import functional as F

from trued.data.globe import from_sphere, haversine_km, to_sphere
from trued.errors import InputError
from trued.learn.fit.loop import FitConfig
from trued.representation.geoclip.baselines import CellClassifier, SphereRegression
from trued.representation.geoclip.gallery import Gallery
from trued.representation.geoclip.location_encoder import LocationEncoder, LocationEncoderConfig
from trued.representation.geoclip.model import GeoCLIP, GeoCLIPConfig
from trued.representation.geoclip.queue import LocationQueue
from trued.representation.geoclip.train import GeoCLIPTraining

SMALL = GeoCLIPConfig(8, 16, "none", LocationEncoderConfig(sigmas=(1.0, 4.0), features=8, hidden=16, depth=1, dim=12))


def model(seed=0):
    return GeoCLIP(SMALL, seed=seed).eval()


def world(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    places = from_sphere(torch.randn(count, 3, generator=generator))
    mix = torch.randn(3, 8, generator=torch.Generator().manual_seed(9))
    return torch.tanh(to_sphere(places) @ mix), places


def test_logits_are_scaled_cosines():
    features, places = world(5)
    net = model()
    a, b = net.head(features), net.location(places)
    expected = torch.stack([torch.stack([F.cosine_similarity(x, y, dim=0) for y in b]) for x in a]) / 0.07
    torch.testing.assert_close(net(features, places), expected, atol=1e-4, rtol=1e-4)


def test_the_loss_is_the_cross_entropy_of_the_own_place():
    features, places = world(6)
    net = model()
    batch, queued = slice(0, 4), slice(4, 6)
    logits = net(features[batch], places)
    expected = -logits.log_softmax(1)[range(4), range(4)].mean()
    torch.testing.assert_close(net.loss(features[batch], places[batch], places[queued]), expected)
    torch.testing.assert_close(
        net.loss(features[batch], places[batch]), -logits[:, :4].log_softmax(1).diagonal().mean()
    )  # one direction only: the columns' loss is another
    columns = -logits[:, :4].log_softmax(0).diagonal().mean()
    assert not torch.isclose(columns, net.loss(features[batch], places[batch]))


def test_the_same_place_is_no_negative():
    features, places = world(4)
    near = places.clone()
    near[1] = places[0] + 0.001  # some hundred metres
    net = model()
    plain, masked = net.loss(features, near), net.loss(features, near, same_place_km=1.0)
    logits = net(features, near)
    logits[0, 1] = logits[1, 0] = -math.inf
    torch.testing.assert_close(masked, -logits.log_softmax(1).diagonal().mean())
    assert masked < plain
    twice = net.loss(features, near, near[:2], same_place_km=1.0)
    torch.testing.assert_close(twice, masked)  # what the batch holds already, the queue need not repeat


def test_queued_places_carry_a_gradient():
    features, places = world(8)
    net = model()
    net.loss(features[:1], places[:1], places[1:]).backward()
    assert net.location.capsules[0][1].weight.grad.abs().sum() > 0
    net.zero_grad()
    net.loss(features[:1], places[:1]).backward()  # a batch of one, nothing queued: nothing to tell apart
    assert net.location.capsules[0][1].weight.grad.abs().sum() < 1e-6


def test_the_queue_begins_empty_and_keeps_the_latest():
    queue = LocationQueue(5)
    assert len(queue) == 0
    assert queue.sample().shape == (0, 2)
    places = world(7)[1]
    queue.push(places[:3])
    assert torch.equal(queue.rows(), places[:3])
    queue.push(places[3:])  # no multiple of the capacity
    rows = {tuple(row) for row in queue.rows().tolist()}
    assert rows == {tuple(row) for row in places[2:].tolist()}
    away = haversine_km(queue.sample(1000.0, torch.Generator().manual_seed(0)).double(), queue.rows().double())
    assert 0.05 < away.mean() < 5
    assert torch.equal(queue.sample(0.0), queue.rows())
    with pytest.raises(InputError, match="at least 1"):
        LocationQueue(0)


def _trained(places, features, *, queue=32, steps=120):
    net = GeoCLIP(SMALL, seed=1)
    fit = FitConfig(steps=steps, batch_size=32, lr=1e-2, warmup=0.0, seed=0)
    GeoCLIPTraining(queue, 0.0, 0.0, 1.0, fit).train(net, features, places)
    return net.eval()


def _median_km(net):
    features, places = world(64, seed=5)
    gallery = Gallery.encode(world(512, seed=6)[1], net.location)
    best = gallery.places[gallery.search(net.embed(features), 1).indices[:, 0]]
    return haversine_km(best.double(), places.double()).median().item()


def test_training_finds_pictures_of_new_places():
    features, places = world(256)
    right = _median_km(_trained(places, features))
    shuffled = _median_km(_trained(places[torch.randperm(256, generator=torch.Generator().manual_seed(0))], features))
    assert right < 2000
    assert shuffled > 2 * right


def test_training_is_its_seeds_and_a_frozen_encoder_stays():
    features, places = world(64)
    first, same = (_trained(places, features, steps=5) for _ in range(2))
    assert first.location.fingerprint() == same.location.fingerprint()
    net = GeoCLIP(SMALL, seed=1)
    net.location.requires_grad_(False)
    before, head = net.location.fingerprint(), net.head[0].weight.clone()
    GeoCLIPTraining(0, 0.0, 0.0, None, FitConfig(steps=3, batch_size=16, lr=1e-2)).train(net, features, places)
    assert net.location.fingerprint() == before
    assert not torch.equal(net.head[0].weight, head)


def test_every_step_takes_one_of_a_pictures_views():
    features, places = world(64)
    alike = features[:, None].expand(-1, 3, -1)
    plain, same = _trained(places, features, steps=5), _trained(places, alike, steps=5)
    far = torch.stack([features, features + 100], 1)
    seen = []
    net = GeoCLIP(SMALL, seed=1)
    net.head[0].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    GeoCLIPTraining(0, 0.0, 0.0, None, FitConfig(steps=4, batch_size=64, lr=1e-9)).train(net, far, places)
    shares = torch.stack([(batch.mean(1) > 50).float().mean() for batch in seen])
    assert len(shares) == 4
    assert ((shares > 0.2) & (shares < 0.8)).all()  # some rows are seen one way, some the other
    assert torch.allclose(plain.embed(features), same.embed(features), atol=1e-4)


def test_training_refuses_what_does_not_match():
    features, places = world(4)
    with pytest.raises(InputError, match="views, features"):
        GeoCLIPTraining().train(GeoCLIP(SMALL), features[:, None, None], places)
    training = GeoCLIPTraining(fit=FitConfig(steps=1, batch_size=2))
    with pytest.raises(InputError, match="4 pictures and 3 places"):
        training.train(GeoCLIP(SMALL), features, places[:3])
    with pytest.raises(InputError, match="latitude 200"):
        training.train(GeoCLIP(SMALL), features, places + 200 - places[0])
    for changes in ({"queue_size": -1}, {"batch_noise_m": math.nan}, {"same_place_km": -0.1}):
        with pytest.raises(InputError, match="finite number from 0"):
            GeoCLIPTraining(**changes)


def test_prediction_is_the_softmax_over_the_gallery():
    features, _ = world(3)
    net, places = model(), world(50, seed=2)[1]
    shares = net(features, places).softmax(1)
    for guesses, row in zip(net.predict(features, Gallery.encode(places, net.location), top_k=4), shares, strict=True):
        best = row.topk(4)
        assert [guess.probability for guess in guesses] == pytest.approx(best.values.tolist(), rel=1e-4)
        assert [(g.latitude, g.longitude) for g in guesses] == [tuple(places[i].tolist()) for i in best.indices]


def test_a_thing_is_located_where_its_likeliest_place_is():
    features, places = world(6)
    net = model(seed=2)
    gallery = Gallery.encode(places, net.location)
    expected = [(guesses[0].latitude, guesses[0].longitude) for guesses in net.predict(features, gallery, top_k=1)]
    torch.testing.assert_close(net.locate(features, gallery), torch.tensor(expected))


def test_a_heat_map_weighs_places_by_their_area():
    net = model()
    features, _ = world(1)
    result = net.heatmap(features, box=(-60.0, 0.0, 60.0, 90.0), rows=8)
    assert result.probability.shape == (8, 6)
    assert result.probability.sum().item() == pytest.approx(1, abs=1e-5)
    places = torch.tensor([[float(lat), float(lon)] for lat in result.latitudes for lon in result.longitudes])
    weights = net(features, places)[0].exp() * places[:, 0].deg2rad().cos()
    torch.testing.assert_close(result.probability.flatten(), weights / weights.sum(), atol=1e-5, rtol=1e-4)
    assert (result.latitudes[0].item(), result.longitudes[0].item()) == (52.5, 7.5)


@pytest.mark.parametrize("box", [(10.0, 0.0, 0.0, 10.0), (-91.0, 0.0, 0.0, 10.0), (0.0, 0.0, 10.0, 181.0)])
def test_a_heat_map_needs_a_box(box):
    with pytest.raises(InputError, match="south < north"):
        model().heatmap(world(1)[0], box=box)


def test_features_are_checked_before_they_are_used():
    net, gallery = model(), Gallery.encode(world(5)[1], model().location)
    with pytest.raises(InputError, match="rows of 8"):
        net.predict(torch.zeros(1, 9), gallery)
    with pytest.raises(InputError, match="not finite"):
        net.predict(torch.full((1, 8), math.nan), gallery)
    with pytest.raises(InputError, match="top_k is 0"):
        net.predict(torch.zeros(1, 8), gallery, top_k=0)
    assert len(net.predict(torch.zeros(1, 8), gallery, top_k=6)[0]) == 5
    beyond = torch.tensor([[151.0, 0.0]])
    for call in (net, net.loss):
        with pytest.raises(InputError, match="latitude 151"):
            call(torch.zeros(1, 8), beyond)
    with pytest.raises(InputError, match="one query"):
        net.heatmap(torch.zeros(2, 8))


def test_what_a_model_gives_can_be_trained_on():
    features, places = world(4)
    net = model()
    given = [net.embed(features), net.location.embed(places), Gallery.encode(places, net.location).vectors]
    given += [SphereRegression(8).predict(features), CellClassifier(8, places).predict(features)]
    for vectors in given:
        assert not vectors.is_inference()
        (vectors * torch.ones(vectors.shape[1], requires_grad=True)).sum().backward()


def test_a_saved_model_is_the_same_model(tmp_path):
    net = model(seed=4)
    features, places = world(3)
    net.save(tmp_path / "kept")
    torch.testing.assert_close(GeoCLIP.load(tmp_path / "kept")(features, places), net(features, places))
    (tmp_path / "kept" / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(InputError, match="holds no GeoCLIP model"):
        GeoCLIP.load(tmp_path / "kept")
    (tmp_path / "kept" / "config.json").write_text("{}")
    with pytest.raises(InputError, match="holds no GeoCLIP model"):
        GeoCLIP.load(tmp_path / "kept")
    with pytest.raises(InputError, match="holds no GeoCLIP model"):
        GeoCLIP.load(tmp_path / "nowhere")


def test_saving_leaves_files_of_others_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("precious")
    with pytest.raises(InputError, match=r"contains notes\.txt"):
        model().save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    model().save(tmp_path / "model")
    model(seed=4).save(tmp_path / "model")  # its own is replaced


def test_a_standardisation_folds_into_the_head():
    features, _ = world(40)
    mean, std = features.mean(0), features.std(0)
    net = model()
    expected = net.embed((features - mean) / std)
    before = net.embed(features)
    torch.testing.assert_close(net.fold_standardization(mean, std).embed(features), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(net.embed(features), before)


@pytest.mark.slow
def test_the_released_model_gives_what_the_package_gives():
    """Pinned: computed once with `geoclip` 1.3.0's own code, on features sin(0.37 i)."""
    net = GeoCLIP.released()
    features = torch.sin(torch.arange(768.0) * 0.37)[None]
    towns = torch.tensor(
        [[0.0, 0.0], [48.8566, 2.3522], [-33.8688, 151.2093], [64.1466, -21.9426], [35.6762, 139.6503]]
    )
    with torch.no_grad():
        logits = net(features, towns)[0]
    assert net.scale.item() == pytest.approx(39.69, abs=0.01)
    torch.testing.assert_close(logits, torch.tensor([-5.3135, 0.4589, 3.659, -0.3265, -4.8979]), atol=2e-3, rtol=0)


def test_a_given_encoder_decides_the_shape():
    encoder = LocationEncoder(LocationEncoderConfig(sigmas=(2.0,), features=3, hidden=4, depth=1, dim=5))
    net = GeoCLIP(SMALL, location=encoder)
    assert net.config.location == encoder.config
    assert net.embed(world(2)[0]).shape == (2, 5)
