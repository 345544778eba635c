"""The dashboard in a real browser, on a real server with a real campaign: every page opened and used."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from automc.latency_tables import load_table, save_table, table_path
from tests.servers import Service
from tests.visits import CHROMIUM, LOOKS, Visit, opened

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine"),
]


@pytest.fixture(scope="module")
def browser():
    with opened() as found:
        yield found


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A server with two tables, and two campaigns that have finished."""
    with Service(tmp_path_factory.mktemp("dashboard")) as found:
        command = [sys.executable, "-P", "-m", "automc.cli", "latency", "measure", "digits", "--minutes", "0.2"]
        subprocess.run([*command, "--networks", "4"], env=found.environment, check=True, capture_output=True)
        (path,) = (found.folder / "home" / "latency_tables").glob("*.yaml")
        table = load_table(path)
        table.device = table.device.model_copy(update={"processor": "another processor", "batch": 2})
        save_table(table, path.parent / table_path(table.device).name)
        for name, budget in (("first", "latency<=70%"), ("second", "macs<=40%")):
            config = {"budget": budget, "evaluations": 3, "finalists": 1, "agent": "random", "seed": 3}
            found.start(name=name, config=config)
        for name in ("first", "second"):
            assert found.await_state(name, "finished", "failed", seconds=300)["state"] == "finished"
        yield found


@pytest.fixture
def visit(browser: Browser, service: Service, request: pytest.FixtureRequest):
    found = Visit(browser, service, getattr(request, "param", "light"))
    yield found
    found.context.close()
    assert found.wrong == []


def tables(service: Service) -> list[str]:
    return [str(one["id"]) for one in service.ask("GET", "/tables").json()]


@pytest.mark.parametrize("visit", LOOKS, indirect=True)
def test_every_page_is_sound_in_every_look(visit: Visit, service: Service):
    first, second = tables(service)
    for path, shown in {
        "/": "table",
        "/campaigns/new": "text=Start the campaign",
        "/devices": "#tables table",
        f"/tables/{first}": "#operators table",
        f"/compare/tables?first={first}&second={second}": "#comparison table",
        "/recipes": "table",
        "/recipes/first": ".units",
        "/compare/recipes?first=first&second=second": ".units",
        "/api": "#reference .op",
        "/login": "input",
    }.items():
        visit.page.goto(path)
        visit.page.locator(shown).first.wait_for()
        visit.sound()
    for details in ("/campaigns/new", "/api"):  # what is folded away, too
        visit.page.goto(details)
        visit.page.locator("details").first.wait_for()
        visit.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        visit.sound()


@pytest.mark.parametrize("visit", LOOKS, indirect=True)
def test_a_finished_campaign_shows_its_result_and_any_policy(visit: Visit):
    page = visit.page
    page.goto("/campaigns/first")
    expect(page.locator("#result tbody tr").first).to_contain_text("original")
    expect(page.locator("#result .plot.js-plotly-plot")).to_be_visible()
    expect(page.locator("#front .point")).not_to_have_count(0)
    page.get_by_role("button", name="Show policy 1 of random").click()
    expect(page.locator("#policy h2")).to_have_text("Policy 1 of random")
    rows = page.locator("#policy tbody tr")
    assert rows.count() > 10
    shown = visit.service.ask("GET", "/campaigns/first/evaluations/random/1").json()
    for unit, choice in shown["evaluation"]["policy"].items():
        if "channels" in choice and shown["evaluation"]["policy"].get(unit.rpartition(".")[0], {}).get("keep", True):
            row = rows.filter(has=page.get_by_role("rowheader", name=re.compile(rf"^{re.escape(unit)}\b")))
            expect(row.first).to_contain_text(str(choice["channels"]))
    visit.sound()
    page.locator("#cost").select_option("macs")
    expect(page.locator("#front")).to_contain_text("MACs")
    page.get_by_role("button", name="best", exact=True).click()
    expect(page.locator("#policy h2")).to_have_text("Policy of best")
    with page.expect_download() as download:
        page.get_by_role("link", name="recipe.yaml").click()
    assert "policy:" in Path(download.value.path()).read_text()


