"""The dashboard's pages and what they load, without a browser."""

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from automc.campaigns.storage import Storage, sqlite_url
from automc.service import dashboard
from automc.service.app import make_app
from automc.service.dashboard import assets
from automc.workspace import LocalWorkspace, Registry

FOLDER = Path(dashboard.__file__).parent
SCRIPTS = sorted((FOLDER / "static").glob("*.js"))
PAGES = [
    "/", "/campaigns/new", "/campaigns/first", "/campaigns/new/", "/devices", "/tables/some", "/compare/tables",
    "/recipes", "/recipes/first", "/compare/recipes", "/api", "/login", "/login?failed=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dashboard")
    with LocalWorkspace(Storage(sqlite_url(folder / "none.db")), folder, Registry(), served=True) as workspace:
        yield TestClient(make_app(workspace), "http://127.0.0.1:8000")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_answers_and_all_that_it_loads_is_there(client: TestClient, path: str):
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    loaded = re.findall(r'(?:src|href)="(/static/[^"]*)"', answer.text)
    assert len(loaded) >= 5
    for one in loaded:
        assert client.get(one).status_code == 200, one
    assert "<h1>" in answer.text
    assert 'lang="en"' in answer.text


@pytest.mark.parametrize("path", PAGES)
def test_a_page_names_no_other_place_and_has_no_script_of_its_own(client: TestClient, path: str):
    text = client.get(path).text
    assert not re.search(r"(?:https?:)?//[a-z]", text.replace("http://host:port", ""))  # a device's help says so
    assert all(re.search(r'src="/static/', tag) for tag in re.findall(r"<script[^>]*>", text))
    assert not re.search(r"<script[^>]*>[^<]", text)
    assert not re.search(r"\son[a-z]+=", text)


def test_a_failed_login_is_told_where_the_token_is_asked_for(client: TestClient):
    assert "not known" not in client.get("/login").text
    assert "not known" in client.get("/login?failed=1").text


def test_a_name_comes_into_a_page_as_text(client: TestClient):
    text = client.get("/campaigns/%3Cimg%20src=x%3E%22").text
    assert "<img src=x>" not in text
    assert "&lt;img src=x&gt;&#34;" in text


def test_what_pages_load_is_kept_by_browsers_for_good(client: TestClient):
    for name in ("plotly.min.js", "base.css", "campaigns.js", "icon.svg"):
        answer = client.get(f"{assets.BASE}/{name}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        again = client.get(f"{assets.BASE}/{name}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_plotly_is_packed(client: TestClient):
    packed = client.get(f"{assets.BASE}/plotly.min.js", headers={"Accept-Encoding": "gzip"})
    plain = client.get(f"{assets.BASE}/plotly.min.js", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content
    assert b"plotly.js v" in plain.content[:200]


@pytest.mark.parametrize(
    "path", ["../pages.py", "%2e%2e/pages.py", "..%2fpages.py", "", "none.js", "datasets/iris.csv.gz"]
)
def test_nothing_else_is_served(client: TestClient, path: str):
    answer = client.get(f"{assets.BASE}/{path}")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_puts_nothing_in_as_markup_and_imports_what_is_there(script: Path):
    text = script.read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://", text
    )
    for module, names in re.findall(r'^import \{ ([^}]*) \} from "\./([^"]*)";', text, re.MULTILINE):
        exported = (FOLDER / "static" / names).read_text()
        for name in module.split(", "):
            word = rf"(?<![\w$]){re.escape(name)}(?![\w$])"
            assert re.search(rf"^export (?:async )?(?:function|const|class) {word}", exported, re.MULTILINE), name
            assert len(re.findall(word, text)) > 1, f"{name} is imported for nothing"


def test_a_browser_is_told_on_a_page_that_there_is_none_and_a_program_as_ever(client: TestClient):
    page = client.get("/nowhere", headers={"Accept": "text/html,*/*"})
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no such page" in page.text
    for path, accepts in (("/nowhere", "*/*"), ("/api/v1/nowhere", "text/html")):
        answer = client.get(path, headers={"Accept": accepts})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
