#!/usr/bin/env bash
# Test the page of seq2seq serve in a real Chromium, also with axe-core. Needs Node.js 20.11 or newer with npm, and
# chromium (or another one, CHROMIUM=PATH). Pictures go to SHOTS, by default runs/page. Arguments name tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../tests/browser"
export CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
export SHOTS=${SHOTS:-$PWD/../../runs/page}
if [ -z "$CHROMIUM" ]; then
    echo "chromium is missing; on Debian and Ubuntu: apt-get install chromium" >&2
    exit 2
fi
[ -d node_modules/axe-core ] || npm install --silent --no-audit --no-fund
node page.mjs "$@"
