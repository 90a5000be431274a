# Bottle: the only make logic. Each folder lists its files in sources.mk:
#   PROGRAMS += name          name_SRCS, name_LIBS (pkg-config names)     -> $(O)/bin/name
#   STATIC_PROGRAMS += name   the same, linked static-pie for a guest     -> $(O)/guest/name
#   UNIT += tests/unit/x_test     …_SRCS beyond itself and base, …_LIBS   -> $(O)/tests/unit/x_test
#   FUZZ += tests/fuzz/fuzz_x     the same; replayed over tests/fuzz/corpus/fuzz_x in `make check`
# Variables: O=build  V=1  WERROR=1  SAN=address,undefined  PREFIX=/usr/local  DESTDIR=

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
SHELL := /bin/bash

O      ?= build
PREFIX ?= /usr/local
CC     := $(if $(filter default,$(origin CC)),gcc,$(CC))

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla -Wformat=2 \
	-Wimplicit-fallthrough -Wpointer-arith -Wwrite-strings -Wcast-qual $(if $(WERROR),-Werror)
HARDENING := -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection -fcf-protection \
	-ftrivial-auto-var-init=zero
CFLAGS_ALL := -std=gnu17 -O2 -g -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -fno-common -fPIE $(WARNINGS) \
	$(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all,$(HARDENING)) \
	$(if $(FUZZER),-fsanitize=fuzzer-no-link) \
	-I. -Ibottle -I$(O) $(CFLAGS)
LDFLAGS_ALL := -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)
FUZZ_MAIN := $(if $(FUZZER),,tests/fuzz/replay.c)
FUZZ_SECONDS ?= 30

all: programs

include $(sort $(shell find bottle netpolicy images sidecar policies tests -name sources.mk))

OBJ := $(O)/obj
objects = $(patsubst %.c,$(OBJ)/%.o,$(sort $(1)))
pkg_libs = $(if $(1),$$$$(pkg-config --libs $(1)))
pkg_static = $(if $(1),$$$$(pkg-config --static --libs $(1)))
say = @$(if $(V),,printf '  %-6s %s\n' $(1) $(2);)

$(OBJ)/%.o: %.c Makefile
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(if $(V),,@)$(CC) $(CFLAGS_ALL) $(CFLAGS_$(firstword $(subst /, ,$<))) -MMD -MP -c -o $@ $<

define program_rule
$(O)/bin/$(1): $(call objects,$($(1)_SRCS) $(BASE_SRCS))
	$$(call say,LD,$$@)
	@mkdir -p $$(@D)
	$(if $(V),,@)$(CC) -pie $(LDFLAGS_ALL) -o $$@ $$(filter %.o,$$^) $(call pkg_libs,$($(1)_LIBS) libseccomp libcap)
endef

define static_rule
$(O)/guest/$(1): $(call objects,$($(1)_SRCS) $(BASE_SRCS))
	$$(call say,LD,$$@)
	@mkdir -p $$(@D)
	$(if $(V),,@)$(CC) -static-pie $(filter-out -fsanitize%,$(LDFLAGS_ALL)) -o $$@ $$(filter %.o,$$^) \
		$(call pkg_static,$($(1)_LIBS) libseccomp libcap)
endef

define test_rule
$(O)/$(1): $(call objects,$(1).c $(2) $($(1)_SRCS) $(BASE_SRCS))
	$$(call say,LD,$$@)
	@mkdir -p $$(@D)
	$(if $(V),,@)$(CC) -pie $(LDFLAGS_ALL) -o $$@ $$(filter %.o,$$^) $(call pkg_libs,$($(1)_LIBS) $(3) libseccomp libcap) \
		$(if $(and $(FUZZER),$(filter $(1),$(FUZZ))),-fsanitize=fuzzer)
endef

$(foreach p,$(PROGRAMS),$(eval $(call program_rule,$(p))))
$(foreach p,$(STATIC_PROGRAMS),$(eval $(call static_rule,$(p))))
$(foreach t,$(UNIT),$(eval $(call test_rule,$(t),,cmocka)))
$(foreach f,$(FUZZ),$(eval $(call test_rule,$(f),$(FUZZ_MAIN),)))

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)

