# make demo    shows strata on this host, from nothing
# make test    runs every test
.PHONY: help setup setup-tests build docs api binding check unit fuzz torture conformance e2e e2e-lxd test test-debian13 test-package bench pictures demo deb install link clean

SOURCES := $(shell find bin lib plugins -name '*.ts') package.json tsconfig.json tsconfig.build.json
MOCHA := npx --no-install mocha --reporter test/reporter.cjs
SLOW := --timeout 1500000

help:
	@sed -n 's/^# //p' Makefile

setup:
	@scripts/setup.sh

setup-tests:
	@scripts/setup.sh tests

build: dist/bin/strata.js

dist/bin/strata.js: $(SOURCES)
	@rm -rf dist
	@npm run --silent build

docs:
	@npm run --silent docs

# The types of the library, in docs/api; to be looked at and committed when they change.
api:
	@npm run --silent api

# Reads libvirt 9.0 and 11.3 anew, from Debian's mirror, for plugins/libvirt/rpc: after a change of scripts/binding.
binding:
	@scripts/libvirt-sources.sh bookworm $${TMPDIR:-/tmp}/strata-libvirt/9.0
	@scripts/libvirt-sources.sh trixie $${TMPDIR:-/tmp}/strata-libvirt/11.3
	@node --import tsx scripts/generate-binding.ts $${TMPDIR:-/tmp}/strata-libvirt/9.0 $${TMPDIR:-/tmp}/strata-libvirt/11.3

check:
	@npm run --silent check

unit:
	@$(MOCHA) 'test/unit/**/*.test.ts'

fuzz:
	@STRATA_FUZZ_RUNS=$${STRATA_FUZZ_RUNS:-2000} $(MOCHA) $(SLOW) 'test/fuzz/**/*.test.ts'

torture:
	@node --import tsx test/torture/run.ts $(TORTURE)
	@$(if $(TORTURE),,TORTURE_CROWD=full $(MOCHA) $(SLOW) test/torture/crowd.test.ts)

conformance:
	@STRATA_TREES=$${STRATA_TREES:-300} $(MOCHA) $(SLOW) 'test/conformance/**/*.test.ts'

e2e: build
	@$(MOCHA) $(SLOW) 'test/e2e/**/*.test.ts'

e2e-lxd: setup-tests build
	@$(MOCHA) $(SLOW) 'test/conformance/lxd.test.ts' 'test/e2e/lxd/**/*.test.ts'

test: setup-tests
	@$(MAKE) --no-print-directory check build
	@scripts/test.sh

# What newer versions of libvirt do to our records, and the conformance of Incus, on a host of Debian 13 that is made beside this one.
test-debian13: build
	@scripts/debian13.sh $(MOCHA) $(SLOW) --exit test/e2e/private-libvirt/virsh-verbs.test.ts test/e2e/libvirt/way-out.test.ts test/torture/hands.test.ts
	@STRATA_TEST_SERVER=incus scripts/debian13.sh $(MOCHA) $(SLOW) --exit test/conformance/lxd.test.ts

# SUBJECTS=reads measures one alone; SHORT=1 takes minutes, not an hour; ROUNDS=3 is for few rounds of all of it.
bench: build
	@node --import tsx test/bench/run.ts $(if $(SHORT),--short) $(if $(ROUNDS),--rounds $(ROUNDS)) --json bench.json $(SUBJECTS)

# The terminal of the README, from a real run, and the plots of docs/performance.md, from bench.json.
pictures: build
	@node --import tsx scripts/terminal.ts
	@node --import tsx test/bench/plot.ts bench.json

demo: setup
	@$(MAKE) --no-print-directory build
	@scripts/demo.sh

# build/strata_VERSION_all.deb, from the checkout as it is built.
deb: build
	@scripts/deb.sh

# Builds both packages, installs and removes the Debian one in a root of Debian 13, and checks it with lintian.
test-package: deb
	@scripts/test-package.sh

# A copy, as `npm pack` would publish it: this folder may go afterwards.
install: build
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	npm pack --silent --ignore-scripts --pack-destination "$$folder" >/dev/null && \
	npm install --global --no-fund --no-audit "$$folder"/*.tgz

# The command `strata` of this folder, which must stay.
link: build
	npm link --ignore-scripts

clean:
	rm -rf dist build coverage
