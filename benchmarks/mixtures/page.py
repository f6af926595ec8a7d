"""Makes the tables and figures of docs/study.md from the results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go

from mixtures.settings import DETECTORS, SETTINGS
from mixtures.statistics import Difference, Outcome, difference

# The arms that others are compared with: no weights, and the best without weights by head.
UNWEIGHTED, BY_DATA_SET, SAMPLING = "all", "weights_by_data_set_swept", "sampling_swept"
BY_HEAD = ("weights_by_head", "weights_by_head_swept")
WITH_SAMPLING = "sampling_and_weights"
ORDER = ("target_only", UNWEIGHTED, SAMPLING, BY_DATA_SET, "weights_by_object", *BY_HEAD, WITH_SAMPLING)
# Colour-blind safe colours (Okabe and Ito): arms without weights by head, with them, and weights by object.
BEFORE, AFTER, OBJECTS = "#7a7a7a", "#0072b2", "#d55e00"


def parts(found: Sequence[Outcome]) -> dict[str, str]:
    """The generated parts of the pages, in Markdown, by name."""
    made = {"summary": _summary(found), "chosen": _chosen(found), "ablation": _ablation(found), "cost": cost(found)}
    for setting in SETTINGS:
        made[setting] = "\n\n".join(filter(None, (_table(found, setting, detector) for detector in DETECTORS)))
    return {name: text or "(Not run.)" for name, text in made.items()}


def put(page: Path, made: dict[str, str]) -> bool:
    """Replaces the text between the marks `<!-- study: name -->` and `<!-- end -->` of a page; returns whether it changed.

    Parts that were not made stay.
    """
    before = page.read_text(encoding="utf-8")

    def part(mark: re.Match[str]) -> str:
        return f"{mark[1]}\n{made[mark[2]]}\n{mark[3]}" if mark[2] in made else mark[0]

    after = re.sub(r"(<!-- study: (\w+) -->)\n.*?(<!-- end -->)", part, before, flags=re.DOTALL)
    page.write_text(after, encoding="utf-8")
    return after != before


def figures(found: Sequence[Outcome]) -> dict[str, go.Figure]:
    """The figures, by name."""
    made = {}
    for setting in SETTINGS:
        for detector in DETECTORS:
            arms = _main(found, setting, detector)
            if arms:
                made[f"study_{setting}_{detector}"] = _dots(arms, f"{SETTINGS[setting].title}, {DETECTORS[detector]}")
    for detector in DETECTORS:
        if any(_of(found, "digits", detector, ablation=True)):
            made[f"study_ablation_{detector}"] = _ablation_dots(found, detector)
    return made


def _of(found: Sequence[Outcome], setting: str, detector: str, *, ablation: bool) -> dict[str, Outcome]:
    return {o.plan.name: o for o in found if (o.plan.setting, o.plan.detector, o.plan.ablation) == (setting, detector, ablation)}


def _main(found: Sequence[Outcome], setting: str, detector: str) -> list[Outcome]:
    arms = _of(found, setting, detector, ablation=False)
    return [arms[name] for name in ORDER if name in arms]


def row(*cells: str) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


def signed(found: Difference) -> str:
    """A difference, with its interval if there are several pairs."""
    return f"{found.mean:+.3f}" + (f" ({found.low:+.3f} to {found.high:+.3f})" if found.pairs > 1 else "")


def _summary(found: Sequence[Outcome]) -> str:
    """The mean mAP by arm (rows), setting and detector (columns), for the settings with all arms."""
    columns = [(s, d) for s in SETTINGS for d in DETECTORS if BY_DATA_SET in _of(found, s, d, ablation=False)]
    if not columns:
        return ""
    lines = [row("", *(f"{SETTINGS[s].title}, {DETECTORS[d]}" for s, d in columns)), row(*["---"] * (1 + len(columns)))]
    best = [max(_main(found, s, d), key=lambda arm: arm.mean) for s, d in columns]
    for name in ORDER:
        arms = [_of(found, s, d, ablation=False).get(name) for s, d in columns]
        titles = [arm.plan.title for arm in arms if arm]
        if titles:
            title = "the clean or real data set only" if name == "target_only" else titles[0]
            cells = [f"{arm.mean:.3f} ± {arm.spread:.3f}" if arm else "" for arm in arms]
            lines.append(row(title, *(f"**{cell}**" if arm in best else cell for arm, cell in zip(arms, cells, strict=True))))
    seeds = len(next(o for o in found).runs)
    return "\n".join(
        [
            *lines,
            "",
            f"(mAP on held-out images, mean ± standard deviation over {seeds} seeds; the highest of each column is bold.)",
        ]
    )


def _table(found: Sequence[Outcome], setting: str, detector: str) -> str:
    arms = _of(found, setting, detector, ablation=False)
    if not arms:
        return ""
    against = ("all, unweighted", "one weight per data set, swept", "sampling ratio, swept")
    head = ("arm", "mAP", "AP50", *(f"against {base}" for base in against))
    lines = [f"**{DETECTORS[detector]}**", "", row(*head), row(*["---"] * len(head))]
    for outcome in _main(found, setting, detector):
        differences = [
            signed(difference(outcome, arms[base])) if base in arms and base != outcome.plan.name else ""
            for base in (UNWEIGHTED, BY_DATA_SET, SAMPLING)
        ]
        ap50 = f"{outcome.mean_of('AP50'):.3f}"
        lines.append(row(outcome.plan.title, f"{outcome.mean:.3f} ± {outcome.spread:.3f}", ap50, *differences))
    return "\n".join(lines)


def _chosen(found: Sequence[Outcome]) -> str:
    """The choice of each sweep, and the results of its trials."""
    lines = [row("setting", "detector", "sweep", "chosen", "validation mAP", "validation mAP of all trials"), row(*["---"] * 6)]
    for outcome in found:
        if outcome.trials:
            run = outcome.runs[min(outcome.runs)]["run"]
            setting = SETTINGS[outcome.plan.setting]
            if outcome.plan.name == WITH_SAMPLING:
                continue
            if run["ratio"]:
                chosen = ", ".join(f"{name} {n}" for name, n in zip(setting.datasets, run["ratio"], strict=True)) + " of 8"
            else:
                chosen = "; ".join(f"{name}: {_in_words(weights)}" for name, weights in run["weights"].items())
            values = f"{min(outcome.trials):.3f} to {max(outcome.trials):.3f}"
            cells = (setting.title, DETECTORS[outcome.plan.detector], outcome.plan.title, chosen)
            lines.append(row(*cells, f"{max(outcome.trials):.3f}", values))
    return "\n".join(lines) if len(lines) > 2 else ""


def _in_words(weights: object) -> str:
    if isinstance(weights, dict):
        return ", ".join(f"`{address.removeprefix('roi_head.')}` {weight:.2g}" for address, weight in weights.items())
    return f"{weights:.2g}"


def _ablation(found: Sequence[Outcome]) -> str:
    made = []
    for detector in DETECTORS:
        wrong = _of(found, "digits", detector, ablation=True)
        arms = _of(found, "digits", detector, ablation=False)
        if wrong and {UNWEIGHTED, BY_HEAD[0]} <= set(arms):
            head = ("the reasoned weights are", "mAP", "against the reasoned weights", "against all, unweighted")
            lines = [f"**{DETECTORS[detector]}**", "", row(*head), row(*["---"] * len(head))]
            for outcome in (arms[BY_HEAD[0]], *wrong.values(), arms[UNWEIGHTED]):
                title = {BY_HEAD[0]: "unchanged", UNWEIGHTED: "(all, unweighted)"}.get(outcome.plan.name, outcome.plan.title)
                differences = [
                    signed(difference(outcome, arms[base])) if base != outcome.plan.name else ""
                    for base in (BY_HEAD[0], UNWEIGHTED)
                ]
                lines.append(row(title, f"{outcome.mean:.3f} ± {outcome.spread:.3f}", *differences))
            made.append("\n".join(lines))
    return "\n\n".join(made)


def cost(found: Sequence[Outcome]) -> str:
    """The number of runs and their duration."""
    if not found:
        return ""
    runs = sum(len(outcome.runs) + len(outcome.trials) for outcome in found)
    seconds = [run["seconds"] for outcome in found for run in outcome.runs.values()]
    cpu = sum(run["cpu_seconds"] for outcome in found for run in outcome.runs.values()) / len(seconds) * runs / 3600
    longest, median = max(seconds) / 60, sorted(seconds)[len(seconds) // 2] / 60
    return (
        f"{runs} runs, each on one core: {median:.1f} minutes in the median, {longest:.1f} at most, about {cpu:.1f} core hours "
        "in total."
    )


def _layout(figure: go.Figure, title: str, rows: int) -> go.Figure:
    figure.update_layout(
        title={"text": title, "x": 0, "xref": "container", "xanchor": "left", "pad": {"l": 12}},
        template="plotly_white",
        width=900,
        height=110 + 34 * rows,
        margin={"l": 290, "r": 30, "t": 50, "b": 50},
        showlegend=False,
        font={"size": 13, "family": "Helvetica, Arial, sans-serif"},
    )
    figure.update_xaxes(title="mAP on the test split (dots: seeds, line: their mean)", rangemode="tozero")
    figure.update_yaxes(autorange="reversed", type="category")
    return figure


def _add(figure: go.Figure, title: str, outcome: Outcome, colour: str) -> None:
    values = outcome.values()
    dots = {"color": colour, "size": 8, "opacity": 0.55}
    line = {"color": colour, "size": 22, "symbol": "line-ns", "line": {"width": 3, "color": colour}}
    figure.add_trace(go.Scatter(x=values, y=[title] * len(values), mode="markers", marker=dots, name=title))
    figure.add_trace(go.Scatter(x=[outcome.mean], y=[title], mode="markers", marker=line, name=f"{title}, mean"))


def _dots(arms: Sequence[Outcome], title: str) -> go.Figure:
    figure = go.Figure()
    for outcome in arms:
        colour = (
            AFTER
            if outcome.plan.name in (*BY_HEAD, WITH_SAMPLING)
            else OBJECTS
            if outcome.plan.name == "weights_by_object"
            else BEFORE
        )
        _add(figure, outcome.plan.title, outcome, colour)
    return _layout(figure, title, len(arms))


def _ablation_dots(found: Sequence[Outcome], detector: str) -> go.Figure:
    arms = _of(found, "digits", detector, ablation=False)
    wrong = _of(found, "digits", detector, ablation=True)
    figure = go.Figure()
    for name, title, colour in ((BY_HEAD[0], "the reasoned weights", AFTER), (UNWEIGHTED, "all, unweighted", BEFORE)):
        if name in arms:
            _add(figure, title, arms[name], colour)
    for outcome in wrong.values():
        _add(figure, outcome.plan.title, outcome, OBJECTS)
    return _layout(figure, f"how wrong may weights be? Digits, {DETECTORS[detector]}", len(wrong) + 2)
