# Each target installs what it needs first; what is already there costs a fraction of a second.
# Needs: Rust, Python 3.10 or newer with pip, a C++ compiler, Linux on x86-64.

.DEFAULT_GOAL := help
.PHONY: help demo docs reference guide test test-real mutations valgrind peft-layout bench setup setup-model setup-peer goldens lint clean-assets

PYTHON ?= python3
CARGO ?= cargo
THREADS ?= $(shell nproc)
# The rpaths of .cargo/config.toml are what lets a program find libtorch; these variables would replace them.
unexport RUSTFLAGS CARGO_ENCODED_RUSTFLAGS RUSTDOCFLAGS CARGO_TARGET_DIR

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1@/' | column -t -s@

setup: ## libtorch (0.5 GB download), then everything builds
	@$(PYTHON) scripts/setup-libtorch.py

setup-model: ## the real model and the task data (0.25 GB download) under .assets/
	@$(PYTHON) scripts/setup-model.py

setup-peer: ## Transformers and PyTorch (2.5 GB download) under .peer/
	@$(PYTHON) scripts/setup-peer.py

# In a variable of its own: `if` splits what it is given at commas.
FULL_COLUMNS = 'evaluate.columns=["zero_shot", "emulator", "emulator_tuned", "plug_in", "full_tuning"]'

demo: setup setup-model ## offsite-tuning from end to end on a real model, on this machine
	$(CARGO) build --release --workspace
	./target/release/scaleot run configs/demo.toml $(if $(FULL),$(FULL_COLUMNS))

# A workspace of its own: in this one it would turn on the feature `tch` for every plugin.
TCH_TIER = --manifest-path plugins/adaround/Cargo.toml --target-dir target/tch-tier

test: setup ## every test and doctest; needs no real model
	$(CARGO) build --workspace
	@$(PYTHON) scripts/make-reference.py --check --program target/debug/scaleot
	$(CARGO) test --workspace --lib --bins --tests --no-fail-fast
	$(CARGO) test --workspace --doc
	$(CARGO) test -p scaleot-plugin-api --features tch --lib torch
	$(CARGO) test $(TCH_TIER)

test-real: setup setup-model ## golden checks on the real model
	$(CARGO) build --release --workspace
	$(CARGO) test --release -p behaviour --features real-model --test real

MUTATIONS ?= 2000

mutations: setup ## 2,000 mutated command lines, configs and files: none may end in a fault of ours (some 10 minutes)
	$(CARGO) build --workspace
	SCALEOT_MUTATIONS=$(MUTATIONS) $(CARGO) test -p behaviour --test mutated -- --nocapture

EXAMPLES = target/debug/examples
CYCLES ?= 1000

valgrind: setup ## 1,000 cycles of loading and calling plugins: no error, no leak (needs valgrind; some minutes)
	$(CARGO) build -p behaviour --examples
	valgrind --error-exitcode=9 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
		--suppressions=tests/boundary/valgrind.supp $(EXAMPLES)/boundary_cycles $(CYCLES) \
		$(EXAMPLES)/libtest_misbehaving.so $(EXAMPLES)/libtest_objectives.so

PEFT = target/peft-layout
PROMPT = configs/ci.toml output=$(PEFT)/prompt-run adapter.use=peft/soft-prompt tune.learning_rate=1e-2 evaluate.limit=2
LORA = configs/ci.toml output=$(PEFT)/run adapter.use=peft/lora tune.learning_rate=5e-3 evaluate.limit=2

peft-layout: setup setup-peer ## an exported LoRA adapter and exported soft prompts, opened by the package peft
	$(CARGO) build --workspace
	rm -rf $(PEFT)/adapter $(PEFT)/merged $(PEFT)/prompt
	./target/debug/scaleot run $(LORA)
	./target/debug/scaleot export $(LORA) --what peft --to $(PEFT)/adapter
	./target/debug/scaleot export $(LORA) --what plug-in --to $(PEFT)/merged
	.peer/venv/bin/python benches/peer/peft_layout.py $(PEFT)/adapter --merged $(PEFT)/merged
	./target/debug/scaleot run $(PROMPT)
	./target/debug/scaleot export $(PROMPT) --what peft --to $(PEFT)/prompt
	.peer/venv/bin/python benches/peer/peft_layout.py $(PEFT)/prompt
	for family in $(PEFT_FUSED); do $(MAKE) --no-print-directory peft-layout-$$family || exit 1; done

# Families that fuse queries, keys and values in one module.
PEFT_FUSED = gpt2 gpt_neox
FUSED = configs/ci.toml model.path=$(PEFT)/$* output=$(PEFT)/$*-run adapter.use=peft/lora tune.learning_rate=5e-3 evaluate.limit=2

peft-layout-%:
	rm -rf $(PEFT)/$* $(PEFT)/$*-adapter $(PEFT)/$*-merged
	.peer/venv/bin/python benches/peer/small_model.py $* $(PEFT)/$*
	./target/debug/scaleot run $(FUSED)
	./target/debug/scaleot export $(FUSED) --what peft --to $(PEFT)/$*-adapter
	./target/debug/scaleot export $(FUSED) --what plug-in --to $(PEFT)/$*-merged
	.peer/venv/bin/python benches/peer/peft_layout.py $(PEFT)/$*-adapter --merged $(PEFT)/$*-merged

bench: setup setup-model setup-peer ## hot paths, then side by side with Transformers and PyTorch
	$(CARGO) build --release --workspace
	$(CARGO) bench -p benches
	.peer/venv/bin/python benches/peer/compare.py --threads $(THREADS)

goldens: setup-peer ## make tests/golden again from Transformers
	.peer/venv/bin/python tests/golden/make_goldens.py
	.peer/venv/bin/python tests/golden/make_rope_sections.py
	.peer/venv/bin/python tests/golden/make_soft_prompt.py

docs: ## the reference of the plugin API, from its doc comments
	$(CARGO) doc -p scaleot-plugin-api -p scaleot-plugin-conformance --no-deps
	@echo target/doc/scaleot_plugin_api/index.html

reference: setup ## docs/reference, from the program's own words
	$(CARGO) build
	$(PYTHON) scripts/make-reference.py --program target/debug/scaleot

guide: setup setup-model ## the commands of docs/guide, as they stand there (a few minutes)
	$(CARGO) build --release --workspace
	$(PYTHON) scripts/try-guide.py

lint: setup ## format, lints, forbidden dependencies, the invariants of ARCHITECTURE.md
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) fmt --check --manifest-path plugins/adaround/Cargo.toml -- --config-path rustfmt.toml
	$(CARGO) clippy $(TCH_TIER) --all-targets -- -D warnings
	@$(PYTHON) scripts/check-edges.py
	@$(PYTHON) scripts/check-architecture.py

clean-assets: ## remove what the set-up put into this folder; the cache stays
	rm -rf .assets .libtorch .peer
