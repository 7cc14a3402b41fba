"""One run = one folder: ``record.json``, ``weights.safetensors``, ``gammas.safetensors``; made at most once.

``run_once`` is the way to a run: it loads it, waits for whoever makes it, or makes it.
"""

import glob
import hashlib
import json
import os
import platform
import re
import socket
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

import labkit
from labkit import models, settings
from labkit.files import read_metadata, read_tensors, write_tensors, write_text
from labkit.hardware import WAITING, finish
from labkit.models import Specification
from labkit.settings import LabError, Settings

FORMAT = 2
WEIGHTS, GAMMAS, CHECKPOINT = "weights.safetensors", "gammas.safetensors", "checkpoint.safetensors"


@dataclass
class Record:
    """What a run was and what came of it.

    ``kind`` is a word that the method declares, such as ``"sparsity"``; ``config`` is everything that
    determines the result; ``network`` is the specification of the network that came out, as a
    dictionary; ``history`` has one entry per epoch; ``results`` are accuracies in 0..1, counts and
    seconds; ``plan`` is the ``ChannelPlan`` that shaped the network, as a dictionary.
    """

    kind: str
    config: dict
    network: dict
    history: list[dict] = field(default_factory=list)
    snapshots: list[int] = field(default_factory=list)
    results: dict = field(default_factory=dict)
    plan: dict | None = None
    versions: dict = field(default_factory=dict)
    format: int = FORMAT
    folder: Path | None = None

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def specification(self) -> Specification:
        return Specification.from_dict(self.network)

    def state(self) -> dict[str, Tensor]:
        """The saved weights. Raises ``LabError`` where they are missing, damaged or not finite."""
        return read_tensors(self.folder / WEIGHTS)

    def model(self) -> nn.Module:
        """The network of this run, in float32 on the CPU, in evaluation mode."""
        model = models.build(self.specification)
        try:
            model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in self.state().items()})
        except RuntimeError as error:
            raise LabError(
                f"{self.folder}: the weights do not fit the network {self.specification}; "
                f"delete the folder and train again. ({str(error).splitlines()[0]})"
            ) from error
        return model.to(memory_format=torch.channels_last).eval()

    def gammas(self) -> list[dict[str, Tensor]]:
        """|γ| behind every convolution at each of ``snapshots`` (epochs), by its name, float32."""
        kept, widths = read_tensors(self.folder / GAMMAS), self._widths()
        if "widths" in kept:  # those of the training, of which a method may have cut some
            widths = dict(zip(widths, kept["widths"].tolist()))
        return [dict(zip(widths, row.split(list(widths.values())))) for row in kept["gammas"].float().abs()]

    def _widths(self) -> dict[str, int]:
        """Channels behind every convolution, by its name."""
        network = models.build(self.specification)
        return {name: norm.num_features for name, (_, norm) in models.convolutions(network).items()}

    def with_folder(self, folder: Path) -> "Record":
        self.folder = Path(folder)
        return self


def digest(config: dict) -> str:
    """sha256 of a configuration: equal for equal content."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def identity(run: Record) -> str:
    """Tells one training from another of the same configuration: what is made from a run keeps it."""
    return digest({"config": run.config, "history": run.history})


def versions() -> dict:
    packages = {"labkit": labkit.__version__, "torch": torch.__version__}
    packages |= {name: metadata.version(name) for name in ("torchvision", "numpy")}
    return {"python": platform.python_version(), "machine": platform.machine()} | packages


def write_gammas(folder: Path, epochs: list[int], widths: list[int], gammas: Tensor) -> None:
    """Keep the scaling factors that a run has so far: float (epochs, channels), the channels those of layers of
    ``widths``. A finished run's file takes the place of the one that its training leaves after each snapshot."""
    where = {"epochs": torch.tensor(epochs), "widths": torch.tensor(widths)}
    write_tensors(folder / GAMMAS, {"gammas": gammas} | where)


def gammas_so_far(folder: Path) -> tuple[list[int], list[int], Tensor] | None:
    """Epochs, the layers' widths and |γ| (epochs, channels) of a run, finished or under way; None where nothing
    was kept yet, or by an older labkit."""
    found = read_tensors(folder / GAMMAS) if (folder / GAMMAS).exists() else {}
    if "epochs" not in found:
        return None
    return found["epochs"].tolist(), found["widths"].tolist(), found["gammas"].float().abs()


def save(
    record: Record,
    weights: dict[str, Tensor] | None = None,
    gammas: Tensor | None = None,
    widths: list[int] | None = None,
) -> Record:
    """Write the run into ``record.folder``; ``record.json`` goes last, so that it marks a whole run. ``widths`` are
    those of the layers whose ``gammas`` were kept, where they are not the network's."""
    folder = record.folder
    if weights is not None:
        write_tensors(folder / WEIGHTS, weights)
    if gammas is not None:
        write_gammas(folder, record.snapshots, widths or list(record._widths().values()), gammas)
    record.versions = record.versions or versions()
    content = {key: value for key, value in vars(record).items() if key != "folder"}
    write_text(folder / "record.json", as_text(content))
    return record


