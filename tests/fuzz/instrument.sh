#!/bin/sh
# What cargo runs instead of rustc for the crates of this workspace, so that libFuzzer sees which of their code was run.
# Dependencies are compiled as ever, and are those that are compiled already.
exec "$@" --cfg fuzzing -Copt-level=1 -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
