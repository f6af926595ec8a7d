"""Reads a training run from its work directory: its log, its record, and the settings in the dump of its config."""

from __future__ import annotations

import ast
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from headweights.errors import WeightError
from headweights.report.log import SCALARS, Log, read_log
from headweights.run_record.file import read_record
from headweights.run_record.log_entries import GRADIENT_COSINE, GRADIENT_SHARE, WEIGHT
from headweights.run_record.schema import RECORD, RunRecord, WeightRecord

VIS_DATA = "vis_data"
# The main settings, by their paths in a config.
NAMED = {
    "model": "model.type",
    "optimizer": "optim_wrapper.optimizer.type",
    "learning rate": "optim_wrapper.optimizer.lr",
    "iterations": "train_cfg.max_iters",
    "epochs": "train_cfg.max_epochs",
    "batch size": "train_dataloader.batch_size",
    "seed": "randomness.seed",
    "initial checkpoint": "load_from",
}

_LONGEST = 200


@dataclass
class Run:
    """A training run.

    Args:
        name: Its name on the page: that of the work directory.
        path: The work directory.
        log: Its curves.
        record: The data sets, heads and weights that it recorded. Empty for a run without headweights.
        settings: The settings of its config as text, by dotted path. Empty if no config could be read.
        sessions: The names of its sessions, in order. A resumed run has more than one.
        notes: Sentences about what is missing or could not be read.
    """

    name: str
    path: Path
    log: Log = field(default_factory=Log)
    record: RunRecord = field(default_factory=RunRecord)
    settings: dict[str, str] = field(default_factory=dict)
    sessions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def datasets(self) -> list[str]:
        """The names of the data sets, in the order of the record, followed by those that only the log names."""
        names = [dataset.name for dataset in self.record.datasets]
        names += [row.dataset for row in self.table]
        names += [entry.dataset for entry in self.log.entries if entry.quantity != GRADIENT_COSINE]
        return list(dict.fromkeys(names))

    @property
    def table(self) -> list[WeightRecord]:
        """The recorded weights or, without a record, the last logged ones."""
        if self.record.table:
            return self.record.table
        rows = []
        for entry, curve in self.log.entries.items():
            if entry.quantity == WEIGHT and curve.finite:
                head, loss = self.split_term(entry.term)
                rows.append(WeightRecord(dataset=entry.dataset, head=head, loss=loss, weight=curve.finite[-1], source="log"))
        return rows

    def split_term(self, term: str) -> tuple[str, str]:
        """The head path and loss of a term: `rpn_head.loss_cls` -> (`rpn_head`, `loss_cls`), `rpn_head` -> (`rpn_head`, '')."""
        heads = {head.path for head in self.record.heads}
        # Gradients are logged by head.
        heads |= {entry.term for entry in self.log.entries if entry.quantity in (GRADIENT_SHARE, GRADIENT_COSINE)}
        if term in heads:
            return term, ""
        above = [head for head in heads if term.startswith(head + ".")]
        if above:
            head = max(above, key=len)
            return head, term[len(head) + 1 :]
        head, _, loss = term.rpartition(".")
        return (head, loss) if head else (term, "")


def read_runs(work_dirs: Sequence[Path]) -> list[Run]:
    """Reads runs. Runs with the same name get enough of their paths to be distinct."""
    runs = [read_run(work_dir) for work_dir in dict.fromkeys(Path(os.path.abspath(path)) for path in work_dirs)]
    names = [run.name for run in runs]
    for run in runs:
        if names.count(run.name) > 1:
            same = [other.path.parts for other in runs if other.path.name == run.name]
            depth = next(d for d in range(2, 1000) if len({parts[-d:] for parts in same}) == len(same))
            run.name = "/".join(run.path.parts[-depth:])
    return runs


