# Two commands do everything: `make run` and `make test`. Both set up what they need and may be repeated.

CARGO   ?= cargo
LICTOR  := target/checked/lictor
.DEFAULT_GOAL := help
.PHONY: help run test check guests builtin wheel bench bench-registry bench-ways counts fuzz soak sbom lictor

help: ## List what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

run: guests ## Serve the example policies until Ctrl-C, and print a request that works
	@guest-examples/run.sh $(LICTOR)

test: ## Run every check that CI runs
	@tests/run.sh

check: ## Formatting, lints and the fast tests
	$(CARGO) fmt --all --check
	$(CARGO) clippy --profile checked --workspace --all-targets --locked -- -D warnings
	$(CARGO) test --profile checked --locked -p lictor-model -p lictor-loader -p lictor-sandbox -p lictor-pack

guests: lictor ## Build the example policies into target/guests
	@guest-examples/build.sh $(LICTOR)

builtin: lictor ## Make the components anew that the server carries, after a change of their sources
	@guest-examples/builtin.sh $(LICTOR)

wheel: guests ## Build the Python client into target/wheels
	@clients/python/build.sh

bench: guests ## Measure all that has a goal, and the peers, and write tests/bench/RESULTS.md
	@tests/bench/run.sh

bench-registry: ## Measure queries and writes with 100,000 policies
	@tests/bench/registry.sh

bench-ways: guests ## Measure functions, jobs and graphs against stateless calls
	@tests/bench/ways.sh

counts: guests ## Commit new counts of the hot call: make counts BECAUSE='why they changed'
	@tests/bench/counts.sh update "$$BECAUSE"

fuzz: ## Fuzz each parser and model; FUZZ_SECONDS=60 each
	@tests/fuzz/run.sh

soak: guests ## Serve under load, faults and restarts, and lose nothing: make soak MINUTES=10 [SEED=7]
	@tests/bench/soak.sh

sbom: ## List what the binary is linked from in target/sbom/lictor.cdx.json
	@tests/dependencies.sh sbom

lictor:
	@$(CARGO) build --profile checked --locked -p lictor
