;; Looks at all that it has when it is asked, answers a digest of it, and leaves as much behind as it can.
;;
;; The digest is of every byte of its memory, of how large that is, and of its globals. The input is a string of two
;; letters: what is to be left behind, and a number for it, counted from `0`:
;;
;;   a  every byte of memory            h  memory as large as it gets, and its last byte
;;   b  the first byte of each page     i  one byte of page 5 * number of those that are there
;;   c  the last byte of each page      j  nothing
;;   d  the first and the last byte     k  everything, and a trap
;;   e  bytes of its data               l  everything, without an end
;;   f  data that is brought in later   m  everything, and a failure
;;   g  a page more, and its ends       n  everything, and an answer after some milliseconds
;;                                      o  everything, and an answer that is none
;;                                      p  everything, and what `$more` does
;;                                      q  everything, and a stack without an end
;;                                      r  as i, without having looked at anything before; the digest is 0
;;
;; All but `j` leave every global changed. Settings that are a string are refused, and everything is left behind.
;; A page is one of 4096 bytes, the kernel's. Whoever uses this adds `$more` and `$more_seen`.
(global $i (mut i32) (i32.const 17))
(global $l (mut i64) (i64.const -3))
(global $f (mut f32) (f32.const 1.5))
(global $d (mut f64) (f64.const -0.25))
(global $v (mut v128) (v128.const i64x2 5 6))
(global $starts (mut i32) (i32.const 0))
(data (i32.const 4096) "what a new instance begins with")
(data (i32.const 8190) "over the end of a page")
(data (i32.const 131000) "not in the first page of wasm")
(data $later "what is brought in later")

(func $on_start (call $begin))
(func $begin
  (global.set $starts (i32.add (global.get $starts) (i32.const 1)))
  (i64.store (i32.const 12288) (i64.add (i64.load (i32.const 12288)) (i64.const 1))))

(func $bytes (result i32) (i32.shl (memory.size) (i32.const 16)))

(func $mix (param $h i64) (param $x i64) (result i64)
  (i64.rotl (i64.mul (i64.xor (local.get $h) (local.get $x)) (i64.const 0x100000001b3)) (i64.const 29)))

