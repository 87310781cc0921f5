"""What is seen of an object: headline, strip, light curve, zoom, packet, links, downloads."""

import streamlit as st

from panels.address import named
from tsc_core.alerts import CHANNELS, Alert, AlertSequence, Prediction
from tsc_core.display.links import aladin_page, broker_links, facts, position
from tsc_core.display.stamps import STRETCHES, draw_stamp, inline, pixel_limits
from tsc_core.display.strip import legend, shown_places, tiles
from tsc_core.display.text import plain_markdown, utc_text
from tsc_core.preprocessing.quality import Selection
from tsc_core.survey import is_made

TILE_WIDTH, ZOOM_SCALE, MOST_FLAGS = 126, 10, 4
IN_ROW = 6  # tiles that fit beside each other at 1280
BLOCK_WIDTH = 400  # pixels: two beside each other at 1280, one on a tablet, more on a wide screen
SHOWN = ("difference", "same limits", "history")
state = st.session_state


def select(place: int) -> None:
    """Select the detection at a place of the sequence."""
    state.det = place + 1


def step(by: int) -> None:
    """Select the next or previous detection; the script keeps it in range."""
    state.det = state.get("det", 1) + by


def clicked() -> None:
    """Select the detection whose point was clicked."""
    chosen = state.curve.selection.points
    if chosen and chosen[0].get("customdata"):
        select(int(chosen[0]["customdata"][0]))


def headline(sequence: AlertSequence, used: int) -> st.delta_generator.DeltaGenerator:
    """Id, kind, position and what is wrong with the data; returns the place for the verdict."""
    head, verdict_place = st.columns([3, 2], vertical_alignment="center")
    with head.container(horizontal=True, vertical_alignment="center"):
        st.subheader(sequence.oid, anchor=False, width="content")
        if is_made(sequence.oid):
            st.badge("simulated", color="violet")
        st.badge(f"{len(sequence.alerts)} detection{'s' * (len(sequence.alerts) != 1)}, {used} used", color="gray")
        if sequence.label:
            st.badge(f"true class {plain_markdown(sequence.label, 20)}", color="gray")
    head.caption(facts(sequence))
    for flag in sequence.flags[:MOST_FLAGS]:
        st.caption(f":material/flag: {plain_markdown(flag)}")
    if len(sequence.flags) > MOST_FLAGS:
        with st.expander(f"{len(sequence.flags) - MOST_FLAGS} more notes on the data"):
            for flag in sequence.flags[MOST_FLAGS:]:
                st.text(flag)
    place = verdict_place.empty()
    place.metric("classifying", "…")  # nothing of a former object stays
    return place


def drawing_controls(first: int, count: int) -> tuple[int, str, list[str]]:
    """Stepping through `count` detections from place `first` on, and how stamps are drawn.

    Returns the place of the selected detection, the stretch, and which of `SHOWN`.
    """
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("", icon=":material/chevron_left:", on_click=step, args=[-1], shortcut="Left", key="back")
        usual = None if named("det") else first + 1
        number = st.number_input(
            "Detection", min_value=1, max_value=count, value=usual, key="det", bind="query-params", width=110,
            label_visibility="collapsed",
        )  # fmt: skip
        st.button("", icon=":material/chevron_right:", on_click=step, args=[1], shortcut="Right", key="forward")
        st.space("stretch")
        stretch = st.segmented_control(
            "Stretch", STRETCHES, default="asinh", key="stretch", bind="query-params", required=True,
            label_visibility="collapsed",
        )  # fmt: skip
        show = st.pills(
            "Show", SHOWN, selection_mode="multi", key="show", bind="query-params", label_visibility="collapsed"
        )
    return (number or first + 1) - 1, stretch, show


def row_of(places: list[int], chosen: int, first: int) -> tuple[int, int]:
    """Where the row of tiles with the chosen place begins and ends; rows are counted from the first place used."""
    begin = places.index(first) if first in places else 0
    begin += (places.index(chosen) - begin) // IN_ROW * IN_ROW
    begin = max(min(begin, len(places) - IN_ROW), 0)
    return begin, begin + IN_ROW


def turn(places: list[int], begin: int, end: int) -> None:
    """What of the strip is not drawn, and how to get there."""
    earlier, later = places[:begin], places[end:]
    if earlier:
        st.button(f"{len(earlier)} earlier", icon=":material/arrow_back:", on_click=select, args=earlier[-1:])
    if later:
        st.button(f"{len(later)} later", icon=":material/arrow_forward:", on_click=select, args=later[:1])
    st.toggle(f"all {len(places)} at once", key="all", bind="query-params")


