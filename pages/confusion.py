"""Confusion matrices: what is taken for what, and the objects behind each cell."""

import math
import os

import numpy as np
import pandas as pd
import streamlit as st

from panels.address import as_left, explorer_query
from tsc_core.display.desk import LIVE, desk
from tsc_core.display.frame import framed, keep
from tsc_core.display.published import as_csv, ask, matrices
from tsc_core.display.quick import demo_results
from tsc_core.display.text import markdown_table, plain_markdown
from tsc_core.evaluation.figures import CELL, confusion_chart, difference_chart, reliability_figure
from tsc_core.evaluation.metrics import (
    accuracy,
    balanced_accuracy,
    balanced_interval,
    bootstrap,
    even_calibration_error,
    recalls,
    wilson,
)
from tsc_core.evaluation.results import ORIGINS, Result, find_results, on_common, over_seeds, scored_alone
from tsc_core.evaluation.runs import CHECKPOINTS, PROJECT
from tsc_core.preprocessing.quality import WINDOWS
from tsc_core.sources import SourceError
from tsc_core.survey import is_made

MOST_OBJECTS, SUMMARY_WIDTH, SMALL_CELL, AXIS = 200, 460, 72, 110
TABS = ("One model", "Side by side", "Calibration", "Beside ALeRCE")
CHOSEN = ("result", "first", "second", "calibrated", "beside")
NO_REAL = (
    "Labelled real objects stand here beside ALeRCE's classifiers. Score yours by `tsc evaluate --source night.tar.gz "
    "--labels labels.csv --out checkpoints/mine/report.json --objects checkpoints/mine/report.csv`."
)
state = st.session_state


def classify_demo() -> None:
    """Score the demo archive with the bundles that ship, and keep the result for this session."""
    total = len(desk().source("demo").oids())
    bar, done = st.progress(0.0, text="Loading the models …"), [0]

    def show(count: int) -> None:
        done[0] += count
        bar.progress(min(done[0] / total, 1.0), text=f"object {done[0]} of {total}")

    state.demo_results = demo_results(desk(), progress=show)
    if state.demo_results:
        state.origin, state.result = state.demo_results[0].origin, state.demo_results[0].title
    bar.empty()


def one_of(label: str, results: list[Result], key: str, bind: str | None = None) -> list[Result]:
    """Choose a result; several that differ by seed alone are chosen together."""
    titles = list(dict.fromkeys(result.title for result in results))
    if state.get(key) not in titles:
        state[key] = titles[0]
    title = st.selectbox(label, titles, key=key, bind=bind)
    return [result for result in results if result.title == title]


def objects_of(result: Result, event: object) -> None:
    """The objects of the clicked cell, each leading to the explorer."""
    for point in event.selection.get(CELL) or []:
        state.cell = result.title, point.get("true"), point.get("predicted")
    title, true, predicted = state.get("cell", ("", None, None))
    if title != result.title:
        st.caption("Click a cell to see its objects." if result.scores else "The objects of this matrix were not kept.")
        return
    found = result.cell(true, predicted)
    many = f"{len(found)} object{'s' * (len(found) != 1)}"
    st.subheader(f"{plain_markdown(true)} taken for {plain_markdown(predicted)}: {many}", anchor=False)
    if not found:
        st.caption("None, or the objects of this matrix were not kept.")
        return
    rows = pd.DataFrame(found[:MOST_OBJECTS], columns=["object", f"probability of {predicted}"])
    chosen = st.dataframe(rows, hide_index=True, on_select="rerun", selection_mode="single-row", key="cell_rows")
    picked = [found[i][0] for i in chosen.selection.rows if i < len(found)] or [found[0][0]]
    if result.source:
        window = next((window for window in WINDOWS if result.split.endswith(f"window {window}")), WINDOWS[0])
        st.page_link(
            "pages/explorer.py", label=f"Open {picked[0]} in the explorer", icon=":material/flare:",
            query_params=explorer_query(result.source, picked[0], window, result.n),
        )  # fmt: skip


def shares(value: float, low: float, high: float) -> str:
    """A share with its interval, in per cent."""
    if not math.isfinite(value):
        return "none"
    return f"{100 * value:.1f} % ({100 * low:.1f}–{100 * high:.1f})"


def scores_of(result: Result) -> list[tuple[str, str]]:
    """What is said of a result, each with its interval: objects, accuracies, recall and precision by class."""
    counts, hits = result.counts, int(np.trace(result.counts))
    rows = [
        ("objects", f"{counts.sum():.0f}"),
        ("accuracy", shares(accuracy(counts), *wilson(hits, int(counts.sum())))),
        ("balanced accuracy", shares(balanced_accuracy(counts), *balanced_interval(counts))),
    ]
    for i, (name, recall) in enumerate(zip(result.classes, recalls(counts).tolist(), strict=True)):
        rows.append((f"recall {name}", shares(recall, *wilson(int(counts[i, i]), int(counts[i].sum())))))
    for name, found in result.natural_precision().items():
        rows.append((f"precision {name}, natural rates", shares(*found)))
    return rows


