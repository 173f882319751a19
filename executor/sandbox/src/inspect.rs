//! What a file is, before anything of it is compiled.
//!
//! One pass over the sections gives the facts that decide whether a component is compiled at all, and what
//! `lictor inspect` shows. A component that is too large, exports the wrong things or imports something outside the
//! world is refused here, by name.

use std::collections::BTreeMap;

use lictor_model::Digest;
use wasmparser::{ComponentExternalKind, ComponentTypeRef, Encoding, Parser, Payload, Validator, WasmFeatures};

use crate::{engine::refused_features, imports::known};

/// The exported interface that makes a component a policy.
pub(crate) const RULE: &str = "lictor:policy/rule@1.0.0";
/// The exported interface of a policy whose instances can be replaced.
pub(crate) const STATE: &str = "lictor:policy/state@1.0.0";
/// The custom section that carries a policy's JSON schemas.
const SCHEMAS: &str = "lictor:schemas";
const MAX_SCHEMAS: usize = 1 << 20;

/// What a component is made of.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The sha256 of the component.
    pub digest: Digest,
    /// Size of the component in bytes.
    pub size: usize,
    /// Interfaces it imports, in order, with versions.
    pub imports: Vec<String>,
    /// Interfaces and functions it exports.
    pub exports: Vec<String>,
    /// Core functions defined.
    pub functions: u64,
    /// Core modules.
    pub modules: u64,
    /// Linear memory it starts with, in bytes, all memories together.
    pub initial_memory_bytes: u64,
    /// The JSON schemas it carries: an object with `settings`, `parameters`, `input` and `output`.
    pub schemas: Option<String>,
}

/// How large a component may be. Above that it is `too_complex`.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of the component.
    pub bytes: usize,
    /// Core functions, all modules together.
    pub functions: u64,
    /// Bytes of one function's body.
    pub function_bytes: usize,
    /// Core modules.
    pub modules: u64,
    /// Instances, core and component.
    pub instances: u64,
    /// Types, imports and exports, each, all levels together.
    pub items: u64,
    /// Nesting of components.
    pub depth: usize,
    /// Elements that a table starts with.
    pub table_elements: u64,
    /// Linear memory that it starts with, in bytes.
    pub initial_memory_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            functions: 60_000,
            function_bytes: 1 << 20,
            modules: 32,
            instances: 512,
            items: 50_000,
            depth: 4,
            table_elements: 20_000,
            initial_memory_bytes: 512 << 20,
        }
    }
}

/// Why a file is not accepted as a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The stable code.
    pub code: RefusalCode,
    /// What is wrong, naming it.
    pub message: String,
}

/// The codes of [`Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    /// Not a WebAssembly component.
    NotAComponent,
    /// A component without what a policy exports.
    MissingExport,
    /// It imports something outside the world.
    UnknownImport,
    /// Too large in some way.
    TooComplex,
}

impl Refusal {
    pub(crate) fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn malformed(error: &wasmparser::BinaryReaderError) -> Self {
        Self::new(RefusalCode::NotAComponent, format!("not a valid component: {error}"))
    }
}

impl Facts {
    /// Reads a component within `bounds` and checks that it is a policy.
    pub fn read(component: &[u8], bounds: &Bounds) -> Result<Self, Refusal> {
        let facts = Self::survey(component, bounds)?;
        facts.check_imports()?;
        facts.check_exports()?;
        let mut features = WasmFeatures::default();
        for feature in refused_features() {
            features.remove(feature);
        }
        Validator::new_with_features(features).validate_all(component).map_err(|error| Refusal::malformed(&error))?;
        Ok(facts)
    }

    /// Reads what a component is made of without asking whether it is a policy.
    pub fn survey(component: &[u8], bounds: &Bounds) -> Result<Self, Refusal> {
        refuse_other_kinds(component)?;
        let mut survey = Survey::new(bounds);
        survey.within("bytes", component.len() as u64, bounds.bytes as u64)?;
        for payload in Parser::new(0).parse_all(component) {
            survey.visit(payload.map_err(|error| Refusal::malformed(&error))?)?;
        }
        Ok(Self {
            digest: Digest::of(component),
            size: component.len(),
            imports: survey.imports,
            exports: survey.exports,
            functions: survey.functions,
            modules: survey.modules,
            initial_memory_bytes: survey.initial_memory_bytes,
            schemas: survey.schemas,
        })
    }