def strip(
    sequence: AlertSequence, selection: Selection, chosen: int, first: int, stretch: str, show: list[str]
) -> None:
    """Detections side by side: a row of them with the chosen one in it, or all."""
    channels = CHANNELS if "difference" in show else CHANNELS[:2]
    used = {alert.candid for alert in selection.used}
    places = shown_places(sequence, chosen, used, history="history" in show)
    common = "same limits" in show
    begin, end = (0, len(places)) if state.get("all") else row_of(places, chosen, first)
    drawn = tiles(sequence, selection.reasons, places[begin:end], channels=channels, stretch=stretch, common=common)
    with st.container(horizontal=True, gap="xsmall", key="strip"):
        for tile in drawn:
            with st.container(width=TILE_WIDTH, gap="xxsmall"):
                kind = "primary" if tile.place == chosen else "tertiary"
                key = f"tile {tile.place}"
                st.button(tile.title, key=key, type=kind, on_click=select, args=[tile.place], width="stretch")
                st.image(inline(tile.png), width=TILE_WIDTH, alt=tile.alt)
                st.caption(plain_markdown(tile.caption))
                if tile.reason:
                    st.caption(f":material/block: {plain_markdown(tile.reason)}")
                elif not sequence.alerts[tile.place].has_stamps:
                    st.caption("used, without stamps")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(legend(sequence, places, channels, common=common), width="stretch")
        if len(places) > IN_ROW:
            turn(places, begin, end)


def curve_controls() -> dict[str, object]:
    """How the light curve is drawn: the arguments of `light_curve`."""
    with st.container(horizontal=True, vertical_alignment="center"):
        time_axis = st.segmented_control(
            "Time", ("MJD", "UTC", "days"), default="MJD", key="time", bind="query-params", required=True,
            label_visibility="collapsed",
        )  # fmt: skip
        said = "The reference's flux added. Upper limits are of the difference, so they are not drawn then."
        of_object = st.toggle("object magnitude", key="object", bind="query-params", help=said)
        upper = st.toggle("upper limits", value=True, key="upper", bind="query-params")
    return {"time_axis": time_axis, "of_object": of_object, "with_limits": upper}


def curve(sequence: AlertSequence, used: set[str], chosen: int, drawn_as: dict[str, object]) -> None:
    """The light curve."""
    from tsc_core.display.photometry import light_curve

    figure = light_curve(sequence, used=used, selected=chosen, **drawn_as)
    st.plotly_chart(figure, key="curve", on_select=clicked, selection_mode="points", alt="Light curve")


def zoomed(alert: Alert, number: int, stretch: str) -> None:
    """The three stamps of the selected detection, large."""
    if alert.stamps is None:
        st.info(f"Detection {number} has no stamps: {plain_markdown(alert.missing or 'none came')}.")
        return
    for column, channel in zip(st.columns(3), CHANNELS, strict=True):
        pixels = alert.stamps.channel(channel)
        low, high, _ = limits = pixel_limits([pixels], stretch)
        column.image(
            inline(draw_stamp(pixels, stretch, limits, scale=ZOOM_SCALE)), alt=f"{channel} stamp", width="stretch"
        )
        height, width = pixels.shape
        column.caption(f"{channel}, {height}×{width} pixels, {low:.4g} to {high:.4g} counts")


def packet_table(alert: Alert, number: int) -> None:
    """Every field of the selected detection."""
    import pandas as pd

    st.caption(f"Detection {number}, candid {alert.candid}, {utc_text(alert.mjd, '%Y-%m-%d %H:%M:%S')} UTC")
    record = [(name, str(value)[:200]) for name, value in sorted(alert.record.items())]
    st.dataframe(pd.DataFrame(record, columns=["field", "value"]), hide_index=True, height=320)


def elsewhere(sequence: AlertSequence) -> None:
    """Other brokers and catalogues, and the sky around."""
    found, where = broker_links(sequence), position(sequence)
    if not found:
        st.info("A simulated object is nowhere else in the sky: no links, no sky picture.")
        return
    with st.container(horizontal=True):
        for name, url in found.items():
            st.link_button(name, url, icon=":material/open_in_new:")
    if where and st.toggle("Sky around it (Aladin Lite, needs the internet)", key="sky"):
        st.iframe(aladin_page(*where), height=410)


def downloads(
    sequence: AlertSequence, prediction: Prediction, alert: Alert, stretch: str, window: str, others: list
) -> None:
    """A button for each file; nothing is made before it is asked for."""
    from tsc_core.display.files import files

    with st.container(horizontal=True):
        for label, make, name in files(sequence, prediction, alert, stretch, window, others):
            st.download_button(label, make, name, on_click="ignore")