def summary(result: Result) -> None:
    """Accuracies in words, recall and precision by class."""
    with st.container(horizontal=True):
        st.metric("Objects", f"{result.counts.sum():.0f}", width="content", border=True)
        st.metric("Accuracy", f"{100 * accuracy(result.counts):.1f} %", width="content", border=True)
        st.metric("Balanced accuracy", f"{100 * balanced_accuracy(result.counts):.1f} %", width="content", border=True)
    said, precision = dict(scores_of(result)), result.natural_precision()
    st.caption(f"95 %: accuracy {said['accuracy']}, balanced {said['balanced accuracy']}.")
    heads = ("class", "objects", "recall", "precision at natural rates")
    rows = [
        (name, f"{n:.0f}", said[f"recall {name}"], shares(*precision[name]) if name in precision else "none")
        for name, n in zip(result.classes, result.counts.sum(1), strict=True)
    ]
    st.container(horizontal=True, wrap=False).markdown(markdown_table(heads, rows))  # slides on a narrow screen
    rates = ", ".join(f"{name} {100 * rate:.1f} %" for name, rate in result.natural_rates().items())
    missing = f" Without {' and '.join(result.unmeasured)}: none has a label here; real precision is lower."
    missing *= bool(result.unmeasured)
    st.caption(
        f"Natural rates: {rates}, as in the paper.{missing} A test set with equal classes flatters the rare ones."
    )


def side_by_side(first: Result, second: Result) -> None:
    """Two matrices of the same classes, their difference, and all their scores beside each other."""
    common = on_common(first, second)
    n = common and len(common[0].scores.oids)
    if common and n < max(first.counts.sum(), second.counts.sum()):
        if st.toggle(f"Only the {n} objects that both have", value=True, key=f"common {first.title} {second.title}"):
            first, second = common
    elif not common:
        st.caption("On different objects, or their objects were not kept: compare with care.")
    with st.container(horizontal=True, gap="medium"):
        charts = {
            first.title: confusion_chart(first.classes, first.counts, cell=SMALL_CELL),
            second.title: confusion_chart(second.classes, second.counts, cell=SMALL_CELL),
            "Points: first less second": difference_chart(first.classes, first.counts, second.counts, cell=SMALL_CELL),
        }
        for title, chart in charts.items():
            with st.container(width=SMALL_CELL * len(first.classes) + AXIS):
                st.caption(plain_markdown(title))
                st.container(horizontal=True, wrap=False).altair_chart(chart, width="content")
    rows = [(what, a, b) for (what, a), (_, b) in zip(scores_of(first), scores_of(second), strict=True)]
    if common:
        alone = scored_alone(*common)
        rows.append(("right where the other is wrong", *(f"{number} of {n}" for number in alone)))
    table = markdown_table(("with 95 % intervals", first.model, second.model), rows)
    st.container(horizontal=True, wrap=False).markdown(table)


def beside_alerce(ours: list[Result]) -> None:
    """ALeRCE's own classifiers on our labelled real objects, asked now."""
    if not ours:
        st.info(NO_REAL, icon=":material/school:")
        return
    chosen = one_of("Ours", ours, "beside")[0]
    oids = [oid for oid in chosen.scores.oids if not is_made(oid)]
    if st.button(f"Ask ALeRCE about these {len(oids)} objects", icon=":material/cloud_download:"):
        bar = st.progress(0.0, text="Asking ALeRCE …")
        try:
            state.asked = ask(
                desk().source(LIVE), oids, lambda done, all_: bar.progress(done / all_, text=f"object {done} of {all_}")
            )
        except (SourceError, OSError) as error:
            state.pop("asked", None)
            st.error(f"ALeRCE does not answer: {plain_markdown(error)}", icon=":material/cloud_off:")
        bar.empty()
    asked = state.get("asked")
    found = matrices(asked, chosen) if asked else []
    if not asked:
        st.caption(
            "Asks what ALeRCE's own classifiers say of each object now, and puts their matrices beside ours. "
            "They rest on all detections that ALeRCE has, ours on those named above."
        )
        return
    if not found:
        st.info(f"ALeRCE answered for {len(asked.answers)} objects; none of its classifiers knows all these classes.")
        return
    theirs = st.segmented_control(
        "Its classifier", [result.model for result in found], default=found[0].model, required=True, key="classifier"
    )
    side_by_side(chosen, next(result for result in found if result.model == theirs))
    st.caption(
        f"ALeRCE answered for {len(asked.answers)} objects, not for {len(asked.failed)}. "
        "It rests on all that it has of an object now, ours on the detections named; its training set may hold them."
    )
    st.download_button(
        "ALeRCE's probabilities (CSV)", lambda: as_csv(asked), "alerce.csv", "text/csv", on_click="ignore",
        help="What `tsc experiment baselines --probabilities` reads.",
    )  # fmt: skip