(func $seen (result i64)
  (local $h i64) (local $at i32) (local $end i32)
  (local.set $end (call $bytes))
  (local.set $h (call $mix (i64.const 0) (i64.extend_i32_u (local.get $end))))
  (loop $next
    (local.set $h (call $mix (local.get $h) (i64.load (local.get $at))))
    (local.set $at (i32.add (local.get $at) (i32.const 8)))
    (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
  (local.set $h (call $mix (local.get $h) (i64.extend_i32_u (global.get $i))))
  (local.set $h (call $mix (local.get $h) (global.get $l)))
  (local.set $h (call $mix (local.get $h) (i64.extend_i32_u (i32.reinterpret_f32 (global.get $f)))))
  (local.set $h (call $mix (local.get $h) (i64.reinterpret_f64 (global.get $d))))
  (local.set $h (call $mix (local.get $h) (i64x2.extract_lane 0 (global.get $v))))
  (local.set $h (call $mix (local.get $h) (i64x2.extract_lane 1 (global.get $v))))
  (local.set $h (call $mix (local.get $h) (i64.extend_i32_u (global.get $starts))))
  (local.set $h (call $mix (local.get $h) (i64.extend_i32_u (global.get $heap))))
  (call $more_seen (local.get $h)))

(func $globals (param $n i32)
  (global.set $i (i32.add (global.get $i) (local.get $n)))
  (global.set $l (i64.add (global.get $l) (i64.const 0x100000001)))
  (global.set $f (f32.add (global.get $f) (f32.const 0.5)))
  (global.set $d (f64.mul (global.get $d) (f64.const -3)))
  (global.set $v (i64x2.add (global.get $v) (v128.const i64x2 0x700000001 -9)))
  (call $begin))

(func $all (memory.fill (i32.const 0) (i32.const 0x41) (call $bytes)))

;; A byte in each page, from this one on.
(func $each (param $at i32)
  (loop $next
    (i32.store8 (local.get $at) (i32.add (i32.load8_u (local.get $at)) (i32.const 1)))
    (local.set $at (i32.add (local.get $at) (i32.const 4096)))
    (br_if $next (i32.lt_u (local.get $at) (call $bytes)))))

(func $byte (param $at i32) (i32.store8 (local.get $at) (i32.xor (i32.load8_u (local.get $at)) (i32.const 0x55))))

(func $deep (param $n i64) (result i64)
  (i64.add (i64.const 1) (call $deep (i64.add (local.get $n) (i64.const 1)))))

(func $work
  (local $left i32)
  (local.set $left (i32.const 20000000))
  (loop $on (br_if $on (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))

(func $leave (param $how i32) (param $n i32)
  (local $old i32)
  (if (i32.eq (local.get $how) (i32.const 0x6a)) (then (return)))
  (call $globals (local.get $n))
  (if (i32.eq (local.get $how) (i32.const 0x62)) (then (return (call $each (i32.const 0)))))
  (if (i32.eq (local.get $how) (i32.const 0x63)) (then (return (call $each (i32.const 4095)))))
  (if (i32.eq (local.get $how) (i32.const 0x64))
    (then
      (call $byte (i32.const 0))
      (return (call $byte (i32.sub (call $bytes) (i32.const 1))))))
  (if (i32.eq (local.get $how) (i32.const 0x65))
    (then
      (call $byte (i32.const 4100))
      (call $byte (i32.const 8191))
      (return (call $byte (i32.const 8192)))))
  (if (i32.eq (local.get $how) (i32.const 0x66))
    (then (return (memory.init $later (i32.const 20470) (i32.const 0) (i32.const 24)))))
  (if (i32.eq (local.get $how) (i32.const 0x67))
    (then
      (local.set $old (call $bytes))
      (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (return)))
      (call $byte (local.get $old))
      (return (call $byte (i32.sub (call $bytes) (i32.const 1))))))
  (if (i32.eq (local.get $how) (i32.const 0x68))
    (then
      (loop $more_memory (br_if $more_memory (i32.ne (memory.grow (i32.const 7)) (i32.const -1))))
      (return (call $byte (i32.sub (call $bytes) (i32.const 1))))))
  (if (i32.or (i32.eq (local.get $how) (i32.const 0x69)) (i32.eq (local.get $how) (i32.const 0x72)))
    (then
      (return (call $byte (i32.add (i32.const 77) (i32.shl
        (i32.rem_u (i32.mul (local.get $n) (i32.const 5)) (i32.shr_u (call $bytes) (i32.const 12)))
        (i32.const 12)))))))
  (call $all))

(func $on_init (param $in i32) (param $n i32) (result i32)
  (if (i32.eq (i32.load8_u (local.get $in)) (i32.const 0x22))
    (then
      (call $globals (i32.const 1))
      (call $all)
      (return (call $err (i32.const 4096) (i32.const 4)))))
  (call $null))

(func $on_eval (param $in i32) (param $n i32) (result i32)
  (local $seen i64) (local $how i32) (local $number i32)
  (local.set $how (i32.load8_u offset=1 (local.get $in)))
  (local.set $number (i32.sub (i32.load8_u offset=2 (local.get $in)) (i32.const 0x30)))
  (if (i32.ne (local.get $how) (i32.const 0x72)) (then (local.set $seen (call $seen))))
  (call $leave (local.get $how) (local.get $number))
  (if (i32.eq (local.get $how) (i32.const 0x6b)) (then (unreachable)))
  (if (i32.eq (local.get $how) (i32.const 0x6c)) (then (loop $for_ever (br $for_ever))))
  (if (i32.eq (local.get $how) (i32.const 0x6d)) (then (return (call $err (i32.const 4096) (i32.const 4)))))
  (if (i32.eq (local.get $how) (i32.const 0x6e)) (then (call $work)))
  (if (i32.eq (local.get $how) (i32.const 0x6f)) (then (return (call $ok (i32.const 4096) (i32.const 4)))))
  (if (i32.eq (local.get $how) (i32.const 0x70)) (then (call $more)))
  (if (i32.eq (local.get $how) (i32.const 0x71)) (then (drop (call $deep (i64.const 0)))))
  (call $number (local.get $seen)))
