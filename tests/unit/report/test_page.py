"""The whole report: its content, the errors for bad work directories, and its files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from support.coco import pipeline, runner_config, write_dataset
from support.logs import DATASETS, RENDERED, VENDOR, write_pictures, write_run
from typer.testing import CliRunner

from headweights import WeightError
from headweights.cli import app
from headweights.report import command
from headweights.report.page import make_page, write_report
from headweights.report.runs.readers import read_runs


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "weighted", write_pictures(folder / "pictures"))
    return folder / "weighted"


def data_of(page: str) -> dict[str, Any]:
    match = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, flags=re.DOTALL)
    assert match
    return json.loads(match[1])


def words_of(page: str) -> str:
    """What a reader reads: no scripts, no styles, no tags."""
    page = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(
        re.sub(r"<[^>]+>", " ", page)
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
        .replace("&#39;", "'")
        .split()
    )


def test_a_run_is_on_the_page(work_dir: Path, tmp_path: Path) -> None:
    out = write_report([work_dir], tmp_path / "new" / "page.html")
    assert out == tmp_path / "new" / "page.html"
    page = out.read_text(encoding="utf-8")
    words = words_of(page)
    assert all(name in words for name in DATASETS)
    # The words, the facts, the warning.
    assert "one fifth (0.2) in roi_head; its classification one twentieth (0.05); full weight in rpn_head" in words
    assert "from 1 to 0.1 over iterations 0 to 300 (cosine) in rpn_head; full weight in roi_head" in words
    assert "In roi_head, rendered's gradient opposes real's (mean cosine -0.1" in words
    assert "In rpn_head" not in words
    assert "Missing" not in words
    assert page.count("data:image/jpeg;base64,") == 6
    # Every curve by data set and head.
    charts = {chart["title"]: chart for chart in data_of(page)["charts"]}
    for term in ("rpn_head.loss_rpn_cls", "rpn_head.loss_rpn_bbox", "roi_head.loss_cls", "roi_head.loss_bbox"):
        for kind in ("raw", "weighted"):
            assert [trace["datasets"] for trace in charts[f"{term}, {kind}"]["traces"]] == [[0], [1], [2]]
    # Only weights that change are shown over time, and COCO's -1 is not a precision.
    assert [chart["traces"][0]["name"] for title, chart in charts.items() if chart["y"] == "weight"] == [VENDOR, VENDOR]
    assert charts["coco/bbox_mAP"]["traces"][0]["x"] == [100, 200, 300]
    assert "coco/bbox_mAP_s" not in charts


def test_nothing_is_fetched(work_dir: Path, tmp_path: Path) -> None:
    page = write_report([work_dir], tmp_path / "page.html").read_text(encoding="utf-8")
    # Plotly's own script aside, which names addresses that the page's policy forbids and nothing here asks for.
    page = max(re.split(r"<script>.*?plotly\.js.*?</script>", page, flags=re.DOTALL), key=len)
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)[^"']*""", page)
    assert "default-src 'none'" in write_report([work_dir], tmp_path / "page.html").read_text(encoding="utf-8")


def test_runs_are_compared(work_dir: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "unweighted", {}, roi_weight=1, scheduled=False, seed=1, lr=0.004)
    page = write_report([tmp_path / "unweighted", work_dir], tmp_path / "page.html").read_text(encoding="utf-8")
    words = words_of(page)
    assert "learning rate 0.004 0.002" in words
    assert "rendered: weight in roi_head, loss_cls 1 0.05" in words
    assert "rendered: weight in roi_head 1 0.2" in words
    assert f"{VENDOR}: weight in rpn_head 1 from 1 to 0.1 over iterations 0 to 300 (cosine)" in words
    assert "real: weight" not in words
    assert "coco/bbox_mAP, last 0.216 0.259 +0.043" in words
    assert "The same in all runs: model FasterRCNN; optimizer AdamW; iterations 300; batch size 8" in words
    runs = {trace["run"] for chart in data_of(page)["charts"] for trace in chart["traces"]}
    assert runs == {0, 1}


