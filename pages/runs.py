"""Training runs: tables of the paper beside ours, configurations, curves, seeds."""

import os

import pandas as pd
import streamlit as st

from panels.address import as_left
from tsc_core.display.frame import framed, keep
from tsc_core.display.text import plain_markdown
from tsc_core.evaluation.figures import curves_figure, parameter_figure
from tsc_core.evaluation.runs import (
    PROJECT,
    RUNS,
    Experiment,
    Run,
    Unreadable,
    columns_of,
    differing,
    find_experiments,
    find_runs,
    metrics_of,
    over_seeds,
    read_curve,
    smoothed,
)

MOST_CURVES, ALL, OPENED_ON = 16, "all", "complete"
CHOSEN = ("only_differences", "seed_metric", "axis")
DIGITS = {"difference": 2, "p": 4, "least p": 4, "Cohen's d": 1, "ms per object": 3}
FAVOURITES = ("test.accuracy", "test.balanced_accuracy", "val_accuracy", "val_loss")


def run_table(runs: list[Run], only_differences: bool) -> pd.DataFrame:
    """A row per run: state, metrics, and its configuration or what differs in it."""
    keys = differing(runs) if only_differences else columns_of(run.config for run in runs)
    rows = []
    for run in runs:
        state = "finished" if run.result else "not finished"
        row = {"run": run.name, "state": "broken" if run.broken else state}
        row |= {name: value for name, value in metrics_of(run).items() if name.count(".") < 2 and name != "seed"}
        rows.append(row | {key: str(run.config[key]) for key in keys if key in run.config})
    return pd.DataFrame(rows)


def about(experiment: Experiment) -> str:
    """What is to be known of an experiment's numbers, in a line."""
    notes = dict(experiment.notes)
    words = [f"{notes.pop('origin', 'unknown')} objects"]
    words += ["quick form: smaller network, fewer seeds"] if notes.pop("quick", False) else []
    words += ["one encoder for all cells, frozen"] if notes.pop("frozen_encoder", False) else []
    return "; ".join([*words, *(f"{key}: {value}" for key, value in notes.items() if key not in ("name", "title"))])


def with_curves(runs: list[Run], most: int) -> list[Run]:
    """The first few runs that have a table of metrics."""
    found = []
    for run in runs:
        try:
            found += [run] if read_curve(run)["step"] else []
        except Unreadable:
            continue  # told where it is chosen
        if len(found) == most:
            break
    return found


