;; A policy whose `eval` never ends.
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
    (func (export "init") (param i32 i32 i32 i32 i32 i32) (result i32) i32.const 0)
    (func (export "eval") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (loop $again (br $again)) unreachable)
    (func (export "management") (param i32 i32 i32 i32) (result i32) unreachable))
  (core instance $i (instantiate $m))
  (type $failure-type (record (field "code" string) (field "message" string) (field "details" (option string))))
  (import "lictor:policy/types@1.0.0" (instance $types
    (type $f (record (field "code" string) (field "message" string) (field "details" (option string))))
    (export "failure" (type (eq $f)))))
  (alias export $types "failure" (type $failure))
  (func $init (param "rule-id" string) (param "settings" string) (param "parameters" string) (result (result (error $failure)))
    (canon lift (core func $i "init") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (func $eval (param "parameters" (option string)) (param "input" string) (param "call" string) (result (result string (error $failure)))
    (canon lift (core func $i "eval") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (func $management (param "action" string) (param "data" string) (result (result string (error $failure)))
    (canon lift (core func $i "management") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (instance (export "lictor:policy/rule@1.0.0")
    (export "init" (func $init)) (export "eval" (func $eval)) (export "management" (func $management))))
