"""Reads a run of transformers' `Trainer` from its output_dir.

The log is in `trainer_state.json`. The Trainer writes this file into every checkpoint, and into output_dir only if `save_state()`
is called, so a training that was killed has it in its checkpoints only. Most settings are in the record; `training_args.bin` is a
pickle and is never loaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headweights.report.runs.run import Run, RunReader
from headweights.report.runs.trainer_log import read_log
from headweights.run_record.schema import RECORD

STATE = "trainer_state.json"
CONFIG = "config.json"
_CHECKPOINT = "checkpoint-"

# The main settings, by their names in the state and in the record.
_MAIN = {
    "optimizer": "optim",
    "learning rate": "learning_rate",
    "iterations": "max_steps",
    "epochs": "num_train_epochs",
    "batch size": "train_batch_size",
    "seed": "seed",
}
_OTHERS = ("logging_steps", "eval_steps", "save_steps", "trial_name", "trial_params")
_LONGEST = 200


class TrainerReader(RunReader):
    """Reads the newest state, the record, and the config of the saved model."""

    log = f"{STATE} or {_CHECKPOINT}<step>/{STATE} of transformers' Trainer"

    def owns(self, folder: Path) -> bool:
        """Whether the folder has a record, or a state of its own or of a checkpoint."""
        states = [path / STATE for path in (folder, *_checkpoints(folder))]
        return any(path.is_file() for path in (folder / RECORD, *states))

    def read(self, folder: Path) -> Run:
        """Reads the run, up to the last step that a file has."""
        run = Run(folder.name, folder, framework="transformers")
        checkpoints = _checkpoints(folder)
        state = _newest_state(run, checkpoints)
        run.read_record([folder])
        if state is not None:
            run.log = read_log(state.history, [head.path for head in run.record.heads])
            run.notes += [f"{_name(state.folder / STATE, run)}: {note}" for note in run.log.notes]
        _read_settings(run, {} if state is None else state.content)
        _read_config(run, [folder, *checkpoints])
        return run


def _checkpoints(folder: Path) -> list[Path]:
    """The checkpoints, the newest first."""
    steps = {path: path.name.removeprefix(_CHECKPOINT) for path in folder.glob(f"{_CHECKPOINT}*") if path.is_dir()}
    return sorted((path for path, step in steps.items() if step.isdecimal()), key=lambda path: -int(steps[path]))


@dataclass(frozen=True)
class _State:
    """The state of a training in a folder."""

    folder: Path
    step: int
    history: list[Any]
    content: dict[str, Any]


def _newest_state(run: Run, checkpoints: Sequence[Path]) -> _State | None:
    """The state in the run's folder or, if it has a later step, that of the newest checkpoint with a readable state."""
    own = _read_state(run.path, run)
    saved = next((state for path in checkpoints if (state := _read_state(path, run))), None)
    if saved is None or (own is not None and own.step >= saved.step):
        if own is None:
            run.notes.append(f"no {STATE} could be read, so there are no curves.")
        return own
    if own is not None:
        run.notes.append(f"{STATE} ends at step {own.step}, so the log of the later {saved.folder.name} is shown.")
    steps = saved.content.get("max_steps")
    if type(steps) is int and saved.step < steps:
        run.note_end(f"{saved.folder.name} of {steps} steps")
    return saved


def _read_state(folder: Path, run: Run) -> _State | None:
    content = _read_json(folder / STATE, run)
    if content is None:
        return None
    match content:
        case {"global_step": int(step), "log_history": list(history)}:
            return _State(folder, step, history, content)
    run.notes.append(f"{_name(folder / STATE, run)} has no global_step or no log_history.")
    return None


def _read_settings(run: Run, state: Mapping[str, Any]) -> None:
    """Reads the settings in the state and in the record, which does not know the length of the training yet."""
    found = run.record.settings | {key: state[key] for key in (*_MAIN.values(), *_OTHERS) if state.get(key) is not None}
    if not state:
        found = {key: value for key, value in found.items() if key not in ("max_steps", "num_train_epochs")}
    run.main = {name: str(found.pop(key)) for name, key in _MAIN.items() if key in found}
    run.settings = dict(_flat(found))


def _read_config(run: Run, folders: Sequence[Path]) -> None:
    """Reads the config of the saved model: the run's own or, without one, that of the newest checkpoint."""
    config = next((found for folder in folders if (found := _read_json(folder / CONFIG, run))), None)
    if config is None:
        run.notes.append(f"no {CONFIG} of a saved model: the model and its settings are unknown.")
        return
    match config.pop("architectures", None):
        case [str(model), *_]:
            run.main["model"] = model
    run.settings |= _flat(config, "model.")


def _flat(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Settings as text, by dotted path. A list is one value, and a long value is truncated."""
    for name, value in content.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{name}.")
        else:
            text = str(value)
            yield above + name, text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."


def _read_json(path: Path, run: Run) -> dict[str, Any] | None:
    """The JSON object in a file. None if there is none; if there is a file, a note says why."""
    try:
        content = json.loads(path.read_bytes().decode("utf-8", errors="replace"), parse_int=_integer)
    except FileNotFoundError:
        return None
    except OSError as error:
        problem = f"could not be read ({error.strerror})"
    except (ValueError, RecursionError):
        problem = "is not JSON (cut off?)"
    else:
        if isinstance(content, dict):
            return content
        problem = "is not a JSON object"
    run.notes.append(f"{_name(path, run)} {problem}.")
    return None


def _integer(text: str) -> int | float:
    """A number of more digits than a float has becomes a float, so that it is shown as the page draws it."""
    return int(text) if len(text) < 16 else float(text)


def _name(path: Path, run: Run) -> str:
    return path.relative_to(run.path).as_posix()
