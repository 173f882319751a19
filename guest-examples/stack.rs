//! The build script of every example: a small stack.
//!
//! The linker puts the stack in front of everything else in memory, 1 MiB of it unless told otherwise. 64 KiB carry
//! JSON nested as deep as it may be, and keep what an instance touches together.

fn main() {
    println!("cargo::rerun-if-changed=../stack.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        println!("cargo::rustc-link-arg-cdylib=-zstack-size=65536");
    }
}
