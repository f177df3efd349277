# SPDX-License-Identifier: MIT
#
# Builds one stage. Every stage's Makefile includes this file, so it runs in
# the stage's directory.
#
#   make                   the library and the examples, into build/
#   make tests             this stage against the tests of stages 01 to its own
#   make VARIANT=asan      the same with AddressSanitizer, into build/asan/
#   make V=1               shows every command in full
#
# Variants: asan, tsan, clang, portable, and pairs such as portable-asan. For
# `make matrix` also O0, O2, O3 and lto, m32 and arm64; valgrind, for that.
# PORTABLE=1 is another way to say portable: POSIX alone, poll(2) for I/O.

all: examples

# --- which build -----------------------------------------------------------

space   := $(subst ,, )
WORDS   := $(subst -, ,$(VARIANT))
ifneq ($(filter-out plain portable asan tsan clang O0 O2 O3 lto m32 arm64 \
    valgrind,$(WORDS)),)
$(error VARIANT=$(VARIANT) is unknown: asan, tsan, clang or portable, or a \
pair such as portable-asan)
endif
POSIX   := $(if $(filter portable 1,$(WORDS) $(PORTABLE)),portable)
TRAITS  := $(strip $(POSIX) $(filter-out plain portable,$(WORDS)))
BUILD   := build$(if $(TRAITS),/$(subst $(space),-,$(TRAITS)))

ifneq ($(filter clang,$(TRAITS)),)
override CC := clang
else ifneq ($(filter arm64,$(TRAITS)),)
override CC := $(shell command -v aarch64-linux-gnu-gcc || \
    ls /usr/bin/aarch64-linux-gnu-gcc-[0-9]* 2>/dev/null | tail -n 1)
else ifeq ($(origin CC),default)
CC      := $(if $(shell command -v gcc 2>/dev/null),gcc,cc)
endif
OPTIMISE := $(firstword $(filter O0 O2 O3,$(TRAITS)))
# The tests are long, and quick enough without the optimiser; they do as CFLAGS
# or a trait says where one says something.
ifeq ($(origin CFLAGS)$(OPTIMISE)$(filter lto,$(TRAITS)),undefined)
FOR_TESTS := $(if $(filter asan tsan,$(TRAITS)),-O0,-O1)
endif
CFLAGS  ?= -$(firstword $(OPTIMISE) $(if $(filter asan,$(TRAITS)),O1,O2)) -g

FLAGS.portable := -D_POSIX_C_SOURCE=200809L
FLAGS.asan     := -fsanitize=address,undefined -fno-sanitize-recover=all \
                  -fno-omit-frame-pointer
FLAGS.tsan     := -fsanitize=thread
FLAGS.lto      := -flto
LTO_TO_OBJECT   = $(if $(filter clang,$(TRAITS)),,$(if $(filter \
                  lto,$(TRAITS)),-flinker-output=nolto-rel))
FLAGS.m32      := -m32 -idirafter /usr/include/x86_64-linux-gnu
SLOWLY         := -DMINI_TEST_SECONDS=1200
FLAGS.arm64    := $(SLOWLY) -DMINI_TEST_EMULATED=1
FLAGS.valgrind := $(SLOWLY)
FLAGS   := -std=c11 -Wall -Wextra -Wpedantic -Werror -pthread \
           $(if $(POSIX),,-D_GNU_SOURCE) $(foreach t,$(TRAITS),$(FLAGS.$(t)))

# --- which files -----------------------------------------------------------
# The stage's own .c files, and of common/ the platform's half of platform.h.
# Where liburing 2.3 is missing, or not wanted, io_uring_none.c stands in.

SYSTEM  := $(shell uname -s)
PLATFORM := $(if $(POSIX),posix,$(if $(filter Linux,$(SYSTEM)),linux,posix))
SOURCES := $(wildcard *.c) platform_$(PLATFORM).c
BACKENDS :=
ifneq ($(filter io_uring.c,$(SOURCES)),)
BACKENDS := poll
# a macro that came with 2.3: is it replaced by its value?
LIBURING := $(if $(POSIX),,$(shell echo IORING_SETUP_DEFER_TASKRUN | \
    $(CC) -E -include liburing.h - 2>/dev/null | tail -n 1 | grep '<<'))
ifneq ($(LIBURING),)
BACKENDS += uring
LDLIBS  += -luring
else
SOURCES := $(SOURCES:io_uring.c=io_uring_none.c)
endif
endif

NAME     := $(lastword $(notdir $(CURDIR)))
NUMBER   := $(patsubst stage%,%,$(firstword $(subst -, ,$(NAME))))
UP_TO    := $(wordlist 1,$(NUMBER),01 02 03 04 05 06)
LIBRARY  := $(BUILD)/libminiss.a
OBJECTS  := $(SOURCES:%.c=$(BUILD)/%.o)
EXAMPLES := $(patsubst examples/%.c,$(BUILD)/%,$(wildcard examples/*.c))
TESTS    := $(foreach n,$(UP_TO),$(if $(wildcard ../tests/stage$(n)_*.c),\
            $(BUILD)/test-stage$(n)))

# The test programs' allocations go through tests/harness.c, which can make
# one fail: a service of GNU ld and lld that Apple's linker does not have.
# So do the runtime's system calls, through tests/faults.c; but not those of the
# tests, so first of all the runtime alone is linked, to one object.
RUNTIME := $(LIBRARY)
ifneq ($(SYSTEM),Darwin)
RUNTIME := $(BUILD)/tests/runtime.o
WRAP    := $(foreach f,malloc calloc realloc free aligned_alloc posix_memalign,\
           -Wl,--wrap=$(f))
CALLS   := accept accept4 bind close connect eventfd eventfd_read \
           eventfd_write fstat fstatat fsync getaddrinfo getpid getsockname \
           getsockopt listen openat pipe poll ppoll pread pthread_create \
           pthread_join pwrite read recv recvmsg sched_getaffinity \
           sched_setaffinity sched_yield send sendfile sendmsg setsockopt \
           shutdown socket write
ifneq ($(filter uring,$(BACKENDS)),)
CALLS   += $(addprefix io_uring_,get_probe_ring queue_init_params \
           register_buf_ring register_buffers register_files_sparse \
           register_files_update submit submit_and_get_events \
           submit_and_wait_timeout) syscall
endif
endif
FAULTS   := $(BUILD)/tests/faults.o \
            $(if $(filter uring,$(BACKENDS)),$(BUILD)/tests/faults_uring.o)
FOREIGN  := $(patsubst m32,i386,$(filter m32 arm64,$(TRAITS)))
ifneq ($(FOREIGN),) # common/tools/foreign.py fetches it
CMOCKA   := $(abspath ../tests/build/cmocka-$(FOREIGN))/usr
CMOCKA_CFLAGS := -I$(CMOCKA)/include
CMOCKA_LIBS   := $(wildcard $(CMOCKA)/lib/*/libcmocka.so) \
                 -Wl,-rpath,$(dir $(wildcard $(CMOCKA)/lib/*/libcmocka.so))
else
CMOCKA_CFLAGS := $(shell pkg-config --cflags cmocka 2>/dev/null)
CMOCKA_LIBS   := $(shell pkg-config --libs cmocka 2>/dev/null || echo -lcmocka)
endif

# --- the rules -------------------------------------------------------------

Q       := $(if $(V),,@)
QUIET    = $(findstring s,$(filter-out --%,$(firstword $(MAKEFLAGS))))
say      = @$(if $(QUIET),:,echo "  $(1)  $(NAME)/$(2)")
compile  = $(Q)$(CC) $(FLAGS) $(CPPFLAGS) $(CFLAGS) -I. -MMD -MP -c $< -o $@
link     = $(Q)$(CC) $(FLAGS) $(CFLAGS) $(LDFLAGS)

.PHONY: all library examples tests backends usable clean cmocka FORCE
.SECONDEXPANSION:

library: $(LIBRARY)
examples: $(EXAMPLES) $(LIBRARY)
tests: $(TESTS)
backends: # tests/run.py asks: which I/O backends this build has
	@echo $(BACKENDS)
usable: # and: can this variant be built here? "yes" at the end, or why not
	@if ! command -v $(or $(CC),the-compiler) >/dev/null; then \
	    echo "no $(TRAITS) compiler"; \
	elif { printf '#include <%s.h>\n' stdarg stddef stdint setjmp cmocka; \
	    echo 'int main(void)' \
	    '{ return _cmocka_run_group_tests("", 0, 0, 0, 0); }'; } | \
	    $(CC) $(FLAGS) $(CMOCKA_CFLAGS) -x c - -x none $(CMOCKA_LIBS) \
	    -o /dev/null; then echo yes; fi
clean:
	rm -rf build

# All objects depend on this file, which is new when the compiler, a flag or
# the list of sources is: so no build mixes two of them.
CONFIG  := $(CC) $(FLAGS) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(SOURCES) $(LDLIBS) \
           $(CALLS)
$(BUILD)/config: FORCE
	@echo '#include <stdio.h>' | $(CC) -E - >/dev/null 2>&1 || { \
	    echo "$(CC) cannot compile here: run 'make deps' at the top," \
	        "or name a compiler with CC=" >&2; exit 1; }
	@mkdir -p $(BUILD)/examples $(BUILD)/tests
	@echo '$(CONFIG)' | cmp -s - $@ || echo '$(CONFIG)' >$@

$(BUILD)/%.o: %.c $(BUILD)/config
	$(call say,CC,$@)
	$(compile)
$(BUILD)/%.o: ../common/%.c $(BUILD)/config
	$(call say,CC,$@)
	$(compile)
$(BUILD)/examples/%.o: examples/%.c $(BUILD)/config
	$(call say,CC,$@)
	$(compile)
$(BUILD)/tests/harness.o $(FAULTS): $(BUILD)/tests/%.o: ../tests/%.c \
    $(BUILD)/config | cmocka
	$(call say,CC,$@)
	$(compile) $(CMOCKA_CFLAGS) $(FOR_TESTS) -fno-lto
# stage03.o is made of tests/stage03_<whatever it is about>.c
$(BUILD)/tests/stage%.o: $$(wildcard ../tests/stage$$*_*.c) $(BUILD)/config \
    | cmocka
	$(call say,CC,$@)
	$(compile) $(CMOCKA_CFLAGS) $(FOR_TESTS) -fno-lto

$(LIBRARY): $(OBJECTS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^
	@[ "$(BACKENDS)$(POSIX)" != poll ] || echo "note: no liburing 2.3 or" \
	    "later here, so the poll backend alone ('make deps' installs it)"

$(EXAMPLES): $(BUILD)/%: $(BUILD)/examples/%.o $(LIBRARY)
	$(call say,LD,$@)
	$(link) $^ $(LDLIBS) -o $@

$(BUILD)/tests/runtime.o: $(OBJECTS)
	$(call say,LD,$@)
	$(Q)$(CC) $(filter-out -pthread -fs% -fno-%,$(FLAGS)) $(CFLAGS) \
	    $(LTO_TO_OBJECT) -r -nostdlib \
	    $(CALLS:%=-Wl,--wrap=%) $^ -o $@

$(TESTS): $(BUILD)/test-%: $(BUILD)/tests/%.o $(BUILD)/tests/harness.o \
    $(FAULTS) $(RUNTIME)
	$(call say,LD,$@)
	$(link) $(WRAP) $^ $(CMOCKA_LIBS) $(LDLIBS) -o $@

cmocka:
	@echo '#include <cmocka.h>' | $(CC) -E $(CMOCKA_CFLAGS) - \
	    >/dev/null 2>&1 || { \
	    echo "cmocka is missing: run 'make deps' at the top" >&2; exit 1; }

# Which headers an object was made from, as the compiler noted it beside it.
%.d: ;
-include $(OBJECTS:.o=.d) $(wildcard $(BUILD)/examples/*.d $(BUILD)/tests/*.d)
