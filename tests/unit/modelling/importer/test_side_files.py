from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx.external_data_helper import convert_model_to_external_data

from appliance.errors import ImportRefused
from appliance.modelling.importer.side_files import join_job, names_job, read_foreign, read_side
from appliance.testing.foreign_network import foreign_network


def split(folder: Path) -> tuple[bytes, bytes]:
    """Write a network with its weights beside it, as PyTorch's exporter does; gives both files."""
    model = onnx.load_model_from_string(foreign_network())
    convert_model_to_external_data(model, location="a.onnx.data", size_threshold=0, convert_attribute=True)
    onnx.save(model, folder / "a.onnx")
    return (folder / "a.onnx").read_bytes(), (folder / "a.onnx.data").read_bytes()


def joined(content: bytes, side: bytes) -> bytes:
    names = names_job({}, [memoryview(content)], lambda _: None)[0]["names"]
    assert names == ["a.onnx.data"]
    _, (whole,) = join_job({"names": names}, [memoryview(content), memoryview(side)], lambda _: None)
    return bytes(whole)


def changed(content: bytes, change: Callable[[onnx.TensorProto], None]) -> bytes:
    model = onnx.load_model_from_string(content)
    change(model.graph.initializer[0])
    return model.SerializeToString()


def test_weights_beside_the_file_are_taken_in(tmp_path: Path) -> None:
    content, side = split(tmp_path)
    found = onnx.load_model_from_string(joined(content, side))
    expected = onnx.load_model_from_string(foreign_network())
    for one, other in zip(found.graph.initializer, expected.graph.initializer, strict=True):
        assert onnx.numpy_helper.to_array(one).tobytes() == onnx.numpy_helper.to_array(other).tobytes()
        assert not one.external_data


def test_both_files_are_read_and_named(tmp_path: Path) -> None:
    content, side = split(tmp_path)
    foreign = read_foreign(tmp_path / "a.onnx")
    assert foreign.names == ("a.onnx", "a.onnx.data")
    assert foreign.bytes_read == content + side
    onnx.checker.check_model(onnx.load_model_from_string(foreign.onnx_bytes))


def test_file_of_its_own_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(foreign_network())
    assert read_foreign(tmp_path / "a.onnx").onnx_bytes == foreign_network()


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "sub/file", "..", "", "a\\b"])
def test_names_of_other_places_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImportRefused, match="expected the plain name of a file beside it"):
        read_side(tmp_path / "a.onnx", name)


def test_links_folders_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "folder").mkdir()
    for name, words in {"link": "can't be read", "nothing": "No such file", "folder": "regular file"}.items():
        with pytest.raises(ImportRefused, match=words):
            read_side(tmp_path / "a.onnx", name)


def test_places_beyond_the_side_file_are_refused(tmp_path: Path) -> None:
    content, side = split(tmp_path)

    def say(key: str, value: str) -> Callable[[onnx.TensorProto], None]:
        def change(tensor: onnx.TensorProto) -> None:
            entry = next((one for one in tensor.external_data if one.key == key), None) or tensor.external_data.add()
            entry.key, entry.value = key, value

        return change

    for change in (say("offset", "99999999"), say("length", "7"), say("offset", "-4"), say("length", "9" * 30)):
        with pytest.raises(ImportRefused, match=r"weight 'w0'"):
            joined(changed(content, change), side)
    with pytest.raises(ImportRefused, match="copy both files again"):
        joined(content, side[:-1])
