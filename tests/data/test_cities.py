"""Cities split by country, and described in sentences; the table itself is tested with the features of places."""

from trued.data.cities import City, by_country

CITIES = [City(f"city {number}", f"country {number % 40}", "Europe", number / 10, 0.0) for number in range(2000)]


def test_whole_countries_are_left_out_and_no_city_stands_twice():
    known, others, unseen = by_country(CITIES, unseen=0.3)
    assert {city.country for city in unseen}.isdisjoint(city.country for city in known + others)
    assert sorted(known + others + unseen, key=CITIES.index) == CITIES
    assert 4 <= len({city.country for city in unseen}) <= 20
    assert 0.4 < len(known) / len(known + others) < 0.6


def test_a_citys_set_does_not_depend_on_the_other_cities():
    known, _, unseen = by_country(CITIES)
    fewer = by_country(CITIES[::3])
    assert set(fewer[0]) <= set(known)
    assert set(fewer[2]) <= set(unseen)
    assert by_country(CITIES, unseen=0.0)[2] == []


def test_a_city_in_words_does_not_tell_its_continent():
    assert CITIES[3].words == "city 3, a city in country 3"
