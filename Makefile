# make run | test | lab | figures | release | site | bench | doctor | lint; each sets itself up first.
# LAB=2 or LAB=all says which lab (run and release: 1 if not said; figures and site: all), PYTHON=python3.12 which Python sets up.
PYTHON ?= $(firstword $(wildcard .venv/bin/python) python3)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --progress-bar off

# The version of $(PYTHON), empty if there is none; and the same if the lab does not run on it.
VERSION := -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2> /dev/null
FOUND = $(shell $(PYTHON) $(VERSION))
TOO_OLD = $(filter 2.% 3.0.% 3.1.% 3.2.% 3.3.% 3.4.% 3.5.% 3.6.% 3.7.% 3.8.% 3.9.% 3.10.%,$(FOUND))
UNFIT = $(if $(FOUND),$(if $(TOO_OLD),$(PYTHON) is Python $(FOUND)),there is no $(PYTHON))
REFUSAL = $(UNFIT), and the lab needs 3.11, 3.12 or 3.13: name one, as in PYTHON=python3.12 make $(or $(MAKECMDGOALS),run)

# Stamps for each Python: what the lab needs, what the web site adds, and what grading and testing add.
READY := .venv/ready-$(FOUND)
SITE := .venv/site-$(FOUND)
TESTABLE := .venv/testable-$(FOUND)

# A unit test uses one thread: a worker a core, up to four, since each worker imports torch (0.5 GB).
UNIT := -n logical --maxprocesses 4 --dist worksteal
# The notebooks of a lab are executed one after the other: each goes on from the runs of those before it. Two labs run
# side by side, their trainings on one thread each: the same work, and no core waits for the other.
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=900 -n 2 -p side_by_side

.PHONY: run test lab figures release site bench doctor lint clean

run: $(READY)
	$(BIN)/labkit run --lab $(or $(LAB),1) --profile quick

# The unit tests; the complete notebooks, once, into an empty folder of runs; the student edition on those runs.
test: export LABKIT_PROFILE := quick
test: $(TESTABLE)
	scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && mkdir "$$scratch/runs" && \
	$(BIN)/python -m pytest $(UNIT) --junit-xml="$$scratch/unit tests.xml" tests && \
	PYTHONPATH=tests/notebooks LABKIT_RUNS="$$scratch/runs" LABKIT_THREADS=1 $(BIN)/python -m pytest $(NBVAL) --junit-xml="$$scratch/notebooks.xml" notebooks && \
	$(BIN)/python tests/edition.py "$$scratch/runs" && \
	$(BIN)/python .ci/summary.py "$$scratch"

lab: $(READY)
	cd notebooks && ../$(BIN)/jupyter lab

figures: $(READY)
	$(BIN)/labkit figures --lab $(or $(LAB),all) data/reference
	$(BIN)/python data/make_reference.py

# make release REPO=OWNER/NAME REF=TAG: the student edition with Colab badges; SOLUTIONS=1: the worked solutions instead
release: $(READY)
	$(BIN)/labkit release$(if $(SOLUTIONS), --solutions) --lab $(or $(LAB),1) --repo "$(REPO)" --ref "$(or $(REF),main)"

# make site REPO=OWNER/NAME REF=TAG: the course as web pages, with links to the student edition; SOLUTIONS=1: with answers
site: $(SITE)
	$(BIN)/labkit site$(if $(SOLUTIONS), --solutions) --lab $(or $(LAB),all) --repo "$(REPO)" --ref "$(or $(REF),main)"

bench: $(READY)
	$(BIN)/python benchmarks/speed.py

doctor: $(READY)
	$(BIN)/labkit doctor

lint: $(READY)
	$(INSTALL) -e ".[dev]"
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

# Refused before anything is made; a .venv of another Python is made anew.
$(READY): requirements.txt pyproject.toml
	$(if $(UNFIT),$(error $(REFUSAL)))
	@[ "$$($(BIN)/python $(VERSION))" = "$(FOUND)" ] || rm -rf .venv
	$(PYTHON) -m venv .venv
	$(INSTALL) --upgrade pip
	$(INSTALL) -e .
	touch $@

$(SITE): $(READY)
	$(INSTALL) -e ".[site]"
	touch $@

$(TESTABLE): $(READY)
	$(INSTALL) -e ".[cluster,grading,site,test]"
	touch $@

clean:
	rm -rf .venv runs build *.egg-info
