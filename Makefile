# xpipe: build, test and demo. `make help` lists the goals.
#
# Objects go to build/<compiler>-<mode>/; nothing is written into the source folders.
#   make CC=clang-14          the other compiler
#   make MODE=asan            sanitizers (address + undefined + leak); also: release (default), debug, tsan
#   make BUILD=folder         another build folder
#   make check-unit T=addr    one test
#   make V=1                  show the commands

CC      := $(if $(filter default,$(origin CC)),gcc,$(CC))
MODE    ?= release
BUILD   ?= build/$(notdir $(lastword $(CC)))-$(MODE)
PYTHON  ?= /usr/bin/python3
PREFIX  ?= /usr/local
SYSCONFDIR ?= /etc
VERSION := $(shell cat packaging/VERSION)

PKGS     := libmicrohttpd jansson sqlite3 hiredis libcurl inih libsystemd libcrypto zlib
PKG_CF   := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LDLIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lzookeeper_mt -lev -lpthread -lm

WARN := -Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 \
        -Wimplicit-fallthrough -Wswitch-enum -Wvla -Wundef -Wpointer-arith -Wcast-qual -Wwrite-strings
ifneq (,$(findstring clang,$(CC)))
WARN += -Wthread-safety
else
WARN += -Wlogical-op -Wduplicated-cond
endif

HARDEN := -fstack-protector-strong -fPIE
OPT_release := -O2 -g -D_FORTIFY_SOURCE=2 $(HARDEN)
OPT_debug   := -O0 -g3 -DXP_FAULTS=1
OPT_asan    := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all -DXP_FAULTS=1
OPT_tsan    := -O1 -g -fno-omit-frame-pointer -fsanitize=thread -DXP_FAULTS=1
OPT_analyzer:= -O1 -g -fanalyzer
OPT_fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -DXP_FAULTS=1
OPT_cover   := -O0 -g --coverage -fprofile-update=atomic -DXP_FAULTS=1
LD_release  := -pie -Wl,-z,relro,-z,now
LD_asan     := -fsanitize=address,undefined
LD_tsan     := -fsanitize=thread
LD_cover    := --coverage
LD_fuzz     := -fsanitize=fuzzer,address,undefined

CFLAGS   := -std=gnu11 $(WARN) $(OPT_$(MODE))
CPPFLAGS := -D_GNU_SOURCE -DXP_VERSION='"$(VERSION)"' -DTHREADED -I. -I$(BUILD)/gen $(PKG_CF) -MMD -MP
LDFLAGS  := $(LD_$(MODE))

