;; The context by hand. The input is a JSON string of an operation, and a key and a value behind spaces:
;; `"s key value"` sets, `"g key"` gets, `"d key"` deletes, `"e key"` asks whether it exists, `"l"` counts the keys page
;; by page, `"k"` gives the number of pages. Answers `null`, the value as a string, a number, or fails with the
;; interface's own error: `no-such-store`, `access-denied`, or what the host said. A command does the same with its data.
(import "wasi:keyvalue/store@0.2.0-draft" "open" (func $open (param i32 i32 i32)))
(import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.get" (func $get (param i32 i32 i32 i32)))
(import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.set" (func $set (param i32 i32 i32 i32 i32 i32)))
(import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.delete" (func $delete (param i32 i32 i32 i32)))
(import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.exists" (func $exists (param i32 i32 i32 i32)))
(import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.list-keys" (func $list (param i32 i32 i64 i32)))
(import "wasi:keyvalue/store@0.2.0-draft" "[resource-drop]bucket" (func $close (param i32)))
(data (i32.const 4096) "no-such-store")
(data (i32.const 4112) "access-denied")

;; Up to the next space or the closing quote.
(func $word (param $at i32) (result i32)
  (local $c i32)
  (loop $next
    (local.set $c (i32.load8_u (local.get $at)))
    (if (i32.and (i32.ne (local.get $c) (i32.const 32)) (i32.ne (local.get $c) (i32.const 34)))
      (then (local.set $at (i32.add (local.get $at) (i32.const 1))) (br $next))))
  (local.get $at))

;; The error of the interface whose discriminant is at this address.
(func $refused (param $at i32) (result i32)
  (if (i32.eqz (i32.load8_u (local.get $at))) (then (return (call $err (i32.const 4096) (i32.const 13)))))
  (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 1))
    (then (return (call $err (i32.const 4112) (i32.const 13)))))
  (call $err (i32.load offset=4 (local.get $at)) (i32.load offset=8 (local.get $at))))

;; A string with these bytes in it, which need no escape.
(func $string (param $at i32) (param $n i32) (result i32)
  (local $to i32)
  (local.set $to (call $alloc (i32.add (local.get $n) (i32.const 2))))
  (i32.store8 (local.get $to) (i32.const 34))
  (memory.copy (i32.add (local.get $to) (i32.const 1)) (local.get $at) (local.get $n))
  (i32.store8 (i32.add (i32.add (local.get $to) (local.get $n)) (i32.const 1)) (i32.const 34))
  (call $ok (local.get $to) (i32.add (local.get $n) (i32.const 2))))

(func $count (param $bucket i32) (param $pages i32) (result i32)
  (local $keys i64) (local $n i64) (local $some i32) (local $cursor i64)
  (loop $page
    (call $list (local.get $bucket) (local.get $some) (local.get $cursor) (i32.const 16))
    (if (i32.load8_u (i32.const 16)) (then (return (call $refused (i32.const 24)))))
    (local.set $keys (i64.add (local.get $keys) (i64.load32_u (i32.const 28))))
    (local.set $n (i64.add (local.get $n) (i64.const 1)))
    (local.set $cursor (i64.load (i32.const 40)))
    (br_if $page (local.tee $some (i32.load8_u (i32.const 32)))))
  (call $number (select (local.get $n) (local.get $keys) (local.get $pages))))

(func $on_eval (param $in i32) (param $n i32) (result i32)
  (local $op i32) (local $key i32) (local $key_n i32) (local $value i32) (local $bucket i32)
  (call $open (i32.const 0) (i32.const 0) (i32.const 16))
  (if (i32.load8_u (i32.const 16)) (then (return (call $refused (i32.const 20)))))
  (local.set $bucket (i32.load (i32.const 20)))
  (local.set $op (i32.load8_u offset=1 (local.get $in)))
  (if (i32.eq (local.get $op) (i32.const 0x6c)) (then (return (call $count (local.get $bucket) (i32.const 0)))))
  (if (i32.eq (local.get $op) (i32.const 0x6b)) (then (return (call $count (local.get $bucket) (i32.const 1)))))
  (local.set $key (i32.add (local.get $in) (i32.const 3)))
  (local.set $value (call $word (local.get $key)))
  (local.set $key_n (i32.sub (local.get $value) (local.get $key)))
  (local.set $value (i32.add (local.get $value) (i32.const 1)))
  (if (i32.eq (local.get $op) (i32.const 0x73))
    (then
      (call $set (local.get $bucket) (local.get $key) (local.get $key_n)
        (local.get $value) (i32.sub (call $word (local.get $value)) (local.get $value)) (i32.const 16))
      (if (i32.load8_u (i32.const 16)) (then (return (call $refused (i32.const 20)))))))
  (if (i32.eq (local.get $op) (i32.const 0x64))
    (then
      (call $delete (local.get $bucket) (local.get $key) (local.get $key_n) (i32.const 16))
      (if (i32.load8_u (i32.const 16)) (then (return (call $refused (i32.const 20)))))))
  (if (i32.eq (local.get $op) (i32.const 0x65))
    (then
      (call $exists (local.get $bucket) (local.get $key) (local.get $key_n) (i32.const 16))
      (if (i32.load8_u (i32.const 16)) (then (return (call $refused (i32.const 20)))))
      (return (call $number (i64.load8_u (i32.const 20))))))
  (if (i32.eq (local.get $op) (i32.const 0x67))
    (then
      (call $get (local.get $bucket) (local.get $key) (local.get $key_n) (i32.const 16))
      (if (i32.load8_u (i32.const 16)) (then (return (call $refused (i32.const 20)))))
      (if (i32.load8_u (i32.const 20))
        (then (return (call $string (i32.load (i32.const 24)) (i32.load (i32.const 28))))))))
  (call $close (local.get $bucket))
  (call $null))

(func $on_management (param $in i32) (param $n i32) (result i32)
  (call $on_eval (local.get $in) (local.get $n)))
