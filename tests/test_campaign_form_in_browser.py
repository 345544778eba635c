"""The form that starts a campaign, in a real browser: what it offers, explains and sends."""

import pytest
from playwright.sync_api import expect

from automc.campaigns.config import SearchConfig
from automc.workspace.requests import NOT_ASKED
from tests.servers import Service
from tests.visits import CHROMIUM, Visit, opened

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine"),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with Service(tmp_path_factory.mktemp("form")) as found:
        yield found


@pytest.fixture
def visit(service: Service):
    with opened() as browser:
        found = Visit(browser, service)
        found.page.goto("/campaigns/new")
        found.page.get_by_role("button", name="Start the campaign").wait_for()
        yield found
        assert found.wrong == []


def test_all_that_may_be_asked_for_is_offered_and_explained(visit: Visit):
    for key in SearchConfig.model_fields.keys() - {*NOT_ASKED}:
        fields = visit.page.locator(f'[data-field="config.{key}"], [data-field^="config.{key}."]')
        assert fields.count() > 0, key
    for field in visit.page.locator("details .field").all():
        assert (field.locator(".help").text_content() or "").strip(), field.inner_text()


def test_promotions_are_offered_told_of_and_sent(visit: Visit, service: Service):
    visit.expected = ("status of 422",)  # browsers log each refused request
    page = visit.page
    page.get_by_label("name", exact=True).fill("promoted")
    page.get_by_label("fidelity", exact=True).select_option("few")
    page.get_by_role("button", name="Start the campaign").click()
    wrong = page.locator('[data-field="config.fidelity"] > .wrong')
    expect(wrong).to_contain_text("add a rung")
    add, keep = page.get_by_role("button", name="Add a promotion"), page.get_by_label("how many of each agent’s best")
    add.click()
    add.click()
    expect(add).to_be_disabled()
    keep.nth(1).fill("40")
    page.get_by_role("button", name="Start the campaign").click()
    expect(page.locator('[data-field="config.rungs.1.keep"] .wrong')).to_contain_text("from a rung that has 12")
    expect(keep.nth(1)).to_be_focused()
    expect(wrong).to_be_hidden()
    visit.sound()
    page.get_by_role("button", name="Remove this promotion").first.click()
    keep.fill("4")
    page.get_by_role("button", name="Start the campaign").click()
    page.wait_for_url("**/campaigns/promoted")
    config = service.campaign("promoted")["config"]
    assert config["fidelity"]["search_images"] == 500
    assert [(rung["keep"], rung["fidelity"]["epochs"]) for rung in config["rungs"]] == [(4, 0.5)]
    service.ask("POST", "/campaigns/promoted/cancel")
