"""The data sets that papers report, on tiny files in the published layouts."""

import hashlib
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from devae_jax import data
from devae_jax.data import published
from devae_jax.data.known import File, OtherDataError, verify_all
from devae_jax.data.published import pack
from tests.data import layouts
from tests.launch.commands import call

SMALL = {  # name -> (what writes its files, factors)
    "mpi3d_toy": (layouts.mpi3d, (3, 2, 2, 2, 2, 2, 3)),
    "cars3d": (layouts.cars3d, (2, 3, 4)),
    "smallnorb": (layouts.smallnorb, (2, 4, 2, 3, 2)),
    "falcor3d": (layouts.numbered, (2, 2, 2, 2, 2, 3, 2)),
    "3dident": (layouts.ident3d, (0,) * 10),
    "causal3dident": (layouts.causal3dident, (3, *(0,) * 10)),
    "celeba": (layouts.celeba, (2,) * 40),
    "sprites": (layouts.sprites, (2, 2, 2, 2, 3, 3, 2)),
    "msd_sprites": (layouts.msd, (3, 2, 2, 2, 2, 3)),
}


@pytest.fixture
def small(request, tmp_path, monkeypatch):
    """A data set cut down: (name, path, images in any order, their factors)."""
    name = request.param
    if name.startswith("msd"):
        pytest.importorskip("pyarrow")
    write, sizes = SMALL[name]
    kind = published.KINDS[name]
    kind = kind._replace(factors=dict(zip(kind.names, sizes, strict=True)), files={})
    monkeypatch.setitem(published.KINDS, name, kind)
    files = tmp_path / "files"
    files.mkdir()
    return name, *write(files, kind)


def packed(name, path, folder, side=8):
    raw, _ = published.read(name, path)
    kind = published.KINDS[name]
    return pack.prepare(raw, name, kind, side=side, data_dir=folder, progress=False)


def pixels(dataset, numbers):
    return np.round(data.images_of(dataset, numbers) * 255).astype(np.uint8)


@pytest.mark.parametrize("small", SMALL, indirect=True)
def test_a_data_set_is_packed_once_and_read_back(small, tmp_path):
    name, path, images, factors = small
    kind = published.KINDS[name]
    packed(name, path, tmp_path)
    for loaded in (name, f"{name}_mapped"):
        dataset = data.load(loaded, data.Request(data_dir=tmp_path, image_size=8))
        assert dataset.name == loaded and dataset.image_shape == (8, 8, kind.channels)
        labels = data.labels_of(dataset)
        assert labels.names == kind.names
        assert labels.continuous.tolist() == [size == 0 for size in kind.sizes]
        if kind.grid:
            assert dataset.grid.sizes == kind.sizes
            numbers = np.ravel_multi_index(tuple(factors.T), kind.sizes)
        else:
            assert dataset.grid is None
            numbers = in_order(labels.of(np.arange(dataset.size)), factors)
        np.testing.assert_allclose(labels.of(numbers), factors)
        np.testing.assert_array_equal(pixels(dataset, numbers), images)


def in_order(found, wanted):
    """Which row of `found` each row of `wanted` is."""
    distances = np.abs(found[None] - wanted[:, None]).sum(-1)
    return distances.argmin(1)


@pytest.mark.parametrize("small", ["cars3d"], indirect=True)
def test_images_of_another_size_are_filtered_and_values_chosen(small, tmp_path):
    name, path, images, _ = small
    packed(name, path, tmp_path, side=4)
    lanczos = [np.asarray(Image.fromarray(i).resize((4, 4), Image.LANCZOS)) for i in images]
    chosen = np.reshape(lanczos, (2, 3, 4, 4, 4, 3))[:, [0, 2]].reshape(-1, 4, 4, 3)
    for loaded in (name, f"{name}_mapped"):
        part = data.load(loaded, data.Request(data_dir=tmp_path, factors={"azimuth": [2, 0]}))
        assert part.grid.sizes == (2, 2, 4)
        np.testing.assert_array_equal(pixels(part, np.arange(part.size)), chosen)
    with pytest.raises(ValueError, match="prepared with 4 pixels, expected 4"):
        data.load("cars3d_mapped", data.Request(data_dir=tmp_path, image_size=64))


@pytest.mark.parametrize("small", ["cars3d"], indirect=True)
def test_a_damaged_table_is_not_read(small, tmp_path):
    name, path, _, _ = small
    table = packed(name, path, tmp_path)
    content = table.read_bytes()
    for damaged in (content[:-1], content + b"0"):
        table.write_bytes(damaged)
        for loaded in (name, f"{name}_mapped"):
            with pytest.raises(ValueError, match=r"expected another size; run `.*` again"):
                data.load(loaded, data.Request(data_dir=tmp_path))
    table.write_bytes(content[:-40] + b"?" + content[-39:])  # in a pixel
    with pytest.raises(ValueError, match=r"with sha256 .* again"):
        data.load(name, data.Request(data_dir=tmp_path))


