import re

from trued.lab.report import Report, write_report
from trued.web.static_files import static


def test_an_address_that_names_the_content_may_be_kept_for_good(owner):
    answer = owner.get(static("page.css"))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in answer.headers["cache-control"]


def test_other_addresses_are_asked_about_again(owner):
    for address in ("/static/page.js", "/static/page.js?v=old"):
        answer = owner.get(address)
        assert answer.headers["cache-control"] == "no-cache"
        again = owner.get(address, headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_the_page_has_the_style_of_a_report(owner, tmp_path):
    style = owner.get(static("report.css")).text
    assert style.strip() in write_report(tmp_path / "report.html", Report("A report", [])).read_text()


def test_only_its_own_files_are_sent(owner):
    for name in ("..%2Fapp.py", "%2e%2e%2fapp.py", "nothing.css", "page.css/"):
        assert owner.get(f"/static/{name}").status_code in (307, 404)


def test_the_icon_is_found_where_browsers_look(owner):
    answer = owner.get("/favicon.ico", follow_redirects=True)
    assert answer.headers["content-type"].startswith("image/svg+xml")


def test_every_address_in_the_pages_frame_is_there(owner):
    for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', owner.get("/").text):
        assert owner.get(address).status_code == 200, address