def read_run(work_dir: Path) -> Run:
    """Reads the run of a work directory: `<work_dir>/<timestamp>/vis_data/`, or `<work_dir>/vis_data/`.

    Raises:
        WeightError: `work_dir` is not a folder, or contains no log of mmengine.
    """
    folders = _sessions(work_dir)
    run = Run(work_dir.name, work_dir, log=read_log(folders), sessions=[folder.parent.name for folder in folders])
    run.notes += run.log.notes
    for folder in reversed(folders):
        record, notes = read_record(folder / RECORD)
        run.notes += notes
        if record is not None:
            run.record = record
            break
    if not any((folder / RECORD).is_file() for folder in folders):
        run.notes.append(f"no {RECORD}: data sets, configured weights and sample images are unknown.")
    if not run.log.entries:
        run.notes.append(
            "the log has no entries by data set and head; mmengine's scalars are shown (was it trained without headweights?)."
        )
    _read_config(run, folders)
    return run


def _sessions(work_dir: Path) -> list[Path]:
    try:
        if not work_dir.exists():
            raise WeightError(f"{work_dir}: no such folder; name the work_dir of a training run.")
        if not work_dir.is_dir():
            raise WeightError(f"{work_dir} is a file; name the work_dir of a training run.")
        candidates = [work_dir / VIS_DATA, *(folder / VIS_DATA for folder in sorted(work_dir.iterdir()) if folder.is_dir())]
        found = [folder for folder in candidates if (folder / SCALARS).is_file() or (folder / RECORD).is_file()]
    except OSError as error:
        raise WeightError(f"{work_dir} could not be read ({error.strerror}).") from error
    if not found:
        raise WeightError(
            f"{work_dir} contains no training log: no <timestamp>/{VIS_DATA}/{SCALARS} of mmengine's LocalVisBackend."
        )
    return found


def _read_config(run: Run, folders: Sequence[Path]) -> None:
    """Reads the last session's dump of the config, else the newest one in the work directory."""
    candidates = [folder / "config.py" for folder in reversed(folders)]
    try:
        candidates += sorted(run.path.glob("*.py"), key=lambda path: path.stat().st_mtime, reverse=True)
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            run.notes.append("no dump of the config: its settings are unknown.")
        else:
            run.settings = read_settings(path)
    except OSError as error:
        run.notes.append(f"the config could not be read ({error.strerror}): its settings are unknown.")
    except ValueError as error:
        run.notes.append(f"the config {error}: its settings are unknown.")


def read_settings(path: Path) -> dict[str, str]:
    """Reads the settings of a config dump as text, by dotted path: `optim_wrapper.optimizer.lr` -> `0.002`. Executes nothing.

    A list that contains dicts is indexed (`custom_hooks.0.type`); any other list is one value. A long value is truncated.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not Python, or is nested too deeply.
    """
    settings: dict[str, str] = {}
    try:
        for statement in ast.parse(path.read_bytes()).body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    _flatten(name, value, settings)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{path.name} is not Python") from error
    return settings


def _flatten(path: str, value: ast.expr, settings: dict[str, str]) -> None:
    items = _items(value)
    for name, inner in items:
        _flatten(f"{path}.{name}", inner, settings)
    if not items:
        text = _text(value)
        settings[path] = text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."


def _items(value: ast.expr) -> list[tuple[str, ast.expr]]:
    """The entries of a dict, or of a list that contains a dict, by key or index. Empty for any other value."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "dict":
        # mmengine writes dict(a=1), and dict({'a b': 1}) if a key is not an identifier.
        named = [(keyword.arg, keyword.value) for keyword in value.keywords if keyword.arg is not None]
        return [*(item for argument in value.args for item in _items(argument)), *named]
    if isinstance(value, ast.Dict):
        return [(_text(key), inner) for key, inner in zip(value.keys, value.values) if key is not None]
    if isinstance(value, (ast.List, ast.Tuple)) and any(_items(element) for element in value.elts):
        return [(str(number), element) for number, element in enumerate(value.elts)]
    return []


def _text(value: ast.expr) -> str:
    return str(value.value) if isinstance(value, ast.Constant) else ast.unparse(value)