def test_a_run_of_the_trainer_beside_one_of_mmdetection(work_dir: Path, trainer_runs: Path, tmp_path: Path) -> None:
    page = write_report([work_dir, trainer_runs / "finished"], tmp_path / "page.html").read_text(encoding="utf-8")
    words = words_of(page)
    assert "weighted mmengine, 300 steps logged, target: real finished transformers, 12 steps logged, target: real" in words
    assert "Missing" not in words
    # The same rows for both; what no file tells is unknown.
    assert "model FasterRCNN YolosForObjectDetection optimizer AdamW adamw_torch learning rate 0.002 5e-05" in words
    assert "initial checkpoint \N{EN DASH} unknown" in words
    assert "settings of the configs differ" not in words
    assert "coco/bbox_mAP · eval_map, last 0.259 0.3 +0.041" in words
    assert "rendered: weight in roi_head 0.2 \N{EN DASH}" in words
    assert "night_time: weight in loss_ce \N{EN DASH} 0.05" in words
    assert "real: weight" not in words
    charts = {chart["title"]: chart for chart in data_of(page)["charts"]}
    for title in ("loss", "lr · learning_rate", "grad_norm", "coco/bbox_mAP · eval_map"):
        assert [trace["run"] for trace in charts[title]["traces"]] == [0, 1]
    assert [trace["name"] for trace in charts["loss_ce, raw"]["traces"]] == ["real · finished", "night_time · finished"]
    # A weight that changes by rounding only is constant.
    changing = {chart["title"] for chart in data_of(page)["charts"] if chart["y"] == "weight"}
    assert changing == {"rpn_head.loss_cls", "rpn_head.loss_bbox"}
    # Of the charts with the same title, the last one is the cosines'.
    assert (charts["loss_ce"]["y"], charts["loss_ce"]["traces"][0]["name"]) == ("cosine", "night_time vs real · finished")


