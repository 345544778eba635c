"""Whatever is killed, a campaign on a cluster ends with each of its evaluations, once."""

import json
from collections import Counter
from pathlib import Path

import pytest

from automc.campaigns.campaign import Campaign
from automc.campaigns.storage import Storage
from tests.chaos import NAME, VICTIMS, Chaos
from tests.postgres import binaries

pytestmark = pytest.mark.skipif(binaries() is None, reason="PostgreSQL's programs are not installed")


@pytest.mark.parametrize(
    ("evaluations", "seconds", "kills", "between"),
    [
        pytest.param(24, 0.3, 3, (0.1, 0.5)),
        pytest.param(200, 0.8, 24, (0.5, 3.0), marks=[pytest.mark.slow, pytest.mark.timeout(1500)]),
    ],
)
def test_each_evaluation_is_there_once_whatever_was_killed(
    tmp_path: Path, evaluations: int, seconds: float, kills: int, between: tuple[float, float]
) -> None:
    chaos = Chaos(tmp_path, evaluations, seconds)
    try:
        status = chaos.run(kills, between, minutes=20)
        assert status.state == "finished", chaos.log[-3000:]
        assert sum(chaos.killed.values()) == kills and set(chaos.killed) == set(VICTIMS[:kills])
        storage = Storage(chaos.url)
        journal = Campaign(storage, NAME).journal
        done = [one for agent in journal.agents() for one in journal.evaluations(agent)]
        storage.close()
    finally:
        chaos.close()
    rows = Counter((one.agent, one.number) for one in done)
    assert set(rows) == {("uniform", 0)} | {("random", number) for number in range(evaluations - 1)}
    assert set(rows.values()) == {1}  # none lost, none twice
    assert not any(one.error for one in done)
    assert (tmp_path / "out" / "report.html").exists()
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert len(result["evaluations"]) == evaluations
    # nothing but what was under way when somebody was killed was scored again
    again = len((tmp_path / "scored").read_text().splitlines()) - evaluations
    assert 0 <= again <= 4 * kills
