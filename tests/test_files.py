import json

import pytest
import torch

from labkit.files import read_metadata, read_tensors, write_tensors


@pytest.mark.parametrize("kind", ["interrupt", "error"])
def test_save_that_is_broken_off_keeps_the_old_file_and_no_other(tmp_path, monkeypatch, tree, kind):
    path = tmp_path / "weights.safetensors"
    write_tensors(path, {"w": torch.zeros(3)})
    files = tree(tmp_path)
    error = KeyboardInterrupt if kind == "interrupt" else ZeroDivisionError

    def broken(*args):
        raise error

    monkeypatch.setattr("os.fsync", broken)
    with pytest.raises(error):
        write_tensors(path, {"w": torch.ones(3)})
    assert tree(tmp_path) == files


def test_tensors_come_back_with_their_values_types_and_metadata(tmp_path):
    tensors = {
        "strided": torch.arange(12.0).view(3, 4).t(),
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "count": torch.tensor(7),
        "flags": torch.tensor([True, False]),
        "empty": torch.zeros(0),
    }
    write_tensors(tmp_path / "t.safetensors", tensors, {"note": "γ"})
    loaded = read_tensors(tmp_path / "t.safetensors")
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], tensor) and loaded[name].dtype == tensor.dtype
    assert read_metadata(tmp_path / "t.safetensors") == {"note": "γ"}


def test_a_type_of_numbers_that_torch_lacks_is_damage(tmp_path, refused):
    path = tmp_path / "run" / "t.safetensors"
    path.parent.mkdir()
    header = json.dumps({"w": {"dtype": "F8_E8M0", "shape": [2], "data_offsets": [0, 2]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(2))
    with refused(path, "damaged", "F8_E8M0", "delete the folder run"):
        read_tensors(path)
