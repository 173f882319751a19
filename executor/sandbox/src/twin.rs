//! The twin of a component: the same code with nothing around it.
//!
//! What a fresh instance costs is mostly what its imports cost: every imported function is looked up, wrapped and put
//! into a table by two helper modules, whether it is ever called or not. Most calls of most policies call none. So
//! beside the component its twin is compiled: its one core module with each imported function replaced by one that
//! traps, and no imports at all. A stateless call is first made there (`attempt`). If it ends with an answer within a
//! moment, that is the answer: the same instructions ran on the same input, and nothing outside was asked. If it ends
//! in any other way it never happened, and the call is made in the component itself.
//!
//! A component gets a twin only if it can be seen from its structure that nothing but the replaced functions could
//! tell the two apart: the functions of `rule` are lifted straight from one core module that imports only functions,
//! and that nothing else of the component is given a hold of. And only if all that a call can change in an instance
//! is its memory and its globals of numbers, which the twin exports, so that an instance can be put back to what it
//! was when it was new (`spare`).

use wasm_encoder::{Encode as _, Module, RawSection, SectionId};
use wasmparser::{
    BinaryReader, CanonicalFunction, CanonicalOption, ComponentAlias, ExternalKind, FunctionBody, GlobalSectionReader,
    Instance, InstantiationArgKind, Operator, Parser, Payload, TypeRef, ValType,
};

use crate::inspect::{RULE, STATE};

/// A component of more bytes has no twin: what it saves would be little beside what such a policy does.
const MAX_BYTES: usize = 4 << 20;

/// What the name of a function that cleans up after another begins with.
pub(crate) const CLEANS_UP: &str = "cabi_post_";
/// Under which names a twin exports what a call may change beside its memory, numbered from 0.
pub(crate) const GLOBAL: &str = "lictor:global/";
/// More globals that a call may change are not put back.
const MAX_GLOBALS: usize = 16;

/// The twin of a component, a core module, if it can have one.
pub(crate) fn of(component: &[u8]) -> Option<Vec<u8>> {
    if MAX_BYTES < component.len() {
        return None;
    }
    let structure = Structure::read(component)?;
    let module = structure.rule_module(component)?;
    without_imports(module)
}

/// What can be held of an instance of a core module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held<'a> {
    instance: u32,
    name: &'a str,
}

/// A core instance: of a module, or put together from exports of others.
enum Made {
    Of { module: u32 },
    Together,
}

/// A function of the component that is lifted from a core function.
struct Lift {
    function: u32,
    options: Box<[CanonicalOption]>,
}

/// The outermost level of a component, as far as it says what is made of what.
#[derive(Default)]
struct Structure<'a> {
    modules: Vec<std::ops::Range<usize>>,
    instances: Vec<Made>,
    /// The core functions and memories, in order; those that are not an export of an instance are none.
    functions: Vec<Option<Held<'a>>>,
    memories: Vec<Option<Held<'a>>>,
    lifts: Vec<Lift>,
    /// Instances of which something was handed to another one.
    shared: Vec<u32>,
}