@pytest.mark.parametrize("small", ["mpi3d_toy", "smallnorb"], indirect=True)
def test_files_are_compared_with_what_is_known_of_them(small, monkeypatch):
    name, path, _, _ = small
    file = path if path.is_file() else sorted(path.iterdir())[0]
    content = file.read_bytes()
    known = File("md5", hashlib.md5(content).hexdigest(), len(content))
    kind = published.KINDS[name]
    monkeypatch.setitem(published.KINDS, name, kind._replace(files={file.name: known}))
    assert published.read(name, path)[1]
    file.write_bytes(content[:-1] + b"?")
    other = hashlib.md5(file.read_bytes()).hexdigest()
    message = f"{len(content):,} bytes and md5 {other}, expected {len(content):,} bytes and "
    with pytest.raises(ValueError, match=message + known.digest):
        published.read(name, path)
    file.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=f"{len(content) - 1:,} bytes and md5 not computed"):
        published.read(name, path)


@pytest.mark.parametrize("small", SMALL, indirect=True)
def test_half_a_file_is_refused_and_leaves_nothing(small, tmp_path):
    name, path, _, _ = small
    files = [file for file in path.rglob("*") if file.is_file()]
    file = path if path.is_file() else max(files, key=lambda f: f.stat().st_size)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"got .*; .*(repeat it|download)") as refused:
        packed(name, path, tmp_path)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.glob("*.npy")) and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("small", SMALL, indirect=True)
def test_flipped_bits_are_refused_in_one_line_or_harmless(small, tmp_path):
    name, path, _, _ = small
    rng = np.random.default_rng(7)
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
    refused = 0
    for file in rng.choice(files, 20):
        content = file.read_bytes()
        flipped = bytearray(content)
        flipped[rng.integers(min(len(content), 600))] ^= 1 << rng.integers(8)
        file.write_bytes(flipped)
        try:
            packed(name, path, tmp_path)
        except ValueError as error:
            refused += 1
            assert str(error).startswith("got ") and "\n" not in str(error)
        file.write_bytes(content)
    assert refused and not list(tmp_path.glob(".*"))


def test_pickles_are_never_loaded(tmp_path):
    objects = np.array([{}] * 4)
    np.savez(tmp_path / "mpi3d_complex.npz", images=objects)
    with pytest.raises(ValueError, match="images object"):
        published.read("mpi3d_complex", tmp_path / "mpi3d_complex.npz")
    folder = tmp_path / "test"
    (folder / "images").mkdir(parents=True)
    np.save(folder / "raw_latents.npy", objects, allow_pickle=True)
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        published.read("3dident", folder)
    np.save(tmp_path / "walk_front_frames_train.npy", objects, allow_pickle=True)
    with pytest.raises(ValueError, match=r"Object arrays|object"):
        published.read("sprites", tmp_path)


