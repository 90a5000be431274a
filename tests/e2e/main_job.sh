#!/usr/bin/env bash
# The demo's main job as tests: real VMs, the real docker CLI, every line of the demo.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
# shellcheck source=tests/lib/lab.sh
. tests/lib/lab.sh
# shellcheck source=tests/lib/main_job.sh
. tests/lib/main_job.sh
trap lab_down EXIT
lab_up "$BUILD" || exit 1
main_job
done_testing
