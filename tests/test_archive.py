"""A campaign travels in one file, whole or not at all, and nothing of the file is executed."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automc.campaigns.archive import export_campaign, import_campaign
from automc.campaigns.campaign import Campaign
from automc.campaigns.evaluated import Evaluated
from automc.campaigns.storage import Storage, sqlite_url
from automc.campaigns.studies import names
from automc.campaigns.units_file import FILE as UNITS
from automc.cli.campaign_files import export, import_
from automc.costs import Cost
from automc.errors import ConfigError
from automc.search_spaces import Choice, Policy
from tests import storages
from tests.archives import RESULTS, finished
from tests.storages import ABOUT, add, evaluated


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(sqlite_url(tmp_path / "campaigns.db"))


@pytest.mark.parametrize("kind", storages.KINDS)
def test_what_is_imported_is_what_was_exported(
    storage: Storage, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    campaign, file = finished(storage, tmp_path / "out"), tmp_path / "there.automc"
    export_campaign(campaign, file)
    (tmp_path / "other").mkdir()
    url = storages.storage_url(kind, request, tmp_path / "other")
    import_campaign(Storage(url), file, "here", tmp_path / "new")
    seen = Campaign(Storage(url), "here")
    assert sorted(seen.journal.agents()) == ["random", "tpe"]
    for agent in ("random", "tpe"):
        assert seen.journal.evaluations(agent) == campaign.journal.evaluations(agent)
        assert seen.journal.begun(agent) == campaign.journal.begun(agent)
        assert seen.journal.entries(agent) == campaign.journal.entries(agent)
    before, after = campaign.status().model_dump(), seen.status().model_dump()
    for key in before.keys() - {"name", "record"}:
        assert after[key] == before[key], key
    assert seen.record.config == campaign.record.config
    assert (seen.record.folder, seen.record.source) == (Path.cwd(), None)
    assert seen.digest == campaign.digest
    assert seen.begin(ABOUT, True, 10, 1) == 1
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [*RESULTS, UNITS]
    assert "alert(1)" not in (tmp_path / "new" / "report.html").read_text()
    for name in set(RESULTS) - {"report.html"}:
        assert (tmp_path / "new" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_a_campaign_that_runs_is_paused_where_it_is_imported(storage: Storage, tmp_path: Path) -> None:
    campaign = storages.begun(storage, "running")
    session = campaign.drive()
    add(campaign, evaluated(0))
    export_campaign(campaign, tmp_path / "file")
    session.close()
    seen = import_campaign(storage, tmp_path / "file", "copy")
    assert (seen.status().state, seen.status().driver) == ("paused", None)
    assert seen.journal.evaluations("random") == [evaluated(0)]
    assert not Path("runs/copy").exists()


_texts = st.text(max_size=20).filter(lambda text: text.encode(errors="ignore").decode() == text)
_evaluations = st.builds(
    Evaluated,
    agent=st.sampled_from(["random", "tpe", "a.b-c_D"]),
    number=st.integers(0, 5),
    policy=st.builds(
        Policy, st.dictionaries(_texts.filter(bool), st.builds(Choice, st.integers(1, 99)), min_size=1, max_size=3)
    ),
    score=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    predicted=st.builds(Cost, *[st.floats(0, 1e12)] * 4),
    seconds=st.floats(0, 1e6),
    extra=st.booleans(),
    error=st.none() | _texts,
    worker=_texts,
    versions=st.dictionaries(_texts, _texts, max_size=2),
)


@settings(max_examples=10)
@given(rows=st.lists(_evaluations, max_size=4, unique_by=lambda done: (done.agent, done.number)))
def test_any_evaluations_come_back(rows: list[Evaluated], tmp_path_factory: pytest.TempPathFactory) -> None:
    tmp_path = tmp_path_factory.getbasetemp()
    storage = _shared(tmp_path)
    campaign = storages.make(storage, "any")
    try:
        for done in rows:
            add(campaign, done)
        export_campaign(campaign, tmp_path / "any.automc")
        seen = import_campaign(storage, tmp_path / "any.automc", "copy")
        for agent in campaign.journal.agents():
            assert seen.journal.evaluations(agent) == sorted(
                (done for done in rows if done.agent == agent), key=lambda done: done.number
            )
        assert seen.journal.agents() == campaign.journal.agents()
        seen.delete()
    finally:
        campaign.delete()


_opened: dict[Path, Storage] = {}


def _shared(folder: Path) -> Storage:
    if folder not in _opened:
        _opened[folder] = Storage(sqlite_url(folder / "any.db"))
    return _opened[folder]


Members = dict[str, bytes]


def _changed(name: str, change: Callable[[Any], Any]) -> Callable[[Members], None]:
    """Changes a member's JSON; of the evaluations, the first."""

    def edit(members: Members) -> None:
        first, end, rest = members[name].partition(b"\n") if name.endswith("l") else (members[name], b"", b"")
        data = json.loads(first)
        change(data)
        members[name] = json.dumps(data).encode() + end + rest

    return edit


