import pytest

from trued.errors import InputError
from trued.web.settings import Settings, is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "LOCALHOST.", "::1", "[::1]"])
def test_what_only_this_machine_reaches(host):
    assert is_loopback(host)
    assert Settings(host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "papers.example", "localhost.example", ""])
def test_others_reach_it_only_on_purpose(host):
    assert not is_loopback(host)
    with pytest.raises(InputError, match="add --public"):
        Settings(host)
    assert Settings(host, public=True).public


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none(port):
    with pytest.raises(InputError, match=f"port {port} does not exist; give one from 1 to 65535"):
        Settings(port=port)


def test_secrets_are_long_and_never_printed():
    with pytest.raises(InputError, match=r"TRUED_TOKEN has 5 characters, and at least 16 are needed; make one with"):
        Settings("0.0.0.0", public=True, token="short")
    with pytest.raises(InputError, match="TRUED_SECRET has 3 characters"):
        Settings(secret="abc")
    made = Settings(token="t" * 20, secret="s" * 20, database_url="postgresql://me:password@host/db")
    assert not any(word in repr(made) for word in ("tttt", "ssss", "password"))
    assert Settings(token="short").token == "short", "a token means nothing on this machine alone"


def test_the_environment_holds_the_secrets(tmp_path, monkeypatch):
    variables = {"TRUED_TOKEN": "t" * 20, "TRUED_SECRET": "s" * 20, "TRUED_DATABASE_URL": "sqlite:///x.db"}
    made = Settings.from_environment(environment=variables)
    assert (made.token, made.secret, made.database_url) == ("t" * 20, "s" * 20, "sqlite:///x.db")
    assert (
        Settings.from_environment(database_url="sqlite:///y.db", environment=variables).database_url == "sqlite:///y.db"
    )
    monkeypatch.setenv("TRUED_DATA", str(tmp_path))
    monkeypatch.delenv("TRUED_SECRET", raising=False)
    first, second = (Settings.from_environment(environment={}) for _ in range(2))
    assert first.secret == second.secret, "the one that is kept, so that sessions outlive a restart"
    assert len(first.secret) >= 16
    assert Settings().secret != Settings().secret


def test_the_address_on_this_machine():
    assert Settings(port=81).url == "http://127.0.0.1:81"
    assert Settings("::1", 81).url == "http://[::1]:81"