def one_model(here: list[Result]) -> None:
    """One matrix, or the mean over seeds, with its scores and the objects of a clicked cell."""
    chosen = one_of("Result", here, "result", bind="query-params")
    first = chosen[0]
    beside = st.container(horizontal=True)
    left, right = beside.container(width="content"), beside.container(width=SUMMARY_WIDTH)
    with left:
        if len(chosen) > 1:
            classes, mean, spread = over_seeds(chosen)
            counts = sum(result.counts for result in chosen) / len(chosen)
            chart = confusion_chart(classes, counts, mean, spread)
            st.caption(
                f"Mean of {len(chosen)} seeds; ± is their standard deviation. Objects are those of the first seed."
            )
        else:
            chart = confusion_chart(first.classes, first.counts)
        event = st.container(horizontal=True, wrap=False).altair_chart(
            chart, key=f"matrix {first.title}", on_select="rerun", selection_mode=CELL, width="content"
        )
    with right:
        summary(first)
        objects_of(first, event)


def calibration(with_objects: list[Result]) -> None:
    """Whether probabilities are what they say: a reliability diagram for each class."""
    if not with_objects:
        st.info("No result here kept its objects, so there is nothing to draw.")
        return
    result = one_of("Result", with_objects, "calibrated")[0]
    curves = result.reliability()
    st.plotly_chart(reliability_figure(curves), key="reliability")
    scores = result.scores
    if scores.probabilities is not None:
        error = even_calibration_error(scores.labels, scores.probabilities)
        low, high = bootstrap(even_calibration_error, scores.labels, scores.probabilities, draws=400)
        st.caption(
            f"Expected calibration error {error:.3f} ({low:.3f} to {high:.3f}) over {len(scores.oids)} objects, each "
            "class weighing the same, as the probabilities assume. On the dotted line a probability is what it says; "
            "larger points stand for more objects, bars are 95 % intervals."
        )


framed(st, __file__)
as_left("folder", "origin", "result", "part")
st.title("Confusion matrices", anchor=False)
with st.sidebar:
    folder = st.text_input(
        "Folder of results",
        CHECKPOINTS,
        key="folder",
        bind="query-params",
        help="Reports, runs and bundles below it are found.",
    )
results, problems = find_results(PROJECT / folder)
results = [*state.get("demo_results", []), *results]
with st.sidebar:
    st.button("Classify the demo archive now", on_click=lambda: state.update(classify_demo=True), width="stretch")
if state.pop("classify_demo", False):
    try:
        classify_demo()
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        st.error(f"The models cannot be used: {plain_markdown(error)}")
    else:
        st.rerun()
if problems:
    with st.sidebar.expander(f"{len(problems)} files could not be used", icon=":material/warning:"):
        for problem in problems:
            st.text(problem)
if not os.path.isdir(PROJECT / folder):
    st.error(f"There is no folder {plain_markdown(folder)}.", icon=":material/folder_off:")
if not results:
    st.info(
        "No results here yet. Classify the demo archive (left), or write some: `tsc evaluate --source night.tar.gz "
        "--labels labels.csv --out report.json --objects report.csv`."
    )
    st.stop()

origins = [origin for origin in ORIGINS if any(result.origin == origin for result in results)]
if state.get("origin") not in origins:
    state.origin = origins[0]
origin = st.segmented_control("Objects", origins, default=origins[0], required=True, key="origin", bind="query-params")
here = [result for result in results if result.origin == origin]
keep(state, CHOSEN)
one_tab, two_tab, calibration_tab, alerce_tab = st.tabs(TABS, key="part", on_change="rerun", bind="query-params")
if one_tab.open:
    with one_tab:
        one_model(here)
if two_tab.open:
    with two_tab:
        left, right = st.columns(2)
        with left:
            a = one_of("First", here, "first")[0]
        alike = [result for result in here if result.classes == a.classes and result.title != a.title]
        if alike:
            with right:
                b = one_of("Second", alike, "second")[0]
            side_by_side(a, b)
        else:
            st.info("No other result here is of the same classes.")
if calibration_tab.open:
    with calibration_tab:
        calibration([result for result in here if result.scores])
if alerce_tab.open:
    with alerce_tab:
        beside_alerce([result for result in results if result.origin == "real" and result.scores])
