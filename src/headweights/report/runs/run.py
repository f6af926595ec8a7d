"""A training run, and what reads one from its folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from headweights.report.runs.log import Log
from headweights.run_record.file import read_record
from headweights.run_record.log_entries import GRADIENT_COSINE, GRADIENT_SHARE, WEIGHT
from headweights.run_record.schema import RECORD, RunRecord, WeightRecord

# The settings that runs of all frameworks are compared by.
MAIN = ("model", "optimizer", "learning rate", "iterations", "epochs", "batch size", "seed", "initial checkpoint")


@dataclass
class Run:
    """A training run.

    Args:
        name: Its name on the page: that of its folder.
        path: Its folder.
        log: Its curves.
        record: The data sets, heads and weights that it recorded. Empty for a run without headweights.
        framework: What trained it: `mmengine` or `transformers`.
        main: Its main settings as text, by their names in `MAIN`. Empty text: none was set. Not there: unknown.
        settings: Its other settings as text, by dotted path. Empty if none could be read.
        sessions: The names of its sessions, in order, if the framework keeps them apart. A resumed run has more than one.
        notes: Sentences about what is missing or could not be read.
        is_cut_short: Whether the log ends before the training would have.
    """

    name: str
    path: Path
    log: Log = field(default_factory=Log)
    record: RunRecord = field(default_factory=RunRecord)
    framework: str = ""
    main: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    sessions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_cut_short: bool = False

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

    def note_end(self, reached: str) -> None:
        """Notes that the log ends before the training would have."""
        self.is_cut_short = True
        self.notes.append(f"the log ends at {reached} (the run was killed or stopped, or is still going on).")

    def read_record(self, folders: Sequence[Path]) -> None:
        """Reads the record from the first of these folders that has a readable one, and notes what is missing."""
        for folder in folders:
            record, notes = read_record(folder / RECORD)
            self.notes += notes
            if record is not None:
                self.record = record
                return
        if not any((folder / RECORD).is_file() for folder in folders):
            self.notes.append(f"no {RECORD}: data sets, configured weights and sample images are unknown.")


class RunReader(ABC):
    """Reads the folders that the trainings of one framework leave behind.

    Its methods read files only, and raise `OSError` where the folder itself cannot be read.
    """

    log: ClassVar[str]
    """Where the log lies in such a folder, for an error message."""

    @abstractmethod
    def owns(self, folder: Path) -> bool:
        """Whether a training of this framework wrote into the folder."""

    @abstractmethod
    def read(self, folder: Path) -> Run:
        """Reads the run of a folder that `owns` accepts. What is missing or damaged is noted in the run."""
