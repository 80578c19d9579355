#!/usr/bin/env bash
#
# node18.sh
#     Runs the tests of the client under Node 18, the oldest that it is for.
#
# usage: tools/node18.sh
#
# `make check-node18` comes here.  Each module alone, then the client against a
# real relay and the examples of its pages.  That Node is npm's package node,
# put below tools/node18/, where it is looked for first.
#
# SPDX-License-Identifier: PostgreSQL

set -euo pipefail
cd "$(dirname "$0")/.."

VERSION=18.20.8
bin=$PWD/tools/node18/node_modules/node/bin

if [ "$("$bin/node" --version 2>/dev/null)" != "v$VERSION" ]; then
	npm install --silent --no-save --no-package-lock --prefix tools/node18 "node@$VERSION" >&2
fi
PATH=$bin:$PATH
[ "$(node --version)" = "v$VERSION" ]
(cd client && node --test test/*.test.mjs)
node --test test/e2e/client.test.mjs test/e2e/client_guide.test.mjs
