"""The catalogue holds exactly the checklist's ids, and refuses what it does not know."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.catalogue import CatalogueError, load_catalogue

IDS = Path(__file__).with_name("checklist_ids.txt").read_text().split()
ITEM = {
    "id": "T-ONE-1", "title": "t", "why": "w", "severity": "high", "phase": "pre", "also": [], "scope": ["app"],
    "how": "h", "cure": "c",
}  # fmt: skip


def write(directory: Path, item: dict[str, object], head: str = 'chapter = "One"') -> Path:
    lines = [f"{key} = {value!r}" for key, value in item.items()]
    (directory / "01_one.toml").write_text("\n".join([head, "[[item]]", *lines]) + "\n")
    return directory


def test_the_ids_are_those_of_the_checklist_in_its_order() -> None:
    assert list(load_catalogue()) == IDS
    assert len(IDS) == 171


def test_titles_are_short_and_each_its_own() -> None:
    titles = [one.title for one in load_catalogue().values()]
    assert max(len(one) for one in titles) <= 80
    assert len(set(titles)) == len(titles)


def test_an_item_is_read_with_its_words(tmp_path: Path) -> None:
    item = load_catalogue(write(tmp_path, {**ITEM, "also": ["post"]}))["T-ONE-1"]
    assert (item.chapter, item.phases, item.scope) == ("One", ("pre", "post"), ("app",))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"titel": "x"}, "unknown key 'titel'"),
        ({"why": " "}, "why is missing, empty"),
        ({"severity": "dire"}, "severity 'dire' is unknown; use critical"),
        ({"phase": "before"}, "phase 'before' is unknown"),
        ({"also": ["pre"]}, "also repeats a phase"),
        ({"also": "post"}, "also is missing or not a list"),
        ({"scope": []}, "scope is empty"),
        ({"scope": ["moon"]}, "scope 'moon' is unknown"),
        ({"id": "one"}, "has not the shape"),
    ],
)
def test_a_wrong_item_is_refused_with_its_place(tmp_path: Path, change: dict[str, object], told: str) -> None:
    with pytest.raises(CatalogueError, match=r"01_one\.toml: item") as refused:
        load_catalogue(write(tmp_path, {**ITEM, **change}))
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("chapter = ", "cannot be read"),
        ('chapter = "One"\nitems = []', "unknown key 'items'"),
        ('chapter = "One"', "needs chapter"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "01_one.toml").write_text(text)
    with pytest.raises(CatalogueError, match=told):
        load_catalogue(tmp_path)


def test_the_same_id_twice_is_refused(tmp_path: Path) -> None:
    write(tmp_path, ITEM)
    (tmp_path / "02_two.toml").write_text((tmp_path / "01_one.toml").read_text())
    with pytest.raises(CatalogueError, match="T-ONE-1 is there twice"):
        load_catalogue(tmp_path)
