//! What a guest may call: every import of the world, and inert stand-ins for what a language's library asks for.
//!
//! All of it always links. What a call may do is decided when it is made, against the grant of the policy, and a
//! refusal is the error that the interface itself has for it. Nothing here opens a file or a socket for a guest but
//! [`http`], and that only to an origin that was granted.

mod host;
pub(crate) mod http;
mod inert;
mod io;
mod keyvalue;
pub(crate) mod known;
mod logging;
mod system;

use wasmtime::{
    Engine, Result,
    component::{HasData, Linker},
};
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtxView};
use wasmtime_wasi_io::bindings::wasi::io as wasi_io;

use crate::state::State;

/// The bindings of the interfaces whose host side is written here.
mod bindings {
    wasmtime::component::bindgen!({
        inline: "
            package lictor:executor;
            world guest {
                import wasi:cli/exit@0.2.12;
                import wasi:cli/stdin@0.2.12;
                import wasi:cli/stdout@0.2.12;
                import wasi:cli/stderr@0.2.12;
                import wasi:clocks/wall-clock@0.2.12;
                import wasi:clocks/monotonic-clock@0.2.12;
                import wasi:random/random@0.2.12;
                import wasi:random/insecure@0.2.12;
                import wasi:random/insecure-seed@0.2.12;
                import wasi:keyvalue/store@0.2.0-draft;
                import lictor:policy/host@1.0.0;
            }
        ",
        path: "../../wit",
        imports: { "lictor:policy/host.call": async | trappable, default: trappable },
        require_store_data_send: true,
        with: {
            "wasi:io": wasmtime_wasi_io::bindings::wasi::io,
            "wasi:keyvalue/store.bucket": super::keyvalue::Opened,
        },
    });
}

/// Gives the host traits the whole state of the store.
struct Host;

impl HasData for Host {
    type Data<'a> = &'a mut State;
}

/// A linker with every import that a policy may have. Calls are counted where wasmtime asks for the state.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    wasi_io::error::add_to_linker::<State, Host>(l, host)?;
    wasi_io::poll::add_to_linker::<State, Host>(l, host)?;
    wasi_io::streams::add_to_linker::<State, Host>(l, host)?;
    bindings::wasi::cli::exit::add_to_linker::<State, Host>(l, host)?;
    bindings::wasi::cli::stdin::add_to_linker::<State, Host>(l, host)?;
    bindings::wasi::cli::stdout::add_to_linker::<State, Host>(l, host)?;
    bindings::wasi::cli::stderr::add_to_linker::<State, Host>(l, host)?;
    bindings::wasi::clocks::wall_clock::add_to_linker::<State, Host>(l, host)?;
    bindings::wasi::clocks::monotonic_clock::add_to_linker::<State, Host>(l, host)?;
    bindings::wasi::random::random::add_to_linker::<State, Host>(l, host)?;
    bindings::wasi::random::insecure::add_to_linker::<State, Host>(l, host)?;
    bindings::wasi::random::insecure_seed::add_to_linker::<State, Host>(l, host)?;
    bindings::wasi::keyvalue::store::add_to_linker::<State, Host>(l, host)?;
    bindings::lictor::policy::host::add_to_linker::<State, Host>(l, host)?;
    logging::add_to_linker(l)?;
    let options = wasmtime_wasi_http::p2::bindings::http::types::LinkOptions::default();
    wasmtime_wasi_http::p2::bindings::http::types::add_to_linker::<State, WasiHttp>(l, &options, http_view)?;
    http::add_to_linker(l)?;
    Ok(linker)
}

/// Adds what `component` imports and no host interface of ours gives: see [`inert`].
pub(crate) use inert::complete;

fn host(state: &mut State) -> &mut State {
    state.host_calls = state.host_calls.saturating_add(1);
    state
}

fn http_view(state: &mut State) -> WasiHttpCtxView<'_> {
    let state = host(state);
    WasiHttpCtxView { hooks: &mut state.hooks, table: &mut state.table, ctx: &mut state.http_ctx }
}
