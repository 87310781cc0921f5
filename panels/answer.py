"""What the models say of an object: the verdict, probabilities step by step, how far they hold, and why."""

import streamlit as st

from panels.address import named
from panels.object import BLOCK_WIDTH
from tsc_core.alerts import Alert, AlertSequence, Prediction, Step
from tsc_core.display.answer import answer_table, beside, best_of, chosen_step
from tsc_core.display.desk import LIVE, desk
from tsc_core.display.elsewhere import references
from tsc_core.display.progression import Reference, progression
from tsc_core.display.text import band_name, percent, plain_markdown, share_text
from tsc_core.inference.doubt import abstention
from tsc_core.sources import Source, SourceError
from tsc_core.survey import is_made

MAP_WIDTH, GAP = 126, 16
BROKEN = (ImportError, OSError, ValueError, RuntimeError)  # what an unusable bundle raises
state = st.session_state


def classified(source: Source, sequence: AlertSequence, window: str) -> Prediction:
    """What the models say; the page ends here where they cannot be used."""
    try:
        with st.spinner("Classifying …" if desk().ready else "Loading the models …"):
            return desk().prediction(source, sequence, window)
    except BROKEN as error:
        st.error(f"The models cannot be used: {plain_markdown(error)}")
        st.stop()


def verdict(place: st.delta_generator.DeltaGenerator, step: Step) -> None:
    """The class after a step, whether it should be named at all, and what stands beside its probability."""
    best, doubts = best_of(step), abstention(step)
    with place.container(gap="xxsmall"):
        st.metric(
            f"after {step.n} detection{'s' * (step.n > 1)}", f"{best} {percent(step.probabilities[best])}",
            doubts and f"abstains: {doubts}", delta_color="off", delta_arrow="off",
            help=f"Classes that cannot be ruled out at {share_text(step.coverage)}." if step.coverage else None,
        )  # fmt: skip
        st.caption(plain_markdown(beside(step)))


def answer(prediction: Prediction) -> Step:
    """All that is said after as many detections as are chosen here."""
    numbers = [step.n for step in prediction.steps]
    with st.container(horizontal=True, vertical_alignment="center"):
        begin_at(numbers)
        st.markdown("After")
        usual = None if named("n") else numbers[-1]
        n = st.segmented_control(
            "After detections", numbers, default=usual, key="n", bind="query-params", required=True,
            label_visibility="collapsed",
        )  # fmt: skip
        st.markdown(f"detection{'s' * (n > 1)}")
    step = chosen_step(prediction.steps, n)
    st.container(horizontal=True, wrap=False).markdown(answer_table(step))  # slides by itself on a narrow screen
    return step


def chart(prediction: Prediction, chosen: Step, at_rates: bool, others: list[Reference]) -> None:
    """Probabilities as detections accumulate, at equal or at natural rates, with other classifiers' dashed."""
    drawn = at_natural_rates(prediction) if at_rates else prediction
    marked = chosen.n if chosen.n != drawn.steps[-1].n else None
    st.plotly_chart(
        progression(drawn.steps, references=others, selected=marked),
        key="progression", alt="Probability of each class against number of detections",
    )  # fmt: skip


def rates_toggle() -> bool:
    """Whether the chart is at natural rates."""
    return st.toggle(
        "Chart at natural rates", key="rates", bind="query-params",
        help="At the rates of the paper's objects, not equal ones: supernovae are 1.7 % of its AGN, SN and VS.",
    )  # fmt: skip


def notes(sequence: AlertSequence, prediction: Prediction) -> None:
    """What a person should know beside the probabilities."""
    for flag in prediction.flags:
        if flag not in sequence.flags:
            st.caption(f":material/flag: {plain_markdown(flag)}")


def begin_at(numbers: list[int]) -> None:
    """A newly shown object is seen after its last detection; a link or Back that says otherwise has the last word."""
    if state.get("answered") != state.shown or state.get("n") not in numbers:
        state.n = numbers[-1]
    state.answered = state.shown