def test_a_mark_of_the_plot_opens_its_policy(visit: Visit):
    page = visit.page
    page.goto("/campaigns/first")
    page.locator("#result .plot.js-plotly-plot").wait_for()
    page.wait_for_timeout(500)  # until it is drawn for the last time
    points = page.locator("#front .point")
    for place in range(points.count()):  # some lie below what was measured, which is no evaluation
        if page.locator("#policy").is_hidden():
            points.nth(place).hover(force=True)
            page.wait_for_timeout(200)
            page.mouse.down()
            page.mouse.up()
            page.wait_for_timeout(500)
    expect(page.locator("#policy h2")).to_contain_text("Policy ")
    assert page.locator("#policy tbody tr").count() > 10


def test_a_campaign_is_started_by_the_form_and_watched(visit: Visit, service: Service):
    page = visit.page
    visit.expected = ("status of 422",)  # browsers log each refused request
    page.goto("/")
    page.get_by_role("link", name="Start a campaign").click()
    page.get_by_label("name", exact=True).fill("by hand")
    page.get_by_label("evaluations", exact=True).fill("0")
    page.get_by_label("agent", exact=True).select_option("random")
    page.get_by_label("Metric", exact=True).select_option("macs")
    page.get_by_label("At most", exact=True).fill("40")
    page.get_by_role("button", name="Start the campaign").click()
    expect(page.locator('[data-field="name"] .wrong')).to_contain_text("pattern")
    page.get_by_label("name", exact=True).fill("by-hand")
    page.get_by_role("button", name="Start the campaign").click()
    expect(page.locator('[data-field="config.evaluations"] .wrong')).to_contain_text("greater than or equal to 1")
    expect(page.get_by_label("evaluations", exact=True)).to_be_focused()
    visit.sound()
    page.get_by_label("evaluations", exact=True).fill("3")
    page.get_by_label("finalists", exact=True).fill("1")
    page.get_by_role("button", name="Add a budget").click()
    page.get_by_label("Metric", exact=True).nth(1).select_option("size")
    page.get_by_label("At most", exact=True).nth(1).fill("900")
    page.get_by_label("Unit", exact=True).nth(1).select_option("kb")
    page.get_by_role("button", name="Start the campaign").dblclick()
    page.wait_for_url("**/campaigns/by-hand")
    made = service.campaign("by-hand")
    assert made["budget"] == ["macs<=40%", "size<=900kb"]
    assert made["config"]["evaluations"] == 3
    assert service.ask("GET", "/campaigns?search=by-hand").json()["total"] == 1
    expect(page.locator("#evaluations tbody tr")).not_to_have_count(0, timeout=120_000)  # while it runs, by events
    expect(page.locator("#state")).to_have_text("finished", timeout=180_000)
    expect(page.locator("#result tbody tr").first).to_be_visible()
    assert page.locator("#evaluations tbody tr").count() == min(service.campaign("by-hand")["evaluations"], 15)


def test_a_campaign_is_paused_resumed_cancelled_and_deleted_by_keyboard(visit: Visit, service: Service):
    name = service.start(name="stopped", config={"budget": "macs<=40%", "evaluations": 2000, "agent": "random"})
    page = visit.page
    page.goto(f"/campaigns/{name}")
    expect(page.locator("#state")).to_have_text("running", timeout=60_000)
    page.get_by_role("button", name="Show policy 0 of random").click(timeout=120_000)
    shown = page.locator("#policy tbody tr")
    expect(shown.first.locator(".track")).to_be_visible()  # a bar, and the original's width beside it
    assert int(shown.first.locator("td").last.inner_text()) > 0

    def press(words: str) -> None:
        page.get_by_role("button", name=words, exact=True).focus()
        page.keyboard.press("Enter")

    press("Pause")
    expect(page.locator("#state")).to_have_text("paused", timeout=90_000)
    press("Resume")
    expect(page.locator("#state")).not_to_have_text("paused")
    press("Cancel")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert service.campaign(name)["state"] != "cancelled"
    press("Cancel")
    visit.sound()
    press("Cancel the campaign")
    expect(page.locator("#state")).to_have_text("cancelled", timeout=90_000)
    press("Delete")
    page.get_by_label("its files, too").check()
    press("Delete it")
    page.wait_for_url(f"{service.url}/")
    assert service.ask("GET", f"/campaigns/{name}").status_code == 404


def test_a_campaign_that_is_not_there_is_told_in_place(visit: Visit):
    visit.expected = ("status of 404",)
    for path in ("/campaigns/none", "/recipes/none", "/tables/none"):
        visit.page.goto(path)
        expect(visit.page.get_by_role("alert")).to_contain_text("no ")