def _put(name: str, data: bytes) -> Callable[[Members], None]:
    return lambda members: members.update({name: data})


def _without(name: str) -> Callable[[Members], None]:
    def edit(members: Members) -> None:
        del members[name]

    return edit


def _external(members: Members) -> None:
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    graph = onnx.helper.make_graph([], "g", [], [], [tensor])
    members["model.onnx"] = onnx.helper.make_model(graph).SerializeToString()


BAD: dict[str, tuple[Callable[[Members], None], str]] = {
    "a path that leads out": (_put("../evil.py", b"x"), "no part of a campaign"),
    "an absolute path": (_put("/etc/evil", b"x"), "no part of a campaign"),
    "a pickle": (_put("model.pt", b"cos\nsystem\n"), "no part of a campaign"),
    "a program": (_put("model.pt2", b"x"), "no part of a campaign"),
    "no campaign": (_without("campaign.json"), "no campaign that automc exported"),
    "no evaluations": (_without("evaluations.jsonl"), "no campaign that automc exported"),
    "no JSON": (_put("campaign.json", b"{"), "damaged: campaign.json"),
    "deep JSON": (_put("campaign.json", b"[" * 100_000), "damaged: campaign.json"),
    "a newer version": (_changed("campaign.json", lambda data: data.update(version=2)), "version 2 is newer"),
    "an unknown key": (_changed("campaign.json", lambda data: data.update(code="x")), "code: Extra inputs"),
    "a name with a path": (_changed("campaign.json", lambda data: data.update(name="../x")), "cannot name a campaign"),
    "an agent with a path": (_changed("evaluations.jsonl", lambda data: data.update(agent="../x")), "agent"),
    "a policy of nothing": (_changed("evaluations.jsonl", lambda data: data.update(policy={"a": {"b": 1}})), "damaged"),
    "another's number": (_changed("evaluations.jsonl", lambda data: data.update(number=7)), "contradicts itself"),
    "one evaluation less": (
        lambda members: members.update({"evaluations.jsonl": members["evaluations.jsonl"].partition(b"\n")[2]}),
        "has not the evaluations that there should be",
    ),
    "one evaluation twice": (
        lambda members: members.update({"evaluations.jsonl": members["evaluations.jsonl"] * 2}),
        "contradicts itself",
    ),
    "a line without an end": (_put("evaluations.jsonl", b"x" * 100), "a line without an end"),
    "a model with external data": (_external, "external data"),
    "no model": (_put("model.onnx", b"\x80\x04cos\nsystem"), "damaged: its results"),
    "other weights": (_put("model.safetensors", b"x"), "the weights are not the recipe's"),
    "a recipe with a tag": (_put("recipe.yaml", b"!!python/object/apply:os.system ['true']"), "damaged: its results"),
    "figures of another form": (_changed("result.json", lambda data: data.update(rows=3)), "damaged: its results"),
    "a bomb": (_put("result.json", b" " * (1 << 24)), "too many"),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    storage = Storage(sqlite_url(folder / "campaigns.db"))
    export_campaign(finished(storage, folder / "out"), folder / "file")
    storage.close()
    return folder / "file"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """A storage that stays empty: whatever is imported into it is refused."""
    return Storage(sqlite_url(tmp_path_factory.mktemp("empty") / "campaigns.db"))


def refused(storage: Storage, file: Path, out: Path) -> str:
    """Imports a file that is to be refused, after which there is nothing; returns the line."""
    with pytest.raises(ConfigError) as error:
        import_campaign(storage, file, None, out)
    assert "\n" not in str(error.value)
    assert names(storage) == []
    assert storage.optuna.get_all_studies() == []
    assert not out.exists() or not list(out.iterdir())
    return str(error.value)


@pytest.mark.parametrize("what", BAD)
def test_what_is_not_as_it_should_be_is_refused(what: str, exported: Path, empty: Storage, tmp_path: Path) -> None:
    edit, message = BAD[what]
    with zipfile.ZipFile(exported) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    edit(members)
    with zipfile.ZipFile(tmp_path / "file", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    assert message in refused(empty, tmp_path / "file", tmp_path / "new")


def test_links_other_packings_and_two_of_one_name_are_refused(exported: Path, empty: Storage, tmp_path: Path) -> None:
    with zipfile.ZipFile(exported) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def write(name: str, data: bytes, packing: int = zipfile.ZIP_DEFLATED, mode: int = 0o100644) -> Path:
        file = tmp_path / "file"
        with zipfile.ZipFile(file, "w") as archive:
            for other in members.keys() - {name}:
                archive.writestr(other, members[other])
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, packing
            archive.writestr(info, data)
        return file

    assert "no plain file" in refused(empty, write("result.json", b"/etc/passwd", mode=0o120777), tmp_path / "new")
    assert "packed or encrypted" in refused(
        empty, write("result.json", members["result.json"], zipfile.ZIP_LZMA), tmp_path / "new"
    )
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "file", "a") as archive:
        archive.writestr("campaign.json", members["campaign.json"])
    assert "no campaign that automc exported" in refused(empty, tmp_path / "file", tmp_path / "new")


def test_damage_anywhere_is_found(exported: Path, empty: Storage, tmp_path: Path) -> None:
    whole, file = exported.read_bytes(), tmp_path / "file"
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        assert "damaged, or no campaign" in refused(empty, file, tmp_path / "new")
    at = zipfile.ZipFile(exported).getinfo("evaluations.jsonl").header_offset + 80
    file.write_bytes(whole[:at] + struct.pack("B", whole[at] ^ 255) + whole[at + 1 :])
    assert "damaged" in refused(empty, file, tmp_path / "new")
    assert "no such file" in refused(empty, tmp_path / "none", tmp_path / "new")


def test_nothing_that_is_there_is_replaced(exported: Path, storage: Storage, tmp_path: Path) -> None:
    import_campaign(storage, exported, None, tmp_path / "one")
    with pytest.raises(ConfigError, match="there is a campaign there"):
        import_campaign(storage, exported, None, tmp_path / "two")
    assert not (tmp_path / "two").exists() or not list((tmp_path / "two").iterdir())
    with pytest.raises(ConfigError, match=r"exists already; choose another folder for the results: --out"):
        import_campaign(storage, exported, "other", tmp_path / "one")
    assert names(storage) == ["there"]


def test_what_somebody_left_who_was_killed_is_not_taken_along(
    exported: Path, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(storage.optuna, "delete_study", lambda study: None)  # as if it had no time
        patch.setattr("automc.campaigns.archive._place", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            import_campaign(storage, exported, "left", tmp_path / "new")
    assert names(storage) == []
    campaign = storages.begun(storage, "left")
    assert campaign.status().evaluations == 0
    assert campaign.journal.agents() == []


def test_another_programs_study_is_left_alone(storage: Storage) -> None:
    import optuna

    optuna.create_study(storage=storage.optuna, study_name="theirs")
    with pytest.raises(ConfigError, match="choose another name"):
        storages.make(storage, "theirs")
    assert [study.study_name for study in storage.optuna.get_all_studies()] == ["theirs"]


def test_the_commands_take_a_campaign_from_one_storage_to_another(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    import_(exported, storage="campaigns.db")
    assert "there: 5 evaluations, finished" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "runs" / "there").iterdir()) == [*RESULTS, UNITS]
    export("there", tmp_path / "again", storage="campaigns.db")
    import_(tmp_path / "again", "copy", storage="other.db")
    assert "copy: 5 evaluations, finished" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="no such file"):
        export("there", tmp_path / "again", storage="none.db")
