"""Lists: many objects classified at once, found at ALeRCE or named, compared side by side."""

import pandas as pd
import streamlit as st

from panels.address import explorer_query
from tsc_core.display.batch import COLUMNS, MOST_OBJECTS, as_csv, as_json_lines, lines, row_of
from tsc_core.display.desk import LIVE, desk
from tsc_core.display.frame import framed
from tsc_core.display.progression import progression
from tsc_core.display.stamps import inline
from tsc_core.display.strip import first_place, tiles
from tsc_core.display.text import plain_markdown
from tsc_core.preprocessing.quality import WINDOWS, select_alerts
from tsc_core.sources import Source, SourceError
from tsc_core.sources.packets import PacketSource
from tsc_core.sources.search import parse_oids
from tsc_core.survey import CLASSES

SIDE_BY_SIDE, BESIDE_WIDTH = 4, 360  # pixels: three in a row at 1280
MOST_WRONG = 10  # words that are no ids, told at once
SEARCH_COLUMNS = ("oid", "class_name", "probability", "classifier_name", "ndet", "meanra", "meandec")
state = st.session_state


def counted(number: int) -> str:
    """A number of objects in words."""
    return f"{number} object{'s' * (number != 1)}"


def take(oids: list[str]) -> None:
    """Put ids into the list."""
    state.ids = "\n".join(oids)


def take_found(oids: list[str]) -> None:
    """Put what a search at ALeRCE found into the list, to be read from there."""
    take(oids)
    state.batch_source = LIVE


def search_form() -> None:
    """Ask ALeRCE for objects by position, class, probability, detections and dates."""
    with st.form("search", border=False):
        first, second, third = st.columns(3)
        where = first.text_input("Position (degrees or sexagesimal)", placeholder="150.1 2.2 or 10:00:24 +02:12:00")
        radius = first.number_input("Radius (arcsec)", 0.1, 3600.0, 30.0)
        classifier = second.text_input("ALeRCE classifier", placeholder="stamp_classifier")
        class_name = second.text_input("Class", placeholder="SN")
        least = third.slider("Probability at least", 0.0, 1.0, 0.0)
        detections = third.slider("Detections", 1, 500, (1, 500))
        dates = second.date_input("First detection between (optional)", value=())
        most = third.number_input("Objects at most", 1, 500, 50)
        if not st.form_submit_button("Search ALeRCE", icon=":material/search:"):
            return
    wanted = {"position": where or None, "radius_arcsec": radius, "classifier": classifier, "class_name": class_name}
    wanted |= {"probability": least or None, "ndet": None if detections == (1, 500) else detections, "page_size": most}
    wanted |= {"first": tuple(day.isoformat() for day in dates) if len(dates) == 2 else None}
    try:
        with st.spinner("Searching …"):
            state.search_result = desk().source(LIVE).search(**wanted)
    except (SourceError, ValueError, OSError) as error:
        state.pop("search_result", None)
        st.error(plain_markdown(error))


def found_objects() -> None:
    """What the last search found, and taking it into the list."""
    found = state.get("search_result")
    if found is None:
        return
    if found.empty:
        st.info("ALeRCE has no object that fits.")
        return
    st.dataframe(found[[name for name in SEARCH_COLUMNS if name in found]], hide_index=True, height=240)
    oids = found["oid"].drop_duplicates().tolist()
    st.button(f"Take {counted(len(oids))}", on_click=take_found, args=[oids])


def classify(source: Source, oids: list[str], window: str) -> None:
    """Classify all, with progress, and keep what was found for this session."""
    bar, done = st.progress(0.0, text="Loading the models …"), []
    for line in lines(desk(), source, oids, window):
        done.append(line)
        bar.progress(len(done) / len(oids), text=f"object {len(done)} of {len(oids)}: {line['oid']}")
    bar.empty()
    state.batch = {"lines": done, "spec": state.batch_source, "window": window, "source": source}


def side_by_side(oids: list[str], batch: dict) -> None:
    """Up to four objects beside each other."""
    row = st.container(horizontal=True)
    for oid in oids:
        sequence = desk().sequence(batch["source"], oid)
        selection = select_alerts(sequence, batch["window"])
        prediction = desk().prediction(batch["source"], sequence, batch["window"])
        with row.container(width=BESIDE_WIDTH):
            st.markdown(f"**{oid}**")
            if sequence.alerts:
                place = first_place(sequence, {alert.candid for alert in selection.used})
                tile = tiles(sequence, selection.reasons, [place])[0]
                st.image(inline(tile.png), width=126, alt=tile.alt)
                st.caption(plain_markdown(tile.caption))
            if prediction.steps:
                st.plotly_chart(progression(prediction.steps), key=f"beside {oid}")
            if batch["spec"] != "upload":
                query = explorer_query(batch["spec"], oid, batch["window"])
                st.page_link("pages/explorer.py", label="Open in the explorer", query_params=query)


