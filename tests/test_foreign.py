"""Files of strangers: what is not to be trusted is refused, and nothing in it is run."""

import io
import json
import os
import pickle
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from tests.test_upstream import weights
from trm_cli.cli.app import app


class Evil:
    """Runs a program when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        import os

        return os.system, (f"touch {self.mark}",)


def evil(path: Path) -> None:
    torch.save({"a.b": Evil(path.with_name("executed"))}, path)


def bare_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Evil(path.with_name("executed"))))


def zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(64 << 20))


def repacked(path: Path, change: Callable[[str, bytes], bytes]) -> None:
    """Rewrite the records of a file of torch.save."""
    buffer = io.BytesIO()
    torch.save({"a.b": torch.ones(64, 64)}, buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))


def short_storage(path: Path) -> None:
    repacked(path, lambda name, content: content[:8] if "data/0" in name else content)


def huge_view(path: Path) -> None:
    torch.save({"a.b": torch.ones(1).expand(1 << 20, 1 << 20)}, path)


def written(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def header(length: int) -> Callable[[Path], None]:
    return written(length.to_bytes(8, "little") + b"{" + bytes(99))


def terabyte(path: Path) -> None:
    text = json.dumps({"a.b": {"dtype": "F32", "shape": [1 << 38], "data_offsets": [0, 1 << 40]}})
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode() + bytes(64))


def overlapping(path: Path) -> None:
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    text = json.dumps({"a.b": entry, "a.c": entry})
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode() + bytes(16))


def truncated(path: Path) -> None:
    torch.save(weights("sudoku-mlp"), path)
    path.write_bytes(path.read_bytes()[:-2000])


def holding(value: float, kind: torch.dtype = torch.float32) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        tensors = {name: tensor.to(kind) for name, tensor in weights("sudoku-mlp").items()}
        tensors["H_init"][0] = value
        torch.save(tensors, path)

    return save


def sparse(path: Path) -> None:
    torch.save({"a.b": torch.eye(3).to_sparse()}, path)


def pickled(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        repacked(path, lambda name, old: content if name.endswith(".pkl") else old)

    return write


NUMBERS = b"]q\x01(" + b"".join(b"M" + number.to_bytes(2, "little") for number in range(1 << 16)) + b"e"
TEXT = b"X" + (1 << 20).to_bytes(4, "little") + b"a" * (1 << 20) + b"q\x01"
COPIES = b"\x80\x02(ccollections\nCounter\nq\x00" + NUMBERS + b"h\x00h\x01\x85R" * 200 + b"t."
CODED = b"\x80\x02(c_codecs\nencode\nq\x00" + TEXT + b"h\x00h\x01\x85R" * 400 + b"t."


def many_records(path: Path) -> None:
    """The list of one record again and again."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a" * 100, b"")
    content = path.read_bytes()
    first = content.index(b"PK\x01\x02")
    entry, end = content[first:-22], content[-22:]
    listed = entry * 120_000
    path.write_bytes(content[:first] + listed + end[:12] + len(listed).to_bytes(4, "little") + end[16:])


def sparse_file(size: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.touch()
        os.truncate(path, size)

    return write


def sparse_weights(path: Path) -> None:
    """Five gigabytes of zeros under the right name."""
    shape = [11, 120_000_000]
    entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * shape[0] * shape[1]]}
    text = json.dumps({"embed_tokens.embedding_weight": entry}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, 8 + len(text) + 4 * shape[0] * shape[1])


class Large:
    """Asks for 16 GB when it is unpickled, through a name that torch itself allows."""

    def __reduce__(self) -> tuple[type[bytearray], tuple[int]]:
        return bytearray, (1 << 34,)


def escape(path: Path) -> None:
    save_file({"\x1b[2Ja": torch.ones(3).int()}, path)


def meta(path: Path) -> None:
    torch.save({"a.b": torch.empty(1 << 20, 1 << 20, device="meta")}, path)


ATTACKS: dict[str, tuple[Callable[[Path], None], str]] = {
    "malicious pickle": (evil, "which is no weight: it may run programs or fill the memory"),
    "bare pickle": (bare_pickle, "a bare pickle, which may run programs"),
    "zip bomb": (zip_bomb, "torch.save packs nothing"),
    "short storage": (short_storage, "damaged"),
    "1 TB view": (huge_view, "would take"),
    "no storage": (meta, "which is no weight"),
    "2 GB header": (header(2 << 30), "a header of 2,147,483,648 bytes"),
    "1 TB tensor": (terabyte, "damaged"),
    "truncated": (truncated, "damaged"),
    "overlapping": (overlapping, "damaged"),
    "float64": (holding(1e300, torch.float64), "holds values that are no numbers"),
    "integers": (lambda path: torch.save({"a.b": torch.ones(3).int()}, path), "no plain tensor"),
    "sparse": (sparse, "_rebuild_sparse_tensor, which is no weight"),
    "large object": (lambda path: torch.save({"a.b": Large()}, path), "bytearray, which is no weight"),
    "escape sequence": (escape, "x1b"),
    "nan": (holding(float("nan")), "holds values that are no numbers"),
    "empty": (written(b""), "no weights"),
    "text": (written(b"hello world, here I am"), "no weights"),
    "list": (lambda path: torch.save([1, 2], path), "holds no dictionary of tensors"),
    "mixed": (lambda path: torch.save({"a.b": torch.ones(1), "c": 1}, path), "no named tensor"),
    "copies": (pickled(COPIES), "its pickle copies too much"),
    "coded text": (pickled(CODED), "its pickle copies too much"),
    "called by no right": (pickled(b"\x80\x02ctorch\nFloatStorage\nK\x01\x85R."), "damaged"),
    "unknown operation": (pickled(b"\x80\x04\x8c\x01a\x94."), "its pickle holds more than weights"),
    "no records": (written(b"PK\x03\x04" + bytes(99)), "damaged"),
    "many records": (many_records, "damaged"),
    "zeros": (sparse_file(1 << 20), "no weights"),
    "terabyte": (sparse_file(1 << 40), "larger than 16 GB"),
    "sparse weights": (sparse_weights, "has 1,320,000,000 weights"),
    "deep": (lambda path: torch.save({"model": {"model": {"model": {}}}}, path), "no dictionary"),
}


@pytest.mark.parametrize("command", ["models convert {} -o ours", "solve sudoku ....21.....4.4.1 -m {}"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_what_is_no_file_is_not_opened(
    make: Callable[[Path], None], command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path("weights"))
    done = CliRunner().invoke(app, command.format("weights").split())
    said = "trm: weights: a device or a pipe, not a file; give a file of weights\n"
    assert (done.exit_code, done.stderr) == (3, said)


MOST_MEMORY = 200_000  # kilobytes that a refused file may cost


@pytest.mark.parametrize(("attack", "message"), ATTACKS.values(), ids=ATTACKS.keys())
def test_a_file_that_is_not_to_be_trusted_is_refused_in_one_line(
    attack: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights"
    attack(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes
    done = CliRunner().invoke(app, ["models", "convert", str(path), "-o", str(tmp_path / "ours")])
    assert (done.exit_code, done.stdout) == (3, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.strip().isprintable()
    assert [file.name for file in tmp_path.iterdir()] == ["weights"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY
