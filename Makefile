# SPDX-License-Identifier: MIT
#
# Every command of the workbook. `make` alone lists them: the list is made of
# this file's lines that begin with two number signs.

MAKEFLAGS += --no-print-directory
PYTHON    := python3
JOBS      := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
# -j for the builds below, unless this make was itself given one
PARALLEL   = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))
NUMBERS   := 01 02 03 04 05 06
C_FILES    = $(wildcard common/*.[ch] stage0*/*.[ch] stage0*/examples/*.[ch] \
             tests/*.[ch] tests/*/*.[ch] tests/*/*.cpp)

.PHONY: help
help:
	@sed -n 's/^##$$//p; s/^## //p' Makefile

## The two commands to start with:
##   make tour            installs what is missing, builds all, shows each stage
##   make check           runs every check there is; ends with the count

.PHONY: tour check
tour: ready
	@echo "building the six stages"
	@$(MAKE) -s all
	@$(PYTHON) common/tools/tour.py

# Each check is a command that fails, passes, or passes with "skipped: why" as
# its last line. tests/run.py runs and counts them, then the tests.
CHECKS   := format ladder guarantees clang docs portable programs
CHECKS   += interleave mutants fuzz sim instructions
VARIANTS := plain,asan,tsan
ifeq ($(PORTABLE),1)
CHECKS   := portable
VARIANTS := portable,portable-asan,portable-tsan
endif
ALSO      = $(foreach c,$(CHECKS),--also '$(c)=$(MAKE) -s check-$(c)')
# All is built first, so that no two checks build the same.
check: ready
	@$(MAKE) -s all || true
	@$(PYTHON) tests/run.py --variants $(VARIANTS) $(ALSO)

##
## One stage:
##   make stage03         builds stage 3: library and examples (01 to 06)
##   make test-03         tests of stages 1 to 3 on stage 3; T=pattern chooses
##   make diff-03         what stage 3 changed from 2; STAT=1: figures, FULL=1: all
##   make mutants-03      breaks stage 3 in small ways: do its tests notice?

.PHONY: all
STAGES := $(NUMBERS:%=stage%)
all: $(STAGES)
.PHONY: $(STAGES)
$(STAGES):
	@$(MAKE) $(PARALLEL) -C $(wildcard $@-*)

TESTS := $(NUMBERS:%=test-%)
.PHONY: $(TESTS)
$(TESTS): test-%: python
	@$(PYTHON) tests/run.py $* $(if $(T),--match '$(T)') \
	    --variants $(if $(filter 1,$(PORTABLE)),portable,plain)

DIFFS := $(patsubst %,diff-%,$(filter-out 01,$(NUMBERS)))
.PHONY: $(DIFFS)
$(DIFFS): diff-%: python
	@$(PYTHON) common/tools/diff.py $* $(if $(STAT),--stat) \
	    $(if $(FULL),--full)

##
## All stages:
##   make all             builds the six stages
##   make ladder          checks that each step is nearly pure addition
##   make lift FROM=03    carries a change of stage 3 up through the later ones
##   make guarantees      checks that every promise has a test and the reverse
##   make format          formats the C sources (clang-format)
##   make docs            the book and the reference, as HTML in docs/build/
##   make clean           removes all that was built

.PHONY: ladder lift guarantees format docs clean
ladder: python
	@$(PYTHON) common/tools/ladder.py
lift: python
	@$(PYTHON) common/tools/lift.py $(FROM) $(if $(BASE),--base $(BASE)) \
	    $(if $(DRY),--dry-run)
guarantees: python
	@$(PYTHON) common/tools/guarantees.py
format:
	$(CLANG_FORMAT) -i $(C_FILES)
docs: deps-docs
	@$(PYTHON) docs/build.py
clean:
	rm -rf stage0*/build docs/build tests/build tests/*/build

##
## Deeper, and longer than a check:
##   make interleave      tries every interleaving of two or three threads of
##                        stages 3 and 4, 5's helpers and 6's signals, and what
##                        mistakes lead to; WEAK=announce: one
##   make sim             shards, kernel and faults in one thread, seed after seed;
##                        SEED=123 replays one, STAGE=04 COUNT=100000
##   make sim-breakages   breaks the runtime: after how many seeds is it noticed?
##   make mutants         breaks each stage in small ways; takes an hour or two
##   make fuzz MIN=10     feeds httpd what nobody would send, for ten minutes
##   make soak MIN=10     the servers under bad peers, for ten minutes
##   make matrix          tests under gcc and clang, -O0 to LTO, -m32, AArch64
##   make valgrind        those with one thread under memcheck

.PHONY: interleave fuzz soak
interleave: python
	@$(PYTHON) tests/interleave/run.py $(if $(WEAK),--weak '$(WEAK)')

.PHONY: sim sim-breakages
# Without SEED: COUNT seeds that are always the same, and as many fresh ones.
sim:
	@fresh=$$(date +%s)000; \
	case "$(SEED)$(COUNT)" in *[!0-9]*) \
	    echo "sim: SEED and COUNT are numbers" >&2; exit 2 ;; esac; \
	for stage in $(or $(STAGE),$(if $(SEED),06,04 05 06)); do \
	    case $$stage in 04|05|06) ;; *) \
	        echo "sim: STAGE is 04, 05 or 06, not '$$stage'" >&2; exit 2 ;; \
	    esac; \
	    $(MAKE) -sC tests/sim STAGE=$$stage || exit 1; \
	    sim=$$(echo stage$$stage-*/build/sim/sim); \
	    for first in $(or $(SEED),1 $$fresh); do \
	        $$sim $$first $(if $(SEED),,$(or $(COUNT),5000)) || exit 1; \
	    done; \
	done
