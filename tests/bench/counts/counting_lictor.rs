//! `lictor` as it is, with an allocator that counts: each line on the standard input of `serve` is answered, on standard
//! output, with how often memory was asked for so far.

use std::{io::Read as _, process::ExitCode};

use lictor_bench::allocations::{Counting, asked};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    // Other subcommands have a use for their standard input.
    if std::env::args().nth(1).as_deref() == Some("serve") {
        std::thread::spawn(answer);
    }
    lictor::cli::main()
}

fn answer() {
    let mut byte = [0];
    while matches!(std::io::stdin().read(&mut byte), Ok(1)) {
        println!("{}", asked());
    }
}
