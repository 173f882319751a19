//! The evaluator: one of `lictor-client`'s, the runtime that drives it, and the interpreter's lock let go meanwhile.

use std::{mem, pin::pin, process, sync::Arc, time::Duration};

use lictor_client::{Error, LocalPolicyEvaluator, Recorder};
use lictor_model::{FieldError, json};
use pyo3::{Py, PyAny, PyResult, Python, exceptions::PyRuntimeError, pyclass, pymethods};
use serde_json::Value;
use tokio::{
    runtime::{self, Runtime},
    time,
};

use crate::{heard::Heard, host, options::Options, raised::raised};

/// How often a call that takes long looks whether there is a signal, such as that of Ctrl-C.
const SLICE: Duration = Duration::from_millis(50);

/// Evaluates one policy. May be used by many threads at the same time.
#[pyclass(frozen, module = "aios_policy_sandbox._native")]
pub(crate) struct Evaluator {
    /// There until it is dropped.
    engine: Option<Engine>,
}

struct Engine {
    evaluator: LocalPolicyEvaluator,
    runtime: Runtime,
    /// The process that it was made in. A fork of that has the memory, but none of the threads.
    process: u32,
    heard: Arc<Heard>,
    log: Py<PyAny>,
}

#[pymethods]
impl Evaluator {
    /// `options` are a JSON object. `call` answers for all `functions`, and `log` takes what the policy says.
    #[new]
    #[pyo3(signature = (options, functions, call, log, component=None))]
    fn new(
        py: Python<'_>,
        options: &str,
        functions: Vec<String>,
        call: Py<PyAny>,
        log: Py<PyAny>,
        component: Option<&[u8]>,
    ) -> PyResult<Self> {
        let heard = Arc::new(Heard::default());
        let builder = Options::read(options)?.builder(component)?.recorder(Arc::clone(&heard) as Arc<dyn Recorder>);
        let builder = host::functions(builder, functions, call);
        // One thread beside the caller's, for what is not the call itself: connections, and functions that wait for
        // theirs.
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).thread_name("lictor").enable_all().build();
        let runtime = runtime.map_err(|error| PyRuntimeError::new_err(format!("no runtime: {error}")))?;
        let made = wait(py, &runtime, &heard, &log, builder.build());
        match made {
            Ok(evaluator) => {
                Ok(Self { engine: Some(Engine { evaluator, runtime, process: process::id(), heard, log }) })
            }
            Err(error) => {
                // Dropped, it would wait for functions that want the lock which this thread has.
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// The decision about a document, as JSON text both.
    fn execute(&self, py: Python<'_>, input: &str) -> PyResult<String> {
        let engine = self.engine()?;
        engine.wait(py, async {
            let input = document("input_data", input)?;
            Ok(engine.evaluator.execute_policy_rule(&input).await?.to_string())
        })
    }

    /// The result of a management command, as JSON text both.
    fn manage(&self, py: Python<'_>, action: &str, data: &str) -> PyResult<String> {
        let engine = self.engine()?;
        engine.wait(py, async {
            let data = document("mgmt_data", data)?;
            Ok(engine.evaluator.execute_mgmt_command(action, &data).await?.to_string())
        })
    }
}

impl Evaluator {
    fn engine(&self) -> PyResult<&Engine> {
        let why = "this evaluator was made before the process was forked, and its threads are not here: \
                   make one in each process";
        let here = self.engine.as_ref().filter(|engine| engine.process == process::id());
        here.ok_or_else(|| PyRuntimeError::new_err(why))
    }
}

impl Engine {
    fn wait<T: Send>(&self, py: Python<'_>, call: impl Future<Output = Result<T, Error>> + Send) -> PyResult<T> {
        wait(py, &self.runtime, &self.heard, &self.log, call)
    }
}

/// Drives a call without the interpreter's lock.
///
/// CANCEL: a signal whose handler raises ends the call where it stands.
fn wait<T: Send>(
    py: Python<'_>,
    runtime: &Runtime,
    heard: &Heard,
    log: &Py<PyAny>,
    call: impl Future<Output = Result<T, Error>> + Send,
) -> PyResult<T> {
    let mut call = pin!(call);
    loop {
        let slice = async { time::timeout(SLICE, call.as_mut()).await };
        let answer = py.detach(|| runtime.block_on(slice));
        heard.tell(py, log);
        match answer {
            Ok(answer) => return answer.map_err(raised),
            Err(_) => py.check_signals()?,
        }
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        let Some(engine) = self.engine.take() else { return };
        if engine.process != process::id() {
            // Giving it up would wait for threads that a fork does not have.
            mem::forget(engine);
            return;
        }
        let Engine { evaluator, runtime, .. } = engine;
        drop(evaluator);
        // Dropped, it would wait for functions that want the lock which this thread has.
        runtime.shutdown_background();
    }
}

fn document(argument: &str, text: &str) -> Result<Value, Error> {
    Ok(json::parse(text).map_err(|error| FieldError::new(argument, error.to_string()))?)
}
