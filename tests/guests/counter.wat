;; A policy that remembers: how often it was asked, and a value that management sets.
;;
;; `eval` of the string "trap" traps, of "spin" never ends, of "work" takes some milliseconds and then counts, of "fail"
;; fails; anything else counts and answers {"count":n,"value":v}. Management: `set` and `add` with an integer answer
;; {"value":v}, `get` answers what `eval` does without counting, `trap` and `spin` do what they say.
;;
;; `lictor_tests::counter` puts this into its template, leaves out what follows the marker unless the policy is to be
;; stateful, and defines `$version`, the first byte of what it saves and the only one that it takes back.
;; Memory: texts from 1024, what is saved at 1536, answers from 2048. What the host hands in is forgotten after a call.
(data (i32.const 1024) "\"trap\"\"spin\"\"fail\"\"work\"setaddgettrapspin")
(data (i32.const 1088) "{\"count\":")
(data (i32.const 1104) ",\"value\":")
(data (i32.const 1120) "{\"value\":")
(data (i32.const 1136) "}")
(data (i32.const 1152) "unknown_action")
(data (i32.const 1168) "there is no such action")
(data (i32.const 1200) "asked_to_fail")
(data (i32.const 1216) "this is what fail does")
(data (i32.const 1248) "bad_data")
(data (i32.const 1264) "must be an integer")
(global $count (mut i64) (i64.const 0))
(global $value (mut i64) (i64.const 0))
(global $end (mut i32) (i32.const 2048))

(func $is (param $at i32) (param $n i32) (param $word i32) (param $word_n i32) (result i32)
  (if (i32.ne (local.get $n) (local.get $word_n)) (then (return (i32.const 0))))
  (loop $next
    (if (i32.eqz (local.get $n)) (then (return (i32.const 1))))
    (local.set $n (i32.sub (local.get $n) (i32.const 1)))
    (br_if $next
      (i32.eq
        (i32.load8_u (i32.add (local.get $at) (local.get $n)))
        (i32.load8_u (i32.add (local.get $word) (local.get $n))))))
  (i32.const 0))

(func $fail (param $code i32) (param $code_n i32) (param $message i32) (param $message_n i32) (result i32)
  (drop (call $err (local.get $code) (local.get $code_n)))
  (i32.store (i32.const 908) (local.get $message))
  (i32.store (i32.const 912) (local.get $message_n))
  (i32.const 896))

(func $put (param $at i32) (param $n i32)
  (memory.copy (global.get $end) (local.get $at) (local.get $n))
  (global.set $end (i32.add (global.get $end) (local.get $n))))

(func $put_number (param $x i64)
  (local $at i32)
  (if (i64.lt_s (local.get $x) (i64.const 0))
    (then
      (i32.store8 (global.get $end) (i32.const 45))
      (global.set $end (i32.add (global.get $end) (i32.const 1)))
      (local.set $x (i64.sub (i64.const 0) (local.get $x)))))
  (local.set $at (i32.const 1600))
  (loop $digits
    (local.set $at (i32.sub (local.get $at) (i32.const 1)))
    (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $x) (i64.const 10)))))
    (local.set $x (i64.div_u (local.get $x) (i64.const 10)))
    (br_if $digits (i64.ne (local.get $x) (i64.const 0))))
  (call $put (local.get $at) (i32.sub (i32.const 1600) (local.get $at))))

(func $answer (param $whole i32) (result i32)
  (global.set $end (i32.const 2048))
  (if (local.get $whole)
    (then
      (call $put (i32.const 1088) (i32.const 9))
      (call $put_number (global.get $count))
      (call $put (i32.const 1104) (i32.const 9)))
    (else (call $put (i32.const 1120) (i32.const 9))))
  (call $put_number (global.get $value))
  (call $put (i32.const 1136) (i32.const 1))
  (global.set $top (i32.const 65536))
  (call $ok (i32.const 2048) (i32.sub (global.get $end) (i32.const 2048))))

(func $spin (loop $on (br $on)))

