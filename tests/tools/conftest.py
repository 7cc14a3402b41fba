import pytest
from sweeps import GRID, images_in, sweep


@pytest.fixture(scope="session")
def grid(tmp_path_factory):
    """The file of a grid of ``sweeps.RUNS`` runs on eighty images."""
    folder = tmp_path_factory.mktemp("grid")
    (folder / "tiny.toml").write_text(GRID.format(folder=images_in(folder / "photographs")))
    return folder / "tiny.toml"


@pytest.fixture(scope="session")
def whole(grid, tmp_path_factory):
    """The store of a sweep to which nothing happened."""
    store = tmp_path_factory.mktemp("whole") / "store"
    with pytest.MonkeyPatch.context() as context:
        context.setenv("LABKIT_DOWNLOADS", str(tmp_path_factory.mktemp("downloads")))
        assert sweep(grid, store, "--workers", 2) == 0
    return store
