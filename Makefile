# The commands of README.md; each does all its own set-up.
PYTHON_BIN := .venv/bin/python
READY := .venv/.ready

.PHONY: demo test lint fast installer clean

demo: $(READY)          ## simulate a small field, run the whole program on it, compare with the truth
	$(PYTHON_BIN) main.py demo

test: $(READY) lint     ## every test, the slow ones too
	$(PYTHON_BIN) -m pytest -n 2 --dist loadfile -m "slow or not slow"

fast: $(READY)          ## the quick tests
	$(PYTHON_BIN) -m pytest -n 2 --dist loadfile

lint: $(READY)
	$(PYTHON_BIN) -m ruff check .
	$(PYTHON_BIN) -m ruff format --check .
	$(PYTHON_BIN) -m mypy

installer: $(READY)     ## on Debian or Ubuntu: dist/*.deb and dist/*.run
	sh installer/build.sh

$(READY): pyproject.toml installer/setup_venv.sh
	sh installer/setup_venv.sh
	@touch $(READY)

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache
