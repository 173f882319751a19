;; What every guest here has in common: the policy contract, an allocator, and ways to answer.
;;
;; `lictor_tests::sandbox::Guest` puts the fields of one guest where the marker stands, and calls the hooks it defines
;; ($on_start $on_init $on_eval $on_management $on_realloc $on_post); a hook that it does not define does nothing and
;; answers `null`. The result is made a component the way the wasm32-wasip2 linker makes one.
;;
;; Memory: 0 to 1023 the host's answers to the guest, 1024 to 1535 what follows here, 4096 to 65535 the guest's own,
;; then the heap.
(module
  ;;GUEST;;

  (global $heap (mut i32) (i32.const 65536))
  (data (i32.const 1024) "null")

  ;; n bytes that are never given back.
  (func $alloc (param $n i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $heap))
    (global.set $heap
      (i32.and (i32.add (i32.add (local.get $at) (local.get $n)) (i32.const 7)) (i32.const -8)))
    (block $fits
      (br_if $fits (i32.le_u (global.get $heap) (i32.shl (memory.size) (i32.const 16))))
      (br_if $fits
        (i32.ne (i32.const -1)
          (memory.grow (i32.sub
            (i32.shr_u (i32.add (global.get $heap) (i32.const 65535)) (i32.const 16))
            (memory.size)))))
      (unreachable))
    (local.get $at))

  ;; `ok` with n bytes of text.
  (func $ok (param $at i32) (param $n i32) (result i32)
    (i32.store8 (i32.const 1040) (i32.const 0))
    (i32.store (i32.const 1044) (local.get $at))
    (i32.store (i32.const 1048) (local.get $n))
    (i32.const 1040))

  ;; `err` with n bytes of text as both code and message.
  (func $err (param $at i32) (param $n i32) (result i32)
    (i32.store8 (i32.const 1040) (i32.const 1))
    (i32.store (i32.const 1044) (local.get $at))
    (i32.store (i32.const 1048) (local.get $n))
    (i32.store (i32.const 1052) (local.get $at))
    (i32.store (i32.const 1056) (local.get $n))
    (i32.store8 (i32.const 1060) (i32.const 0))
    (i32.const 1040))

  ;; `ok` with x in decimal.
  (func $number (param $x i64) (result i32)
    (local $at i32)
    (local.set $at (i32.const 1140))
    (loop $digits
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at)
        (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $x) (i64.const 10)))))
      (local.set $x (i64.div_u (local.get $x) (i64.const 10)))
      (br_if $digits (i64.ne (local.get $x) (i64.const 0))))
    (call $ok (local.get $at) (i32.sub (i32.const 1140) (local.get $at))))

  ;; `ok` with `null`.
  (func $null (result i32)
    (call $ok (i32.const 1024) (i32.const 4)))

  (func (export "cabi_realloc") (param $old i32) (param $old_n i32) (param $align i32) (param $n i32) (result i32)
    (call $on_realloc)
    (if (i32.and (i32.ne (local.get $old) (i32.const 0)) (i32.le_u (local.get $n) (local.get $old_n)))
      (then (return (local.get $old))))
    (call $alloc (local.get $n)))

  (func (export "lictor:policy/rule@1.0.0#init")
    (param $rule i32) (param $rule_n i32) (param $settings i32) (param $settings_n i32)
    (param $parameters i32) (param $parameters_n i32) (result i32)
    (call $on_init (local.get $settings) (local.get $settings_n)))

  (func (export "lictor:policy/rule@1.0.0#eval")
    (param $some i32) (param $parameters i32) (param $parameters_n i32) (param $in i32) (param $n i32)
    (param $call i32) (param $call_n i32) (result i32)
    (call $on_eval (local.get $in) (local.get $n)))

  (func (export "cabi_post_lictor:policy/rule@1.0.0#eval") (param $result i32)
    (call $on_post))

  (func (export "lictor:policy/rule@1.0.0#management")
    (param $action i32) (param $action_n i32) (param $in i32) (param $n i32) (result i32)
    (call $on_management (local.get $in) (local.get $n))))