def test_runs_with_the_same_name_are_distinguished(work_dir: Path, tmp_path: Path) -> None:
    for parent in ("a", "b"):
        shutil.copytree(work_dir, tmp_path / parent / "weighted")
    page = write_report([tmp_path / "a" / "weighted", tmp_path / "b" / "weighted"], tmp_path / "page.html").read_text(
        encoding="utf-8"
    )
    assert data_of(page)["runs"] == ["a/weighted", "b/weighted"]


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    name = "</script><script>alert(1)</script>\u2028\ud800"
    vis_data = write_run(tmp_path / "run", {})
    line = {f"raw_loss/rpn_head.loss_cls/{name}": 1.0, f"<img src=x>{name}": 2.0, "loss": 1.0, "step": 310}
    with (vis_data / "scalars.json").open("a") as log:
        log.write(json.dumps(line) + "\n")
    page = write_report([tmp_path / "run"], tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert name in data_of(page)["datasets"]


def test_a_plain_run_of_mmengine_shows_what_it_has(tmp_path: Path) -> None:
    visualizer = Visualizer(vis_backends=[dict(type="LocalVisBackend")], save_dir=str(tmp_path / "run" / "20260101_120000"))
    for epoch in (1, 2):
        for step in (1, 2, 3):
            visualizer.add_scalars({"lr": 0.1, "loss": 2.0, "epoch": epoch, "iter": step}, step=3 * (epoch - 1) + step)
        visualizer.add_scalars({"coco/bbox_mAP": 0.1 * epoch}, step=epoch)
    page = write_report([tmp_path / "run"], tmp_path / "page.html").read_text(encoding="utf-8")
    words = words_of(page)
    assert "Missing" in words
    assert "no headweights.json" in words
    assert "no entries by data set and head" in words
    assert "no dump of the config" in words
    assert "Not in the log: no entries raw_loss/… or weighted_loss/…" in words
    charts = {chart["title"]: chart for chart in data_of(page)["charts"]}
    assert charts["loss"]["traces"][0]["x"] == [1, 2, 3, 4, 5, 6]
    # Epochs 1 and 2 ended at iterations 3 and 6.
    assert charts["coco/bbox_mAP"]["traces"][0]["x"] == [3, 6]


def test_what_a_data_set_labels_is_said_for_each_run(work_dir: Path, tmp_path: Path) -> None:
    record = write_run(tmp_path / "partial", {}) / "headweights.json"
    described = json.loads(record.read_text())
    for dataset in described["datasets"]:
        if dataset["name"] == RENDERED:
            dataset.update(classes=["tree", "car"], labelled=["tree"])
    record.write_text(json.dumps(described))
    words = words_of(write_report([work_dir, tmp_path / "partial"], tmp_path / "page.html").read_text(encoding="utf-8"))
    # In the verdict and at the data set, of the one run.
    assert words.count("It labels only tree") == 2


def test_a_missing_image_is_reported(work_dir: Path, tmp_path: Path) -> None:
    samples = write_pictures(tmp_path / "pictures")
    Path(samples[RENDERED][0]["image"]).unlink()
    Path(samples[RENDERED][1]["image"]).write_bytes(b"no picture")
    write_run(tmp_path / "run", samples)
    words = words_of(write_report([tmp_path / "run"], tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "set1/0.png does not exist" in words
    assert "set1/1.png could not be read" in words


def test_a_long_log_keeps_its_spikes(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "20260101_120000" / "vis_data"
    folder.mkdir(parents=True)
    lines = [{"loss": 1000.0 if step == 54321 else 1.0 + step % 7, "step": step} for step in range(1, 100_001)]
    (folder / "scalars.json").write_text("\n".join(map(json.dumps, lines)) + "\n")
    (trace,) = data_of(write_report([tmp_path / "run"], tmp_path / "page.html").read_text(encoding="utf-8"))["charts"][0][
        "traces"
    ]
    assert len(trace["x"]) <= 2002
    assert trace["y"][trace["x"].index(54321)] == 1000
    assert (trace["x"][0], trace["x"][-1]) == (1, 100_000)


def run_report(*arguments: Path | str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["report", *map(str, arguments)])
    return result.exit_code, result.output


def test_the_command_writes_into_the_work_dir_and_prints_where(work_dir: Path) -> None:
    code, text = run_report(work_dir)
    assert (code, text.strip()) == (0, str(work_dir / "report.html"))
    assert (work_dir / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert not list(work_dir.glob("*.part"))


def test_a_bad_work_dir_is_named_and_nothing_is_written(work_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for bad, message in (("nowhere", "no such folder"), ("empty", "contains no training log"), ("file", "is a file")):
        code, text = run_report(work_dir, tmp_path / bad, "--out", tmp_path / "page.html")
        assert code == 2
        assert text.startswith(f"headweights report: {tmp_path / bad}")
        assert message in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]


def test_a_bad_out_is_named(work_dir: Path, tmp_path: Path) -> None:
    code, text = run_report(work_dir, "--out", tmp_path)
    assert (code, text.strip()) == (2, f"headweights report: {tmp_path} is a folder; name the HTML file to write.")
    (tmp_path / "file").touch()
    code, text = run_report(work_dir, "--out", tmp_path / "file" / "page.html")
    assert code == 1
    assert "Traceback" not in text


def test_no_work_dir_is_an_error() -> None:
    assert run_report()[0] == 2
    with pytest.raises(WeightError, match="no folder is named"):
        write_report([], Path("page.html"))


def test_neither_torch_nor_mmdetection_is_needed(work_dir: Path, tmp_path: Path) -> None:
    code = f"""
import sys
for name in ("torch", "mmdet", "mmengine", "mmcv", "cv2"):
    sys.modules[name] = None  # importing it fails as if it were not installed
from pathlib import Path
from headweights.report.page import make_page, write_report
write_report([Path({str(work_dir)!r})], Path({str(tmp_path / "page.html")!r}))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "page.html").is_file()


def test_a_missing_package_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch, work_dir: Path) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "plotly" else object())
    code, text = run_report(work_dir)
    assert (code, text.strip()) == (1, 'headweights report: the report needs plotly: pip install "headweights[report]"')


def test_an_earlier_report_outlives_a_failure(work_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    out.write_text("earlier")
    with pytest.raises(WeightError):
        write_report([work_dir, tmp_path / "nowhere"], out)
    assert out.read_text() == "earlier"


def test_what_is_not_known_is_not_called_the_same(work_dir: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        folder = tmp_path / name / "20260101_120000" / "vis_data"
        folder.mkdir(parents=True)
        (folder / "scalars.json").write_text('{"loss": 1.0, "raw_loss/head.loss_cls/real": 1.0, "step": 1}\n')
    words = words_of(write_report([tmp_path / "a", tmp_path / "b"], tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "the same" not in words.split("Results")[0].lower()
    assert "Weights and settings are unknown" in words
    assert "as last logged" not in words
    assert "weights are unknown" in words
    words = words_of(write_report([work_dir, tmp_path / "a"], tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "learning rate 0.002 unknown" in words
    assert "rendered: weight in roi_head 0.2 unknown" in words
    assert "The same in all" not in words


def test_a_missing_record_is_reported_once(tmp_path: Path) -> None:
    vis_data = write_run(tmp_path / "run", {})
    (vis_data / "headweights.json").write_text("{")
    words = words_of(write_report([tmp_path / "run"], tmp_path / "page.html").read_text(encoding="utf-8"))
    assert words.count("headweights.json") == 1
    assert "0.1025 times" not in words
    assert "one tenth (0.1) in rpn_head; full weight in roi_head (as last logged)" in words


def test_a_data_set_of_one_run_only_has_no_weight_in_the_other(work_dir: Path, tmp_path: Path) -> None:
    vis_data = write_run(tmp_path / "run", {})
    content = json.loads((vis_data / "headweights.json").read_text())
    content["table"] = [row for row in content["table"] if row["dataset"] != RENDERED]
    (vis_data / "headweights.json").write_text(json.dumps(content))
    words = words_of(write_report([work_dir, tmp_path / "run"], tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "rendered: weight in roi_head 0.2 \N{EN DASH}" in words


@pytest.mark.slow
def test_a_resumed_training_of_mmengines_runner(tmp_path: Path) -> None:
    """No file of ours: what the real Runner writes, over two epochs and, after a restart, a third."""
    data = [write_dataset(tmp_path / "data", name, seed=seed) for seed, name in enumerate(("real", "rendered"))]
    for dataset in data:
        dataset["pipeline"] = pipeline()
    for epochs, resume in ((2, False), (3, True)):
        config = runner_config(tmp_path / "run", data, epochs=epochs, resume=resume)
        config.experiment_name = f"session_{epochs}"
        Runner.from_cfg(config).train()
    page = write_report([tmp_path / "run"], tmp_path / "page.html").read_text(encoding="utf-8")
    charts = {chart["title"]: chart for chart in data_of(page)["charts"]}
    # Eight images in batches of two.
    assert charts["loss"]["traces"][0]["x"] == list(range(1, 13))
    assert {"lr", "loss_rpn_cls", "loss_bbox"} <= charts.keys()
    assert "no entries by data set and head" in words_of(page)
    assert "2 sessions" in words_of(page)


NAMES = st.one_of(st.sampled_from(["a", "b", "a vs b", "a vs a", "vs", " vs ", "<b>&", "x/y"]), st.text(max_size=4))
ENTRIES = st.builds("{}/{}/{}".format, st.sampled_from(["raw_loss", "weight", "loss_share", "gradient_cosine"]), NAMES, NAMES)
LINES = st.dictionaries(
    st.one_of(ENTRIES, st.sampled_from(["loss", "lr", "step", "iter"]), NAMES), st.floats() | st.integers(0, 9)
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINES, max_size=5), others=st.lists(LINES, max_size=3), cut=st.integers(0, 60))
def test_there_is_a_page_of_any_log(tmp_path: Path, lines: list[Any], others: list[Any], cut: int) -> None:
    for name, content in (("a", lines), ("b", others)):
        folder = tmp_path / name / "20260101_120000" / "vis_data"
        folder.mkdir(parents=True, exist_ok=True)
        text = "\n".join(map(json.dumps, content))
        (folder / "scalars.json").write_text(text[: len(text) - cut])
        (folder / "headweights.json").write_text(json.dumps({"version": 1, "target": "a", "table": content})[: 200 - cut])
    page = make_page(read_runs([tmp_path / "a", tmp_path / "b"]))
    assert data_of(page)["runs"] == ["a", "b"]
    assert page.rstrip().endswith("</html>")


@pytest.mark.slow
def test_a_training_with_the_hook(tmp_path: Path) -> None:
    """Nothing made up: a stock config with the hook's block, trained, and what it left."""
    data = [
        dict(write_dataset(tmp_path / "data", name, seed=n), pipeline=pipeline()) for n, name in enumerate(("real", "rendered"))
    ]
    falling = {"schedule": "cosine", "points": [[0, 1.0], [3, 0.1]], "by": "epoch"}
    weights = {"real": 1.0, "rendered": {"rpn_head": falling, "roi_head": 0.2, "roi_head.bbox_head.loss_cls": 0.05}}
    Runner.from_cfg(
        runner_config(tmp_path / "run", data, epochs=3, custom_hooks=[dict(type="LossWeightHook", weights=weights)])
    ).train()
    page = write_report([tmp_path / "run"], tmp_path / "page.html").read_text(encoding="utf-8")
    words = words_of(page)
    assert "Missing" not in words
    assert "from 1 to 0.1 over epochs 0 to 3 (cosine) in rpn_head" in words
    assert "in roi_head.bbox_head its classification one twentieth (0.05), its boxes one fifth (0.2)" in words
    assert page.count("data:image/jpeg;base64,") == 8
    found = {(chart["title"], chart["y"]) for chart in data_of(page)["charts"]}
    for term in (
        "rpn_head.loss_rpn_cls",
        "rpn_head.loss_rpn_bbox",
        "roi_head.bbox_head.loss_cls",
        "roi_head.bbox_head.loss_bbox",
    ):
        assert {(f"{term}, raw", "loss"), (f"{term}, weighted", "loss"), (term, "share of the loss")} <= found
    assert {("rpn_head.loss_cls", "weight"), ("rpn_head.loss_bbox", "weight")} <= found
    assert {("rpn_head", "cosine"), ("rpn_head", "share of the gradient")} <= found
