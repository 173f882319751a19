//! Stand-ins for what a language's library imports whether or not a policy uses it: the environment, arguments,
//! terminals, files and sockets.
//!
//! They are made from the component's own import types, one rule for all: a function that can fail fails with the
//! interface's own "access denied", one that gives a list or an option gives an empty one, and anything else stops
//! the guest. No file, socket, variable or argument exists behind them.

use wasmtime::{
    Engine, Result, StoreContextMut,
    component::{
        Component, Linker, LinkerInstance, ResourceType, Type, Val,
        types::{ComponentFunc, ComponentItem},
    },
};

use wasmtime_wasi_io::{
    poll::DynPollable,
    streams::{DynInputStream, DynOutputStream, Error},
};

use crate::state::{State, Stopped};
use lictor_model::StopKind;

/// What a resource of a stand-in is: nothing ever makes one.
struct Nothing;

/// Interfaces that are only ever inert.
pub(super) fn is_inert(name: &str) -> bool {
    let prefixes = ["wasi:cli/environment@", "wasi:cli/terminal-", "wasi:filesystem/", "wasi:sockets/"];
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// Adds to `linker` a stand-in for every inert interface that `component` imports.
pub(crate) fn complete(linker: &mut Linker<State>, engine: &Engine, component: &Component) -> Result<()> {
    let component_type = component.component_type();
    for (name, import) in component_type.imports(engine) {
        if let ComponentItem::ComponentInstance(instance) = import.ty
            && is_inert(name)
        {
            let mut stand_in = linker.instance(name)?;
            for (item_name, item) in instance.exports(engine) {
                define(&mut stand_in, name, item_name, &item.ty)?;
            }
        }
    }
    Ok(())
}

fn define(stand_in: &mut LinkerInstance<'_, State>, interface: &str, name: &str, item: &ComponentItem) -> Result<()> {
    match item {
        ComponentItem::Resource(_) => stand_in.resource(name, resource(name), |_, _| Ok(())),
        ComponentItem::ComponentFunc(_) => {
            let called = format!("{interface}#{name}");
            stand_in.func_new(name, move |store, ty, _, results| answer(store, &called, &ty, results))
        }
        _ => Ok(()),
    }
}

/// What stands behind a resource that an inert interface speaks of. Those of `wasi:io` are real everywhere, so that a
/// component may import both; nothing here makes one of them either.
fn resource(name: &str) -> ResourceType {
    match name {
        "input-stream" => ResourceType::host::<DynInputStream>(),
        "output-stream" => ResourceType::host::<DynOutputStream>(),
        "pollable" => ResourceType::host::<DynPollable>(),
        "error" => ResourceType::host::<Error>(),
        _ => ResourceType::host::<Nothing>(),
    }
}

fn answer(mut store: StoreContextMut<'_, State>, called: &str, ty: &ComponentFunc, results: &mut [Val]) -> Result<()> {
    store.data_mut().count_host_call()?;
    for (result, ty) in results.iter_mut().zip(ty.results()) {
        let denied = || {
            Stopped::new(StopKind::DeniedCapability, format!("the policy called `{called}`, which no policy is given"))
        };
        *result = empty(&ty).ok_or_else(denied)?;
    }
    Ok(())
}

/// The emptiest value of a type, or the refusal that it can express.
fn empty(ty: &Type) -> Option<Val> {
    match ty {
        Type::List(_) => Some(Val::List(Vec::new())),
        Type::Option(_) => Some(Val::Option(None)),
        Type::Bool => Some(Val::Bool(false)),
        Type::Result(result) => match result.err() {
            Some(Type::Enum(error)) => {
                let refusals = ["access-denied", "access"];
                let refusal = error.names().find(|name| refusals.contains(name))?;
                Some(Val::Result(Err(Some(Box::new(Val::Enum(refusal.to_owned()))))))
            }
            None => Some(Val::Result(Err(None))),
            Some(_) => None,
        },
        _ => None,
    }
}
