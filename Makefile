# Thin targets over the tools. `make demo` shows the system at work, `make test` runs every test, `make help` lists the rest.

NODE := node_modules/.bin/node
BIN := $(NODE) node_modules

.DEFAULT_GOAL := help
.PHONY: help deps build addon dist check check-pack lint format test test-valkey cluster-tools test-cluster render demo bench soak pack prepack clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "  %-14s %s\n", $$1, $$2 }'

deps: ## install what is missing: npm packages, Node, redis-server
	@scripts/deps

build: deps dist addon ## compile to dist/ and build the addon

dist: deps
	@$(BIN)/typescript/bin/tsc -p tsconfig.build.json
	@$(NODE) scripts/bundle-spawned.mjs
	@chmod +x dist/bin.js

addon: deps
	@$(NODE) scripts/build-addon.mjs

check: build lint check-pack ## types, lint, format, unused code, package shape
	@$(BIN)/typescript/bin/tsc --noEmit
	@$(BIN)/knip/bin/knip.js --no-progress
	@echo 'check: all good'

lint: deps
	@$(BIN)/oxlint/bin/oxlint --deny-warnings
	@$(BIN)/oxfmt/bin/oxfmt --check --no-error-on-unmatched-pattern

check-pack: build
	@rm -rf build/pack && mkdir -p build/pack
	@npm pack --ignore-scripts --silent --pack-destination build/pack >/dev/null
	@$(BIN)/publint/src/cli.js build/pack/resqueue-*.tgz --strict
	@$(BIN)/@arethetypeswrong/cli/dist/index.js build/pack/resqueue-*.tgz --profile esm-only

format: deps ## format all files
	@$(BIN)/oxfmt/bin/oxfmt

test: build ## every test but those on a real node; ends with 'N passed, N failed'
	@$(BIN)/vitest/vitest.mjs run --project '!node'

test-valkey: build ## the tests of operations and bytes once more, on a Valkey
	@server=$$($(NODE) scripts/valkey.ts) && RESQUEUE_TEST_REDIS_SERVER=$$server $(BIN)/vitest/vitest.mjs run --project redis --project wire

cluster-tools: deps ## build the Kubernetes parts that some tests need (once: a quarter of an hour; kept in ~/.cache)
	@$(NODE) test/cluster/tools/build.ts

test-cluster: build cluster-tools ## the tests on a real node that runs real containers (Linux, root)
	@$(BIN)/vitest/vitest.mjs run --project node

render: deps ## write what is rendered from other files: the dashboard, deploy/
	@$(NODE) scripts/render-dashboard.ts
	@$(NODE) scripts/render-deploy.ts

demo: build ## a backlog of real work, with faults; CI=1 ends by itself, DEMO_JOBS and REDIS_URL are heeded
	@$(NODE) examples/demo/demo.ts

bench: build ## side by side with other queues; writes bench/RESULTS.md
	@cd bench && { node ../scripts/deps-fresh.cjs || npm ci --no-audit --no-fund --loglevel=error; }
	@$(NODE) bench/run.ts

soak: build ## 100,000 forked jobs and an hour of random kills
	@$(NODE) scripts/soak.ts

pack: prepack ## the npm package as a tarball in build/, with the prebuilt addons
	@mkdir -p build && npm pack --ignore-scripts --silent --pack-destination build

prepack: clean build
	@$(NODE) scripts/prebuild-addons.mjs

clean: ## remove what was built
	@rm -rf dist build prebuilds coverage
