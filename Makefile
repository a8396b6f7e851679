# Works with GNU make 3.81, which macOS has. Anything longer than a line is in scripts/.
.DEFAULT_GOAL := help
.PHONY: help install dev-install demo test soak chaos cover lint types check bench bench-rules mutate docs lock audit sbom dist clean

export PYTHON UPGRADE COVER_FLOOR
# A registry at work should not phone home, nor print links between our lines.
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT := true

bin := .venv/bin

help: ## Say what there is
	@echo "make TARGET, where TARGET is one of:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

install: ## Install what Registrar needs into .venv (PYTHON=... names the Python)
	@scripts/install

dev-install: ## The same, with the tools for tests and checks
	@scripts/install --dev

demo: install ## Try Registrar on example models and a local Slack workspace (PLAY=1 plays the story; ARGS=--train trains them)
	@$(bin)/registrar demo $(if $(PLAY),--play) $(ARGS)

test: dev-install ## Run the tests (ALL=1: the slow ones too; ARGS="-k rollback": some of them)
	@scripts/test $(if $(ALL),--all) $(ARGS)

soak: dev-install ## Work for a long time: against a model, and under load with an eye on memory (SOAK=60: minutes each)
	@SOAK=$(or $(SOAK),10) scripts/test -s --timeout 20000 tests/state_machine tests/faults/test_soak.py

chaos: dev-install ## Cut wires, fill disks, kill and restart, and count what went wrong (ARGS=tests/faults/test_network.py: one file; N=100: kills)
	@CHAOS=1 KILLS=$(or $(N),1000) REPLICAS_SECONDS=$(or $(REPLICAS_SECONDS),600) scripts/test -s -m slow --timeout 20000 $(or $(ARGS),tests/faults)

cover: dev-install ## Run the tests and tell what they do not reach
	@scripts/test --all --cov --cov-report=term --cov-fail-under=$${COVER_FLOOR:-95} $(ARGS)

lint: dev-install ## Check style and formatting (`.venv/bin/ruff format` mends the latter)
	@$(bin)/ruff check
	@$(bin)/ruff format --check

types: dev-install ## Check the types
	@$(bin)/mypy

check: lint types test ## All three

bench: dev-install ## Measure how fast it is (WRITE=1 writes docs/benchmarks.md; ARGS=compare: only that)
	@$(bin)/python -m benchmarks $(if $(WRITE),--write) $(ARGS)

bench-rules: dev-install ## Play months through the monitor's rules (WRITE=1 writes docs/rules.md; ARGS="peers --months 300")
	@$(bin)/python -m benchmarks.monitoring_rules.figures $(if $(WRITE),--write) $(ARGS)

mutate: dev-install ## Change the rules in small ways and see whether a test notices (ARGS=bot/domain/promotions/gates.py: one module)
	@$(bin)/python scripts/mutate.py $(ARGS)

docs: dev-install ## Write the generated pages of docs/ anew
	@$(bin)/python scripts/docs.py

audit: ## Ask whether a package of the locks has a known vulnerability
	@scripts/install-tools
	@.tools/bin/python scripts/audit_packages.py

sbom: ## Write dist/sbom.cdx.json: what Registrar is made of, as CycloneDX
	@scripts/sbom

dist: dev-install ## Build the wheel and the source package into dist/
	@$(bin)/python -m hatchling build

lock: ## Write the locks anew (UPGRADE=1 takes newer versions)
	@scripts/lock

clean: ## Remove .venv and all that tools left behind; the demo's data stays
	rm -rf .venv .tools .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov dist build test-artifacts
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
