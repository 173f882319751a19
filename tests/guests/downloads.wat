;; Sends `GET http://…/` to the authority that its input, a JSON string, names, and reads the body to its end. Answers how
;; many bytes there were; where they ended with an error, a million million more; and 2000 or 1000 and the number of the
;; error code when there was no response.
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
(import "wasi:http/types@0.2.12" "[method]incoming-response.consume" (func $consume (param i32 i32)))
(import "wasi:http/types@0.2.12" "[method]incoming-body.stream" (func $stream (param i32 i32)))
(import "wasi:io/streams@0.2.12" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
(import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))

(data (i32.const 4096) "/")

(func $on_eval (param $in i32) (param $n i32) (result i32)
  (local $request i32) (local $future i32) (local $stream i32) (local $total i64) (local $heap i32)
  (local.set $request (call $request (call $fields)))
  (drop (call $set_scheme (local.get $request) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
  (drop (call $set_authority (local.get $request) (i32.const 1)
    (i32.add (local.get $in) (i32.const 1)) (i32.sub (local.get $n) (i32.const 2))))
  (drop (call $set_path (local.get $request) (i32.const 1) (i32.const 4096) (i32.const 1)))
  (call $handle (local.get $request) (i32.const 0) (i32.const 0) (i32.const 16))
  (if (i32.load8_u (i32.const 16))
    (then (return (call $number (i64.add (i64.const 2000) (i64.load8_u (i32.const 24)))))))
  (local.set $future (i32.load (i32.const 24)))
  (call $block (call $subscribe (local.get $future)))
  (call $get (local.get $future) (i32.const 16))
  (if (i32.load8_u (i32.const 32))
    (then (return (call $number (i64.add (i64.const 1000) (i64.load8_u (i32.const 40)))))))
  (call $consume (i32.load (i32.const 40)) (i32.const 16))
  (call $stream (i32.load (i32.const 20)) (i32.const 16))
  (local.set $stream (i32.load (i32.const 20)))
  (local.set $heap (global.get $heap))
  (loop $more
    ;; What was read is not kept.
    (global.set $heap (local.get $heap))
    (call $read (local.get $stream) (i64.const 65536) (i32.const 16))
    (if (i32.eqz (i32.load8_u (i32.const 16)))
      (then
        (local.set $total (i64.add (local.get $total) (i64.load32_u (i32.const 24))))
        (br $more))))
  ;; `closed` is the end; the other one is an error.
  (if (i32.eqz (i32.load8_u (i32.const 20)))
    (then (local.set $total (i64.add (local.get $total) (i64.const 1000000000000)))))
  (call $number (local.get $total)))
