"""Public addresses and no others, however an address is written."""

from __future__ import annotations

import socket
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.errors import InputError
from trued.feed.http import guard
from trued.feed.http.guard import addresses, is_public, is_public_name, transport, web_address


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1",
        "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
        "not an address", "",
    ],
)  # fmt: skip
def test_no_private_address_is_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "151.101.1.42", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_a_public_address_is(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=4, network="127.0.0.0/8"))
def test_wrapping_makes_no_address_public(address: Any) -> None:
    assert not is_public(str(address))
    assert not is_public(f"::ffff:{address}")
    assert not is_public(f"64:ff9b::{address}")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "a.localhost", "printer.local", "db.internal", "intranet", "127.0.0.1", "::1"]
)
def test_names_of_this_network_are_known(host: str) -> None:
    assert not is_public_name(host)


@pytest.mark.parametrize(
    "url", ["http://2130706433/", "http://0x7f.1/", "http://127.1/", "http://[::1]:80/", "http://0/"]
)
def test_other_spellings_of_this_machine_are_refused(url: str) -> None:
    with pytest.raises((InputError, httpx2.ConnectError)) as caught:
        addresses(httpx2.URL(url))
    assert "no public address" in str(caught.value) or "not known" in str(caught.value)


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve(monkeypatch, "1.1.1.1", "10.0.0.7")

    with pytest.raises(InputError, match=r"papers\.example leads to 10\.0\.0\.7, which is no public address"):
        addresses(httpx2.URL("https://papers.example/a"))
    assert addresses(httpx2.URL("https://papers.example/a"), private=True) == ["1.1.1.1", "10.0.0.7"]


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is public when checked and private when connected to leads to the first of both."""
    _resolve(monkeypatch, "1.1.1.1")
    sent: list[httpx2.Request] = []

    def handle(self: httpx2.HTTPTransport, request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        if len(sent) == 1:
            raise httpx2.ConnectError("refused")
        return httpx2.Response(200)

    monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", handle)
    monkeypatch.setattr(guard, "getproxies", dict)
    _resolve(monkeypatch, "1.1.1.1", "2606:4700::1111")
    url = httpx2.URL("https://papers.example/a?b=1")
    with httpx2.Client(transport=transport(url), trust_env=False) as client:
        assert client.get(url).status_code == 200

    assert [str(request.url) for request in sent] == ["https://1.1.1.1/a?b=1", "https://[2606:4700::1111]/a?b=1"]
    assert {request.headers["Host"] for request in sent} == {"papers.example"}
    assert {request.extensions["sni_hostname"] for request in sent} == {"papers.example"}


def test_a_proxy_is_used_and_still_no_local_name_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "getproxies", lambda: {"https": "proxy.example:3128", "all": "http://other:1"})
    monkeypatch.setattr(guard, "proxy_bypass", lambda host: host == "direct.example")
    _resolve(monkeypatch, "1.1.1.1")

    assert isinstance(transport(httpx2.URL("https://papers.example/")), httpx2.HTTPTransport)
    assert not isinstance(transport(httpx2.URL("https://direct.example/")), httpx2.HTTPTransport)
    assert not isinstance(transport(httpx2.URL("http://127.0.0.1:9/"), private=True), httpx2.HTTPTransport)
    for url in ("http://localhost/", "http://169.254.169.254/latest", "http://db.internal/"):
        with pytest.raises(InputError, match="no public address"):
            transport(httpx2.URL(url))
    _resolve(monkeypatch, "10.0.0.1")
    with pytest.raises(InputError, match=r"leads to 10\.0\.0\.1"):
        transport(httpx2.URL("https://papers.example/"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://example.org/a", "only http and https"),
        ("file:///etc/passwd", "only http and https"),
        ("javascript:alert(1)", "only http and https"),
        ("example.org/a", "only http and https"),
        ("http://", "only http and https"),
        ("http://user:pw@example.org/", "carries a name or password"),
        ("http://[::1", "is no address"),
        ("http://a:99999999/", "is no address"),
    ],
)
def test_what_is_no_web_address_is_told(url: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        web_address(url)


def _resolve(monkeypatch: pytest.MonkeyPatch, *found: str) -> None:
    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(guard.socket, "getaddrinfo", lookup)