sim-breakages: python
	@$(PYTHON) tests/sim/breakages.py $(if $(B),'$(B)')

MUTANTS := mutants $(NUMBERS:%=mutants-%)
.PHONY: $(MUTANTS)
$(MUTANTS): python
	@$(PYTHON) common/tools/mutants.py $(subst mutants,,$(subst -,,$@)) \
	    $(if $(COUNT),--count $(COUNT)) $(if $(SEED),--seed $(SEED)) \
	    $(if $(ONLY),--only $(ONLY)) $(if $(KIND),--kind $(KIND))

fuzz: python
	@nice $(PYTHON) tests/fuzz/run.py --seconds $$(($(or $(MIN),1) * 60)) \
	    $(if $(SEED),--seed $(SEED))
soak: python
	@nice $(PYTHON) tests/soak/run.py --minutes $(or $(MIN),1) \
	    $(if $(SEED),--seed $(SEED))

.PHONY: matrix valgrind
# Without MATRIX= all there is, as far as it can be built here.
MATRIX := O0,plain,O3,lto,clang-O0,clang,clang-O3,clang-lto,m32,arm64
matrix: python
	@$(PYTHON) tests/run.py --brief --variants $(MATRIX)
valgrind: python
	@command -v valgrind >/dev/null || { \
	    echo "skipped: no valgrind here ('make deps-bench' installs it)"; \
	    exit; }; $(PYTHON) tests/run.py --brief --variants valgrind

##
## Its speed:
##   make bench           beside the limit and others; B=yield: some, ROUNDS=15
##   make bench-instructions
##                        counts the hot paths' instructions: has one grown?

.PHONY: bench bench-instructions
bench: python
	@$(PYTHON) tests/bench/run.py $(if $(B),'$(B)') \
	    $(if $(ROUNDS),--rounds $(ROUNDS))
bench-instructions: python
	@$(PYTHON) tests/bench/instructions.py $(if $(WHY),--update '$(WHY)')

##
## The machine:
##   make doctor          what is here, what is missing, and what to do about it
##   make deps            installs what is missing (apt, dnf, pacman or brew)
##   make deps-docs       the same for `make docs`: Doxygen
##   make deps-bench      the same for `make bench`: its peers, Valgrind
##   make deps-matrix     the same for `make matrix`: other compilers, QEMU
##
## PORTABLE=1 with any of them builds with POSIX alone; V=1 shows the commands.

