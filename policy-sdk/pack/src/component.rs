//! What a compiler made, as a component.
//!
//! A core module carries its component type in custom sections that wit-bindgen left; `wit-component` turns the two
//! into a component. No adapter for WASI preview 1 is added: it would link files, sockets and an environment that no
//! policy has.

use wasmparser::{Parser, Payload, Validator};
use wit_component::ComponentEncoder;

/// Why bytes did not become a component.
#[derive(Debug, thiserror::Error)]
pub enum ComponentizeError {
    /// Neither a core module nor a component.
    #[error("not WebAssembly: the file starts with {0}")]
    NotWasm(String),
    /// A core module that is broken.
    #[error("the module is not valid: {0}")]
    Invalid(String),
    /// A core module without a component type.
    #[error(
        "the module does not say which world it implements: a policy exports `lictor:policy/rule` through \
         the SDK's `export!` or through wit-bindgen"
    )]
    NoWorld,
    /// A core module built for WASI preview 1.
    #[error(
        "the module imports `{module}` (`{name}`): build the policy for wasm32-unknown-unknown or wasm32-wasip2 instead"
    )]
    Preview1 {
        /// The module of the import.
        module: String,
        /// The first import.
        name: String,
    },
    /// The module and the world that it claims do not fit.
    #[error("the module does not fit its world: {0}")]
    Encode(String),
}

/// Returns `wasm` as a component: itself if it is one, or else made from the core module that it is.
pub fn componentize(wasm: &[u8]) -> Result<Vec<u8>, ComponentizeError> {
    if Parser::is_component(wasm) {
        return Ok(wasm.to_vec());
    }
    if !Parser::is_core_wasm(wasm) {
        return Err(ComponentizeError::NotWasm(start_of(wasm)));
    }
    // Before the encoder, whose errors are about worlds and not about bytes.
    Validator::new().validate_all(wasm).map_err(|e| ComponentizeError::Invalid(e.to_string()))?;
    check_module(wasm)?;
    // The whole chain on one line, the outermost cause first.
    let explain = |error| ComponentizeError::Encode(format!("{error:#}"));
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(wasm).map_err(explain)?;
    encoder.encode().map_err(explain)
}

fn check_module(wasm: &[u8]) -> Result<(), ComponentizeError> {
    let invalid = |e: wasmparser::BinaryReaderError| ComponentizeError::Invalid(e.to_string());
    let mut has_world = false;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(invalid)? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import.map_err(invalid)?;
                    if matches!(import.module, "wasi_snapshot_preview1" | "wasi_unstable") {
                        let (module, name) = (import.module.to_owned(), import.name.to_owned());
                        return Err(ComponentizeError::Preview1 { module, name });
                    }
                }
            }
            Payload::CustomSection(section) => has_world |= section.name().starts_with("component-type"),
            _ => {}
        }
    }
    if has_world { Ok(()) } else { Err(ComponentizeError::NoWorld) }
}

/// The first bytes, in a form that is safe to print.
fn start_of(bytes: &[u8]) -> String {
    match bytes.get(..bytes.len().min(8)) {
        None | Some([]) => "nothing".to_owned(),
        Some(start) => format!("`{}`", start.escape_ascii()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use wit_component::{StringEncoding, dummy_module, embed_component_metadata};
    use wit_parser::{ManglingAndAbi, Resolve};

    use super::*;

    /// A core module that implements a world of one function.
    pub(crate) fn core_module() -> Vec<u8> {
        let wit = "package a:b; world w { export answer: func(question: string) -> string; }";
        let mut resolve = Resolve::default();
        let package = resolve.push_str("a.wit", wit).unwrap();
        let world = resolve.select_world(&[package], None).unwrap();
        let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
        module
    }

    #[test]
    fn a_module_becomes_a_component_and_a_component_stays() {
        let component = componentize(&core_module()).unwrap();
        assert!(Parser::is_component(&component));
        Validator::new_with_features(wasmparser::WasmFeatures::all()).validate_all(&component).unwrap();
        assert_eq!(componentize(&component).unwrap(), component);
        assert_eq!(componentize(&core_module()).unwrap(), component, "the same bytes each time");
    }

    #[test]
    fn refuses_what_is_no_policy() {
        let preview1 = wat::parse_str(
            r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))"#,
        )
        .unwrap();
        let bare = wat::parse_str("(module)").unwrap();
        let mut lying = bare.clone();
        lying.extend(custom_section("component-type:x", b"no type at all"));
        let cut = core_module();
        let cut = cut.get(..cut.len() - 5).unwrap().to_vec();
        for (bytes, says) in [
            (b"".to_vec(), "starts with nothing"),
            (b"PK\x03\x04rest of it".to_vec(), r"`PK\x03\x04rest`"),
            (b"\0asm".to_vec(), "not WebAssembly"),
            (b"\0asm\x01\0\0\0\xff\xff\xff\xff\xff\xff".to_vec(), "not valid"),
            (bare, "which world"),
            (preview1, "`wasi_snapshot_preview1` (`fd_write`)"),
            (lying, "does not fit"),
            (cut, "not valid"),
        ] {
            let error = componentize(&bytes).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    /// A custom section as bytes.
    pub(crate) fn custom_section(name: &str, data: &[u8]) -> Vec<u8> {
        let mut body = leb(name.len());
        body.extend(name.as_bytes());
        body.extend(data);
        let mut section = vec![0];
        section.extend(leb(body.len()));
        section.extend(body);
        section
    }

    pub(crate) fn leb(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while 0x7f < value {
            bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }
}
