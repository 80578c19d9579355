# mirusync: the extension by PGXS, the relay by its own Makefile, and the
# targets that run something (demo, check, lint, bench).
#
#   make                  build the extension and the relay
#   make install          install both where pg_config says
#   make installcheck     pg_regress and isolation against a running server
#   make demo             a private Postgres, a relay and a page to play with
#   make check            every test, against private servers
#   make check-long       faults under load, many sessions, longer fuzzing
#   make check-node18     the client's tests under the oldest Node that it is for
#   make soak             everything at once, while everything fails (SOAK_MINUTES, SEED)
#   make valgrind         the extension's tests on a server under valgrind
#   make lint | bench | bench-smoke | bench-profile | screenshots | clean | setup
#
# SPDX-License-Identifier: PostgreSQL

PG_CONFIG ?= pg_config

# Goals that run something install what they lack first, so they must parse
# on a machine that has neither pg_config nor a compiler yet.
RUN_GOALS = setup demo screenshots check check-long check-node18 soak valgrind lint bench bench-smoke \
	bench-profile

ifneq ($(filter $(RUN_GOALS),$(MAKECMDGOALS)),)

PORT ?= 8787
JWT_SECRET ?=
export PG_CONFIG PORT JWT_SECRET

# PGXS is looked up again after the set-up, hence a make below this one.
BUILD = $(MAKE) -s --no-print-directory -j$(shell nproc) all

.PHONY: $(RUN_GOALS)

setup:
	@tools/setup.sh build test browser lint

demo:
	@tools/setup.sh build demo
	@echo "demo: building, which takes a minute or two the first time" >&2
	@$(BUILD) >&2
	@exec node tools/demo.mjs

screenshots:
	@tools/setup.sh build test browser
	@$(BUILD) >&2
	@node tools/screenshots.mjs

check:
	@tools/setup.sh build test browser
	@$(BUILD) >&2
	@tools/check.sh

check-long:
	@tools/setup.sh build test lint
	@$(BUILD) >&2
	@tools/check.sh long

check-node18:
	@tools/setup.sh build test
	@$(BUILD) >&2
	@tools/node18.sh

valgrind:
	@$(BUILD) >&2
	@tools/valgrind.sh

# An hour, or as many minutes as SOAK_MINUTES says; SEED repeats a run.
soak:
	@tools/setup.sh build test
	@$(BUILD) >&2
	@SOAK_SECONDS=$$(( $${SOAK_MINUTES:-60} * 60 )) node --test test/e2e/all_at_once.test.mjs

lint:
	@tools/setup.sh build client lint
	@tools/lint.sh

bench:
	@tools/setup.sh build test bench
	@$(BUILD) >&2
	@test/bench/run.sh

bench-smoke:
	@tools/setup.sh build test
	@$(BUILD) >&2
	@test/bench/run.sh --smoke

bench-profile:
	@tools/setup.sh build test bench
	@$(BUILD) >&2
	@test/bench/profile.sh events
	@test/bench/profile.sh native

# Goals of both kinds in one command: the other kind goes to a make of its own.
OTHER_GOALS = $(filter-out $(RUN_GOALS),$(MAKECMDGOALS))
ifneq ($(OTHER_GOALS),)
.PHONY: $(OTHER_GOALS)
.NOTPARALLEL:
$(OTHER_GOALS):
	@$(MAKE) --no-print-directory $@
endif

else

EXTENSION  = mirusync
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" mirusync.control)
MODULE_big = mirusync
PGFILEDESC = "mirusync - sync for offline-first applications"

OBJS = $(patsubst %.c,%.o,$(sort $(wildcard extension/*.c)))

# Released versions: their install scripts are frozen, and updates lead from
# each to the next.  The current version's script is made of sql/install.
RELEASED   = 0.1.0
DATA       = $(wildcard sql/mirusync--*--*.sql) \
	$(RELEASED:%=sql/mirusync--%.sql)
DATA_built = sql/mirusync--$(EXTVERSION).sql

# In the order in which one would learn the product.  The last two leave many
# dead rows, and vacuum would place other tests' rows among them.
REGRESS      = hlc access attach columns documents capture partition foreign_key push \
	rejected merge merge_deletes merge_conflicts merge_sets merge_functions \
	audit ask audit_devices audit_retention audit_chain audit_erasure pull events native practice_log_objects \
	doorbell rights rights_walk rights_hostile ddl types keys writes epoch forget \
	backfill rescan partition_rescan audit_mending merge_vectors fold
REGRESS_OPTS = --load-extension=mirusync

ISOLATION      = sql_sql sql_savepoint sql_fold sql_key sql_trigger sql_truncate \
	sql_repeatable_read push_commit push_sql push_push push_count push_retry \
	push_rejected feed_create feed_feed feed_move partition_attach partition_detach \
	sql_maintenance push_key sync_column epoch_first forget backfill \
	backfill_attach rescan partition_backfill resolve chain mending trim
# PREPARED=1: on a server with max_prepared_transactions above 0, which is not
# the default.
ISOLATION     += $(if $(PREPARED),sql_prepare chain_prepare)
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=test/isolation \
	--load-extension=mirusync

PG_CPPFLAGS = -Iextension -DMIRUSYNC_VERSION='"$(EXTVERSION)"'
PG_CFLAGS   = -std=gnu11

EXTRA_CLEAN = test/isolation/results test/isolation/output_iso \
	test/isolation/regression.diffs test/isolation/regression.out

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifeq ($(PGXS),)
$(error $(PG_CONFIG) was not found: run "make setup", or set PG_CONFIG=/path/to/pg_config)
endif
include $(PGXS)

ifneq ($(filter $(EXTVERSION),$(RELEASED)),)
$(error version $(EXTVERSION) is released: raise default_version in mirusync.control)
endif

# PGXS of most distributions does not track headers.
$(OBJS) $(OBJS:.o=.bc): $(wildcard extension/*.h)
extension/version.o extension/version.bc: mirusync.control

sql/mirusync--$(EXTVERSION).sql: $(sort $(wildcard sql/install/*.sql)) mirusync.control
	cat $(filter %.sql,$^) > $@

.PHONY: relay install-relay uninstall-relay clean-relay

all: relay
relay:
	$(MAKE) -C relay

install: install-relay
install-relay: relay
	$(MKDIR_P) '$(DESTDIR)$(bindir)'
	$(INSTALL_PROGRAM) relay/mirusync-relay '$(DESTDIR)$(bindir)/'
	$(MKDIR_P) '$(DESTDIR)$(mandir)/man1' '$(DESTDIR)$(mandir)/man5'
	$(INSTALL_DATA) docs/man/mirusync-relay.1 '$(DESTDIR)$(mandir)/man1/'
	$(INSTALL_DATA) docs/man/mirusync-relay.conf.5 '$(DESTDIR)$(mandir)/man5/'

uninstall: uninstall-relay
uninstall-relay:
	rm -f '$(DESTDIR)$(bindir)/mirusync-relay' \
		'$(DESTDIR)$(mandir)/man1/mirusync-relay.1' \
		'$(DESTDIR)$(mandir)/man5/mirusync-relay.conf.5'

clean: clean-relay
clean-relay:
	$(MAKE) -C relay clean

endif
