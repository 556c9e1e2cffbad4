from pathlib import Path

import pytest

from appliance.delivery.notes import NoteFile
from appliance.errors import TallyError


def written(folder: Path, *notes: dict[str, object], epoch: str = "e1") -> NoteFile:
    file = NoteFile(folder, epoch)
    file.rewrite([])
    for note in notes:
        assert file.append(note)
    return file


def read(folder: Path, epoch: str = "e1") -> list[dict[str, object]]:
    return NoteFile(folder, epoch).load()


def test_notes_outlive_their_writer(tmp_path: Path) -> None:
    file = written(tmp_path, {"note": "a"}, {"note": "b", "text": "größer"})
    assert read(tmp_path) == [{"note": "a"}, {"note": "b", "text": "größer"}]
    file.close()


def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    written(tmp_path, {"note": "a"}, {"note": "b"}).close()
    path = tmp_path / "notes"
    path.write_bytes(path.read_bytes()[:-5])
    assert read(tmp_path) == [{"note": "a"}]
    content = path.read_bytes()
    path.write_bytes(content.replace(b'{"note":"a"}', b'{"note":"x"}'))
    assert read(tmp_path) == []


def test_notes_of_another_life_mean_nothing(tmp_path: Path) -> None:
    written(tmp_path, {"note": "a"}).close()
    assert read(tmp_path, epoch="e2") == []
    (tmp_path / "notes").write_bytes(b"\x00garbage\n")
    assert read(tmp_path) == []


def test_rewriting_keeps_only_what_is_given_and_appending_goes_on_there(tmp_path: Path) -> None:
    file = written(tmp_path, {"note": "a"})
    file.rewrite([{"note": "b"}])
    file.append({"note": "c"})
    file.close()
    assert read(tmp_path) == [{"note": "b"}, {"note": "c"}]


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(TallyError, match="can't be written"):
        NoteFile(tmp_path / "missing", "e1").rewrite([])


def test_a_torn_line_in_the_middle_costs_itself_alone(tmp_path: Path) -> None:
    file = written(tmp_path, {"note": "a"})
    with (tmp_path / "notes").open("ab") as path:
        path.write(b"1234")
    file._is_torn = True  # as after a write for which there was no room
    assert file.append({"note": "b"})
    assert file.append({"note": "c"})
    file.close()
    assert read(tmp_path) == [{"note": "a"}, {"note": "b"}, {"note": "c"}]
