;; Logs its input as one line of context `ctx`; input that is a number n logs n empty lines instead.
(import "wasi:logging/logging@0.1.0-draft" "log" (func $log (param i32 i32 i32 i32 i32)))
(data (i32.const 4096) "ctx")

(func $decimal (param $at i32) (param $n i32) (result i64)
  (local $x i64)
  (loop $digits
    (if (local.get $n)
      (then
        (local.set $x (i64.add (i64.mul (local.get $x) (i64.const 10))
          (i64.sub (i64.load8_u (local.get $at)) (i64.const 48))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $digits))))
  (local.get $x))

(func $on_eval (param $in i32) (param $n i32) (result i32)
  (local $left i64)
  (if (i32.gt_u (i32.load8_u (local.get $in)) (i32.const 57))
    (then (call $log (i32.const 2) (i32.const 4096) (i32.const 3) (local.get $in) (local.get $n)))
    (else (if (i32.lt_u (i32.load8_u (local.get $in)) (i32.const 48))
      (then (call $log (i32.const 2) (i32.const 4096) (i32.const 3) (local.get $in) (local.get $n)))
      (else
        (local.set $left (call $decimal (local.get $in) (local.get $n)))
        (loop $lines
          (if (i64.ne (local.get $left) (i64.const 0))
            (then
              (call $log (i32.const 2) (i32.const 4096) (i32.const 3) (i32.const 4096) (i32.const 0))
              (local.set $left (i64.sub (local.get $left) (i64.const 1)))
              (br $lines))))))))
  (call $null))
