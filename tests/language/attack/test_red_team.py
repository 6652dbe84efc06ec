"""A red team by names: guides and attackers reach the attacks that want them."""

import pytest

from trued.errors import InputError
from trued.language.attack.attacker import Attacker
from trued.language.attack.contract import Attack
from trued.language.attack.red_team import OFFLINE, WITH_ATTACKER, RedTeam
from trued.language.attack.scorer import ModelTopic, guides_of
from trued.language.judge.reply import PhraseJudge


def test_the_offline_team_is_whole_and_guided():
    guide = PhraseJudge(window=9)
    team = RedTeam().chosen(guide=guide)
    assert [attack.name for attack in team] == [name if name != "pap" else "pap-frames" for name in OFFLINE]
    assert all(isinstance(attack, Attack) for attack in team)
    assert {name for attack in team for name in guides_of(attack)} == {guide.name}


def test_an_attacker_joins_and_is_used_everywhere(scripted):
    attacker = Attacker(scripted(None))
    team = RedTeam(attacks=(*OFFLINE, *WITH_ATTACKER)).chosen(attacker=attacker, topic=ModelTopic(attacker.model))
    by_name = {attack.name: attack for attack in team}
    assert {"pap", "pair", "tap"} <= set(by_name)
    assert by_name["pap"].attacker is by_name["pair"].attacker is by_name["tap"].attacker is attacker
    assert "scripted" in by_name["autodan"].mutator.name


@pytest.mark.parametrize(
    ("attacks", "says"),
    [((), "no attacks"), (("direkt",), "unknown attack 'direkt'; did you mean direct"), (("pair",), "pair-lite")],
)
def test_bad_teams(attacks, says):
    with pytest.raises(InputError, match=says):
        RedTeam(attacks=attacks).chosen()


def test_tap_without_a_topic_filter(scripted):
    with pytest.raises(InputError, match="topic filter"):
        RedTeam(attacks=("tap",)).chosen(attacker=Attacker(scripted(None)))
