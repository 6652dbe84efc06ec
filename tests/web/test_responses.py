"""A form leads back to a page of this server and nowhere else."""

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.web.responses import local_path

HERE = "http://127.0.0.1:8000/submit"


@pytest.mark.parametrize("path", ["/", "/papers/3", "/papers/3#comment-4", "/search?q=a%20b&order=new", "/a/../b"])
def test_paths_of_this_server_are_kept(path):
    assert local_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "", "papers/3", "//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example/",
        "javascript:alert(1)", "/a\r\nSet-Cookie: x=1", "/\t/evil.example", "/" + "a" * 2000, "///evil.example",
    ],
)  # fmt: skip
def test_what_leads_elsewhere_is_not_followed(path):
    assert local_path(path, "/default") == "/default"


@given(st.one_of(st.text(), st.text(alphabet="/\\:.@ \t\nax").map(lambda text: "/" + text)))
def test_no_text_leads_to_another_host(path):
    target = urlsplit(urljoin(HERE, local_path(path)))
    assert (target.scheme, target.netloc) == ("http", "127.0.0.1:8000")
