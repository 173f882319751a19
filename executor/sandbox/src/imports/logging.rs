//! `wasi:logging`: a line of the guest's log.
//!
//! Linked by hand and not by bindings, because a line is then read where it lies in the guest's memory: a line of a
//! gigabyte costs the host no more than the part that is kept.

use wasmtime::{
    Result, StoreContextMut,
    component::{ComponentType, Lift, Linker, WasmStr},
};

use crate::{log::Level, state::State};

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "values come from the guest")]
enum WasiLevel {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

impl From<WasiLevel> for Level {
    fn from(level: WasiLevel) -> Self {
        match level {
            WasiLevel::Trace => Self::Trace,
            WasiLevel::Debug => Self::Debug,
            WasiLevel::Info => Self::Info,
            WasiLevel::Warn => Self::Warn,
            WasiLevel::Error => Self::Error,
            WasiLevel::Critical => Self::Critical,
        }
    }
}

/// Links the interface under the draft's version, and without one, as older toolchains import it.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    for name in ["wasi:logging/logging@0.1.0-draft", "wasi:logging/logging"] {
        linker.instance(name)?.func_wrap("log", log)?;
    }
    Ok(())
}

fn log(mut store: StoreContextMut<'_, State>, (level, context, message): (WasiLevel, WasmStr, WasmStr)) -> Result<()> {
    store.data_mut().count_host_call()?;
    let context = context.to_str(&store)?.into_owned();
    let message = message.to_str(&store)?.into_owned();
    store.data().log.say(level.into(), &context, &message);
    Ok(())
}