    fn check_imports(&self) -> Result<(), Refusal> {
        for name in &self.imports {
            known::check(name).map_err(|why| Refusal::new(RefusalCode::UnknownImport, why))?;
        }
        Ok(())
    }

    fn check_exports(&self) -> Result<(), Refusal> {
        if self.exports.iter().any(|name| name == RULE) {
            return Ok(());
        }
        let exported = if self.exports.is_empty() { "nothing".into() } else { self.exports.join("`, `") };
        Err(Refusal::new(
            RefusalCode::MissingExport,
            format!("a policy exports `{RULE}`; this component exports `{exported}`"),
        ))
    }

    /// Whether it imports the interface `name`, in any version.
    pub fn uses(&self, name: &str) -> bool {
        self.imports.iter().any(|import| import.split('@').next() == Some(name))
    }
}

/// Names the usual things that are handed in by mistake.
fn refuse_other_kinds(bytes: &[u8]) -> Result<(), Refusal> {
    let not = |what: &str| Err(Refusal::new(RefusalCode::NotAComponent, what));
    if Parser::is_component(bytes) {
        return Ok(());
    }
    if Parser::is_core_wasm(bytes) {
        return not(
            "a core WebAssembly module, not a component: build it for wasm32-wasip2, or let `lictor pack` wrap it",
        );
    }
    if bytes.starts_with(b"\x7fELF") {
        return not("native code, not a component: precompiled artifacts are never loaded");
    }
    if bytes.trim_ascii_start().starts_with(b"(") {
        return not("WebAssembly text, not a component: only the binary form is accepted");
    }
    if bytes.is_empty() {
        return not("an empty file, not a component");
    }
    not("not a WebAssembly component")
}

/// Counts while the sections go by.
struct Survey<'a> {
    bounds: &'a Bounds,
    /// What each enclosing level is; empty at the outermost component.
    levels: Vec<Encoding>,
    imports: Vec<String>,
    exports: Vec<String>,
    functions: u64,
    modules: u64,
    initial_memory_bytes: u64,
    schemas: Option<String>,
    counts: BTreeMap<&'static str, u64>,
}

impl<'a> Survey<'a> {
    fn new(bounds: &'a Bounds) -> Self {
        Self {
            bounds,
            levels: Vec::new(),
            imports: Vec::new(),
            exports: Vec::new(),
            functions: 0,
            modules: 0,
            initial_memory_bytes: 0,
            schemas: None,
            counts: BTreeMap::new(),
        }
    }

    fn within(&self, what: &str, n: u64, most: u64) -> Result<(), Refusal> {
        if n <= most {
            return Ok(());
        }
        Err(Refusal::new(
            RefusalCode::TooComplex,
            format!("the component has {n} {what}, more than the {most} that are accepted"),
        ))
    }

    fn count(&mut self, what: &'static str, n: u32, most: u64) -> Result<(), Refusal> {
        let count = self.counts.entry(what).or_default();
        *count = count.saturating_add(u64::from(n));
        let count = *count;
        self.within(what, count, most)
    }

