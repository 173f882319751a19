;; Makes more header fields than an HTTP message may have: input `0` appends one name again and again, `1` ever new
;; names, `2` hands over a list of them at once. Answers how many were accepted.
(import "wasi:http/types@0.2.12" "[constructor]fields" (func $fields (result i32)))
(import "wasi:http/types@0.2.12" "[method]fields.append" (func $append (param i32 i32 i32 i32 i32 i32)))
(import "wasi:http/types@0.2.12" "[static]fields.from-list" (func $from_list (param i32 i32 i32)))
(data (i32.const 4096) "xaaaa")

;; The name at this address becomes the next one of the same length.
(func $count_up (param $at i32)
  (local $last i32)
  (local.set $last (i32.add (local.get $at) (i32.const 4)))
  (loop $carry
    (i32.store8 (local.get $last) (i32.add (i32.load8_u (local.get $last)) (i32.const 1)))
    (if (i32.gt_u (i32.load8_u (local.get $last)) (i32.const 0x7a))
      (then
        (i32.store8 (local.get $last) (i32.const 0x61))
        (local.set $last (i32.sub (local.get $last) (i32.const 1)))
        (br $carry)))))

(func $at_once (result i32)
  (local $list i32) (local $name i32) (local $n i32) (local $entry i32)
  (local.set $list (call $alloc (i32.const 524304)))
  (local.set $entry (local.get $list))
  (local.set $n (i32.const 32769))
  (loop $more
    (local.set $name (call $alloc (i32.const 5)))
    (memory.copy (local.get $name) (i32.const 4096) (i32.const 5))
    (call $count_up (i32.const 4096))
    (i32.store (local.get $entry) (local.get $name))
    (i32.store offset=4 (local.get $entry) (i32.const 5))
    (i32.store offset=8 (local.get $entry) (i32.const 4096))
    (i32.store offset=12 (local.get $entry) (i32.const 0))
    (local.set $entry (i32.add (local.get $entry) (i32.const 16)))
    (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (call $from_list (local.get $list) (i32.const 32769) (i32.const 16))
  (call $number (select (i64.const 0) (i64.const 32769) (i32.load8_u (i32.const 16)))))

(func $on_eval (param $in i32) (param $n i32) (result i32)
  (local $which i32) (local $fields i32) (local $left i32) (local $accepted i64)
  (local.set $which (i32.sub (i32.load8_u (local.get $in)) (i32.const 48)))
  (if (i32.eq (local.get $which) (i32.const 2)) (then (return (call $at_once))))
  (local.set $fields (call $fields))
  (local.set $left (i32.const 32769))
  (loop $more
    (if (local.get $which) (then (call $count_up (i32.const 4096))))
    (call $append (local.get $fields) (i32.const 4096) (i32.const 5) (i32.const 4096) (i32.const 0) (i32.const 16))
    (if (i32.eqz (i32.load8_u (i32.const 16)))
      (then
        (local.set $accepted (i64.add (local.get $accepted) (i64.const 1)))
        (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))
  (call $number (local.get $accepted)))