def as_text(content: dict) -> str:
    return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def load(folder: Path) -> Record:
    """The record in ``folder``; one of an older format is brought up to date while reading. Raises
    ``LabError`` if it is missing, damaged or of a newer format."""
    folder = Path(folder)
    path = folder / "record.json"
    try:
        return Record(**migrated(read_json(path), folder)).with_folder(folder)
    except FileNotFoundError:
        raise LabError(f"{folder} holds no record.json: the run was never finished; run its notebook again.") from None
    except (ValueError, TypeError, KeyError) as error:
        raise LabError(
            f"{path} is damaged ({error}): delete the folder {folder.name} and run its notebook again."
        ) from None


def read_json(path: Path) -> dict:
    def refuse(text: str):
        raise ValueError(f"it holds {text}")

    content = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    if not isinstance(content, dict):
        raise ValueError("it holds no JSON object")
    return content


def migrated(content: dict, folder: Path) -> dict:
    """The content of a ``record.json`` in the current format. ``folder`` is where it lies: what it says of
    its parent's configuration has to follow the parent's, which lies beside it."""
    if content.get("format") not in (1, FORMAT):
        raise LabError(
            f"{folder / 'record.json'} has format {content.get('format')}, this labkit reads formats up to {FORMAT}: "
            "use the labkit that wrote it, or run its notebook again."
        )
    return content if content["format"] == FORMAT else _from_format_1(content, folder)


def _from_format_1(content: dict, folder: Path) -> dict:
    """Format 1 knew VGG only, as a list such as ``[64, "M", 128]``."""
    classes, config, results = content["classes"], dict(content["config"]), dict(content["results"])

    def network(channels: list) -> dict:
        stages = " ".join(map(str, channels)).split("M")
        widths = [width for width in channels if width != "M"]
        return Specification("vgg", tuple(len(stage.split()) for stage in stages), widths, classes).to_dict()

    if "channels" in config:
        config["network"] = network(config.pop("channels"))
    if "parent_channels" in config:
        config["parent_network"] = network(config.pop("parent_channels"))
        parent = folder.parent / config["parent"]
        known = config.get("parent_config")
        if (parent / "record.json").exists() and known == digest(read_json(parent / "record.json")["config"]):
            config["parent_config"] = identity(load(parent))
    if content["kind"] == "sweep":
        config["ratios"] = results["ratios"]
    if "rows" in results:
        results["rows"] = [
            {key: value for key, value in row.items() if key != "channels"} | {"network": network(row["channels"])}
            for row in results["rows"]
        ]
    kept = {key: value for key, value in content.items() if key not in ("channels", "classes")}
    changed = {"config": config, "results": results, "network": network(content["channels"]), "format": FORMAT}
    return kept | changed


def load_all(folder: Path, kind: str | None = None) -> list[Record]:
    """Every finished run directly in ``folder``, of one ``kind`` if given, sorted by λ and name.
    Runs that were set aside (see ``set_aside``) are left out."""
    found = [
        load(path.parent) for path in sorted(Path(folder).glob("*/record.json")) if ".replaced-" not in path.parent.name
    ]
    chosen = [record for record in found if kind in (None, record.kind)]
    return sorted(chosen, key=lambda record: (record.config.get("lambda", 0), record.name))


def folders_with_runs(folder: Path) -> list[Path]:
    """``folder`` itself and those at most two levels below it (an experiment's labs) that hold finished runs."""
    candidates = [Path(folder), *sorted(Path(folder).glob("*")), *sorted(Path(folder).glob("*/*"))]
    return [path for path in candidates if any(path.glob("*/record.json"))]


def experiment_name(lab: Path) -> str:
    """``runs/quick-shapes-seed0/lab1`` -> ``quick-shapes-seed0``."""
    lab = Path(lab).resolve()
    return lab.parent.name if re.fullmatch(r"lab\d+", lab.name) else lab.name


def runs_of(settings: Settings, kind: str, made_by: str, count: int = 1) -> list[Record]:
    """This experiment's finished runs of one kind or, where fewer than ``count`` are there yet, the
    shipped reference runs, saying so. ``made_by`` is the notebook that makes them."""
    runs = load_all(settings.folder, kind)
    if len(runs) >= count:
        return runs
    missing = f"{len(runs)} of {count} {kind} runs are in {settings.folder}: notebook {made_by} makes them."
    reference = load_all(settings.reference, kind)
    if len(reference) >= count:
        print(f"{missing} Until then, the reference runs shipped in {settings.shipped} are used.")
        return reference
    raise LabError(f"{missing} No reference runs are shipped for this experiment: run notebook {made_by} first.")


COMPARED = {
    "lambda": None,
    "ratio": None,
    "ratios": None,
    "at_least": 1,
    "method": None,
}  # and what the oldest runs had