    fn visit(&mut self, payload: Payload<'_>) -> Result<(), Refusal> {
        let items = self.bounds.items;
        match payload {
            Payload::Version { encoding, .. } => self.enter(encoding),
            Payload::End(_) => {
                self.levels.pop();
                Ok(())
            }
            Payload::ComponentImportSection(section) => {
                self.count("imports", section.count(), items)?;
                self.component_imports(section)
            }
            Payload::ComponentExportSection(section) => {
                self.count("exports", section.count(), items)?;
                self.component_exports(section)
            }
            Payload::TypeSection(section) => self.count("types", section.count(), items),
            Payload::ComponentTypeSection(section) => self.count("types", section.count(), items),
            Payload::CoreTypeSection(section) => self.count("types", section.count(), items),
            Payload::ImportSection(section) => self.count("imports", section.count(), items),
            Payload::ExportSection(section) => self.count("exports", section.count(), items),
            Payload::GlobalSection(section) => self.count("globals", section.count(), items),
            Payload::DataSection(section) => self.count("data segments", section.count(), items),
            Payload::ElementSection(section) => self.count("element segments", section.count(), items),
            Payload::ComponentCanonicalSection(section) => self.count("canonical functions", section.count(), items),
            Payload::ComponentAliasSection(section) => self.count("aliases", section.count(), items),
            Payload::InstanceSection(section) => self.count("instances", section.count(), self.bounds.instances),
            Payload::ComponentInstanceSection(section) => {
                self.count("instances", section.count(), self.bounds.instances)
            }
            Payload::FunctionSection(section) => {
                self.functions = self.functions.saturating_add(u64::from(section.count()));
                self.within("functions", self.functions, self.bounds.functions)
            }
            Payload::CodeSectionEntry(body) => {
                let size = body.range().len();
                self.within("bytes in one function", size as u64, self.bounds.function_bytes as u64)
            }
            Payload::MemorySection(section) => self.memories(section),
            Payload::TableSection(section) => self.tables(section),
            Payload::ComponentStartSection { .. } => Err(Refusal::new(
                RefusalCode::NotAComponent,
                "the component has a start section, which is not supported",
            )),
            Payload::CustomSection(section) if section.name() == SCHEMAS && section.data().len() <= MAX_SCHEMAS => {
                let text =
                    std::str::from_utf8(section.data()).ok().filter(|text| lictor_model::json::check(text).is_ok());
                self.schemas = text.map(str::to_owned).or_else(|| self.schemas.take());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn enter(&mut self, encoding: Encoding) -> Result<(), Refusal> {
        self.levels.push(encoding);
        if encoding == Encoding::Module {
            self.modules = self.modules.saturating_add(1);
            return self.within("core modules", self.modules, self.bounds.modules);
        }
        self.within("levels of nesting", self.levels.len() as u64, self.bounds.depth as u64)
    }

    fn outermost(&self) -> bool {
        self.levels.len() == 1
    }

    fn component_imports(&mut self, section: wasmparser::ComponentImportSectionReader<'_>) -> Result<(), Refusal> {
        if !self.outermost() {
            return Ok(());
        }
        for import in section {
            let import = import.map_err(|error| Refusal::malformed(&error))?;
            let name = import.name.name;
            match import.ty {
                ComponentTypeRef::Instance(_) | ComponentTypeRef::Func(_) => self.imports.push(name.to_owned()),
                ComponentTypeRef::Type(_) => {}
                _ => {
                    let why = format!("the import `{name}` is a module, a component or a value, which no host gives");
                    return Err(Refusal::new(RefusalCode::UnknownImport, why));
                }
            }
        }
        Ok(())
    }

    fn component_exports(&mut self, section: wasmparser::ComponentExportSectionReader<'_>) -> Result<(), Refusal> {
        if !self.outermost() {
            return Ok(());
        }
        for export in section {
            let export = export.map_err(|error| Refusal::malformed(&error))?;
            if matches!(export.kind, ComponentExternalKind::Instance | ComponentExternalKind::Func) {
                self.exports.push(export.name.name.to_owned());
            }
        }
        Ok(())
    }

    fn memories(&mut self, section: wasmparser::MemorySectionReader<'_>) -> Result<(), Refusal> {
        for memory in section {
            let memory = memory.map_err(|error| Refusal::malformed(&error))?;
            let page = 1u64.checked_shl(memory.page_size_log2.unwrap_or(16)).unwrap_or(u64::MAX);
            self.initial_memory_bytes = self.initial_memory_bytes.saturating_add(memory.initial.saturating_mul(page));
        }
        self.within("bytes of initial memory", self.initial_memory_bytes, self.bounds.initial_memory_bytes)
    }

    fn tables(&mut self, section: wasmparser::TableSectionReader<'_>) -> Result<(), Refusal> {
        for table in section {
            let table = table.map_err(|error| Refusal::malformed(&error))?;
            self.within("elements in one table", table.ty.initial, self.bounds.table_elements)?;
        }
        Ok(())
    }
}
