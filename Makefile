# Targets with a text behind `##` are the ones to type; `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN      := dist/otelcol-adaptive
TOOLS    := .tools
OCB      := $(TOOLS)/builder
MDATAGEN := $(TOOLS)/mdatagen
LINT     := $(TOOLS)/golangci-lint
VULN     := $(TOOLS)/govulncheck
GEN      := $(TOOLS)/telemetrygen
STOCK    := testbed/peers/dist/otelcol-stock
SUM      := $(TOOLS)/gotestsum
AMTOOL   := $(TOOLS)/amtool

# Every Go module of the repository; the first is the product.
MODULES := . e2e testbed tools
SOURCES := $(shell git ls-files -co --exclude-standard -- go.mod go.sum 'receiver/*.go' 'processor/*.go' 'exporter/*.go' \
             'extension/*.go' 'converter/*.go' 'internal/*.go' 'extension/alertmanager/internal/web/*' ':!*_test.go')
# What is shipped as a configuration and must pass `validate`.
CONFIGS := collector-config.yaml $(wildcard examples/*/collector-config*.yaml)

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- build and run ---------------------------------------------------------------------------------------------------

.PHONY: build
build: $(BIN) ## Build the distribution with ocb into dist/otelcol-adaptive

$(BIN): builder-config.yaml $(SOURCES) $(OCB)
	@$(OCB) --config builder-config.yaml
	@touch $@

# The stock Collector of the same version, to compare with.
$(STOCK): testbed/peers/stock-builder-config.yaml $(OCB)
	@cd testbed/peers && ../../$(OCB) --config stock-builder-config.yaml
	@touch $@

# GOGC: with so small a live heap, collecting half as often costs a few MB and saves a tenth of the CPU and more.
# GOMEMLIMIT: the bound that makes this safe; memory_limiter in collector-config.yaml acts below it.
.PHONY: run
run: $(BIN) ## Build and start it: OTLP on 4317 and 4318, to BACKEND_ENDPOINT or to an embedded default
	@tools/scripts/welcome.sh
	@GOGC=$${GOGC:-400} GOMEMLIMIT=$${GOMEMLIMIT:-1GiB} exec $(BIN) --config collector-config.yaml \
	  --feature-gates=extension.healthcheck.useComponentStatus

# --- test ------------------------------------------------------------------------------------------------------------

.PHONY: test
test: deps check unit e2e correctness ## Everything: checks, unit tests with race and coverage, end-to-end tests, correctness under load
	@echo "make test: all passed"

.PHONY: deps
deps: ## Install what the tests need and the machine lacks (Debian packages)
	@tools/scripts/install-deps.sh

.PHONY: check
check: tidy-check format-check generate-check lint vuln other-systems validate ## Everything that runs no test

COVERAGE_MIN := 90
.PHONY: unit
unit: $(SUM) ## Unit tests with the race detector; fails under 90 % of own statements covered
	@mkdir -p coverage
	@CGO_ENABLED=1 $(SUM) --format pkgname-and-test-fails -- -race -shuffle=on -timeout 10m -coverpkg=./... \
	  -coverprofile=coverage/unit.out ./...
	@tools/scripts/coverage.sh coverage/unit.out $(COVERAGE_MIN)
	@$(SUM) --format pkgname-and-test-fails -- ./processor/adaptivebatch/internal/simulate # too slow under the race detector
	@$(SUM) --format pkgname-and-test-fails -- -run 'Allocations|LargeQueue' ./exporter/pooledotlp ./receiver/selfmetrics # which needs memory itself
	@# Freed buffers are poisoned, and one freed twice or never is found, where buffers change hands.
	@$(SUM) --format pkgname-and-test-fails -- -tags bufpooldebug ./internal/bufpool ./processor/adaptivebatch
	@$(SUM) --format pkgname-and-test-fails -- -tags bufpooldebug -run 'Buffer|Queue[SR]|MergeSplit|TooLarge|Profiles|Encoded|Gateway|Batch' \
	  ./exporter/pooledotlp ./receiver/pooledotlp
	@cd testbed && CGO_ENABLED=1 ../$(SUM) --format pkgname-and-test-fails -- -race -shuffle=on -timeout 5m ./...

.PHONY: e2e
e2e: $(SUM) $(BIN) $(GEN) $(OCB) $(AMTOOL) ## End-to-end tests of the built binary
	@cd e2e && ../$(SUM) --format testname -- -timeout 15m -count=1 ./...

.PHONY: courses
courses: $(BIN) ## Record anew what the rules that predict are proven on (three minutes; mounts a file system, so as root)
	@cd e2e && COURSES=../extension/alertmanager/internal/rules/testdata/courses go test -run TestRecordCourses -parallel 6 -count=1 .

.PHONY: correctness
correctness: $(BIN) ## The testbed's correctness scenarios: every item once and unchanged, on good days and bad
	@cd testbed && go run ./cmd/testbed run -quiet correctness >/dev/null

.PHONY: validate
validate: $(BIN) ## `otelcol-adaptive validate` on every shipped configuration
	@for config in $(CONFIGS); do echo "validate $$config"; $(BIN) validate --config "$$config"; done

.PHONY: lint
lint: $(LINT) ## golangci-lint in every module
	@for module in $(filter-out tools,$(MODULES)); do (cd $$module && "$(CURDIR)/$(LINT)" run --config "$(CURDIR)/.golangci.yml" ./...); done

# Nothing is run on these; that everything compiles, tests included, is what is promised.
.PHONY: other-systems
other-systems: ## Compile for the systems that the tests do not run on
	@for system in darwin windows; do echo "vet $$system"; CGO_ENABLED=0 GOOS=$$system go vet ./...; done

.PHONY: vuln
vuln: $(VULN) ## govulncheck on the product's module
	@tools/scripts/govulncheck.sh $(VULN)

.PHONY: tidy-check
tidy-check:
	@for module in $(MODULES); do (cd $$module && go mod tidy -diff); done

.PHONY: format-check
format-check:
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l); \
	  [ -z "$$unformatted" ] || { echo "not gofmt-ed: $$unformatted"; exit 1; }

.PHONY: generate-check
generate-check: $(MDATAGEN)
	@tools/scripts/unchanged.sh "make generate" $(MAKE) --no-print-directory generate

# --- develop ---------------------------------------------------------------------------------------------------------

.PHONY: generate
generate: $(MDATAGEN) ## Run mdatagen for every component
	@PATH="$(CURDIR)/$(TOOLS):$$PATH" go generate ./...

.PHONY: format
format: ## gofmt and go mod tidy
	@git ls-files -co --exclude-standard '*.go' | xargs gofmt -w
	@for module in $(MODULES); do (cd $$module && go mod tidy); done

.PHONY: bench
bench: ## Go benchmarks of the product's module
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: loadtest
loadtest: $(BIN) $(STOCK) ## The testbed's short suite, with limits on memory, loss and CPU that fail it (5 minutes)
	@cd testbed && go run ./cmd/testbed run short

.PHONY: loadtest-full
loadtest-full: $(BIN) $(STOCK) ## Every scenario of the testbed but the soak, the comparison, the pairs and what only the short suite has
	@cd testbed && go run ./cmd/testbed run full

.PHONY: comparison
comparison: $(BIN) $(STOCK) ## The comparison with the stock Collector and nginx (an hour)
	@cd testbed && go run ./cmd/testbed run comparison

.PHONY: performance-docs
performance-docs: $(BIN) $(STOCK) ## Run what docs/performance shows, and write it (two hours; FILES=... for some)
	@tools/scripts/performance-docs.sh $(FILES)

.PHONY: sizes
sizes: $(OCB) ## What each entry of builder-config.yaml adds to the binary (a build per entry: half an hour; ENTRIES=... for some)
	@tools/scripts/sizes.sh $(OCB) $(ENTRIES)

.PHONY: clean
clean: ## Remove everything that was built
	rm -rf dist coverage $(TOOLS)

# --- pinned tools, built from tools/go.mod -----------------------------------------------------------------------------

$(OCB): PACKAGE := go.opentelemetry.io/collector/cmd/builder
$(MDATAGEN): PACKAGE := go.opentelemetry.io/collector/cmd/mdatagen
$(LINT): PACKAGE := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
$(VULN): PACKAGE := golang.org/x/vuln/cmd/govulncheck
$(GEN): PACKAGE := github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen
$(SUM): PACKAGE := gotest.tools/gotestsum
$(AMTOOL): PACKAGE := github.com/prometheus/alertmanager/cmd/amtool
$(OCB) $(MDATAGEN) $(LINT) $(VULN) $(GEN) $(SUM) $(AMTOOL): tools/go.mod tools/go.sum
	@mkdir -p $(TOOLS)
	@echo "building $@"
	@cd tools && CGO_ENABLED=0 go build -o ../$@ $(PACKAGE)
	@touch $@