def at_natural_rates(prediction: Prediction) -> Prediction:
    """The same prediction were classes as frequent as among real objects."""
    from tsc_core.inference.priors import NATURAL_COUNTS, with_priors

    return with_priors(prediction, NATURAL_COUNTS)


def alerce_says(oid: str, source: Source) -> list[Reference]:
    """ALeRCE's own classifiers of a real object, those chosen; a failure is told and can be retried."""
    if is_made(oid) or not st.toggle("ALeRCE's classifiers", value=source.name == LIVE, key="others"):
        return []
    key = ("probabilities", oid)
    answer = desk().later(key, lambda: desk().source(LIVE).probabilities(oid))
    try:
        with st.spinner("Asking ALeRCE for its classifiers …"):
            found = references(answer.result())
    except (SourceError, ValueError, OSError) as error:
        st.warning(f"ALeRCE's classifiers: {plain_markdown(error)}")
        st.button("Ask again", icon=":material/refresh:", on_click=desk().ask_again, args=[key])
        return []
    if not found:
        st.caption("ALeRCE has no classification of this object.")
        return []
    names = {reference.label: reference for reference in found}
    chosen = st.multiselect("Dashed lines", list(names), default=list(names)[:1])
    return [names[name] for name in chosen]


def why(source: Source, sequence: AlertSequence, window: str, step: Step, stretch: str) -> None:
    """What a step rests on, computed when asked: patches of each stamp, and the metadata."""
    best, place = best_of(step), st.empty()
    if not desk().explained(source, sequence, window, step.n):
        with place.container():
            st.caption("Hides each part of each stamp, and sets each metadata field to its mean: what changes?")
            asked = st.button(f"Explain {best} after {step.n} detection{'s' * (step.n > 1)}", icon=":material/search:")
        if not asked:
            return
        bar = place.progress(0.0, text="metadata")
    try:
        found = desk().explanation(
            source, sequence, window, step.n,
            lambda done, total: bar.progress(done / max(total, 1), text=f"stamps {done} of {total}"),
        )  # fmt: skip
    except BROKEN as error:
        place.error(f"The models cannot be used: {plain_markdown(error)}")
        return
    with place.container():
        explained(sequence, found, stretch)


def explained(sequence: AlertSequence, found: object, stretch: str) -> None:
    """An explanation: tinted stamps of each detection, bars of the metadata."""
    from tsc_core.display.why import explained_stamps, feature_bars, maps_of, strongest

    numbers = {alert.candid: place + 1 for place, alert in enumerate(sequence.alerts)}
    shown: list[Alert] = [alert for alert in sequence.alerts if maps_of(found, alert.candid)]
    row, top = st.container(horizontal=True, gap="medium"), strongest(found)
    with row.container(width=max(len(shown), 2) * (MAP_WIDTH + GAP)):
        st.markdown(f"**Stamps**: blue speaks for {found.top}, orange against")
        with st.container(horizontal=True, gap="small"):
            for alert in shown:
                maps = maps_of(found, alert.candid)
                with st.container(width=MAP_WIDTH, gap="xxsmall"):
                    words = f"Detection {numbers[alert.candid]}: what each part of its stamps says"
                    st.image(explained_stamps(alert, maps, found.edges, top, stretch), width=MAP_WIDTH, alt=words)
                    st.caption(f"{numbers[alert.candid]} · {band_name(alert.fid)}")
        channels = " above ".join(patches.channel for patches in maps_of(found, shown[0].candid)) if shown else ""
        said = (
            f"{channels.capitalize()}. The central {found.edges[-1] - found.edges[0]} pixels, all that the model sees."
        )
        said += f" Full tint: {top:.2f} in log-odds."
        st.caption(said if shown else "This bundle reads no stamps here.")
    with row.container(width=BLOCK_WIDTH):
        st.markdown("**Metadata**: each set to its mean in turn")
        st.plotly_chart(feature_bars(found), key="features", alt="What each metadata field adds to the log-odds")
        st.caption("Fields that say the same hide one another. Values are of the newest detection.")
