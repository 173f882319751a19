//! `wasi:logging`: a line of the guest's log.
//!
//! Linked by hand and not by bindings, because a line is then read where it lies in the guest's memory: a line of a
//! gigabyte costs the host no more than the part that is kept.

use std::borrow::Cow;

use wasmtime::{
    Result, StoreContextMut, ValRaw, bail,
    component::{
        __internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext},
        ComponentType, Lift, Linker, WasmStr,
    },
};

use crate::{
    log::{self, Level},
    state::State,
};

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

fn log(mut store: StoreContextMut<'_, State>, (level, context, message): (WasiLevel, Start, Start)) -> Result<()> {
    store.data_mut().count_host_call()?;
    let (context, message) = (context.read(&store)?, message.read(&store)?);
    store.data().log.say(level.into(), &context, &message);
    Ok(())
}

/// The start of a string in the guest's memory: a little more than the longest line that is kept.
///
/// wasmtime charges a guest for the whole of a string that it hands over, and stops it when that is too much. This one
/// is charged as far as it is read, so that a line of any length is cut and the guest goes on.
struct Start {
    text: WasmStr,
    /// Where `text` was cut, it may end in the middle of a character; one of these does not.
    shorter: Vec<WasmStr>,
}

/// What is read of a string: longer than any line, so that it is seen that it was cut.
const MAX_READ: u32 = log::MAX_LINE as u32 + 4;

impl Start {
    fn read<'a>(&self, store: &'a StoreContextMut<'_, State>) -> Result<Cow<'a, str>> {
        let whole = self.text.to_str(store);
        let mut shorter = self.shorter.iter().filter_map(|text| text.to_str(store).ok());
        whole.or_else(|error| shorter.next().ok_or(error))
    }

    fn lift(cx: &mut LiftContext<'_>, ty: InterfaceType, address: ValRaw, length: u32) -> Result<Self> {
        let mut text = |length: u32| WasmStr::linear_lift_from_flat(cx, ty, &[address, ValRaw::u32(length)]);
        // Past this bit is no length: some encodings keep a mark there.
        if length <= MAX_READ || 1 << 31 <= length {
            return Ok(Self { text: text(length)?, shorter: Vec::new() });
        }
        let shorter = (1..4).map(|less| text(MAX_READ - less)).collect::<Result<_>>()?;
        Ok(Self { text: text(MAX_READ)?, shorter })
    }
}

#[expect(unsafe_code, reason = "wasmtime has no other way to see a string's length before its bytes")]
// SAFETY: everything that describes the type is that of `WasmStr`.
unsafe impl ComponentType for Start {
    type Lower = <WasmStr as ComponentType>::Lower;

    const ABI: CanonicalAbiInfo = <WasmStr as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        WasmStr::typecheck(ty, types)
    }
}

#[expect(unsafe_code, reason = "see above")]
// SAFETY: the memory of the guest is read only by `WasmStr`, which checks address and length.
unsafe impl Lift for Start {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &Self::Lower) -> Result<Self> {
        let [address, length] = src;
        Self::lift(cx, ty, *address, length.get_u32())
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        let &[a, b, c, d, e, f, g, h] = bytes else { bail!("a string is an address and a length") };
        let address = ValRaw::u32(u32::from_le_bytes([a, b, c, d]));
        Self::lift(cx, ty, address, u32::from_le_bytes([e, f, g, h]))
    }
}
