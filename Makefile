# Two commands are enough to begin: `make demo` and `make test`. `make help` lists the rest.
GO      ?= go
GOFLAGS ?=
BIN     := bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# The commit's time: the agent's effective time is never below it.
BUILT   ?= $(shell TZ=UTC0 git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.buildTime=$(BUILT)
# Without inlining the agent is 0.7 MB smaller, which keeps it well within its 10 MiB. The verifier's decoder, which works
# through large metadata, keeps its speed.
# Functions that begin anywhere, but for what their CPU demands, save 0.2 MB where the linker's own choice is a multiple of
# 32 (amd64) or 16 (386); on arm64 they stay at 16. Code that needs more asks for it itself, and gets it.
# paho's WebSocket dialer, which no config can name, is left out by a go.mod of the agent's own: 0.13 MB.
SMALL   := -modfile=$(BIN)/agent.mod -ldflags '$(LDFLAGS) -funcalign=1' -gcflags=all=-l -gcflags=github.com/ota-agent/ota-agent/verifier/strict=
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)'
TESTSUM := $(BIN)/testsum
# The race detector needs a C compiler.
RACE    := $(shell command -v $$($(GO) env CC) >/dev/null 2>&1 && echo -race)
CROSS   := amd64 arm64 arm:7 386

# The simulation's own build of the verifier checks each good signature once: see agent/sim/testdata/remembered.go.
SIM     := $(BIN)/sim
SIMTEST := GOGC=800 $(GO) test -overlay $(SIM)/overlay.json -count=1 -v -json

# What needs other people's code or other programs lives in modules of its own.
NESTED  := interop e2e crash mqtt/nowebsocket

.DEFAULT_GOAL := help
.PHONY: help demo test check build fmt vet static race tidy cross fuzz clean interop bench bench-verifier bench-worst bench-fetch e2e crash crash-long crash-real crash-disk
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build ## watch a device update itself: six chapters, no root, no network
	@$(BIN)/ota-sim demo --agent $(BIN)/ota-agent

test: $(TESTSUM) ## run all tests
	@$(GO) test -timeout 45m -json ./... 2>&1 | $(TESTSUM)

check: fmt vet static tidy cross race ## all that must hold before a commit lands

build: $(BIN)/agent.mod ## build the programs into bin/
	@mkdir -p $(BIN)
	@$(BUILD) $(SMALL) -o $(BIN)/ ./cmd/ota-agent
	@$(BUILD) -o $(BIN)/ ./cmd/ota-repo ./cmd/ota-sim

fmt: ## gofmt changes nothing
	@files=$$(git ls-files '*.go' | xargs gofmt -l); if [ -n "$$files" ]; then echo "gofmt would change:"; echo "$$files"; exit 1; fi

vet: ## go vet
	@$(GO) vet ./...
	@for m in tools $(NESTED); do $(GO) -C $$m vet ./...; done

static: ## staticcheck, pinned in tools/go.mod
	@$(GO) -C tools build -o ../$(BIN)/staticcheck honnef.co/go/tools/cmd/staticcheck
	@$(BIN)/staticcheck ./...

tidy: ## go.mod and go.sum hold what is linked, no more
	@$(GO) mod tidy -diff
	@for m in tools $(NESTED); do $(GO) -C $$m mod tidy -diff; done

race: $(TESTSUM) ## the tests with the race detector, and the agent's own packages on a 32-bit CPU
	@$(GO) test $(RACE) -timeout 45m -short -json ./... 2>&1 | $(TESTSUM)
	@CGO_ENABLED=0 GOARCH=386 $(GO) test -timeout 45m -short -json ./verifier/... ./agent/... ./storage/... ./release/... 2>&1 | $(TESTSUM)

