//! Every function that the linker offers, called by a guest that was granted nothing.
//!
//! What is offered is read from where the linker has it: the interfaces from the sandbox's own table, their functions
//! from the contract that its bindings are made of, which must be the one that wasmtime's are made of. A function is
//! either listed here as real for everybody, or it is called and must answer with its interface's own refusal or with
//! nothing. One that comes later is neither, and fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use lictor_model::{Outcome, StopKind};
use lictor_sandbox::{Op, Provision, Run};
use lictor_tests::{
    repository,
    sandbox::{Cell, Guest},
};
use serde_json::{Value, json};
use wit_parser::{
    Function, Handle, Resolve, SizeAlign, Type, TypeDefKind, TypeId,
    abi::{AbiVariant, WasmType},
};

/// What every policy has: clocks, chance, its own log, standard streams into that log, its own end, and what requests,
/// streams and waiting are put together of, none of which reaches anything by itself.
const REAL: &str = include_str!("../../data/real_functions.txt");

/// Where a function lowers its result to, and from where the guest answers.
const RESULT: usize = 16;

struct Offered {
    resolve: Resolve,
    sizes: SizeAlign,
    /// The functions by interface, as a component imports it, and name.
    functions: BTreeMap<(String, String), Function>,
}

fn offered() -> Offered {
    let mut resolve = Resolve::default();
    resolve.push_dir(repository().join("wit")).unwrap_or_else(|error| panic!("{error:#}"));
    let mut functions = BTreeMap::new();
    for name in Provision::interfaces() {
        let known = resolve.interfaces.iter().find(|(id, _)| resolve.id_of(*id).as_deref() == Some(name.as_str()));
        // Older tools import one without a version: the same functions.
        let Some((_, interface)) = known else {
            assert_eq!(name, "wasi:logging/logging", "the contract has no interface `{name}`");
            continue;
        };
        let all = interface.functions.iter();
        functions.extend(all.map(|(function, it)| ((name.clone(), function.clone()), it.clone())));
    }
    let mut sizes = SizeAlign::default();
    sizes.fill(&resolve).unwrap_or_else(|error| panic!("{error:#}"));
    Offered { resolve, sizes, functions }
}

/// The functions of the list, as `interface function` without versions.
fn real() -> BTreeSet<(String, String)> {
    let lines = REAL.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').expect("an interface and a function")).map(owned).collect()
}

fn owned((interface, function): (&str, &str)) -> (String, String) {
    (interface.to_owned(), function.to_owned())
}

fn unversioned(interface: &str) -> &str {
    interface.split('@').next().unwrap()
}

impl Offered {
    fn is_real(&self, (interface, function): &(String, String)) -> bool {
        real().contains(&owned((unversioned(interface), function)))
    }

    fn target(&self, id: TypeId) -> TypeId {
        match &self.resolve.types[id].kind {
            TypeDefKind::Type(Type::Id(other)) => self.target(*other),
            _ => id,
        }
    }

    /// The resources that a value of this type brings along. Not those of an error: nothing fails that is real for
    /// everybody.
    fn resources(&self, ty: &Type, found: &mut BTreeSet<TypeId>) {
        let Type::Id(id) = ty else { return };
        match &self.resolve.types[self.target(*id)].kind {
            TypeDefKind::Handle(Handle::Own(id) | Handle::Borrow(id)) => {
                found.insert(self.target(*id));
            }
            TypeDefKind::Option(inner) | TypeDefKind::List(inner) => self.resources(inner, found),
            TypeDefKind::Result(both) => both.ok.iter().for_each(|ty| self.resources(ty, found)),
            TypeDefKind::Tuple(tuple) => tuple.types.iter().for_each(|ty| self.resources(ty, found)),
            TypeDefKind::Record(record) => record.fields.iter().for_each(|field| self.resources(&field.ty, found)),
            TypeDefKind::Variant(variant) => {
                variant.cases.iter().filter_map(|case| case.ty).for_each(|ty| self.resources(&ty, found));
            }
            _ => {}
        }
    }

    /// The resources that a function must be given, all of them.
    fn needs(&self, function: &Function) -> BTreeSet<TypeId> {
        let mut found = BTreeSet::new();
        let always = |ty: &&Type| matches!(ty, Type::Id(id) if matches!(self.resolve.types[self.target(*id)].kind, TypeDefKind::Handle(_)));
        function.params.iter().map(|param| &param.ty).filter(always).for_each(|ty| self.resources(ty, &mut found));
        found
    }

