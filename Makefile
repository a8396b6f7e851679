# Works with GNU make 3.81, the version on macOS. Anything longer than a line is in scripts/.
.DEFAULT_GOAL := help
.PHONY: help install demo-install dev-install demo test soak chaos cover lint types check bench bench-rules mutate docs site lock audit sbom dist image clean

export PYTHON UPGRADE COVER_FLOOR
# MLflow shouldn't send telemetry, or print links between our lines.
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT := true

bin := .venv/bin

help: ## List the targets
	@echo "make TARGET, where TARGET is one of:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

install: ## Install what Registrar needs into .venv (PYTHON=...: the Python to use)
	@scripts/install

demo-install: ## Install what the demo and the examples need, too
	@scripts/install --demo

dev-install: ## Install the tools for tests and checks, too
	@scripts/install --dev

demo: demo-install ## Try Registrar on example models and a local Slack workspace (PLAY=1: show a walkthrough; ARGS=--train: train the models)
	@$(bin)/registrar demo $(if $(PLAY),--play) $(ARGS)

test: dev-install ## Run the tests (ALL=1: also the slow ones; ARGS="-k rollback": some of them)
	@scripts/test $(if $(ALL),--all) $(ARGS)

soak: dev-install ## Run for a long time: random steps against a model, and a load test of memory (SOAK=60: minutes each)
	@SOAK=$(or $(SOAK),10) scripts/test -s --timeout 20000 tests/state_machine tests/faults/test_soak.py

chaos: dev-install ## Cut connections, fill disks, kill and restart, and count failures (ARGS=tests/faults/test_network.py: one file; N=100: kills)
	@CHAOS=1 KILLS=$(or $(N),1000) REPLICAS_SECONDS=$(or $(REPLICAS_SECONDS),600) scripts/test -s -m slow --timeout 20000 $(or $(ARGS),tests/faults)

cover: dev-install ## Run the tests, and list the code that they don't reach
	@scripts/test --all --cov --cov-report=term --cov-fail-under=$${COVER_FLOOR:-95} $(ARGS)

lint: dev-install ## Check style and formatting (`.venv/bin/ruff format` fixes the formatting)
	@$(bin)/ruff check
	@$(bin)/ruff format --check

types: dev-install ## Check the types
	@$(bin)/mypy

check: lint types test ## Check style and types, and run the tests

bench: dev-install ## Run the benchmarks (WRITE=1: update docs/reference/benchmarks.md; ARGS=compare: one of them; ARGS="--vs v0.2.0": compare with another commit)
	@$(bin)/python -m benchmarks $(if $(WRITE),--write) $(ARGS)

bench-rules: dev-install ## Simulate months with the monitor rules (WRITE=1: update docs/reference/rule-benchmarks.md; ARGS="peers --months 300")
	@$(bin)/python -m benchmarks.monitoring_rules.figures $(if $(WRITE),--write) $(ARGS)

mutate: dev-install ## Make small changes to the rules, and check that tests fail (ARGS="--sample 10": ten of each module)
	@$(bin)/python scripts/mutate.py $(ARGS)

site: ## Build the docs site into site/, with warnings as errors, and check its links
	@scripts/install-tools
	@scripts/site

docs: dev-install ## Regenerate the generated pages in docs/
	@$(bin)/python scripts/docs.py

audit: ## Check the locked packages for known vulnerabilities
	@scripts/install-tools
	@.tools/bin/python scripts/audit_packages.py

sbom: ## Write an SBOM (CycloneDX) to dist/sbom.cdx.json
	@scripts/sbom

dist: dev-install ## Build the wheel and the source package into dist/
	@$(bin)/python -m hatchling build

image: dev-install ## Build the container images with buildah, run them with podman, and check what they do (needs root)
	@scripts/install-tools
	@scripts/image
	@CONTAINERS=required scripts/test -s -m slow tests/project/deploy

lock: ## Update the locks (UPGRADE=1: also upgrade all versions)
	@scripts/lock

clean: ## Remove .venv and all files that tools created; the demo's data stays
	rm -rf .venv .tools .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov dist build site .cache test-artifacts
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
