# One environment serves every target. A stamp inside it says what is installed, so that only the first run calls pip.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -q

.PHONY: help demo lint quick test test-gpu torture docs assets renew links clean
.DELETE_ON_ERROR:

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## Invert a bundled image, edit it, and write out/demo/strip.png and report.json
	$(BIN)/nulltext_demo --out out/demo

lint: $(VENV)/.dev ## Look for lines that are hard to read, in modules, notebooks, tests and tools
	$(BIN)/python -m ruff check nulltext_nb nbs tests tools setup.py

quick: lint ## A minute of tests, while writing
	$(BIN)/python -m pytest -n auto --maxprocesses=4 -m quick

test: lint ## Run every notebook and every test
	$(BIN)/python -m pytest -n auto --maxprocesses=4

test-gpu: $(VENV)/.dev ## Run the notebooks with the cells that only a GPU can run
	$(BIN)/python -m pytest -n0 -m gpu

torture: $(VENV)/.dev ## Run the long form of the tests that draw cases, and the notebooks' cells that take long: hours
	NULLTEXT_TORTURE=1 $(BIN)/python -m pytest -n0 --timeout=14400 -m 'torture or many'

docs: $(VENV)/.dev ## Build the site into _docs/ and README.md from the notebooks
	$(BIN)/python tools/docs.py

assets: $(VENV)/.dev ## Draw the example picture and the teaser anew
	$(BIN)/python tools/assets.py

renew: $(VENV)/.dev ## Make anew what depends on the weights: pictures, figures and pages
	$(BIN)/python tools/renew.py

links: $(VENV)/.dev ## Write the address in settings.ini into the notebooks' links
	$(BIN)/python tools/links.py

clean: ## Remove what the other targets made, except the environment
	rm -rf _docs _proc build dist out *.egg-info .pytest_cache .ruff_cache nbs/nbdev.yml
	find nulltext_nb nbs tests tools -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }  # half an environment would pass for a whole one

# The dev extra holds some packages back: after it, the plain installation has nothing left to do
$(VENV)/.installed: settings.ini setup.py | $(BIN)/python
	@echo 'Installing into $(VENV): PyTorch alone is several GB, so the first time takes minutes'
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: settings.ini setup.py | $(BIN)/python
	@echo 'Installing into $(VENV) with the development tools: several GB the first time'
	$(PIP) -e '.[dev]'
	@$(BIN)/python tools/panel.py || true  # without npm the site is built without page Live's panel
	@touch $(VENV)/.installed $@
