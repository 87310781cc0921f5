# `make app` and `make test` do all the set-up on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501

.PHONY: app test test-slow lint checkpoints picture clean

app: $(VENV)/.app
	$(BIN)/streamlit run serve.py --server.port $(PORT)

test: $(VENV)/.dev
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get -qq update && apt-get -qq install -y chromium >/dev/null; } || \
	  echo "no chromium here and it could not be installed: the browser tests will be skipped"
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.dev
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

# All shipped bundles from data to cards; REAL names the packets and their labels, if there are any.
checkpoints: $(VENV)/.dev
	$(BIN)/python -m tsc_core.training.ship --out checkpoints $(if $(REAL),--real $(REAL) --labels $(LABELS))
	$(if $(REAL),$(BIN)/python -m tsc_core.training.ship.drift --real $(REAL) --labels $(LABELS))
	$(if $(REAL),$(BIN)/python -m tsc_core.training.ship.real_ablations --real $(REAL) --labels $(LABELS))
	$(BIN)/python -m tsc_core.training.ship.tables

picture: $(VENV)/.dev
	$(BIN)/python -m tsc_core.display.screenshot docs/explorer.png

clean:
	rm -rf $(VENV) build *.egg-info

$(VENV)/.app: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12 app"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps -e .
	touch $@

$(VENV)/.dev: $(VENV)/.app
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@
