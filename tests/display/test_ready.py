import logging
from types import SimpleNamespace

import pytest

from tsc_core.display import ready
from tsc_core.sources.base import SourceError


def failing(error):
    def fail(*_):
        raise error

    return fail


def fake_desk(oids=("DEMO01",), source=None, prediction=None):
    """A desk over a source of these objects, which notes whose answer was asked for."""
    asked = []
    return SimpleNamespace(
        asked=asked,
        source=source or (lambda spec: SimpleNamespace(oids=lambda: tuple(oids))),
        sequence=lambda source, oid: oid,
        prediction=prediction or (lambda source, sequence: asked.append(sequence)),
    )


def test_the_first_object_is_answered_before_anyone_comes(monkeypatch, caplog):
    made = fake_desk(("DEMO01", "DEMO02"))
    monkeypatch.setattr(ready, "desk", lambda: made)
    ready.make_ready(("json",))
    assert made.asked == ["DEMO01"]
    assert not caplog.records


@pytest.mark.parametrize(
    "made",
    [
        fake_desk(source=failing(SourceError("no such archive"))),
        fake_desk(prediction=failing(RuntimeError("a broken bundle"))),
        fake_desk(prediction=failing(KeyError("a broken packet"))),
    ],
    ids=["archive", "bundle", "packet"],
)
def test_what_cannot_be_loaded_does_not_keep_the_server_from_starting(made, monkeypatch, caplog):
    monkeypatch.setattr(ready, "desk", lambda: made)
    with caplog.at_level(logging.WARNING):
        ready.make_ready()
    assert "could be loaded" in caplog.text


def test_an_empty_archive_is_nothing_to_answer(monkeypatch, caplog):
    made = fake_desk(())
    monkeypatch.setattr(ready, "desk", lambda: made)
    ready.make_ready()
    assert made.asked == []
    assert not caplog.records


def test_a_module_that_is_not_there_is_told(monkeypatch, caplog):
    monkeypatch.setattr(ready, "desk", fake_desk)
    with caplog.at_level(logging.WARNING):
        ready.make_ready(("no_such_module",))
    assert "no_such_module" in caplog.text