# A sanitized program cannot be linked static: the guest's programs are left out of a SAN build.
programs: $(addprefix $(O)/bin/,$(PROGRAMS)) $(if $(SAN),,$(addprefix $(O)/guest/,$(STATIC_PROGRAMS)))
unit: $(addprefix $(O)/,$(UNIT))
fuzz-replay: $(addprefix $(O)/,$(FUZZ))

deps: ## install the Debian packages that building, running and testing need
	@images/recipes/packages install

guest: programs ## the guest's kernel and initramfs, into $(O)/share/bottle
	@images/recipes/guest $(O)

images: guest ## the agent's and the sidecar's images, into $(O)/share/bottle/images
	@images/recipes/agent $(O)
	@images/recipes/sidecar $(O)

demo: ## install what is missing, build, and show the main job on real parts
	@images/recipes/packages install
	@$(MAKE) --no-print-directory images
	@tests/demo/run $(O)

check: ## install what is missing, build, and run every test
	@images/recipes/packages install
	@$(MAKE) --no-print-directory WERROR=1 programs unit fuzz-replay images
	@tests/run $(O)

check-unit: unit fuzz-replay ## only the unit tests and the fuzz corpus
	@tests/run $(O) unit fuzz

bench: images ## figures beside the peers' (ONLY=run,exec for some)
	@tests/bench/run $(O) $(ONLY)

check-san: ## the unit tests and the fuzz corpus under ASan and UBSan
	@$(MAKE) --no-print-directory O=$(O)/san SAN=address,undefined unit fuzz-replay
	@tests/run $(O)/san unit fuzz

fuzz: ## each fuzz target for FUZZ_SECONDS=30 under libFuzzer, ASan and UBSan; findings stay in $(O)/fuzz
	@images/recipes/packages install fuzz
	@$(MAKE) --no-print-directory CC=clang O=$(O)/fuzz SAN=address,undefined FUZZER=1 fuzz-replay
	@tests/fuzz/run $(O)/fuzz $(FUZZ_SECONDS) $(FUZZ)

analyze: ## clang-tidy and cppcheck over the C files
	@images/recipes/packages install analyze
	@git ls-files '*.c' | grep -v '^tests/' | xargs cppcheck -q --std=c11 --error-exitcode=1 --inline-suppr \
		-D__x86_64__ --enable=warning,portability -I. -Ibottle --suppress=missingIncludeSystem \
		--suppress=unknownMacro --include=/usr/include/x86_64-linux-gnu/sys/queue.h
	@git ls-files '*.c' | grep -v '^tests/' | \
		xargs -n 4 sh -c "clang-tidy --quiet -warnings-as-errors='*' \"\$$@\" -- -std=gnu17 -O2 -D_GNU_SOURCE -I. -Ibottle" sh

lint: ## layers, headers, banned calls, format, shell scripts
	@tests/lint/run

format: ## rewrite the C files in the house's format
	@git ls-files '*.c' '*.h' | xargs clang-format -i

install: images ## into $(DESTDIR)$(PREFIX)
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin share/bottle share/man/man1 share/man/man8)
	install -m 0755 $(addprefix $(O)/bin/,$(PROGRAMS)) $(DESTDIR)$(PREFIX)/bin/
	cp -r $(O)/share/bottle/. $(DESTDIR)$(PREFIX)/share/bottle/
	install -m 0644 bottle/cli/bottle.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 0644 bottle/api/bottled.8 bottle/monitor/bottle-monitor.8 netpolicy/netpolicyd.8 $(DESTDIR)$(PREFIX)/share/man/man8/

list-unit:
	@printf "%s\n" $(UNIT)
list-fuzz:
	@printf "%s\n" $(FUZZ)

clean: ## remove $(O)
	rm -rf $(O)

help: ## this
	@grep -hE '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16

.PHONY: all programs unit fuzz-replay deps guest images demo check check-unit check-san fuzz analyze bench lint format install clean help list-unit list-fuzz