impl<'a> Structure<'a> {
    fn read(component: &'a [u8]) -> Option<Self> {
        let mut res = Self::default();
        let mut depth = 0usize;
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload.ok()?;
            match &payload {
                Payload::Version { .. } => depth += 1,
                Payload::End(_) => depth = depth.checked_sub(1)?,
                _ if depth == 1 => res.visit(payload)?,
                // Nested components may only pass things on: what they define is not followed.
                Payload::ComponentCanonicalSection(_) | Payload::InstanceSection(_) => return None,
                _ => {}
            }
        }
        Some(res)
    }

    fn visit(&mut self, payload: Payload<'a>) -> Option<()> {
        match payload {
            Payload::ModuleSection { unchecked_range, .. } => self.modules.push(unchecked_range),
            Payload::InstanceSection(section) => section.into_iter().try_for_each(|made| self.instance(&made.ok()?))?,
            Payload::ComponentAliasSection(section) => {
                section.into_iter().try_for_each(|alias| self.alias(&alias.ok()?))?
            }
            Payload::ComponentCanonicalSection(section) => {
                section.into_iter().try_for_each(|function| self.canonical(function.ok()?))?
            }
            _ => {}
        }
        Some(())
    }

    fn instance(&mut self, made: &Instance<'a>) -> Option<()> {
        match made {
            Instance::Instantiate { module_index, args } => {
                for arg in args {
                    let InstantiationArgKind::Instance = arg.kind;
                    self.shared.push(arg.index);
                }
                self.instances.push(Made::Of { module: *module_index });
            }
            Instance::FromExports(exports) => {
                for export in exports {
                    self.share(export.kind, export.index)?;
                }
                self.instances.push(Made::Together);
            }
        }
        Some(())
    }

    /// Notes whose function or memory goes into another instance. Anything else that goes there is not followed.
    fn share(&mut self, kind: ExternalKind, index: u32) -> Option<()> {
        let items = match kind {
            ExternalKind::Func => &self.functions,
            ExternalKind::Memory => &self.memories,
            // Tables and globals of the helper modules: whose they are is seen from the alias.
            _ => return Some(()),
        };
        self.shared.extend(items.get(usize::try_from(index).ok()?)?.map(|held| held.instance));
        Some(())
    }

    fn alias(&mut self, alias: &ComponentAlias<'a>) -> Option<()> {
        let ComponentAlias::CoreInstanceExport { kind, instance_index: instance, name } = *alias else {
            return Some(());
        };
        match kind {
            ExternalKind::Func => self.functions.push(Some(Held { instance, name })),
            ExternalKind::Memory => self.memories.push(Some(Held { instance, name })),
            // Whoever takes one out has a use for it.
            _ => self.shared.push(instance),
        }
        Some(())
    }

    fn canonical(&mut self, function: CanonicalFunction) -> Option<()> {
        match function {
            CanonicalFunction::Lift { core_func_index, options, .. } => {
                self.lifts.push(Lift { function: core_func_index, options })
            }
            CanonicalFunction::Lower { .. }
            | CanonicalFunction::ResourceDrop { .. }
            | CanonicalFunction::ResourceNew { .. }
            | CanonicalFunction::ResourceRep { .. } => self.functions.push(None),
            _ => return None,
        }
        Some(())
    }

    /// The one core module that the functions of `rule` are lifted from, if nothing else has a hold of it.
    ///
    /// No other function may be lifted but those of `state`: by their types, each of the exported functions can then
    /// only be the one of its name.
    fn rule_module(&self, component: &'a [u8]) -> Option<&'a [u8]> {
        let known = |lift: &Lift| {
            self.function(lift.function).is_some_and(|held| held.name.starts_with(RULE) || held.name.starts_with(STATE))
        };
        if !self.lifts.iter().all(known) {
            return None;
        }
        let mut found = None;
        for name in ["init", "eval", "management"] {
            let export = format!("{RULE}#{name}");
            let mut lifts =
                self.lifts.iter().filter(|lift| self.function(lift.function).is_some_and(|held| held.name == export));
            let (lift, None) = (lifts.next()?, lifts.next()) else { return None };
            let instance = self.function(lift.function)?.instance;
            self.has_usual_options(lift, instance, &export)?;
            if *found.get_or_insert(instance) != instance {
                return None;
            }
        }
        let instance = found?;
        if self.shared.contains(&instance) {
            return None;
        }
        let Made::Of { module } = self.instances.get(usize::try_from(instance).ok()?)? else { return None };
        let module = component.get(self.modules.get(usize::try_from(*module).ok()?)?.clone())?;
        // What cleans up after a function is found by its name.
        for name in ["init", "eval", "management"] {
            if exports(module, &format!("{CLEANS_UP}{RULE}#{name}"))? != self.cleans_up_after(name) {
                return None;
            }
        }
        Some(module)
    }

    fn cleans_up_after(&self, name: &str) -> bool {
        let export = format!("{RULE}#{name}");
        self.lifts.iter().any(|lift| {
            self.function(lift.function).is_some_and(|held| held.name == export)
                && lift.options.iter().any(|option| matches!(option, CanonicalOption::PostReturn(_)))
        })
    }

    fn function(&self, index: u32) -> Option<Held<'a>> {
        *self.functions.get(usize::try_from(index).ok()?)?
    }

    /// Whether a function is lifted as the twin's caller takes it to be: same memory, allocator, clean-up, UTF-8.
    fn has_usual_options(&self, lift: &Lift, instance: u32, export: &str) -> Option<()> {
        let post_return = format!("{CLEANS_UP}{export}");
        let is = |held: Option<Held<'a>>, name: &str| held == Some(Held { instance, name });
        let usual = lift.options.iter().all(|option| match option {
            CanonicalOption::UTF8 => true,
            CanonicalOption::Memory(idx) => is(self.memories.get(*idx as usize).copied().flatten(), "memory"),
            CanonicalOption::Realloc(idx) => is(self.function(*idx), "cabi_realloc"),
            CanonicalOption::PostReturn(idx) => {
                self.function(*idx).is_some_and(|held| held.instance == instance && held.name == post_return)
            }
            _ => false,
        });
        usual.then_some(())
    }
}

