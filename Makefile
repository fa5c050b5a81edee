# Names of commands, no logic: each line of work is in a script, a crate or the program itself.
#
#   make up               a data center on this machine, in front; Ctrl-C stops it
#   make up ARGS=-d       the same in the background; make down stops it
#   make up SIM=1         with simulated hosts: touches nothing of the machine
#   make up ARGS='--hosts 3 --dir /srv/arame'

TARGET ?= $(or $(CARGO_TARGET_DIR),target)
CARGO ?= cargo
SIM ?=
MINUTES ?= 30
ARGS ?=
# How many seeds `make simulate` runs, and the first of them.
SEEDS ?= 1000
SEED ?= 1
ARAME = $(TARGET)/release/arame

.DEFAULT_GOAL := help
.PHONY: help packages pages build deb up down status test simulate chaos bench lint fmt clean-data clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo "  SIM=1 simulates the hosts; ARGS='...' goes to the program (make up ARGS='-d --hosts 3')"

packages: ## install the Debian packages that are missing; says which and why
	scripts/install-packages

pages: ## build the pages of the web console; needs Node.js 18 or later
	scripts/build-pages

build: pages ## build all programs, optimised
	$(CARGO) build --release --workspace --locked

# Paths of the machine that builds are no part of what it makes.
deb: pages ## make a Debian package of every program, in target/deb
	RUSTFLAGS='$(RUSTFLAGS) --remap-path-prefix=$(CURDIR)=/arame --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo' \
		$(CARGO) build --release --workspace --locked
	scripts/make-packages --programs $(TARGET)/release --out $(TARGET)/deb

up: packages build ## install what is missing, build, start a data center
	$(ARAME) up $(if $(SIM),--sim) $(ARGS)

down: ## stop the data center; its data stays
	$(ARAME) down $(ARGS)

status: ## what of the data center runs
	$(ARAME) status $(ARGS)

test: ## run every test; prints stages, times and skips
	scripts/test

simulate: ## run a whole data center from each of SEEDS seeds; ARAME_SEED=n prints one's whole trace
	ARAME_SEEDS=$(SEEDS) ARAME_FIRST_SEED=$(SEED) ARAME_WORKERS=$$(nproc) $(CARGO) test --profile simulate --workspace --locked --test simulate -- \
		--nocapture --exact whatever_goes_wrong_for_a_while_everything_ends_as_wished_in_every_seed

chaos: ## break everything under load for MINUTES=30; ARAME_SEED repeats a campaign
	$(CARGO) build --workspace --locked
	ARAME_CHAOS_MINUTES=$(MINUTES) $(CARGO) test --workspace --locked --test chaos -- --nocapture

bench: build ## measure what is promised, and print it
	ARAME_BIN=$(abspath $(TARGET))/release $(CARGO) bench --workspace --locked --bench '*' -- $(ARGS)

lint: ## formatting and clippy, warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --locked -- -D warnings
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings -A clippy::unwrap_used

fmt: ## format the code
	$(CARGO) fmt --all

clean-data: ## stop the data center in ./var and delete all its data
	scripts/clean-data var

clean: ## delete what was built
	$(CARGO) clean
