# One line each: start.sh does the work, so that a machine without make can do the same.
VENV ?= .venv
BIN := $(VENV)/bin
READY = VENV='$(VENV)' ./start.sh --prepare test

.PHONY: help start stop test check sim soak fuzz bench lock
help: ; @awk -F ' [#][#] ' '/^[a-z]+:/ {sub(/:.*/, "", $$1); printf "  make %-7s %s\n", $$1, $$2}' Makefile ## this list
start: ; @./start.sh $(MAKEOVERRIDES) ## run the demo, or MODE=master, MODE=worker; README.md lists the settings
stop: ; @./start.sh stop $(MAKEOVERRIDES) ## stop what `make start` started (with the same DATA)
test: check ; @$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS) ## install what the tests need, check, run the suite
check: ; @$(READY) && $(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy ## format, lint, strict types
sim: ; @$(READY) && $(BIN)/python -m tests.sim $(or $(SEED),1) $(or $(N),1) --plan $(or $(PLAN),mesh) $(if $(BUG),--bug $(BUG)) ## storms on simulated time: SEED=n repeats one, N=count plays that many, PLAN=mesh or fleet, BUG=name looks for a planted bug
soak: ; @$(READY) && $(BIN)/python -m tests.soak --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED)) ## kill hubs and edges for ten minutes, then count: SECONDS=n, SEED=n
fuzz: ; @$(READY) && $(BIN)/python -m pytest -n auto --dist worksteal --hypothesis-profile=long tests/law tests/unit $(ARGS) ## try every law with forty times the examples: an hour or so
bench: ; @VENV='$(VENV)' ./start.sh bench $(ARGS) ## e.g. ARGS='ingest --seconds 5': one JSON object on stdout
lock: ; @$(READY) && $(BIN)/python -m pip install --quiet 'pip-tools>=7.6,<8' && $(BIN)/pip-compile -o requirements.lock && $(BIN)/pip-compile --extra test -c requirements.lock -o requirements-test.lock ## choose new versions of the dependencies
