# make demo    the main job end to end, in a real Airflow against the local MPS
# make test    the whole test suite: `make unit`, then `make e2e`
# make e2e-celery   the life of tasks on Celery (PostgreSQL, Redis), with two workers, schedulers and triggerers
# make campaign SEED=1 SEEDS=20 TASKS=25   random schedules of faults; the promises are checked after every seed
# make mutants plant bugs; the tests have to see each of them
# make matrix  unit tests on each Airflow and Python that this machine has, in environments of their own;
#              ARGS="--e2e --only 3.4" also real processes of that Airflow
# make soak MINUTES=30   steady work in a real Airflow; memory and file descriptors of the triggerer are measured
# make faults  write docs/faults.md from the results of the last `make test`
# make docs    build the pages of docs/ as a site in build/docs; every warning is an error
# make airflow a local Airflow with UI, example DAGs and local MPS, until Ctrl-C
PYTHON ?= python3
VENV   ?= .venv
RUN     = $(VENV)/bin/python

SEED   ?= 1
SEEDS  ?= 20
TASKS  ?= 25
MINUTES ?= 30

.PHONY: demo docs generated test unit e2e e2e-main e2e-small e2e-team e2e-celery campaign faults mutants matrix soak airflow lint check clean

demo: $(VENV)/ready
	$(RUN) -m dev.demo

test: $(VENV)/ready
	$(MAKE) --keep-going --jobs=1 unit e2e

unit: $(VENV)/ready
	$(RUN) -m pytest --numprocesses auto --dist loadfile --junitxml=build/unit.xml --ignore tests/e2e $(ARGS)

# One after the other: side by side on two processors, the failover of 200 triggers left an Airflow hanging.
e2e: $(VENV)/ready
	$(MAKE) --keep-going --jobs=1 e2e-main e2e-small e2e-team

e2e-main: $(VENV)/ready
	$(RUN) -m pytest -v --junitxml=build/e2e-main.xml tests/e2e --ignore tests/e2e/small --ignore tests/e2e/celery

e2e-small: $(VENV)/ready
	$(RUN) -m pytest -v --junitxml=build/e2e-small.xml tests/e2e/small

e2e-team: $(VENV)/ready
	$(RUN) -m pytest -v --junitxml=build/e2e-team.xml tests/e2e/celery

# What tests the triggerer alone, with few places, is no different with another executor.
e2e-celery: $(VENV)/ready
	MPS_TEST_EXECUTOR=celery $(RUN) -m pytest -v tests/e2e --ignore tests/e2e/small --ignore tests/e2e/celery
	MPS_TEST_EXECUTOR=celery $(RUN) -m pytest -v tests/e2e/small/test_outages.py
	$(RUN) -m pytest -v tests/e2e/celery

campaign: $(VENV)/ready
	$(RUN) -m tests.campaign --seed $(SEED) --seeds $(SEEDS) --tasks $(TASKS) $(ARGS)

faults: $(VENV)/ready
	$(RUN) -m dev.fault_table build/unit.xml build/e2e-main.xml build/e2e-small.xml build/e2e-team.xml

mutants: $(VENV)/ready
	$(RUN) -m dev.mutants $(ARGS)

matrix: $(VENV)/ready
	$(RUN) -m dev.matrix $(ARGS)

soak: $(VENV)/ready
	$(RUN) -m dev.soak --minutes $(MINUTES)

airflow: $(VENV)/ready
	$(RUN) -m dev.playground $(ARGS)

docs: $(VENV)/ready
	$(RUN) -m sphinx --fail-on-warning --keep-going --quiet docs build/docs

generated: $(VENV)/ready
	$(RUN) -m dev.docs

lint: $(VENV)/ready
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

check: lint docs test demo

$(VENV)/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "Python 3.11 to 3.13 is needed: make PYTHON=python3.13")'
	@echo "Installing Airflow, the package and what its tests need into $(VENV); the first time takes minutes."
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs,test]'
	$(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps --upgrade --target $(VENV)/tccli-intl-en tccli-intl-en
	touch $@

clean:
	rm -rf $(VENV) build dist