def test_parquet_needs_an_extra(tmp_path, monkeypatch):
    (tmp_path / "train.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ValueError, match=r"pip install 'devae_jax\[parquet\]'"):
        published.read("msd_sprites", tmp_path)


@pytest.mark.parametrize("small", ["3dident"], indirect=True)
def test_each_row_of_factors_has_its_picture(small, tmp_path):
    name, path, _, _ = small
    with tarfile.open(path) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    folder = tmp_path / "unpacked/3dident/train"
    assert len(published.read(name, folder)[0].labels) == 12
    (folder / "images/03.png").rename(folder / "images/12.png")
    with pytest.raises(ValueError, match=r"images/12.png .* a picture without a row"):
        published.read(name, folder)
    (folder / "images/12.png").unlink()
    with pytest.raises(ValueError, match="got 11 pictures for 12 rows of factors"):
        published.read(name, folder)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "mpi3d_complex.npz"
    for content, message in (
        ({"faces": np.zeros(3)}, "with faces.npy, expected images.npy"),
        ({"images": np.zeros((2, 8, 8, 3), np.float32)}, "images float32"),
        ({"images": np.zeros((2, 8, 8, 3), np.uint8)}, "got 2 images in .*, expected 460,800"),
    ):
        np.savez(path, **content)
        with pytest.raises(ValueError, match=message):
            published.read("mpi3d_complex", path)
    with pytest.raises(ValueError, match=r"got no .*, expected a folder with the six files"):
        published.read("smallnorb", tmp_path / "absent")
    with pytest.raises(ValueError, match="did you mean 'cars3d'"):
        published.read("cars", path)
    with pytest.raises(ValueError, match=r"expected one of|expected 59a6225b88"):
        published.read("mpi3d_realistic", path)


def test_loading_says_how_to_prepare(tmp_path):
    for name in ("smallnorb", "smallnorb_mapped"):
        with pytest.raises(ValueError, match=r"prepare_data.py --name=smallnorb --from=PATH"):
            data.load(name, data.Request(data_dir=tmp_path))
        np.save(tmp_path / "smallnorb.npy", np.zeros(3))
        with pytest.raises(ValueError, match=r"prepare_data.py` again"):
            data.load(name, data.Request(data_dir=tmp_path))
        (tmp_path / "smallnorb.npy").unlink()


@pytest.mark.parametrize("small", ["cars3d", "causal3dident"], indirect=True)
def test_commands_prepare_and_draw(small, tmp_path):
    name, path, images, _ = small
    where = f"--data_dir={tmp_path}"
    text = call("prepare_data", f"--name={name}", f"--from={path}", "--image_size=8", where)
    factors = {
        "cars3d": "elevation 2, azimuth 3, object_type 4",
        "causal3dident": "object_class 3, x_position continuous, ",
    }
    assert f"{name}: {len(images)} images ({factors[name]}" in text
    assert "not compared with a known hash" in text
    assert f"{name}: whole, sha256" in call("prepare_data", "--verify", where)
    call("visualize", f"--data={name}", where, f"--out={tmp_path / 'drawn'}")
    drawn = {file.name for file in (tmp_path / "drawn").iterdir()}
    assert drawn == {f"data_{name}.png", f"data_{name}_factors.png"}
    wrong = call("prepare_data", "--name=smallnorb", f"--from={path}", where, code=2)
    assert "error: got" in wrong and "Traceback" not in wrong
    small_sprites = ("--name=dsprites", "--image_size=32", f"--from={path}")
    assert "expected none" in call("prepare_data", *small_sprites, code=2)
    assert "expected --from" in call("prepare_data", f"--name={name}", "--tfds=dsprites", code=2)


def test_what_is_known_of_files_is_well_formed_and_each_set_is_documented():
    text = (Path(__file__).parents[2] / "docs/data.md").read_text()
    for name, kind in published.KINDS.items():
        for file in kind.files.values():
            assert len(bytes.fromhex(file.digest)) == hashlib.new(file.algorithm).digest_size
        known = [name, name.replace("mpi3d", "")]  # "`mpi3d_toy`, `_realistic`, `_real`"
        assert any(f"`{n}`" in text for n in known) and kind.url.startswith("http")


def test_known_files_change_on_purpose_alone():
    """No file is at hand to be compared with; each fact has its source in docs/data.md."""
    known = {name: sorted(kind.files.items()) for name, kind in published.KINDS.items()}
    digest = hashlib.sha256(repr(known).encode()).hexdigest()
    assert digest[:16] == "716e9b280edc919e"


def test_grids_are_as_large_as_the_documentation_says():
    text = (Path(__file__).parents[2] / "docs/data.md").read_text()
    first = {f"mpi3d{name}": "mpi3d_toy" for name in ("_realistic", "_real")}  # in one row
    for name, kind in published.KINDS.items():
        if kind.grid:
            row = f"| `{first.get(name, name)}`"
            (line,) = [line for line in text.splitlines() if line.startswith(row)]
            assert f" | {np.prod(kind.sizes):,} | " in line, name


def test_places_of_isaac3d_are_those_of_its_names():
    """The strides that its README.md gives, from the factor that changes slowest."""
    sizes = published.KINDS["isaac3d"].sizes
    strides = [int(np.prod(sizes[i + 1 :])) for i in range(len(sizes))]
    assert strides == [245760, 30720, 6144, 1536, 384, 96, 16, 4, 1]
    sizes = published.KINDS["falcor3d"].sizes
    strides = [int(np.prod(sizes[i + 1 :])) for i in range(len(sizes))]
    assert strides == [46656, 7776, 1296, 216, 36, 6, 1]


def test_of_several_known_files_the_name_says_which(tmp_path):
    files = {name: File("md5", hashlib.md5(name.encode()).hexdigest()) for name in ("a", "b")}
    assert not verify_all(tmp_path, files, "set", "url")
    for name in files:
        (tmp_path / name).write_text(name)
        assert verify_all(tmp_path / name, files, "set", "url")
    assert verify_all(tmp_path, files, "set", "url")
    other = tmp_path / "other"
    other.write_text("a")
    assert verify_all(other, {"a": files["a"]}, "set", "url")
    with pytest.raises(OtherDataError, match="expected one of a, b, the published set"):
        verify_all(other, files, "set", "url")
    (tmp_path / "b").write_text("a")
    for path in (tmp_path, tmp_path / "b"):
        with pytest.raises(OtherDataError, match="b of 1 bytes"):
            verify_all(path, files, "set", "url")
