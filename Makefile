# xpipe: build, test and demo. `make help` lists the goals.
#
# Objects go to build/<compiler>-<mode>/; nothing is written into the source folders.
#   make CC=clang-14          the other compiler
#   make MODE=asan            sanitizers (address + undefined + leak); also: release (default), debug, tsan

CC      := $(if $(filter default,$(origin CC)),gcc,$(CC))
MODE    ?= release
BUILD   ?= build/$(notdir $(lastword $(CC)))-$(MODE)
PYTHON  ?= /usr/bin/python3
PREFIX  ?= /usr/local
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
OPT_fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
LD_release  := -pie -Wl,-z,relro,-z,now
LD_asan     := -fsanitize=address,undefined
LD_tsan     := -fsanitize=thread
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
UNIT_C   := $(call srcs,tests/unit/*_test.c)
GOLDEN_C := $(call srcs,tests/golden/*_golden.c)
SIM_C    := $(call srcs,tests/sim/*_sim.c)
FUZZ_C   := $(call srcs,tests/fuzz/*_fuzz.c)
DAEMONS  := $(BUILD)/xpipe-meta $(BUILD)/xpipe-console
FAKES    := $(BUILD)/crdt_module.so $(BUILD)/fake_proxy

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

##@ Build
all: $(DAEMONS) ## both daemons
fakes: $(FAKES) ## the stand-ins of the tests and of the demo
debug: ## both daemons with fault points, unoptimised
	$(MAKE) MODE=debug all
deps: ## install the Debian packages of packaging/deps.txt that are missing
	packaging/deps.sh

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/libxp.a: $(call objs,$(SHARED_C))
$(BUILD)/libmeta.a: $(call objs,$(META_C))
$(BUILD)/libconsole.a: $(call objs,$(CONSOLE_C))
%.a:
	@mkdir -p $(@D)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/xpipe-meta: $(BUILD)/meta/main.o $(BUILD)/libmeta.a $(BUILD)/libxp.a
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/xpipe-console: $(BUILD)/console/main.o $(BUILD)/libconsole.a $(BUILD)/libxp.a
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# schema/ is built into the console: every migration and query as a C string (schema/embed.py).
SCHEMA_SQL := $(sort $(wildcard schema/migrations/*.sql schema/queries/*.sql))
$(BUILD)/gen/schema_sql.h: schema/embed.py $(SCHEMA_SQL)
	@mkdir -p $(@D)
	$(PYTHON) schema/embed.py $(SCHEMA_SQL) > $@
$(call objs,$(CONSOLE_C)): | $(BUILD)/gen/schema_sql.h

$(BUILD)/crdt_module.so: $(wildcard tests/fakes/crdt_module/*.[ch])
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) -O1 -g -fPIC -shared -I. -o $@ $(filter %.c,$^) -lpthread
$(BUILD)/fake_proxy: $(wildcard tests/fakes/proxy/*.[ch])
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) -O1 -g -I. -o $@ $(filter %.c,$^) -lev -lpthread

##@ Test
# A unit test is tests/unit/NAME_test.c; `make check-unit T=NAME` runs one.
UNIT_BIN   := $(patsubst %.c,$(BUILD)/%,$(if $(T),tests/unit/$(T)_test.c,$(UNIT_C)))
GOLDEN_BIN := $(patsubst %.c,$(BUILD)/%,$(if $(T),$(wildcard tests/golden/$(T)_golden.c),$(GOLDEN_C)))
SIM_BIN    := $(patsubst %.c,$(BUILD)/%,$(if $(T),$(wildcard tests/sim/$(T)_sim.c),$(SIM_C)))

TEST_LIBS := $(BUILD)/libmeta.a $(BUILD)/libconsole.a $(BUILD)/libxp.a
$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(TEST_LIBS)
	$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(TEST_LIBS) -Wl,--end-group -lcmocka $(LDLIBS)
$(BUILD)/tests/golden/%: $(BUILD)/tests/golden/%.o $(BUILD)/tests/golden/golden.o $(TEST_LIBS)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(TEST_LIBS) -Wl,--end-group $(LDLIBS)
# The simulation links the twins of tests/sim/fake_*.c in place of shared/net's loop, clock and I/O.
SIM_FAKES := $(call objs,$(call srcs,tests/sim/fake_*.c))
$(BUILD)/tests/sim/%: $(BUILD)/tests/sim/%.o $(SIM_FAKES) $(TEST_LIBS)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(TEST_LIBS) -Wl,--end-group -lcmocka $(LDLIBS)

# A fuzz target links a source tree built with the fuzzer's instrumentation (MODE=fuzz, clang only).
FUZZ_BIN := $(patsubst %.c,$(BUILD)/%,$(FUZZ_C))
$(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(TEST_LIBS)
	$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(TEST_LIBS) -Wl,--end-group $(LDLIBS)

check-unit: $(UNIT_BIN)
	tests/tools/run.sh unit $(UNIT_BIN)
check-golden: $(GOLDEN_BIN)
	tests/tools/run.sh golden $(GOLDEN_BIN)
check-sim: $(SIM_BIN)
	tests/tools/run.sh sim $(SIM_BIN)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.PHONY: all fakes debug deps check-unit check-golden check-sim