def test_campaigns_are_searched_and_filtered(visit: Visit):
    page = visit.page
    page.goto("/")
    page.get_by_label("Search").fill("first")
    expect(page.locator("#list tbody tr")).to_have_count(1)
    page.locator("select[name=state]").select_option("failed")
    expect(page.locator(".empty")).to_contain_text("No campaign is like that")


def test_a_table_is_browsed_asked_and_compared(visit: Visit, service: Service):
    page, first = visit.page, tables(service)[0]
    page.goto("/devices")
    page.get_by_role("link", name=first).last.click()
    total = page.locator("#pages span")
    expect(total).to_contain_text("1–25 of")
    page.get_by_role("button", name="Next").click()
    expect(total).to_contain_text("26–50 of")
    page.get_by_label("Kind").select_option(index=1)
    expect(total.or_(page.locator("#operators tbody tr").first).first).to_be_visible()
    page.get_by_label("Contains").fill("8x8")
    expect(page.locator("#operators tbody tr").first).to_contain_text("8x8")
    page.locator("#operators button").first.click()
    page.get_by_label("Operators, one a line").press("End")
    page.get_by_label("Operators, one a line").type("\nnonsense")
    page.get_by_role("button", name="Ask", exact=True).first.click()
    answers = page.locator("#answers tbody tr")
    expect(answers).to_have_count(2)
    expect(answers.first).to_contain_text("measured")
    expect(answers.first).to_contain_text("µs")
    expect(answers.nth(1)).to_contain_text("nonsense")
    page.get_by_label("operator by operator").check()
    page.locator("#network button").click()
    expect(page.locator("#answer .tile").first).to_contain_text("µs", timeout=60_000)
    expect(page.locator("#answer tbody tr").first).to_be_visible()
    visit.sound()
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**/compare/tables**")
    expect(page.locator("#comparison")).to_contain_text("another processor")
    expect(page.locator(".tile").first).to_contain_text("1.00×")


def test_two_recipes_are_compared(visit: Visit):
    page = visit.page
    page.goto("/recipes")
    compare = page.get_by_role("button", name=re.compile("^Compare two"))
    expect(compare).to_be_disabled()
    page.get_by_label("Compare first").check()
    page.get_by_label("Compare second").check()
    compare.click()
    expect(page.locator("#comparison")).to_contain_text("Layer by layer")
    expect(page.locator(".units thead")).to_contain_text("first")
    expect(page.locator(".units thead")).to_contain_text("second")


def test_a_theme_that_was_chosen_is_kept_and_plots_follow(visit: Visit):
    page = visit.page
    page.goto("/campaigns/first")
    page.locator("#front .point").first.wait_for()
    ink = "getComputedStyle(document.querySelector('#front .xtick text')).fill"
    light = page.evaluate(ink)
    for name in ("light", "dark"):
        page.locator("#theme").click()
        expect(page.locator("#theme")).to_have_text(f"Theme: {name}")
    assert page.evaluate(ink) != light
    page.goto("/devices")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 21, 28)"


def test_the_keyboard_reaches_everything_and_skips_to_the_content(visit: Visit):
    page = visit.page
    page.goto("/")
    page.locator("table").wait_for()
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Start a campaign")).to_be_focused()


def test_whoever_has_no_session_signs_in_first_and_readers_start_nothing(browser: Browser, tmp_path: Path):
    with Service(tmp_path) as service:
        command = [sys.executable, "-P", "-m", "automc.cli", "token", "create", "ada", "--role", "reader"]
        made = subprocess.run(command, env=service.environment, check=True, capture_output=True, text=True)
        visit = Visit(browser, service)
        visit.expected = ("status of 401",)
        page = visit.page
        page.goto("/recipes")
        page.wait_for_url("**/login")
        visit.sound()
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("token")
        page.get_by_label("Token").fill(made.stdout.strip())
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{service.url}/")
        expect(page.get_by_role("button", name="Sign out ada")).to_be_visible()
        expect(page.get_by_role("link", name="Start a campaign")).to_have_count(0)
        page.goto("/campaigns/new")
        expect(page.get_by_text("Your token is a reader’s")).to_be_visible()
        page.get_by_role("button", name="Sign out ada").click()
        page.wait_for_url("**/login")
        page.goto("/devices")
        page.wait_for_url("**/login")
        visit.context.close()
        assert visit.wrong == []
