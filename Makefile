# Two commands matter: `make lab` opens the course, `make test` checks everything. Both need only Python 3.10 or
# newer and make; what else they need they install into .venv when it is missing or older than pyproject.toml.

# The first of these that is new enough. Choose another: make lab PYTHON=python3.12
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.10 python; do \
  $$python -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help lab lab-page test unit repeat coverage mutants bench verdicts site release grade-demo slides dist lint clean
.NOTPARALLEL:  # both commands install into the same .venv

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile

lab: $(VENV)/.stamp-notebooks ## Open the course in JupyterLab
	$(BIN)/posgrad-edu lab

LAB := docs/lab

lab-page: $(VENV)/.stamp-lab $(LAB)/node_modules/.stamp ## Build the browser lab, a static page, into build/lab
	cd $(LAB) && npm run --silent build
	OMP_NUM_THREADS=1 $(BIN)/python $(LAB)/export.py build/lab

$(LAB)/node_modules/.stamp: $(LAB)/package-lock.json
	cd $(LAB) && npm ci --no-audit --no-fund
	@touch $@

# Two files at a time (make test: three) with one thread each: threads of two processes on the same cores would wait for
# one another. The tests start Python some hundred times, so its compiled files are kept, also where the environment says
# otherwise.
# glibc keeps up to 512 MB of freed memory: with batches of photos, getting it anew takes a sixth of the time, up to half.
MEMORY := MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=536870912
PYTEST := env -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1 $(MEMORY) $(BIN)/python -m pytest -n 2 --dist loadfile

QUICK := -m "not browser and not slow"

# Arguments of repeat and mutants. A run with a seed that was printed comes again with SEED=...
N ?= 20
SEED ?= $(shell od -An -N4 -tu4 /dev/urandom)
SAMPLE ?= 0
ONLY ?=

test: lint ## Check the code, run the tests and all notebooks, and compare these with their stored outputs
	$(PYTEST) -n 3 tests  # a third file, while one waits for a browser

unit: $(VENV)/.stamp-tests ## Run the quick tests only: no browser, notebooks or studies
	$(PYTEST) $(QUICK) tests

repeat: $(VENV)/.stamp-tests ## Run the quick tests N times in random order, each time with other draws (N=20)
	@for run in $$(seq $(N)); do \
	  seed=$$(( ($(SEED) + run - 1) % 4294967296 )); echo "Run $$run of $(N), seed $$seed"; \
	  $(PYTEST) $(QUICK) -p randomly --randomly-seed=$$seed --randomly-dont-reset-seed --hypothesis-seed=$$seed tests || \
	    { echo "Run $$run failed. The same again: make repeat N=1 SEED=$$seed" >&2; exit 1; }; done

coverage: $(VENV)/.stamp-tests ## Print which lines and branches the quick tests reach
	$(PYTEST) $(QUICK) --cov=posgrad_edu tests

mutants: $(VENV)/.stamp-mutants ## Count the small changes to the library that the quick tests notice; all of them take hours (SAMPLE=200)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/mutants.py --sample $(SAMPLE) --seed $(SEED) --only "$(ONLY)"

bench: $(VENV)/.stamp-bench ## Measure docs/performance.md anew, ours against other packages; about twelve minutes on two idle cores
	TQDM_DISABLE=1 $(BIN)/python benchmarks/speed.py

verdicts: $(VENV)/.stamp-notebooks ## Measure docs/verdicts.md anew, with two processes
	$(BIN)/posgrad-edu study --jobs 2 --out study
	cp study/report.md docs/verdicts.md
	cp study/summary.csv docs/verdicts.csv
	cp study/figures/* docs/figures/

site: $(VENV)/.stamp-site $(if $(shell command -v npm),lab-page) ## Make the course's web pages, build/site; posgrad-edu site shows them
	$(BIN)/python docs/site/make_site.py

release: $(VENV)/.stamp-instructor ## Make exercises/release anew from exercises/source
	$(BIN)/python exercises/course.py release

grade-demo: $(VENV)/.stamp-instructor ## Grade synthetic submissions of an exercise, and print their points
	OMP_NUM_THREADS=1 $(BIN)/python exercises/course.py grade-demo $(ASSIGNMENT)

slides: $(VENV)/.stamp-slides ## Make the workshops' slides in build/slides
	$(BIN)/python docs/make_slides.py

dist: $(VENV)/.stamp-tests ## Build the sdist and the wheel, which carries the course, in dist
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

lint: $(VENV)/.stamp-tests ## Check style and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean: ## Remove .venv and all caches; your own files stay
	rm -rf $(VENV) $(LAB)/node_modules mutants .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

# A stamp says that an extra is installed, so it's written last: an interrupted installation starts again.
$(VENV)/.stamp-tests: pyproject.toml
	$(call install,tests)
	@touch $(VENV)/.stamp-notebooks $(VENV)/.stamp-instructor $(VENV)/.stamp-slides $(VENV)/.stamp-site $(VENV)/.stamp-lab $@  # the tests need their packages, too

$(VENV)/.stamp-lab: pyproject.toml
	$(call install,lab)
	@touch $@

$(VENV)/.stamp-mutants: pyproject.toml
	$(call install,mutants)
	@touch $(VENV)/.stamp-notebooks $(VENV)/.stamp-instructor $(VENV)/.stamp-slides $(VENV)/.stamp-site $(VENV)/.stamp-lab $(VENV)/.stamp-tests $@

$(VENV)/.stamp-bench: pyproject.toml
	$(call install,bench)
	@touch $(VENV)/.stamp-notebooks $@

$(VENV)/.stamp-instructor: pyproject.toml
	$(call install,instructor)
	@touch $(VENV)/.stamp-notebooks $@

$(VENV)/.stamp-slides: pyproject.toml
	$(call install,slides)
	@touch $(VENV)/.stamp-notebooks $(VENV)/.stamp-instructor $@

$(VENV)/.stamp-site: pyproject.toml
	$(call install,site)
	@touch $(VENV)/.stamp-notebooks $@

$(VENV)/.stamp-notebooks: pyproject.toml
	$(call install,notebooks)
	@touch $@

# $(call install,EXTRA): make .venv unless a working one is there, and install this project into it.
define install
	@rm -f $@
	@$(BIN)/pip --version >/dev/null 2>&1 || { \
	  '$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || \
	    { echo "This needs Python 3.10 or newer, and found '$(PYTHON)'. Name it: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }; \
	  '$(PYTHON)' -m venv --clear $(VENV); }
	$(BIN)/pip install --disable-pip-version-check -e '.[$(1)]'
endef