/// Whether a core module exports a function under this name.
fn exports(module: &[u8], name: &str) -> Option<bool> {
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ExportSection(section) = payload.ok()? {
            return section.into_iter().try_fold(false, |found, export| Some(found || export.ok()?.name == name));
        }
    }
    Some(false)
}

/// A core module whose imported functions are defined in it, at the same indices, each as a trap, and that exports
/// its globals.
fn without_imports(module: &[u8]) -> Option<Vec<u8>> {
    let mut res = Module::new();
    let (mut imported, mut globals) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.ok()?;
        match &payload {
            Payload::ImportSection(section) => imported = imported_types(section.clone())?,
            Payload::CustomSection(_) => {}
            Payload::FunctionSection(section) => {
                let types = imported.iter().flat_map(|ty: &u32| encoded(*ty)).collect::<Vec<_>>();
                let data = with_entries(module.get(section.range())?, imported.len(), &types, Where::Front)?;
                res.section(&RawSection { id: SectionId::Function.into(), data: &data });
            }
            Payload::GlobalSection(section) => {
                globals = changeable(section.clone())?;
                res.section(&RawSection { id: SectionId::Global.into(), data: module.get(section.range())? });
            }
            Payload::ExportSection(section) => {
                let entries: Vec<_> = globals.iter().enumerate().flat_map(|(n, idx)| exported(n, *idx)).collect();
                let data = with_entries(module.get(section.range())?, globals.len(), &entries, Where::Back)?;
                res.section(&RawSection { id: SectionId::Export.into(), data: &data });
            }
            Payload::CodeSectionStart { range, .. } => {
                let traps = TRAP.repeat(imported.len());
                let data = with_entries(module.get(range.clone())?, imported.len(), &traps, Where::Front)?;
                res.section(&RawSection { id: SectionId::Code.into(), data: &data });
            }
            Payload::CodeSectionEntry(body) => keeps_tables_and_segments(body)?,
            other => {
                if let Some((id, range)) = other.as_section() {
                    res.section(&RawSection { id, data: module.get(range)? });
                }
            }
        }
    }
    Some(res.finish())
}

/// A function body of three bytes: no locals, `unreachable`, `end`.
const TRAP: [u8; 4] = [3, 0x00, 0x00, 0x0b];

/// The types of the imported functions; none if anything else is imported.
fn imported_types(section: wasmparser::ImportSectionReader<'_>) -> Option<Vec<u32>> {
    section
        .into_imports()
        .map(|import| match import.ok()?.ty {
            TypeRef::Func(ty) => Some(ty),
            _ => None,
        })
        .collect()
}

/// The indices of the globals that code can change; none if one of them is no number.
fn changeable(section: GlobalSectionReader<'_>) -> Option<Vec<u32>> {
    let mut res = Vec::new();
    for (idx, global) in section.into_iter().enumerate() {
        let ty = global.ok()?.ty;
        if ty.mutable {
            if matches!(ty.content_type, ValType::Ref(_)) || MAX_GLOBALS <= res.len() {
                return None;
            }
            res.push(u32::try_from(idx).ok()?);
        }
    }
    Some(res)
}

/// An entry of the export section: a name of ours for the global `idx`.
fn exported(n: usize, idx: u32) -> Vec<u8> {
    let mut res = Vec::new();
    format!("{GLOBAL}{n}").as_str().encode(&mut res);
    wasm_encoder::ExportKind::Global.encode(&mut res);
    idx.encode(&mut res);
    res
}

/// Nothing if a function may change a table, or drop a segment: neither is put back.
fn keeps_tables_and_segments(body: &FunctionBody<'_>) -> Option<()> {
    for operator in body.get_operators_reader().ok()? {
        if let Operator::TableSet { .. }
        | Operator::TableGrow { .. }
        | Operator::TableFill { .. }
        | Operator::TableCopy { .. }
        | Operator::TableInit { .. }
        | Operator::ElemDrop { .. }
        | Operator::DataDrop { .. } = operator.ok()?
        {
            return None;
        }
    }
    Some(())
}

/// Where entries are added to a section.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    Front,
    Back,
}

/// A section's vector with `n` more entries.
fn with_entries(section: &[u8], n: usize, entries: &[u8], at: Where) -> Option<Vec<u8>> {
    let mut reader = BinaryReader::new(section, 0);
    let count = reader.read_var_u32().ok()?;
    let rest = section.get(reader.current_position()..)?;
    let count = encoded(count.checked_add(u32::try_from(n).ok()?)?);
    Some(match at {
        Where::Front => [&count, entries, rest].concat(),
        Where::Back => [&count, rest, entries].concat(),
    })
}

fn encoded(n: u32) -> Vec<u8> {
    let mut res = Vec::new();
    n.encode(&mut res);
    res
}