def results(batch: dict) -> None:
    """The table, its export, and the rows chosen for a closer look."""
    found = batch["lines"]
    rows = [row_of(line) for line in found]
    wrong = sum(bool(line["error"]) for line in found)
    st.subheader(f"{counted(len(rows))}, {wrong} could not be read", anchor=False)
    shares = {
        name: st.column_config.ProgressColumn(name, min_value=0.0, max_value=1.0, format="%.2f") for name in CLASSES
    }
    chosen = st.dataframe(
        pd.DataFrame(rows, columns=list(COLUMNS)),
        hide_index=True, column_config=shares, on_select="rerun", selection_mode="multi-row", key="batch_rows",
        placeholder="",
    )  # fmt: skip
    with st.container(horizontal=True):
        st.download_button("Table (CSV)", as_csv(found), "classified.csv", "text/csv", on_click="ignore")
        st.download_button(
            "All steps (JSON lines)", as_json_lines(found), "classified.jsonl", "application/jsonl", on_click="ignore"
        )
    readable = [rows[i]["oid"] for i in chosen.selection.rows if i < len(rows) and found[i]["detections"]]
    if not readable:
        st.caption(f"Choose up to {SIDE_BY_SIDE} rows at their left edge to see them side by side.")
        return
    if len(readable) > SIDE_BY_SIDE:
        st.caption(f"The first {SIDE_BY_SIDE} of {len(readable)} chosen objects.")
    side_by_side(readable[:SIDE_BY_SIDE], batch)


# --- the page ---------------------------------------------------------------------------------------------------

framed(st, __file__)
st.title("Lists of objects", anchor=False)
left, right = st.columns([2, 1])
with right:
    spec = st.selectbox(
        "Source", ("demo", LIVE, "upload"), key="batch_source", accept_new_options=True,
        help="Or type the path of ZTF alert packets.",
    )  # fmt: skip
    packets = st.file_uploader("Alert packets", accept_multiple_files=True) if spec == "upload" else []
    window = st.segmented_control("Detections used", WINDOWS, default="first", key="batch_window", required=True)
try:
    if spec == "upload":
        if [file.file_id for file in packets] != state.get("batch_upload_ids"):
            state.batch_upload_ids = [file.file_id for file in packets]
            state.batch_upload = PacketSource.from_uploads([(file.name, file.getvalue()) for file in packets])
        source = state.batch_upload
    else:
        source = desk().source(spec, window)
    listed = source.oids()
except (SourceError, OSError) as error:
    st.error(plain_markdown(error), icon=":material/folder_off:")
    st.button("Try again", icon=":material/refresh:")
    st.stop()
with left:
    typed, uploaded, searched = st.tabs(["Type or paste", "A file of ids", "Search ALeRCE"])
    with searched:
        search_form()
        found_objects()
    with uploaded:
        file = st.file_uploader("Ids, one per line or separated by commas", key="ids_file")
        if file:
            st.button("Take the ids of this file", on_click=take, args=[[file.getvalue().decode("utf-8", "replace")]])
    with typed:
        st.text_area("Object ids", key="ids", height=160, placeholder="ZTF18abcdefg\nZTF19abcdefg")
        if listed:
            number = min(len(listed), MOST_OBJECTS)
            st.button(f"Take {counted(number)} of this source", on_click=take, args=[list(listed[:MOST_OBJECTS])])
oids, wrong = parse_oids(state.ids or "")
if wrong:
    shown = ", ".join([*wrong[:MOST_WRONG], "…"] if len(wrong) > MOST_WRONG else wrong)
    many = "1 word is no id" if len(wrong) == 1 else f"{len(wrong)} words are no ids"
    st.warning(f"{many}: {plain_markdown(shown)}", icon=":material/help:")
if len(oids) > MOST_OBJECTS:
    st.warning(f"{len(oids)} ids: the first {MOST_OBJECTS} are taken. For more, use `tsc classify`.")
what = counted(min(len(oids), MOST_OBJECTS)) if oids else "the objects"
if st.button(f"Classify {what}", type="primary", disabled=not oids):
    classify(source, oids[:MOST_OBJECTS], window)
if "batch" in state:
    results(state.batch)
elif not oids:
    st.info("Name objects above, or take all of the source, then classify them.", icon=":material/checklist:")
