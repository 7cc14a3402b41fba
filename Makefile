# make run | test | lab | release | bench | figures | doctor | lint; each sets itself up first.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

# The notebooks are executed again, in order, into an empty runs folder, at the quick profile.
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=900

.PHONY: run test lab release bench figures doctor lint clean

run: $(READY)
	$(BIN)/labkit run --profile quick

test: $(READY)
	LABKIT_PROFILE=quick $(BIN)/python -m pytest
	runs=$$(mktemp -d) && trap 'rm -rf "$$runs"' EXIT && \
	LABKIT_PROFILE=quick LABKIT_RUNS="$$runs" $(BIN)/python -m pytest $(NBVAL) notebooks && \
	$(BIN)/python tests/edition.py "$$runs"

lab: $(READY)
	cd notebooks && ../$(BIN)/jupyter lab

# make release REPO=OWNER/NAME REF=TAG: the student edition with Colab badges
release: $(READY)
	$(BIN)/labkit release --repo "$(REPO)" --ref "$(or $(REF),main)"

bench: $(READY)
	$(BIN)/python benchmarks/speed.py

figures: $(READY)
	$(BIN)/labkit figures data/reference
	$(BIN)/python data/make_reference.py

doctor: $(READY)
	$(BIN)/labkit doctor

lint: $(READY)
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --progress-bar off -e ".[grading,test]"
	touch $(READY)

clean:
	rm -rf .venv runs build *.egg-info