# Whatever is not known.
.DEFAULT:
	@echo "there is no '$@' to make: 'make' alone lists all there is" >&2; \
	exit 2

.PHONY: doctor python
doctor: python
	@$(PYTHON) common/tools/doctor.py
python:
	@command -v $(PYTHON) >/dev/null || { \
	    echo "$(PYTHON) is missing: run 'make deps'" >&2; exit 1; }

# --- the checks of `make check` --------------------------------------------

.PHONY: $(CHECKS:%=check-%)
check-ladder: ladder
check-guarantees: guarantees

# Another version of the formatter would want another format.
CLANG_FORMAT = $(shell command -v clang-format-14 || echo clang-format)
check-format:
	@case $$($(CLANG_FORMAT) --version 2>&1) in \
	*'version 14.'*) $(CLANG_FORMAT) --dry-run -Werror $(C_FILES) ;; \
	*) echo "skipped: clang-format 14 is not here" ;; \
	esac

# Its warnings do not depend on -O, so this is the quick one.
check-clang:
	@command -v clang >/dev/null || { echo "skipped: no clang here"; exit; }; \
	for stage in stage0*/; do \
	    $(MAKE) $(PARALLEL) -C $$stage VARIANT=clang CFLAGS=-O0 all tests || exit 1; \
	done

check-docs:
	@command -v doxygen >/dev/null || { \
	    echo "skipped: no Doxygen here ('make deps-docs' installs it)"; \
	    exit; }; $(PYTHON) docs/build.py

check-programs:
	@$(MAKE) -s -C stage06-signals && \
	    $(PYTHON) tests/programs.py stage06-signals/build

check-fuzz:
	@$(PYTHON) tests/fuzz/run.py --seconds 6
check-interleave:
	@$(PYTHON) tests/interleave/run.py --quick
check-sim:
	@[ "$$(uname -s)" = Linux ] || { \
	    echo "skipped: the simulated machine wants Linux"; exit; }; \
	    $(PYTHON) tests/sim/breakages.py --list >/dev/null && \
	    $(MAKE) -s sim COUNT=2000

check-portable:
	@$(PYTHON) common/tools/portable.py

# A sample, always the same one, none of which may be missed; and no entry of
# tests/equivalent/ may have lost its line.
check-mutants:
	@for n in $(NUMBERS); do \
	    $(PYTHON) common/tools/mutants.py $$n --list >/dev/null || exit 1; \
	done
	@$(PYTHON) common/tools/mutants.py 02 --whole --count 4 --rate 100

check-instructions: bench-instructions

# --- installing what is missing --------------------------------------------
# All of it is plain sh, since Python may be among what is missing.

.PHONY: deps deps-docs deps-bench deps-matrix ready
deps:
	@eval "$$INSTALLER"; eval "$$STUDENT"; install_missing
deps-docs:
	@eval "$$INSTALLER"; eval "$$AUTHOR"; install_missing
deps-bench:
	@eval "$$INSTALLER"; eval "$$BENCHER"; install_missing
deps-matrix:
	@eval "$$INSTALLER"; eval "$$MATRIX_NEEDS"; install_missing
	@$(PYTHON) common/tools/foreign.py i386 arm64
# Before a tour or a check: silent if all is there, content without the rest.
ready:
	@eval "$$INSTALLER"; eval "$$STUDENT"; [ -z "$$missing" ] || \
	    install_missing || [ -z "$$required" ]

# need TEST APT DNF PACMAN BREW: unless the command TEST succeeds, one of the
# packages is missing, "-" for none. want is for what one can do without.
define STUDENT
need 'command -v $(firstword $(CC))' gcc gcc gcc gcc
need "$$(header stdio.h)" libc6-dev glibc-devel glibc -
need "$$(header cmocka.h) || pkg-config --exists cmocka" \
    libcmocka-dev libcmocka-devel cmocka cmocka
need 'test -e "$$($(CC) -print-file-name=libtsan.so)"' \
    - 'libasan libubsan libtsan' - -
