;; `init` fails where its context says that it was done before; `eval` traps.
(import "wasi:keyvalue/store@0.2.0-draft" "open" (func $open (param i32 i32 i32)))
(import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.exists" (func $exists (param i32 i32 i32 i32)))
(import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.set" (func $set (param i32 i32 i32 i32 i32 i32)))
(import "wasi:keyvalue/store@0.2.0-draft" "[resource-drop]bucket" (func $close (param i32)))
(data (i32.const 4096) "done")

(func $on_init (param $in i32) (param $n i32) (result i32)
  (local $bucket i32)
  (call $open (i32.const 0) (i32.const 0) (i32.const 16))
  (local.set $bucket (i32.load (i32.const 20)))
  (call $exists (local.get $bucket) (i32.const 4096) (i32.const 4) (i32.const 16))
  (if (i32.load8_u (i32.const 20)) (then (return (call $err (i32.const 4096) (i32.const 4)))))
  (call $set (local.get $bucket) (i32.const 4096) (i32.const 4) (i32.const 4096) (i32.const 4) (i32.const 16))
  (call $close (local.get $bucket))
  (call $null))

(func $on_eval (param $in i32) (param $n i32) (result i32) (unreachable))
