;; Takes all the memory it can get, page by page, and answers how many pages it then has. Input `1` gives up instead,
;; as an allocator does that was refused.
(func $on_eval (param $in i32) (param $n i32) (result i32)
  (loop $more
    (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
  (if (i32.eq (i32.load8_u (local.get $in)) (i32.const 49)) (then (unreachable)))
  (call $number (i64.extend_i32_u (memory.size))))
