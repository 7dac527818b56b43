# Every target works from a bare clone: the virtual environment is made on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed

.PHONY: demo test faults lint docs bench clean

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

demo: $(READY)
	$(BIN)/rpmask run --task demo
	@echo
	@echo "Browse it: $(BIN)/rpmask ui"

test: $(READY)
	$(BIN)/python -m pytest --numprocesses logical --dist loadfile --no-loadscope-reorder

# The long form of the fault tests: 200 kills, 20,000 damaged files per reader. A quarter of an hour on one core.
faults: $(READY)
	RPMASK_FAULTS=long RPMASK_FAULTS_RESULTS=tests/faults/results.json $(BIN)/python -m pytest tests/faults \
	  tests/masks/test_packed_format_fuzz.py tests/deploy/test_packed.py
	$(BIN)/python scripts/make_fault_docs.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/python scripts/make_cli_docs.py
	$(BIN)/python scripts/make_measured_docs.py
	$(BIN)/python benchmarks/study/page.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Two of them need a pretrained encoder and GLUE in a folder: make bench MODEL=FOLDER, with RPMASK_GLUE_DIR set.
bench: $(READY)
	for name in starting sampling screening verdicts engines waiting attention scaling deploy; do \
	  $(BIN)/python benchmarks/$$name.py || exit 1; done
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/tracking.py
	for task in digits demo; do OMP_NUM_THREADS=1 $(BIN)/python benchmarks/jackpot.py --task $$task || exit 1; done
	test -z "$(MODEL)" || for name in training precision; do \
	  $(BIN)/python benchmarks/$$name.py --model $(MODEL) || exit 1; done

clean:
	rm -rf $(VENV) .rpmask mlflow.db mlruns site
