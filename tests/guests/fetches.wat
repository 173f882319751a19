;; Sends `GET http://…/` to the authority that its input, a JSON string, names, and answers the status; or 1000 and the
;; number of the error code when the request failed, 2000 and that number when it was refused at once. Input that is a
;; number n sends n requests to `a.example`, one after the other.
(import "wasi:http/types@0.2.12" "[constructor]fields" (func $fields (result i32)))
(import "wasi:http/types@0.2.12" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
(import "wasi:http/types@0.2.12" "[method]outgoing-request.set-scheme"
  (func $set_scheme (param i32 i32 i32 i32 i32) (result i32)))
(import "wasi:http/types@0.2.12" "[method]outgoing-request.set-authority"
  (func $set_authority (param i32 i32 i32 i32) (result i32)))
(import "wasi:http/types@0.2.12" "[method]outgoing-request.set-path-with-query"
  (func $set_path (param i32 i32 i32 i32) (result i32)))
(import "wasi:http/outgoing-handler@0.2.12" "handle" (func $handle (param i32 i32 i32 i32)))
(import "wasi:http/types@0.2.12" "[method]future-incoming-response.subscribe" (func $subscribe (param i32) (result i32)))
(import "wasi:http/types@0.2.12" "[method]future-incoming-response.get" (func $get (param i32 i32)))
(import "wasi:http/types@0.2.12" "[method]incoming-response.status" (func $status (param i32) (result i32)))
(import "wasi:http/types@0.2.12" "[resource-drop]incoming-response" (func $drop_response (param i32)))
(import "wasi:http/types@0.2.12" "[resource-drop]future-incoming-response" (func $drop_future (param i32)))
(import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
(import "wasi:io/poll@0.2.12" "[resource-drop]pollable" (func $drop_pollable (param i32)))
(data (i32.const 4096) "a.example/")

(func $fetch (param $host i32) (param $host_n i32) (result i64)
  (local $request i32) (local $future i32) (local $pollable i32) (local $status i64)
  (local.set $request (call $request (call $fields)))
  (drop (call $set_scheme (local.get $request) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
  (drop (call $set_path (local.get $request) (i32.const 1) (i32.const 4105) (i32.const 1)))
  ;; 3000: the authority is none.
  (if (call $set_authority (local.get $request) (i32.const 1) (local.get $host) (local.get $host_n))
    (then (return (i64.const 3000))))
  (call $handle (local.get $request) (i32.const 0) (i32.const 0) (i32.const 16))
  (if (i32.load8_u (i32.const 16)) (then (return (i64.add (i64.const 2000) (i64.load8_u (i32.const 24))))))
  (local.set $future (i32.load (i32.const 24)))
  (call $block (local.tee $pollable (call $subscribe (local.get $future))))
  (call $drop_pollable (local.get $pollable))
  (call $get (local.get $future) (i32.const 16))
  (if (i32.load8_u (i32.const 32)) (then (return (i64.add (i64.const 1000) (i64.load8_u (i32.const 40))))))
  (local.set $status (i64.extend_i32_u (call $status (i32.load (i32.const 40)))))
  (call $drop_response (i32.load (i32.const 40)))
  (call $drop_future (local.get $future))
  (local.get $status))

(func $on_eval (param $in i32) (param $n i32) (result i32)
  (local $left i32) (local $status i64)
  (if (i32.eq (i32.load8_u (local.get $in)) (i32.const 34))
    (then
      (return (call $number
        (call $fetch (i32.add (local.get $in) (i32.const 1)) (i32.sub (local.get $n) (i32.const 2)))))))
  (local.set $left (i32.sub (i32.load8_u (local.get $in)) (i32.const 48)))
  (loop $again
    (local.set $status (call $fetch (i32.const 4096) (i32.const 9)))
    (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
  (call $number (local.get $status)))