# EXCLUDE="a.c b.c" leaves files out, for work on one part while another does not compile yet.
srcs      = $(filter-out $(EXCLUDE),$(sort $(wildcard $(1))))
objs      = $(patsubst %.c,$(BUILD)/%.o,$(1))
SHARED_C := $(call srcs,shared/*/*.c)
META_C   := $(filter-out meta/main.c,$(call srcs,meta/*.c meta/*/*.c))
CONSOLE_C:= $(filter-out console/main.c,$(call srcs,console/*.c console/*/*.c))
CTL_C    := $(call srcs,ctl/*.c)
UNIT_C   := $(call srcs,tests/unit/*_test.c)
GOLDEN_C := $(call srcs,tests/golden/*_golden.c)
SIM_C    := $(call srcs,tests/sim/*_sim.c)
FUZZ_C   := $(call srcs,tests/fuzz/*_fuzz.c)
DAEMONS  := $(BUILD)/xpipe-meta $(BUILD)/xpipe-console
PROGRAMS := $(DAEMONS) $(if $(CTL_C),$(BUILD)/xpipectl)
FAKES    := $(BUILD)/crdt_module.so $(BUILD)/keeper_module.so $(BUILD)/keeper_container $(BUILD)/fake_proxy $(BUILD)/clock_shim.so

# One short line a command; V=1 shows it all.
Q   := $(if $(V),,@)
SAY  = $(if $(V),@:,@$(if $(findstring s,$(firstword -$(MAKEFLAGS))),:,printf '  %-5s %s\n' $(1) $@))

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

##@ Build
all: $(PROGRAMS) ## both daemons and xpipectl
fakes: $(FAKES) ## the stand-ins of the tests and of the demo
debug: ## both daemons with fault points, not optimized
	$(MAKE) MODE=debug $(call own_build,debug) all
deps: ## install the Debian packages of packaging/deps.txt that are missing
	packaging/deps.sh
clean: ## remove build/
	rm -rf build $(BUILD)

# Another MODE never shares the folder of this one: a BUILD from the command line gets the mode as suffix.
own_build = $(if $(filter command line,$(origin BUILD)),BUILD=$(BUILD)-$(1))

# $(call stamp,text): a recipe that rewrites $@ only when its text changed, so that what depends on it is
# rebuilt when the flags change or when a source file comes or goes.
stamp = @mkdir -p $(@D); printf '%s\n' '$(subst ','\'',$(1))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(1))' > $@

$(BUILD)/flags: FORCE
	$(call stamp,$(lastword $(CC)) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS))
$(BUILD)/lib%.list: FORCE
	$(call stamp,$(call objs,$(SOURCES)))
$(BUILD)/libxp.list: SOURCES = $(SHARED_C)
$(BUILD)/libmeta.list: SOURCES = $(META_C)
$(BUILD)/libconsole.list: SOURCES = $(CONSOLE_C)

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call SAY,CC)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
# The analyzer of gcc 12 forgets the references that an object has as soon as a function of another file is called: every path of a call
# that holds itself while it begins looks freed.
ifeq ($(MODE),analyzer)
$(BUILD)/console/migration/migration_calls.o: private CFLAGS += -Wno-analyzer-use-after-free
endif

$(BUILD)/libxp.a: $(call objs,$(SHARED_C))
$(BUILD)/libmeta.a: $(call objs,$(META_C))
$(BUILD)/libconsole.a: $(call objs,$(CONSOLE_C))
$(BUILD)/%.a: $(BUILD)/%.list
	@mkdir -p $(@D)
	@rm -f $@
	$(call SAY,AR)
	$(Q)$(AR) rcs $@ $(filter %.o,$^)

$(BUILD)/xpipe-meta: $(BUILD)/meta/main.o $(BUILD)/libmeta.a $(BUILD)/libxp.a
	$(call SAY,LINK)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/xpipe-console: $(BUILD)/console/main.o $(BUILD)/libconsole.a $(BUILD)/libxp.a
	$(call SAY,LINK)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/xpipectl: $(call objs,$(CTL_C)) $(BUILD)/libxp.a
	$(call SAY,LINK)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# schema/ is built into the console: every migration and query as a C string (schema/embed.py).
SCHEMA_SQL := $(sort $(wildcard schema/migrations/*.sql schema/queries/*.sql))
$(BUILD)/gen/schema_sql.h: schema/embed.py $(SCHEMA_SQL)
	@mkdir -p $(@D)
	@$(PYTHON) schema/embed.py $(SCHEMA_SQL) > $@
$(call objs,$(CONSOLE_C)): | $(BUILD)/gen/schema_sql.h

$(BUILD)/crdt_module.so: $(wildcard tests/fakes/crdt_module/*.[ch] tests/fakes/redis_module/*.[ch])
	@mkdir -p $(@D)
	$(call SAY,LINK)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) -O1 -g -fPIC -shared -I. -o $@ $(filter %.c,$^) -lpthread
# Hidden symbols: redis-server exports functions of all kinds of names, which would be taken instead.
$(BUILD)/keeper_module.so: $(wildcard tests/fakes/keeper_module/*.[ch] tests/fakes/redis_module/*.[ch])
	@mkdir -p $(@D)
	$(call SAY,LINK)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -DTHREADED $(WARN) -O1 -g -fPIC -shared -fvisibility=hidden -I. -o $@ $(filter %.c,$^) -lzookeeper_mt -lpthread
$(BUILD)/keeper_container: $(call objs,$(call srcs,tests/fakes/keeper_container/*.c)) $(BUILD)/libxp.a
	$(call SAY,LINK)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/fake_proxy: $(wildcard tests/fakes/proxy/*.[ch])
	@mkdir -p $(@D)
	$(call SAY,LINK)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) -O1 -g -I. -o $@ $(filter %.c,$^) -lev -lpthread
$(BUILD)/clock_shim.so: tests/fakes/clock/clock_shim.c
	@mkdir -p $(@D)
	$(call SAY,LINK)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) -O1 -g -fPIC -shared -I. -o $@ $<

# What bench/ runs beside the daemons: the farm of Redis, the HTTP load, and the bare loops they are measured against.
FARM_C := bench/redis_farm.c $(call srcs,bench/farm_*.c)
BENCH  := $(BUILD)/redis_farm $(BUILD)/bare_poll $(BUILD)/http_load $(BUILD)/bare_store
$(BUILD)/redis_farm: $(call objs,$(FARM_C)) $(BUILD)/libxp.a
	$(call SAY,LINK)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/bare_poll: $(call objs,bench/bare_poll.c bench/farm_redis.c bench/farm_node.c) $(BUILD)/libxp.a
	$(call SAY,LINK)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/http_load $(BUILD)/bare_store: $(BUILD)/%: $(BUILD)/bench/%.o $(BUILD)/libxp.a
	$(call SAY,LINK)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

##@ Test
# The layers of `test`: a name is a goal check-NAME (or fuzz), "-asan" and "-tsan" say the mode. Nothing runs in two modes for
# nothing: the address sanitizer takes what reads bytes of others, the thread sanitizer what has threads, and the release build
# what has bars on time. Layers of the first list run TEST_JOBS at a time: most tests wait most of the time, and the fuzz
# targets and simulations, which only compute, give way. The integration tests of the
# release build come last and have the machine for themselves.
# The longest ones first.
LAYERS_TOGETHER := integration-asan fuzz unit-asan unit-tsan sim-tsan sim-asan sim golden-asan
LAYERS_LAST     := integration scenarios-asan
LAYERS          := $(LAYERS_TOGETHER) $(LAYERS_LAST)
TEST_JOBS       ?= 3
TEST_RESULTS    := $(abspath build/results)
# Seeds of the random simulations: in a sanitizer's build, and else (empty: as many as each simulation says, 1,000 together).
SANITIZER_SEEDS ?= 30
SEEDS           ?=
# What hostile and broken neighbors do is watched by the address sanitizer, the rest has bars on time.
HOSTILE_TESTS   := $(wildcard tests/integration/test_hostile_*.py tests/integration/test_broken_*.py)
OTHER_TESTS     := $(filter-out $(HOSTILE_TESTS),$(wildcard tests/integration/test_*.py))
layer_of   = $(subst -, ,$(1))
layer_mode = $(or $(word 2,$(call layer_of,$(1))),$(MODE))
layer_vars = $(if $(filter-out $(MODE),$(layer_mode)),MODE=$(layer_mode) $(call own_build,$(layer_mode))) \
             $(if $(filter sim-%,$(1)),SEEDS=$(SANITIZER_SEEDS))
test: ## everything: deps, build of each mode, every layer; ends with the total
	@$(MAKE) --no-print-directory deps
	@rm -rf $(TEST_RESULTS)
	@status=0; \
	$(MAKE) --no-print-directory -k -j2 all fakes test-binaries || status=1; \
	$(MAKE) --no-print-directory -k -j2 MODE=asan $(call own_build,asan) all fakes test-binaries || status=1; \
	$(MAKE) --no-print-directory -k -j2 MODE=tsan $(call own_build,tsan) test-binaries || status=1; \
	$(MAKE) --no-print-directory -k -j2 CC=clang-14 MODE=fuzz $(call own_build,fuzz) fuzz-binaries || status=1; \
	$(MAKE) --no-print-directory check-tree || status=1; \
	$(MAKE) --no-print-directory -k -j$(TEST_JOBS) -Orecurse $(LAYERS_TOGETHER:%=layer-%) || status=1; \
	$(MAKE) --no-print-directory -k $(LAYERS_LAST:%=layer-%) || status=1; \
	tests/tools/total.sh $(TEST_RESULTS) $(LAYERS) || status=1; \
	exit $$status
layer-fuzz:
	@$(MAKE) --no-print-directory RESULTS=$(TEST_RESULTS) FUZZ_JOBS=2 fuzz
layer-integration:
	@$(MAKE) --no-print-directory RESULTS=$(TEST_RESULTS) TESTS="$(OTHER_TESTS)" PYTEST_JOBS=3 check-integration
layer-integration-asan:
	@$(MAKE) --no-print-directory RESULTS=$(TEST_RESULTS) TESTS="$(HOSTILE_TESTS)" PYTEST_JOBS=3 MODE=asan $(call own_build,asan) check-integration
layer-scenarios-asan:
	@$(MAKE) --no-print-directory RESULTS=$(TEST_RESULTS) FAST=1 MODE=asan $(call own_build,asan) scenarios-run
layer-%:
	@$(MAKE) --no-print-directory RESULTS=$(TEST_RESULTS) $(call layer_vars,$*) check-$(firstword $(call layer_of,$*))
check: check-tree check-unit check-golden check-sim ## the tests that need no server: unit, golden, simulation
check-tree: ## includes, banned.h, file names, fault points, guarded members
	@$(PYTHON) tests/tools/check_tree.py
	@$(PYTHON) tests/tools/check_locks.py
	@$(PYTHON) tests/sim/mutants.py --check

# A unit test is tests/unit/NAME_test.c; `make check-unit T=NAME` runs one.
UNIT_BIN   := $(patsubst %.c,$(BUILD)/%,$(if $(T),tests/unit/$(T)_test.c,$(UNIT_C)))
GOLDEN_BIN := $(patsubst %.c,$(BUILD)/%,$(if $(T),$(wildcard tests/golden/$(T)_golden.c),$(GOLDEN_C)))
SIM_BIN    := $(patsubst %.c,$(BUILD)/%,$(if $(T),$(wildcard tests/sim/$(T)_sim.c),$(SIM_C)))

TEST_LIBS := $(BUILD)/libmeta.a $(BUILD)/libconsole.a $(BUILD)/libxp.a
$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(TEST_LIBS)
	$(call SAY,LINK)
	$(Q)$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(TEST_LIBS) -Wl,--end-group -lcmocka $(LDLIBS)
GOLDEN_HELPERS := $(call objs,$(filter-out %_golden.c,$(call srcs,tests/golden/*.c)))
$(BUILD)/tests/golden/%: $(BUILD)/tests/golden/%.o $(GOLDEN_HELPERS) $(TEST_LIBS)
	$(call SAY,LINK)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(TEST_LIBS) -Wl,--end-group -lcmocka $(LDLIBS)
# The simulation links the twins of tests/sim/fake_*.c in place of shared/net's loop, clock and I/O.
# Those of one shard's duty (shard_*, tree_*) and of its steps in a switchover (switch_*, but for the test of the records themselves)
# take the place of more (dc_links.c, keeper_watch.c, switch_record.c), which whole daemons need as it is.
DUTY_FAKES  := tests/sim/fake_dc_links.c tests/sim/fake_duty_world.c
SHARD_FAKES := $(call objs,$(DUTY_FAKES) $(call srcs,tests/sim/fake_shard_*.c))
TREE_FAKES  := $(call objs,$(DUTY_FAKES) $(call srcs,tests/sim/fake_tree_*.c))
SWITCH_FAKES := $(call objs,$(call srcs,tests/sim/fake_switch_*.c))
SIM_FAKES := $(filter-out $(SHARD_FAKES) $(TREE_FAKES) $(SWITCH_FAKES),$(call objs,$(call srcs,tests/sim/fake_*.c)))
$(patsubst %.c,$(BUILD)/%,$(filter tests/sim/shard_%,$(SIM_C))): $(SHARD_FAKES)
$(patsubst %.c,$(BUILD)/%,$(filter tests/sim/tree_%,$(SIM_C))): $(TREE_FAKES)
$(patsubst %.c,$(BUILD)/%,$(filter-out %/switch_record_sim.c,$(filter tests/sim/switch_%,$(SIM_C)))): $(SWITCH_FAKES)
$(BUILD)/tests/sim/%: $(BUILD)/tests/sim/%.o $(SIM_FAKES) $(TEST_LIBS)
	$(call SAY,LINK)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(TEST_LIBS) -Wl,--end-group -lcmocka $(LDLIBS)
$(BUILD)/tests/sim/system_sim: $(call objs,$(filter-out %_sim.c,$(call srcs,tests/sim/system*.c)))

# A fuzz target links a source tree built with the fuzzer's instrumentation (MODE=fuzz, clang only).
FUZZ_BIN := $(patsubst %.c,$(BUILD)/%,$(if $(T),tests/fuzz/$(T)_fuzz.c,$(FUZZ_C)))
$(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(TEST_LIBS)
	$(call SAY,LINK)
	$(Q)$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(TEST_LIBS) -Wl,--end-group $(LDLIBS)

# A runner leaves "passed failed" in RESULTS/LAYER; the layers of another mode have a name of their own.
RESULTS ?= $(BUILD)/results
SUFFIX  := $(if $(filter-out release,$(MODE)),-$(MODE))
RUN      = env RESULTS=$(RESULTS) tests/tools/run.sh

test-binaries: $(UNIT_BIN) $(GOLDEN_BIN) $(SIM_BIN)
fuzz-binaries: $(FUZZ_BIN)
check-unit: $(UNIT_BIN) ## each module; T=NAME runs one
	@$(RUN) unit$(SUFFIX) $(UNIT_BIN)
check-golden: $(GOLDEN_BIN) ## decisions over their corpus; T=NAME runs one
	@$(RUN) golden$(SUFFIX) $(GOLDEN_BIN)
docs-states: $(BUILD)/tests/golden/migration_table_golden ## docs/states from the tables of the code
	@mkdir -p docs/states
	@$< --print > docs/states/migration.md
check-sim: $(SIM_BIN) ## the daemons over a simulated loop, clock and network; T=NAME runs one
	@SIM_SEEDS=$(SEEDS) TEST_TIMEOUT_S=$(or $(TEST_TIMEOUT_S),600) nice -n 10 $(RUN) sim$(SUFFIX) $(SIM_BIN)
# SEED and SEEDS: which seeds of the whole system, and how many; JOBS: in how many processes.
sim: $(BUILD)/tests/sim/system_sim ## the whole system under random trouble: SEEDS=n [SEED=first] [JOBS=2]
	@JOBS=$(or $(JOBS),2) $< $(or $(SEED),1) $(or $(SEEDS),1000)
sim-mutants: ## guards removed one at a time from a copy of the tree: the simulation must notice each; ARGS="--only name"
	@CC="$(CC)" $(PYTHON) tests/sim/mutants.py $(ARGS)
check-integration: all fakes $(BENCH) ## real processes on free ports; ARGS="-k name" goes to pytest
	@RESULTS=$(RESULTS) TESTS="$(TESTS)" JOBS=$(PYTEST_JOBS) tests/tools/pytest.sh integration$(SUFFIX) $(BUILD) $(PYTHON) $(ARGS)
# The console's fault points are needed: a debug build, whatever MODE is.
SCENARIO_WORKERS ?= 2
check-scenarios: ## switchovers with what can break: F01 to F40 of dr-switchover.md 6.2; T=F07,F09 runs some, FAST=1 those of `make test`
	@$(MAKE) --no-print-directory MODE=debug $(call own_build,debug) scenarios-run
scenarios-run: all fakes
	@RESULTS=$(RESULTS) TESTS=tests/scenarios WORKERS=$(SCENARIO_WORKERS) INTEGRATION_TIMEOUT_S=$(or $(INTEGRATION_TIMEOUT_S),3000) \
	    tests/tools/pytest.sh scenarios$(SUFFIX) $(BUILD) $(PYTHON) $(if $(T),--scenario=$(T)) $(if $(FAST),--fast) $(ARGS)
check-asan: ## unit, golden and simulation (SEEDS) with the address and undefined-behavior sanitizers
	$(MAKE) MODE=asan $(call own_build,asan) SEEDS=$(or $(SEEDS),$(SANITIZER_SEEDS)) check-unit check-golden check-sim
check-tsan: ## unit and simulation (SEEDS) with the thread sanitizer
	$(MAKE) MODE=tsan $(call own_build,tsan) SEEDS=$(or $(SEEDS),$(SANITIZER_SEEDS)) check-unit check-sim
fuzz: ## each fuzz target for FUZZ_SECONDS (default 20), FUZZ_JOBS (default 1) at a time; T=NAME runs one
	@$(MAKE) --no-print-directory CC=clang-14 MODE=fuzz $(call own_build,fuzz) fuzz-run
fuzz-run: $(FUZZ_BIN)
	@RESULTS=$(RESULTS) tests/tools/fuzz.sh $(BUILD) $(FUZZ_BIN)

cover: ## which lines of the product all tests together run: files under 80 %, the rest in build/gcc-cover/cover.txt
	@$(MAKE) --no-print-directory MODE=cover $(call own_build,cover) cover-run
cover-run: all fakes test-binaries
	@find $(BUILD) -name '*.gcda' -delete
	@status=0; for goal in check-unit check-golden check-sim check-integration; do \
	    $(MAKE) --no-print-directory $$goal || status=1; \
	done; $(PYTHON) tests/tools/cover.py $(BUILD) && exit $$status

##@ Demo and measurements
# $(call bench_script,NAME) runs bench/NAME.py.
# `exec`: a signal to make must reach the program itself, not a shell that would leave it behind.
RUN_ENV = XPIPE_BUILD=$(abspath $(BUILD)) PYTHON=$(PYTHON)
define bench_script
	@exec env $(RUN_ENV) $(PYTHON) bench/$(1).py $(ARGS)
endef
demo: ## two data centers on this machine, until Ctrl-C; installs what is missing first
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory -j2 all fakes
	@exec env $(RUN_ENV) $(PYTHON) tests/harness/demo.py $(ARGS)
demo-check: ## the same, as a test that ends by itself
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory -j2 all fakes
	@exec env $(RUN_ENV) $(PYTHON) tests/harness/demo.py --check $(ARGS)
bench: bench-poll bench-takeover bench-console bench-keepers bench-switchover bench-readiness ## every measurement of bench/
bench-poll: $(BUILD)/xpipe-meta $(BENCH) ## the poller against a bare hiredis loop
	$(call bench_script,poll)
bench-takeover: $(BUILD)/xpipe-meta $(BENCH) ## killed, frozen and joining metaservers over 10,000 shards
	$(call bench_script,takeover)
bench-console: $(DAEMONS) $(BENCH) ## REST of the console with 10,000 clusters, against bare SQLite and nginx
	$(call bench_script,console)
bench-keepers: $(DAEMONS) $(FAKES) ## active keepers that are killed, Redis that are changed by hand
	$(call bench_script,keepers)
bench-switchover: $(DAEMONS) ## planned switches to the other DC: write gap and time, beside the bare commands
	$(call bench_script,switchover)
bench-readiness: $(BUILD)/xpipe-console ## readiness verdicts of 10,000 one-way clusters: CPU, memory, rate
	$(call bench_script,readiness)
.PHONY: soak
soak: $(DAEMONS) $(FAKES) $(BUILD)/redis_farm ## random faults under load for MINUTES (default 2); SEED=n repeats one
	@exec env $(RUN_ENV) MINUTES=$(MINUTES) SEED=$(SEED) $(PYTHON) tests/soak/soak.py $(ARGS)

##@ Source
TIDY_FLAGS = -std=gnu11 $(filter-out -MMD -MP,$(CPPFLAGS))
C_FILES  := $(call srcs,shared/*/*.c meta/*.c meta/*/*.c console/*.c console/*/*.c ctl/*.c)
FAKES_C  := $(call srcs,tests/fakes/*/*.c)
TOOLS_C  := $(FAKES_C) $(call srcs,bench/*.c tests/sim/*.c tests/fuzz/*.c)
TESTS_C  := $(UNIT_C) $(call srcs,tests/golden/*.c)
ALL_C    := $(call srcs,shared/*/*.[ch] meta/*.[ch] meta/*/*.[ch] console/*.[ch] console/*/*.[ch] ctl/*.[ch] \
              bench/*.[ch] tests/*/*.[ch] tests/fakes/*/*.[ch])
format: ## lay out every C file with clang-format 14
	clang-format-14 -i $(ALL_C)
format-check: ## fail when `make format` would change a file
	@clang-format-14 --dry-run -Werror $(ALL_C)
	@echo "format: $(words $(ALL_C)) files"
config-file: $(DAEMONS) ## write xpipe.ini from the tables in the daemons
	tests/tools/config_file.sh $(BUILD) > $(BUILD)/xpipe.ini
	cp $(BUILD)/xpipe.ini xpipe.ini
config-check: $(DAEMONS)
	@tests/tools/config_file.sh $(BUILD) > $(BUILD)/xpipe.ini
	@diff -u xpipe.ini $(BUILD)/xpipe.ini || { echo "xpipe.ini differs: run make config-file"; exit 1; }
docs: $(DAEMONS) ## write docs/api-*.md from the route tables in the daemons
	@for name in meta console; do \
	    $(PYTHON) tests/tools/api_page.py $(BUILD)/xpipe-$$name > $(BUILD)/api-$$name.md && cp $(BUILD)/api-$$name.md docs/api-$$name.md || exit 1; \
	done
docs-check: $(DAEMONS)
	@for name in meta console; do \
	    $(PYTHON) tests/tools/api_page.py $(BUILD)/xpipe-$$name > $(BUILD)/api-$$name.md && diff -u docs/api-$$name.md $(BUILD)/api-$$name.md || \
	    { echo "docs/api-$$name.md differs: run make docs"; exit 1; }; \
	done
lint: check-tree format-check config-check docs-check lint-size lint-tidy lint-cppcheck lint-analyzer ## every static check (minutes)
lint-size: ## the ten longest functions, and the files over 800 lines
	@$(PYTHON) tests/tools/sizes.py $(C_FILES)
lint-tidy: $(BUILD)/gen/schema_sql.h ## clang-tidy 14; FILES="a.c b.c" checks these only
	@BUILD=$(BUILD) tests/tools/tidy.sh $(or $(FILES),$(C_FILES) $(TOOLS_C) $(TESTS_C)) -- $(TIDY_FLAGS)
lint-cppcheck: $(BUILD)/gen/schema_sql.h
	@BUILD=$(BUILD) tests/tools/cppcheck.sh $(or $(FILES),$(C_FILES) $(TOOLS_C)) -- $(TIDY_FLAGS)
lint-analyzer: ## gcc -fanalyzer over every file
	@$(MAKE) --no-print-directory -k CC=gcc MODE=analyzer $(call own_build,analyzer) all

##@ Install
UNITS := $(wildcard packaging/*.service)
install: all ## binaries, xpipe.ini and systemd units; DESTDIR, PREFIX and SYSCONFDIR are honored
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(SYSCONFDIR)/xpipe
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin/
	@# The configuration of a running site is never overwritten.
	if [ -e $(DESTDIR)$(SYSCONFDIR)/xpipe/xpipe.ini ]; then \
	    install -m 644 xpipe.ini $(DESTDIR)$(SYSCONFDIR)/xpipe/xpipe.ini.new; \
	else \
	    install -m 644 xpipe.ini $(DESTDIR)$(SYSCONFDIR)/xpipe/xpipe.ini; \
	fi
	$(if $(UNITS),install -d $(DESTDIR)$(PREFIX)/lib/systemd/system)
	$(if $(UNITS),install -m 644 $(UNITS) $(DESTDIR)$(PREFIX)/lib/systemd/system/)

##@ Help
help: ## this list
	@awk -F ':.*## ' '/^##@ /{ printf "\n%s\n", substr($$0, 5) } /^[a-z-]+:.*## /{ sub(/:.*/, "", $$1); printf "  %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
FORCE:
.PHONY: FORCE all fakes debug deps clean test check check-tree test-binaries check-unit check-golden check-sim docs-states \
        sim sim-mutants fuzz-binaries layer-fuzz layer-integration layer-integration-asan \
        check-integration check-scenarios scenarios-run check-asan check-tsan fuzz fuzz-run cover cover-run demo demo-check bench bench-poll bench-takeover bench-console bench-keepers bench-switchover bench-readiness format format-check \
        config-file config-check docs docs-check lint lint-size lint-tidy lint-cppcheck lint-analyzer install help
