;; Exports `rule` with functions that take and give a string, and nothing that may fail.
(component
  (core module $core
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "text") (param i32 i32) (result i32) (i32.const 0)))
  (core instance $made (instantiate $core))
  (func $text (param "text" string) (result string)
    (canon lift (core func $made "text") (memory (core memory $made "memory")) (realloc (core func $made "realloc"))))
  (instance $rule
    (export "init" (func $text))
    (export "eval" (func $text))
    (export "management" (func $text)))
  (export "lictor:policy/rule@1.0.0" (instance $rule)))