need '$(PYTHON) -c "import ctypes"' python3 python3 python python3
want "$$(header liburing.h)" liburing-dev liburing-devel liburing -
want 'command -v git' git git git git
endef

define AUTHOR
need 'command -v $(PYTHON)' python3 python3 python python3
need 'command -v doxygen' doxygen doxygen doxygen doxygen
endef

# boost/version.hpp stands for Boost: C++ headers are none for a C compiler.
define BENCHER
need 'command -v $(PYTHON)' python3 python3 python python3
need 'command -v $(firstword $(CC))' gcc gcc gcc gcc
want 'command -v g++' g++ gcc-c++ gcc gcc
want "$$(header liburing.h)" liburing-dev liburing-devel liburing -
want "$$(header uv.h)" libuv1-dev libuv-devel libuv libuv
want "$$(header ev.h)" libev-dev libev-devel libev libev
want "$$(header boost/version.hpp)" libboost-dev boost-devel boost boost
want 'command -v valgrind' valgrind valgrind valgrind -
want 'command -v fio' fio fio fio fio
want 'command -v wrk' wrk - - wrk
want 'command -v nginx || test -x /usr/sbin/nginx' nginx nginx nginx nginx
endef

# gcc-multilib and the cross compiler exclude each other, these do not.
define MATRIX_NEEDS
version=$$($(CC) -dumpversion)
need '$(PYTHON) -c "import ctypes"' python3 python3 python python3
want 'command -v clang' clang clang clang -
want 'echo "int main;" | $(CC) -m32 -w -x c - -o /dev/null 2>/dev/null' \
    gcc-$$version-multilib - - -
want 'ls /usr/bin/aarch64-linux-gnu-gcc*' gcc-$$version-aarch64-linux-gnu - - -
want 'test -e /usr/aarch64-linux-gnu/include/stdio.h' \
    libc6-dev-arm64-cross - - -
want 'command -v qemu-aarch64' qemu-user - - -
endef

define INSTALLER
for manager in apt-get dnf pacman brew none; do
    command -v $$manager >/dev/null && break
done
missing=
required=
header() { echo "echo '#include <$$1>' | $(CC) -E -"; }
want() {
    sh -c "$$1" >/dev/null 2>&1 && return
    case $$manager in
    apt-get) set -- "$$2" ;;
    dnf) set -- "$$3" ;;
    pacman) set -- "$$4" ;;
    *) set -- "$$5" ;;
    esac
    [ "$$1" = - ] || missing="$$missing $$1"
}
need() {
    before=$$missing
    want "$$@"
    [ "$$missing" = "$$before" ] || required=yes
}
install_missing() {
    case $$manager in
    apt-get) how="apt-get update -q && DEBIAN_FRONTEND=noninteractive \
apt-get install -q -y --no-install-recommends" ;;
    dnf) how="dnf install -y" ;;
    pacman) how="pacman -S --needed --noconfirm" ;;
    *) how="brew install" ;;
    esac
    how="$$how$$missing"
    case "$$manager$$missing" in # Debian starts what it installs
    apt-get*nginx*) how="$$how && { systemctl disable --now nginx || \
service nginx stop || :; }" ;;
    esac
    root="su -c"
    command -v sudo >/dev/null && root="sudo sh -c"
    if [ -z "$$missing" ]; then
        echo "deps: all there"
    elif [ $$manager = none ]; then
        echo "deps: no apt, dnf, pacman or brew here; missing:$$missing" >&2
        return 1
    elif [ $$manager = brew ] || [ "$$(id -u)" = 0 ]; then
        echo "deps: $$how"
        sh -c "$$how"
    elif sudo -n true 2>/dev/null || { [ -t 0 ] && [ "$$root" != "su -c" ]; }
    then
        echo "deps: $$root '$$how'"
        $$root "$$how"
    else
        echo "deps: these are missing:$$missing" >&2
        echo "deps: root may install them; run this, then make again:" >&2
        echo "    $$root '$$how'" >&2
        return 1
    fi
}
endef
export STUDENT AUTHOR BENCHER MATRIX_NEEDS INSTALLER
