;; Writes to standard output without end, 4096 bytes at a time, in one line (input `0`) or as empty lines.
(import "wasi:cli/stdout@0.2.12" "get-stdout" (func $stdout (result i32)))
(import "wasi:io/streams@0.2.12" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))

(func $on_eval (param $in i32) (param $n i32) (result i32)
  (local $out i32) (local $left i32)
  (if (i32.eq (i32.load8_u (local.get $in)) (i32.const 48))
    (then (memory.fill (i32.const 8192) (i32.const 0x78) (i32.const 4096)))
    (else (memory.fill (i32.const 8192) (i32.const 10) (i32.const 4096))))
  (local.set $out (call $stdout))
  (local.set $left (i32.const 2000))
  (loop $more
    (call $write (local.get $out) (i32.const 8192) (i32.const 4096) (i32.const 16))
    (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
  (call $null))