cross: $(BIN)/agent.mod ## the agent as a static binary for each CPU, with its size
	@mkdir -p $(BIN)/cross
	@for t in $(CROSS); do \
	  arch=$${t%%:*}; arm=; [ "$$t" = "$$arch" ] || arm=$${t#*:}; \
	  GOOS=linux GOARCH=$$arch GOARM=$$arm $(BUILD) $(SMALL) -o $(BIN)/cross/ota-agent-$$arch$$arm ./cmd/ota-agent; \
	done
	@OTA_CROSS=$(CURDIR)/$(BIN)/cross $(GO) test -count=1 -run 'TestCross' ./cmd/ota-agent

crash: $(TESTSUM) $(SIM)/overlay.json ## kill the simulated device at every step, and again in its recovery (at most ten minutes)
	@OTA_SIM=crash $(SIMTEST) -timeout 2h ./agent/sim | $(TESTSUM) -v

crash-long: $(TESTSUM) $(SIM)/overlay.json ## the same with all pairs of faults and many seeds (two hours; OTA_SIM_PART=1/8 runs an eighth)
	@OTA_SIM=long $(SIMTEST) -timeout 48h ./agent/sim | $(TESTSUM) -v

$(SIM)/overlay.json: verifier/keys.go agent/sim/testdata/remembered.go Makefile
	@mkdir -p $(SIM)
	@sed 's/return ed25519\.Verify(key, /return remembered(key, /' verifier/keys.go > $(SIM)/keys.txt
	@grep -q 'remembered(key, ' $(SIM)/keys.txt || { echo "verifier/keys.go has no place for the memory of signatures"; exit 1; }
	@echo '{"Replace": {"verifier/keys.go": "$(SIM)/keys.txt", "verifier/remembered.go": "agent/sim/testdata/remembered.go"}}' > $@

crash-real: ## kill the real agent at each system call that changes the disk; fail each one; twice; then crash-disk (half an hour)
	@$(GO) -C crash test -count=1 -timeout 90m -p 1 -v ./...

crash-disk: ## cut the power at each write of a virtual machine's disk, and start the agent on what is left (root, Debian; ten minutes)
	@$(GO) -C crash test -count=1 -timeout 60m -v -run 'EachWriteOfTheDisk' .

e2e: ## the real agent on bad links and at a real broker: nginx, toxiproxy, mosquitto, network namespaces (root, Debian)
	@$(GO) -C e2e test -count=1 -timeout 45m -v ./...

interop: $(TESTSUM) ## against go-tuf, tuf-js and securesystemslib
	@$(GO) -C interop test -count=1 -json ./... | $(TESTSUM)

bench: bench-verifier bench-worst bench-fetch ## everything with a budget, beside its peers

bench-verifier: ## the verifier beside go-tuf, in one table
	@$(GO) -C interop run ./bench

bench-worst: ## memory and CPU of the decoder, and of the whole agent, for the worst metadata that was found
	@$(GO) test -run '^$$' -bench Worst -benchtime 1x ./verifier/strict
	@$(GO) -C e2e test -run '^$$' -bench Worst -benchtime 1x -timeout 60m .

bench-fetch: ## download, verify and stage beside curl with sha256sum, and go-tuf (Debian's nginx)
	@$(GO) -C e2e test -run '^$$' -bench Fetch -benchtime 1x -timeout 60m .

FUZZTIME ?= 10s
fuzz: ## each fuzz target for FUZZTIME (default 10s)
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p | tail -n 2; \
	  done; \
	done

clean: ## remove what make built
	@rm -rf $(BIN)

$(BIN)/agent.mod: go.mod go.sum Makefile
	@mkdir -p $(BIN)
	@cp go.sum $(BIN)/agent.sum
	@cp go.mod $@
	@$(GO) mod edit -replace=github.com/gorilla/websocket=./mqtt/nowebsocket $@

$(TESTSUM): tools/testsum/main.go tools/go.mod
	@mkdir -p $(BIN)
	@$(GO) -C tools build -o ../$(TESTSUM) ./testsum
