;; Waits for a moment that is far away: input `0` blocks on a pollable, any other input polls a list with one in it.
(import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $after (param i64) (result i32)))
(import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
(import "wasi:io/poll@0.2.12" "poll" (func $poll (param i32 i32 i32)))

(func $on_eval (param $in i32) (param $n i32) (result i32)
  (if (i32.eq (i32.load8_u (local.get $in)) (i32.const 48))
    (then (call $block (call $after (i64.const -1))))
    (else
      (i32.store (i32.const 4096) (call $after (i64.const 3600000000000)))
      (call $poll (i32.const 4096) (i32.const 1) (i32.const 16))))
  (call $null))
