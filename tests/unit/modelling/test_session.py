from pathlib import Path

import numpy as np
import onnx
import pytest

from appliance.errors import ModelContractMismatch, ModelError
from appliance.modelling import ModelBundle
from appliance.modelling.session import ModelSession, default_threads
from appliance.testing.tiny_detector import write_tiny_bundle

CPU = "CPUExecutionProvider"


def with_network(bundle: ModelBundle, onnx_bytes: bytes) -> ModelBundle:
    """A bundle whose contract no longer fits its network."""
    other = bundle.model_copy()
    object.__setattr__(other, "__pydantic_private__", {"_contents": {"model.onnx": onnx_bytes}})
    return other


def noise(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 1, height, width), np.uint8)


def test_batch_of_any_size_gives_one_row_a_frame(tmp_path: Path) -> None:
    session = ModelSession(write_tiny_bundle(tmp_path / "tiny"), provider=CPU, max_batch=4)
    for size in (1, 3, 4, 2):
        (output,) = session.run(noise(size))
        assert output.shape == (size, 6, 12)
        cells = noise(size).reshape(size, 3, 16, 4, 16).mean(axis=(2, 4)).reshape(size, 12)
        assert output[:, 4] == pytest.approx(cells / 255, rel=1e-5)


def test_outputs_of_one_run_survive_the_next(tmp_path: Path) -> None:
    session = ModelSession(write_tiny_bundle(tmp_path / "tiny"), provider=CPU, max_batch=2)
    (first,) = session.run(noise(2))
    kept = first.copy()
    session.run(np.zeros_like(noise(2)))
    session.run(np.full_like(noise(1), 200))
    assert np.array_equal(first, kept)


def test_network_reads_the_very_memory_of_the_batch(tmp_path: Path) -> None:
    session = ModelSession(write_tiny_bundle(tmp_path / "tiny"), provider=CPU, max_batch=4)
    memory = noise(8)
    batch = memory[2:5]
    batch.flags.writeable = False
    session._bind(batch)
    before = session._run_bound()[0].copy()
    memory[:] = 51
    (after,) = session._run_bound()  # bound to the memory, not to a copy: it sees the new pixels without binding again
    assert not np.allclose(before[:, 4], 0.2)
    assert after[:, 4] == pytest.approx(0.2)


def test_warm_up_times_every_batch_size(tmp_path: Path) -> None:
    session = ModelSession(write_tiny_bundle(tmp_path / "tiny"), provider=CPU, max_batch=3)
    timed = dict(session.warm_up())
    assert list(timed) == [1, 2, 3]
    assert min(timed.values()) > 0


def test_threads_are_fixed_and_leave_a_core_free(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "tiny")
    assert ModelSession(bundle, provider=CPU).threads == default_threads() >= 1
    assert ModelSession(bundle, provider=CPU, threads=3).threads == 3
    options = ModelSession(bundle, provider=CPU, threads=3)._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_provider_that_is_not_there_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"CUDAExecutionProvider is not in this onnxruntime .*set inspector"):
        ModelSession(write_tiny_bundle(tmp_path / "tiny"), provider="CUDAExecutionProvider")


def test_failing_run_is_a_model_error_and_the_next_one_works(tmp_path: Path) -> None:
    session = ModelSession(write_tiny_bundle(tmp_path / "tiny", fails_on_white=True), provider=CPU, max_batch=2)
    white = noise(2)
    white[1, 0, 0, 0] = 255
    with pytest.raises(ModelError, match="session run of 2 frames failed"):
        session.run(white)
    assert len(session.run(noise(2))[0]) == 2


def test_batch_of_another_shape_or_type_is_refused(tmp_path: Path) -> None:
    session = ModelSession(write_tiny_bundle(tmp_path / "tiny"), provider=CPU, max_batch=4)
    for batch in (noise(1, width=80), noise(1).astype(np.float32), noise(4)[:, :, ::-1]):
        with pytest.raises(ModelContractMismatch, match=r"expected a contiguous uint8 batch \(N, 1, 48, 64\), got"):
            session.run(batch)


def test_bytes_that_are_no_network_are_refused_in_one_line(tmp_path: Path) -> None:
    bundle = with_network(write_tiny_bundle(tmp_path / "tiny"), b"not an onnx file")
    with pytest.raises(ModelError, match=r"model tiny: ONNX Runtime .* refuses model.onnx") as refusal:
        ModelSession(bundle, provider=CPU)
    assert "\n" not in str(refusal.value)


def test_network_of_another_input_size_is_refused(tmp_path: Path) -> None:
    other = write_tiny_bundle(tmp_path / "other", width=80)
    bundle = with_network(write_tiny_bundle(tmp_path / "tiny"), other.onnx_bytes)
    with pytest.raises(
        ModelContractMismatch, match=r"expected one input 'images' tensor\(uint8\) \(N, 1, 48, 64\), got"
    ):
        ModelSession(bundle, provider=CPU)


def test_network_of_other_outputs_is_refused(tmp_path: Path) -> None:
    network = onnx.load_from_string(write_tiny_bundle(tmp_path / "other").onnx_bytes)
    network.graph.node[-1].output[0] = network.graph.output[0].name = "places"
    bundle = with_network(write_tiny_bundle(tmp_path / "tiny"), network.SerializeToString())
    with pytest.raises(ModelContractMismatch, match=r"expected outputs 'candidates' .* got 'places'"):
        ModelSession(bundle, provider=CPU)


def test_network_of_another_batch_size_than_its_contract_says_is_refused(tmp_path: Path) -> None:
    other = write_tiny_bundle(tmp_path / "other", fixed_batch=2)
    bundle = with_network(write_tiny_bundle(tmp_path / "tiny"), other.onnx_bytes)
    with pytest.raises(ModelContractMismatch, match=r"model.toml says batch free, the network has 2"):
        ModelSession(bundle, provider=CPU)


@pytest.mark.parametrize("fixed_batch", [1, 2, 3])
def test_network_of_fixed_batch_gives_the_same_rows_as_a_free_one(tmp_path: Path, fixed_batch: int) -> None:
    free = ModelSession(write_tiny_bundle(tmp_path / "free"), provider=CPU, max_batch=4)
    fixed = ModelSession(write_tiny_bundle(tmp_path / "fixed", fixed_batch=fixed_batch), provider=CPU, max_batch=4)
    for size in (1, 2, 3, 4):
        assert np.array_equal(fixed.run(noise(size))[0], free.run(noise(size))[0])


def test_refused_network_is_not_tried_again_in_another_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_tiny_bundle(tmp_path / "tiny")
    damaged = with_network(bundle, bundle.onnx_bytes.replace(b"AveragePool", b"Average\xf4ool"))
    with pytest.raises(ModelError, match=r"refuses model\.onnx"):
        ModelSession(damaged, provider=CPU)
    assert capsys.readouterr().out == ""