def draw_curves(runs: list[Run]) -> None:
    """The chosen runs' metrics against step, smoothed."""
    curves = {}
    for run in runs[:MOST_CURVES]:
        try:
            curves[run.name] = read_curve(run)
        except Unreadable as error:
            st.caption(f":material/warning: {plain_markdown(error)}")
    for run in [run for run in runs[:MOST_CURVES] if run.name in curves and not curves[run.name]["step"]]:
        st.caption(f":material/info: {plain_markdown(run.name)} has no steps to draw (boosting has none).")
        del curves[run.name]
    names = [name for name in columns_of(curves.values()) if name not in ("step", "best", "seconds")]
    if not names:
        st.info("None of the chosen runs has a table of metrics.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        metric = st.selectbox("Metric", names, index=names.index("val_loss") if "val_loss" in names else 0, width=240)
        weight = st.slider("Smoothing", 0.0, 0.99, 0.6, width=240)
    lines, best = {}, {}
    for run in runs[:MOST_CURVES]:
        table = curves.get(run.name, {})
        if metric in table:
            lines[run.name] = (table["step"], table[metric], smoothed(table[metric], weight))
            best[run.name] = metrics_of(run).get("best_step", float("nan"))
    st.plotly_chart(curves_figure(lines, metric, best), key="curves")
    st.caption("Faint: as measured; strong: smoothed; star: the step whose weights were kept.")
    last = [
        {"run": name, "best step": best[name], "last step": steps[-1], f"last {metric}": raw[-1]}
        for name, (steps, raw, _) in lines.items() if steps
    ]  # fmt: skip
    st.dataframe(pd.DataFrame(last), hide_index=True)


def compare(runs: list[Run], metric: str) -> None:
    """Seeds gathered to mean and spread, and the metric against one hyper-parameter."""
    groups = over_seeds(runs, metric)
    number = st.column_config.NumberColumn(format="%.4f")
    st.dataframe(
        pd.DataFrame(
            [{"mean": g.mean, "std": g.std, "runs": len(g.runs), "configuration": g.label} for g in groups]
        ),
        hide_index=True, column_config={"mean": number, "std": number},
    )  # fmt: skip
    finished = [run for run in runs if metric in metrics_of(run)]
    keys = [key for key in differing(finished) if key != "name"]
    if not keys:
        st.caption("All these runs have the same configuration: nothing to draw the metric against.")
        return
    axis = st.selectbox("Hyper-parameter", sorted(keys, key=lambda key: not key.startswith("model.")), key="axis")
    held = [run for run in finished if axis in run.config]
    values, scores = [run.config[axis] for run in held], [metrics_of(run)[metric] for run in held]
    st.plotly_chart(parameter_figure(values, scores, [run.name for run in held], axis, metric), key="parameter")


def beside_the_paper(experiments: list[Experiment]) -> None:
    """Each experiment's table, the paper's column beside ours."""
    if not experiments:
        st.info("No experiment here yet: `tsc experiment recurrent --data DIR --out checkpoints/runs/recurrent`.")
    for experiment in experiments:
        st.subheader(plain_markdown(experiment.title), anchor=False)
        if experiment.problem:
            st.warning(plain_markdown(experiment.problem))
            continue
        table = pd.DataFrame(list(experiment.rows)).dropna(axis=1, how="all")
        shares = {name: st.column_config.NumberColumn(format="%.2f") for name in table if "(%)" in str(name)}
        shares |= {name: st.column_config.NumberColumn(format=f"%.{digits}f") for name, digits in DIGITS.items()}
        st.dataframe(table, hide_index=True, column_config=shares, placeholder="")
        st.caption(plain_markdown(about(experiment)))


def table_and_curves(usable: list[Run]) -> None:
    """What each run was and reached; the curves of those chosen."""
    if not usable:
        st.info("No readable run.")
        return
    only = st.toggle("Only what differs in the configuration", value=True, key="only_differences")
    table = run_table(usable, only)
    picked = st.dataframe(
        table, hide_index=True, on_select="rerun", selection_mode="multi-row", key="run_rows", placeholder=""
    )
    chosen = [usable[i] for i in picked.selection.rows if i < len(usable)] or with_curves(usable, 2) or usable[:2]
    names = ", ".join(run.name for run in chosen[:MOST_CURVES])
    st.caption(f"Curves of {plain_markdown(names)}. Choose rows at their left edge to compare others.")
    draw_curves(chosen)


def seeds(usable: list[Run]) -> None:
    """One metric over seeds, and against a hyper-parameter."""
    names = sorted({name for run in usable for name in metrics_of(run)}, key=lambda n: (n not in FAVOURITES, n))
    if not names:
        st.info("No finished run.")
        return
    compare(usable, st.selectbox("Metric", names, key="seed_metric"))


framed(st, __file__)
as_left("folder", "group", "part")
st.title("Training runs", anchor=False)
with st.sidebar:
    folder = st.text_input(
        "Folder of runs",
        RUNS,
        key="folder",
        bind="query-params",
        help="What `tsc train --out` and `tsc experiment --out` wrote.",
    )
runs, experiments = find_runs(PROJECT / folder), find_experiments(PROJECT / folder)
if not os.path.isdir(PROJECT / folder):
    st.error(f"There is no folder {plain_markdown(folder)}.", icon=":material/folder_off:")
    st.stop()
if not runs and not experiments:
    st.info("No runs in this folder yet. `tsc train` and `tsc experiment` write them to their `--out`.")
    st.stop()

broken = [run for run in runs if run.broken]
usable = [run for run in runs if not run.broken]
groups = list(dict.fromkeys(run.experiment for run in usable))
if len(groups) > 1:
    with st.sidebar:
        group = st.selectbox(
            "Experiment", [*groups, ALL], index=groups.index(OPENED_ON) if OPENED_ON in groups else 0,
            key="group", bind="query-params",
            help="Runs of different experiments have different test sets: compare within one.",
        )  # fmt: skip
    experiments = [found for found in experiments if group in (ALL, found.folder)]
    usable = [run for run in usable if group in (ALL, run.experiment)]
with st.container(horizontal=True):
    st.metric("Runs", len(runs), width="content", border=True)
    st.metric("Finished", sum(bool(run.result) and not run.broken for run in runs), width="content", border=True)
    st.metric("Broken", len(broken), width="content", border=True)
parts = ["Paper and ours", "Runs", "Seeds and hyper-parameters", "Broken"]
keep(st.session_state, CHOSEN)
tables_tab, runs_tab, seeds_tab, broken_tab = st.tabs(parts, key="part", on_change="rerun", bind="query-params")
if tables_tab.open:
    with tables_tab:
        beside_the_paper(experiments)
if runs_tab.open:
    with runs_tab:
        table_and_curves(usable)
if seeds_tab.open:
    with seeds_tab:
        seeds(usable)
if broken_tab.open:
    with broken_tab:
        found = [{"run": run.name, "what is wrong": run.problem} for run in broken]
        st.dataframe(pd.DataFrame(found, columns=["run", "what is wrong"]), hide_index=True)
