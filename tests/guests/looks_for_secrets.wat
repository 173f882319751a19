;; Counts the bytes that are not zero in memory that nobody has written: in what it starts with and in what it gets.
(func $dirt (param $at i32) (param $end i32) (result i64)
  (local $found i64)
  (loop $next
    (if (i64.ne (i64.load (local.get $at)) (i64.const 0))
      (then (local.set $found (i64.add (local.get $found) (i64.const 1)))))
    (local.set $at (i32.add (local.get $at) (i32.const 8)))
    (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
  (local.get $found))

(func $on_eval (param $in i32) (param $n i32) (result i32)
  (local $found i64)
  (local.set $found (call $dirt (i32.const 0) (i32.const 1024)))
  (local.set $found (i64.add (local.get $found) (call $dirt (i32.const 4096) (i32.const 65536))))
  ;; The arguments of the call are in the first kilobyte of the heap.
  (local.set $found (i64.add (local.get $found) (call $dirt (i32.const 66560) (i32.const 131072))))
  (drop (memory.grow (i32.const 30)))
  (local.set $found (i64.add (local.get $found)
    (call $dirt (i32.const 131072) (i32.shl (memory.size) (i32.const 16)))))
  (call $number (local.get $found)))