def over_seeds(run: Record) -> list[Record]:
    """The shipped reference runs of the same name, lab, profile and data in every seed, in the seed's order;
    empty where none ship. Only those count that agree with ``run`` in its kind, data, recipe and in ``COMPARED``;
    seed, precision, machine and the weights to begin with may differ, and the images where ``run`` has a split of its
    own."""
    lab = run.folder.resolve().parent
    family = re.sub(r"-seed\d+$", "", experiment_name(lab))
    pattern = f"{glob.escape(family)}-seed*/{glob.escape(lab.name)}/{glob.escape(run.name)}/record.json"
    found = [load(path.parent) for path in settings.REFERENCE.glob(pattern)]
    return sorted((other for other in found if _same_experiment(other, run)), key=lambda r: r.config["seed"])


def _same_experiment(shipped: Record, other: Record) -> bool:
    """Whether two runs say the same but for seeds; of a split of one's own the images are those of no shipped run."""
    own = {"split", "sha256"} if "split" in (other.config.get("data") or {}) else set()

    def compared(run: Record) -> dict:
        recipe = run.config.get("recipe", {})
        recipe = {name: f"{value:g}" if isinstance(value, float) else value for name, value in recipe.items()}
        images = {name: value for name, value in (run.config.get("data") or {}).items() if name not in own}
        facts = {name: run.config.get(name, usual) for name, usual in COMPARED.items()}
        return facts | {"kind": run.kind, "recipe": recipe, "data": images}

    return compared(shipped) == compared(other)


def run_once(folder: Path, config: dict, work: Callable[[], Record], files: tuple[str, ...] = ()) -> Record:
    """The run of ``config`` in ``folder``: loaded if it is there with all ``files``, waited for while another
    process makes it, else made by ``work()``, which saves it. A run of another configuration that lies
    there is set aside, a half-made one of this configuration (its checkpoint) is left for ``work`` to continue."""

    def at_once():
        return work()
        yield

    return finish(in_turns(folder, config, at_once, files))


def in_turns(folder: Path, config: dict, work: Callable[[], Generator], files: tuple[str, ...] = ()) -> Generator:
    """``run_once`` for ``work`` that yields in between, so that several runs can take turns; it yields while
    it waits, too."""
    folder = Path(folder)
    lock = yield from acquired(folder)
    try:
        if (found := _finished(folder, config, files)) is not None:
            print(f"{folder.name}: already there, loaded from {'/'.join(folder.parts[-3:])}.")
            return found
        return (yield from work())
    finally:
        lock()


def is_there(folder: Path, config: dict, files: tuple[str, ...] = ()) -> bool:
    """Whether ``run_once`` would find the run of ``config`` and have nothing to do."""
    folder = Path(folder)
    if not (folder / "record.json").exists():
        return False
    return load(folder).config == config and all((folder / name).exists() for name in files)


def _finished(folder: Path, config: dict, files: tuple[str, ...]) -> Record | None:
    """The run in ``folder`` if it is this one and whole; a run of another configuration is set aside."""
    if is_there(folder, config, files):
        return load(folder)
    if not (folder / "record.json").exists():
        if not (checkpoint := folder / CHECKPOINT).exists():
            return None
        if _checkpoint_config(checkpoint) == config:
            print(f"{folder.name}: continued from {folder}.")
            return None
    print(f"{folder.name}: the run there has another configuration or lost files; kept as {set_aside(folder).name}.")
    return None


def _checkpoint_config(checkpoint: Path) -> dict | None:
    try:
        return json.loads(read_metadata(checkpoint)["config"])
    except Exception:  # damaged: it is set aside and the run starts again
        return None


def set_aside(folder: Path) -> Path:
    """Rename a run's folder to ``<name>.replaced-1`` (2, 3, ...): nothing is lost."""
    number = 1
    while (target := folder.with_name(f"{folder.name}.replaced-{number}")).exists():
        number += 1
    return folder.rename(target)


def acquired(folder: Path) -> Generator[object, None, Callable[[], None]]:
    """Wait, yielding, until this process alone may work on ``folder``; how to give it back.

    The lock is the operating system's (``filelock``), so it ends with its holder. Who holds it stands
    in a file beside it: left behind, it tells that its writer was killed.
    """
    owner, me = folder.with_name(f".{folder.name}.owner"), f"process {os.getpid()} on {socket.gethostname()}"
    lock, waited = FileLock(folder.with_name(f".{folder.name}.lock")), False
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(f"{folder.parent} cannot be made ({error}): choose another place with LABKIT_RUNS.") from error
    while True:
        try:
            lock.acquire(blocking=False)
            break
        except Timeout:
            if not waited:
                print(
                    f"{folder.name}: waiting for {_read(owner) or 'another process'}, which is making it.", flush=True
                )
            waited = True
            yield WAITING
        except (OSError, NotImplementedError) as error:  # as on some network drives
            print(f"{folder.name}: nothing can be locked here ({error}), so run one notebook at a time.", flush=True)
            break
    if lock.is_locked and (killed := _read(owner)):
        print(f"{folder.name}: taken over from {killed}, which ended before it was done.", flush=True)
    with suppress(OSError):  # who holds the lock is worth knowing, not worth failing
        owner.write_text(me, encoding="utf-8")

    def give_back() -> None:
        with suppress(OSError):  # on Windows somebody may be reading it
            owner.unlink(missing_ok=True)
        lock.release()

    return give_back


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
