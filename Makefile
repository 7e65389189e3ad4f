# CypherFace Edge. `make run` starts a box, `make test` tests it; both set up
# what is missing first. `make help` lists the rest.

PACKS         := .deps/packs
MODEL_SOURCES ?= ../shared/models/sources
DATA          ?= data
LISTEN        ?= 127.0.0.1:8080
CAMERA        ?= auto:
ARCH          := $(shell go env GOHOSTARCH)
GO            := scripts/go
BUILD         := $(GO) build -trimpath -ldflags "-s -w"
QEMU          := qemu-aarch64-static -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=$(CURDIR)/.deps/lib/linux_arm64
export MODEL_SOURCES

SHELL         := /bin/bash

.DEFAULT_GOAL := build
.PHONY: help setup build run test race check cross test-arm64 fuzz leak faults vm kill bench accuracy pad install clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  make \1|/' | column -t -s '|'

.PHONY: negative load
negative: setup ## 100,000 bad requests made from openapi.yaml: no 5xx
	$(GO) test -run TestNegative -count=1 -v -timeout 60m ./internal/api -args -negative 100000 -negative-seed $(or $(SEED),1)

load: setup ## requests a second and latency of the API beside the bare engine
	$(GO) test -run TestLoad -count=1 -v -timeout 30m ./internal/daemon -args -load $(or $(LOADFOR),5s)

setup: ## fetch the libraries and networks, install the packs (idempotent)
	@scripts/setup
	@$(GO) run ./cmd/cypherface models setup --packs $(PACKS)

build: setup ## build bin/, a folder that can be copied to another box
	@mkdir -p bin/lib && cp -u .deps/lib/linux_$(ARCH)/*.so* bin/lib/ && cp -ru $(PACKS) bin/
	@$(BUILD) -o bin/ ./cmd/...
	@cp -u scripts/install systemd/* bin/

run: build ## start the box and print its URL
	@bin/cypherfaced --data $(DATA) --listen $(LISTEN) --camera $(CAMERA)

.PHONY: run-central fleet
run-central: build ## start a central, where boxes meet, and print its URL and first steps
	@bin/cypherface-central --data $(or $(CENTRAL),central) --listen $(or $(CENTRAL_LISTEN),127.0.0.1:9080)

fleet: setup ## boxes and a central as processes, killed and cut off for FLEETFOR (2m)
	$(GO) test -run 'TestFleet$$' -count=1 -v -timeout 60m ./internal/daemon -args -fleet $(or $(FLEETFOR),2m)

test: setup ## run every test
	$(GO) test -shuffle=on -timeout 9m ./...

race: setup ## the packages with goroutines of their own, under the race detector
	$(GO) test -race -short -timeout 15m ./store/... ./internal/... ./camera/... ./engine/scan ./sync/...

check: setup ## formatting, vet, staticcheck, tidy module, and a build without cgo
	@test -z "$$(gofmt -l cmd engine camera store models internal sync *.go | tee /dev/stderr)" || { echo "gofmt -w the files above"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff
	CGO_ENABLED=0 go build ./...

cross: setup ## build bin/linux_arm64 for ARM boxes
	@scripts/setup cross
	@mkdir -p bin/linux_arm64/lib && cp -u .deps/lib/linux_arm64/*.so* bin/linux_arm64/lib/ && cp -ru $(PACKS) bin/linux_arm64/
	GOARCH=arm64 $(BUILD) -o bin/linux_arm64/ ./cmd/...
	@cp -u scripts/install systemd/* bin/linux_arm64/

test-arm64: setup ## the arm64 engine under qemu-user
	@scripts/setup cross
	GOARCH=arm64 $(GO) test -short -timeout 20m -exec "$(QEMU)" ./engine/...

fuzz: setup ## each fuzz target for FUZZTIME (10s)
	@scripts/fuzz $(or $(FUZZTIME),10s)

leak: setup ## 10,000 loads and 100,000 inferences under the eye of RSS
	$(GO) test -run Leak -count=1 -v -timeout 60m ./engine/tflite -args -leak

faults: setup ## the tables of docs/reliability.md: faults of cameras, each operation of the disk (root, FUSE)
	@set -o pipefail; { $(GO) test -count=1 -v -run 'TestFaults|TestDeviceHealth' ./camera/v4l2 -args -faults && \
	   $(GO) test -count=1 -v -run TestComesBack ./camera/ipcam; } | sed -n 's/.*go:[0-9]*: |/|/p' | sort
	$(GO) test -count=1 -v -timeout 30m -run TestFaults ./store/bolt -bolt.faults 0

vm: ## the V4L2 driver against the kernel's own test webcam, in an emulated arm64 machine (root, apt)
	scripts/vm

kill: setup ## kill the daemon under load, and writing processes, KILLS (300) times
	$(GO) test -count=1 -v -timeout 60m -run TestKilledUnderLoad ./internal/daemon -cypherfaced.kills $(or $(KILLS),300)
	$(GO) test -count=1 -v -timeout 60m -run TestKilled ./store/bolt -bolt.kills $(or $(KILLS),300)

.PHONY: migrate
migrate: setup ## change the pack for PEOPLE (10,000), variations of FACES (300), while verifications go on: latency, and nobody lost
	$(GO) test -run 'TestMigration$$' -count=1 -v -timeout 120m ./internal/daemon -args -migrate $(or $(PEOPLE),10000) -migrate.faces $(or $(FACES),300) -migrate.base $(or $(BASE),60s)

.PHONY: sim storm
sim: ## fleets in virtual time: SEEDS=1000, SEEDS=A..B, or SEED=7 with its trace (BREAK=promise); HARD=1: more happens
	@set -o pipefail; $(GO) test -count=1 -timeout 24h -v -run '^Test(Seed|Simulation)$$' ./sync/simtest -args $(if $(SEED),-sim.seed $(SEED) -sim.break "$(BREAK)",-sim.seeds $(or $(SEEDS),1000)) $(if $(HARD),-sim.hard) | grep -vE '^(=== |--- |PASS|FAIL|ok )|needs -sim'

storm: ## the tables of docs/sync.md: broken promises, and 10,000 boxes that come back
	@set -o pipefail; $(GO) test -count=1 -v -run 'TestEveryBreakageIsNoticed|TestStorm' ./sync/simtest -args -sim.storm | sed -n 's/.*go:[0-9]*: |/|/p'

size: setup ## the audit log with EVENTS (10,000,000) events: what listing, proving, verifying cost
	$(GO) test -run TestSize -count=1 -v -timeout 120m ./internal/audit -args -audit.size $(or $(EVENTS),10000000)

bench: build ## what each stage costs, in one run
	bin/cypherface bench

accuracy: build ## the tables of docs/accuracy.md (needs ../shared/faces)
	scripts/accuracy

pad: build ## the tables of docs/liveness.md: attacks taken for life, living people turned away
	bin/cypherface eval-pad --subjects 100 --skip 100

install: build ## install this build on this machine (root)
	bin/install

clean: ## remove what was built; .deps/ (what was fetched) stays
	rm -rf bin