    /// The resources that a guest can come to have by what is real for everybody.
    fn at_hand(&self) -> BTreeSet<TypeId> {
        let mut found = BTreeSet::new();
        loop {
            let before = found.len();
            for (key, function) in &self.functions {
                if self.is_real(key) && self.needs(function).is_subset(&found) {
                    function.result.iter().for_each(|ty| self.resources(ty, &mut found));
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }

    /// A guest that calls the function with nothing, and answers the eight bytes of its result that its input, a digit,
    /// names.
    fn guest(&self, (interface, name): &(String, String), function: &Function) -> Guest {
        let signature = self.resolve.wasm_signature(AbiVariant::GuestImport, function);
        let kind = |ty: &WasmType| match ty {
            WasmType::I64 | WasmType::PointerOrI64 => "i64",
            WasmType::F32 => "f32",
            WasmType::F64 => "f64",
            _ => "i32",
        };
        let kinds: Vec<&str> = signature.params.iter().map(kind).collect();
        let mut arguments: Vec<String> = kinds.iter().map(|kind| format!("({kind}.const 0)")).collect();
        // Zeros too, and none of a guest's own.
        if signature.indirect_params {
            arguments[0] = "(i32.const 40960)".into();
        }
        if signature.retptr {
            *arguments.last_mut().unwrap() = format!("(i32.const {RESULT})");
        }
        let (imports, made) = self.made(function);
        if made {
            arguments[0] = "(call $made)".into();
        }
        let called = format!("(call $called {})", arguments.join(" "));
        let kept = match signature.results.first().map(kind) {
            None => called,
            Some("i32") => format!("(i32.store (i32.const {RESULT}) {called})"),
            Some(other) => format!("({other}.store (i32.const {RESULT}) {called})"),
        };
        let result = signature.results.first().map_or(String::new(), |ty| format!("(result {})", kind(ty)));
        let params = kinds.join(" ");
        Guest::new(format!(
            "(import \"{interface}\" \"{name}\" (func $called (param {params}) {result}))
            {imports}
            (func $on_eval (param $in i32) (param $n i32) (result i32)
                (i64.store (i32.const {RESULT}) (i64.const -1))
                {kept}
                (call $number (i64.load (i32.add (i32.const {RESULT})
                    (i32.shl (i32.sub (i32.load8_u (local.get $in)) (i32.const 48)) (i32.const 3))))))
"
        ))
    }

    /// What makes the resource that a function wants first, if that can be had.
    fn made(&self, function: &Function) -> (String, bool) {
        let needs = self.needs(function);
        let named = |id: &TypeId| self.resolve.types[*id].name.as_deref() == Some("outgoing-request");
        if !needs.iter().any(named) {
            return (String::new(), false);
        }
        let imports = "(import \"wasi:http/types@0.2.12\" \"[constructor]fields\" (func $fields (result i32)))
            (import \"wasi:http/types@0.2.12\" \"[constructor]outgoing-request\" (func $request (param i32) (result i32)))
            (import \"wasi:http/types@0.2.12\" \"[method]outgoing-request.set-scheme\"
                (func $set_scheme (param i32 i32 i32 i32 i32) (result i32)))
            (import \"wasi:http/types@0.2.12\" \"[method]outgoing-request.set-authority\"
                (func $set_authority (param i32 i32 i32 i32) (result i32)))
            (data (i32.const 4096) \"a.example\")
            (func $made (result i32)
                (local $request i32)
                (local.set $request (call $request (call $fields)))
                (drop (call $set_scheme (local.get $request) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
                (drop (call $set_authority (local.get $request) (i32.const 1) (i32.const 4096) (i32.const 9)))
                (local.get $request))";
        (imports.to_owned(), true)
    }
}

/// What a function answered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// An error of the interface, by its name.
    Refused(String),
    /// An empty list, no option, false, an error that says nothing.
    Empty,
    /// The call was stopped: the interface has no error, and no policy is given this.
    Denied,
    /// The resource that it is a method of cannot be had.
    NoHandle,
    /// Something else.
    Real(String),
}

impl Offered {
    async fn call(&self, key: &(String, String)) -> Answer {
        let function = &self.functions[key];
        let cell = Cell::of(&self.guest(key, function)).grant(&json!({"context": false}));
        let mut words = Vec::new();
        for digit in ["0", "1", "2"] {
            let run = ask(&cell, digit).await;
            match &run.outcome {
                Outcome::Finished(word) => words.push(word.parse::<u64>().unwrap()),
                Outcome::Stopped(stop) if stop.kind == StopKind::DeniedCapability => return Answer::Denied,
                Outcome::Stopped(stop) if stop.kind == StopKind::Trap && stop.message.contains("handle") => {
                    return Answer::NoHandle;
                }
                _ => return Answer::Real(format!("{run:?}")),
            }
        }
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        function.result.map_or(Answer::Real("nothing".into()), |ty| self.read(&ty, &bytes))
    }

    fn read(&self, ty: &Type, bytes: &[u8]) -> Answer {
        let real = || Answer::Real(format!("{bytes:?}"));
        let Type::Id(id) = ty else {
            return if *ty == Type::Bool && bytes[0] == 0 { Answer::Empty } else { real() };
        };
        match &self.resolve.types[self.target(*id)].kind {
            TypeDefKind::List(_) if bytes[4..8] == [0; 4] => Answer::Empty,
            TypeDefKind::Option(_) if bytes[0] == 0 => Answer::Empty,
            TypeDefKind::Result(both) if bytes[0] == 1 => match &both.err {
                None => Answer::Empty,
                Some(error) => {
                    let at = self.sizes.payload_offset(wit_parser::Int::U8, [both.ok.as_ref(), both.err.as_ref()]);
                    self.error(error, &bytes[at.size_wasm32()..])
                }
            },
            _ => real(),
        }
    }

    /// The name of an error.
    fn error(&self, ty: &Type, bytes: &[u8]) -> Answer {
        let Type::Id(id) = ty else { return Answer::Real(format!("{bytes:?}")) };
        let case = usize::from(bytes[0]);
        match &self.resolve.types[self.target(*id)].kind {
            TypeDefKind::Enum(all) => Answer::Refused(all.cases[case].name.clone()),
            TypeDefKind::Variant(all) => Answer::Refused(all.cases[case].name.clone()),
            // The failure of a policy: its code is text, and how long that is tells it from `not_available`.
            TypeDefKind::Record(_) => Answer::Refused(format!("{} letters", bytes[4])),
            _ => Answer::Real(format!("{bytes:?}")),
        }
    }
}

async fn ask(cell: &Cell, input: &str) -> Run {
    cell.ask(&mut cell.instance(), Op::Eval { parameters: None, input }).await.expect("the call could be made")
}

// attacks 31, 34, 36, 102
#[tokio::test]
async fn every_function_that_is_offered_is_refused_empty_or_listed_as_real() {
    let offered = offered();
    let at_hand = offered.at_hand();
    let mut wrong = Vec::new();
    let mut counts = BTreeMap::<&str, usize>::new();
    for (key, function) in &offered.functions {
        if offered.is_real(key) {
            *counts.entry("real").or_default() += 1;
            continue;
        }
        let can_be_had = offered.needs(function).is_subset(&at_hand);
        let answer = offered.call(key).await;
        let provision = Provision::of(&key.0);
        let fine = match (&answer, &provision) {
            (Answer::NoHandle, Provision::Granted(_) | Provision::Inert) => !can_be_had,
            (Answer::Refused(name), Provision::Granted("http")) => name == "HTTP-request-denied",
            (Answer::Refused(name), Provision::Granted("context")) => name == "access-denied",
            (Answer::Refused(code), Provision::Granted("host")) => {
                *code == format!("{} letters", "denied_capability".len())
            }
            (Answer::Refused(name), Provision::Inert) => name == "access-denied" || name == "access",
            (Answer::Empty | Answer::Denied, Provision::Inert) => true,
            _ => false,
        };
        let kind = match provision {
            Provision::Granted(_) => "granted",
            Provision::Inert => "inert",
            Provision::Host | Provision::Outside(_) => "neither",
        };
        *counts.entry(kind).or_default() += 1;
        if !fine {
            wrong.push(format!("{} {}: {provision:?}, {answer:?}", key.0, key.1));
        }
    }
    assert!(
        wrong.is_empty(),
        "neither granted, inert nor listed in tests/data/real_functions.txt:\n{}",
        wrong.join("\n")
    );
    assert!(
        100 <= offered.functions.len() && counts.contains_key("granted") && counts.contains_key("inert"),
        "{counts:?}"
    );
}

// attack 102
#[tokio::test]
async fn what_is_listed_as_real_is_offered_and_no_more() {
    let offered = offered();
    let there: BTreeSet<_> =
        offered.functions.keys().map(|(name, function)| owned((unversioned(name), function))).collect();
    let listed = real();
    assert_eq!(listed.difference(&there).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "are not offered");
    // All of it is there: each links.
    for key in offered.functions.keys().filter(|key| offered.is_real(key)) {
        drop(Cell::of(&offered.guest(key, &offered.functions[key])));
    }
    for (interface, function) in offered.functions.keys() {
        let expected = matches!(Provision::of(interface), Provision::Host);
        let key = owned((unversioned(interface), function));
        assert_eq!(listed.contains(&key), expected, "{interface} {function}");
    }
}

// attack 102: the contract is that of the bindings which are not made here, and what is linked by hand is in it.
#[test]
fn the_contract_names_everything_that_is_linked() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let asked = ["metadata", "--offline", "--locked", "--format-version", "1"];
    let output = Command::new(cargo).args(asked).current_dir(repository()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (package, file) in [("wasmtime-wasi-http", "http.wit"), ("wasmtime-wasi-io", "io.wit")] {
        let found = metadata["packages"].as_array().unwrap().iter().find(|found| found["name"] == package).unwrap();
        let folder = std::path::Path::new(found["manifest_path"].as_str().unwrap()).parent().unwrap();
        let theirs = fs::read_to_string(folder.join("wit/deps").join(file)).unwrap();
        let ours = fs::read_to_string(repository().join("wit/deps").join(file)).unwrap();
        assert!(theirs == ours, "wit/deps/{file} is not what {package} is made of");
    }
    let by_hand: BTreeSet<String> = crate::tidy::files("executor/sandbox/src/imports", ".rs")
        .iter()
        .flat_map(|(_, text)| {
            text.split(".func_wrap").skip(1).map(|rest| rest.split('"').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(by_hand, BTreeSet::from(["[method]future-incoming-response.get", "handle", "log"].map(str::to_owned)));
}