(func $work
  (local $left i32)
  (local.set $left (i32.const 20000000))
  (loop $on
    (br_if $on (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))

(func $counter_eval (param $in i32) (param $n i32) (result i32)
  (if (call $is (local.get $in) (local.get $n) (i32.const 1024) (i32.const 6)) (then (unreachable)))
  (if (call $is (local.get $in) (local.get $n) (i32.const 1030) (i32.const 6)) (then (call $spin)))
  (if (call $is (local.get $in) (local.get $n) (i32.const 1036) (i32.const 6))
    (then
      (global.set $top (i32.const 65536))
      (return (call $fail (i32.const 1200) (i32.const 13) (i32.const 1216) (i32.const 22)))))
  (if (call $is (local.get $in) (local.get $n) (i32.const 1042) (i32.const 6)) (then (call $work)))
  (global.set $count (i64.add (global.get $count) (i64.const 1)))
  (call $answer (i32.const 1)))

;; The integer in this text; `$bad` says whether it is none.
(global $bad (mut i32) (i32.const 0))
(func $integer (param $at i32) (param $n i32) (result i64)
  (local $x i64) (local $minus i32) (local $digit i32)
  (if (i32.and (i32.ne (local.get $n) (i32.const 0)) (i32.eq (i32.load8_u (local.get $at)) (i32.const 45)))
    (then
      (local.set $minus (i32.const 1))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))))
  (global.set $bad (i32.eqz (local.get $n)))
  (block $done
    (loop $next
      (br_if $done (i32.eqz (local.get $n)))
      (local.set $digit (i32.sub (i32.load8_u (local.get $at)) (i32.const 48)))
      (if (i32.gt_u (local.get $digit) (i32.const 9))
        (then (global.set $bad (i32.const 1)) (return (i64.const 0))))
      (local.set $x (i64.add (i64.mul (local.get $x) (i64.const 10)) (i64.extend_i32_u (local.get $digit))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br $next)))
  (if (local.get $minus) (then (return (i64.sub (i64.const 0) (local.get $x)))))
  (local.get $x))

(func $counter_management (param $action i32) (param $action_n i32) (param $in i32) (param $n i32) (result i32)
  (local $add i32) (local $x i64)
  (if (call $is (local.get $action) (local.get $action_n) (i32.const 1057) (i32.const 4)) (then (unreachable)))
  (if (call $is (local.get $action) (local.get $action_n) (i32.const 1061) (i32.const 4)) (then (call $spin)))
  (if (call $is (local.get $action) (local.get $action_n) (i32.const 1054) (i32.const 3))
    (then (return (call $answer (i32.const 1)))))
  (global.set $top (i32.const 65536))
  (local.set $add (call $is (local.get $action) (local.get $action_n) (i32.const 1051) (i32.const 3)))
  (if (i32.eqz (i32.or
        (local.get $add)
        (call $is (local.get $action) (local.get $action_n) (i32.const 1048) (i32.const 3))))
    (then (return (call $fail (i32.const 1152) (i32.const 14) (i32.const 1168) (i32.const 23)))))
  (local.set $x (call $integer (local.get $in) (local.get $n)))
  (if (global.get $bad) (then (return (call $fail (i32.const 1248) (i32.const 8) (i32.const 1264) (i32.const 18)))))
  (global.set $value (i64.add (local.get $x) (select (global.get $value) (i64.const 0) (local.get $add))))
  (call $answer (i32.const 0)))

;;STATE;;
(data (i32.const 1312) "other_version")
(data (i32.const 1328) "the state is of another version")
(func (export "lictor:policy/state@1.0.0#save") (result i32)
  (i32.store8 (i32.const 1536) (global.get $version))
  (i64.store (i32.const 1537) (global.get $count))
  (i64.store (i32.const 1545) (global.get $value))
  (call $ok (i32.const 1536) (i32.const 17)))
(func (export "lictor:policy/state@1.0.0#restore")
  (param $from i32) (param $from_n i32) (param $in i32) (param $n i32) (result i32)
  (global.set $top (i32.const 65536))
  (if (i32.or
        (i32.ne (local.get $n) (i32.const 17))
        (i32.ne (i32.load8_u (local.get $in)) (global.get $version)))
    (then (return (call $fail (i32.const 1312) (i32.const 13) (i32.const 1328) (i32.const 31)))))
  (global.set $count (i64.load (i32.add (local.get $in) (i32.const 1))))
  (global.set $value (i64.load (i32.add (local.get $in) (i32.const 9))))
  (call $ok (i32.const 0) (i32.const 0)))
