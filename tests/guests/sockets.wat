;; Asks for a socket, or for the address of a name. Answers the error code of the interface, of which 1 is
;; `access-denied`; 100 stands for success. Input: `0` TCP, `1` UDP, anything else a name.
(import "wasi:sockets/tcp-create-socket@0.2.12" "create-tcp-socket" (func $tcp (param i32 i32)))
(import "wasi:sockets/udp-create-socket@0.2.12" "create-udp-socket" (func $udp (param i32 i32)))
(import "wasi:sockets/instance-network@0.2.12" "instance-network" (func $network (result i32)))
(import "wasi:sockets/ip-name-lookup@0.2.12" "resolve-addresses" (func $resolve (param i32 i32 i32 i32)))
(data (i32.const 4096) "localhost")

(func $on_eval (param $in i32) (param $n i32) (result i32)
  (local $which i32)
  (local.set $which (i32.load8_u (local.get $in)))
  (if (i32.eq (local.get $which) (i32.const 48))
    (then (call $tcp (i32.const 0) (i32.const 16)))
    (else (if (i32.eq (local.get $which) (i32.const 49))
      (then (call $udp (i32.const 0) (i32.const 16)))
      (else (call $resolve (call $network) (i32.const 4096) (i32.const 9) (i32.const 16))))))
  (if (i32.eqz (i32.load8_u (i32.const 16))) (then (return (call $number (i64.const 100)))))
  (call $number (i64.load8_u (i32.const 20))))
