//! Functions that an application hands to a policy.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use lictor_client::{Builder, Ceiling, Error, Failure, LimitsSpec, LogLine, Recorder};
use lictor_sandbox::{HostFunctions, Instance};
use lictor_tests::{
    TestServer, eventually,
    sandbox::{Cell, Guest, finished},
};
use serde_json::json;

use super::{custom, evaluator, failed};

/// A policy that gives its input to `get_metrics`, and answers what that answers.
fn asks() -> Guest {
    Guest::new(
        "(import \"lictor:policy/host@1.0.0\" \"call\" (func $call (param i32 i32 i32 i32 i32)))
        (data (i32.const 4096) \"get_metrics\")
        (func $on_eval (param $in i32) (param $n i32) (result i32)
            (call $call (i32.const 4096) (i32.const 11) (local.get $in) (local.get $n) (i32.const 16))
            ;; What the host answers has the form of what a policy answers.
            (i32.const 16))",
    )
}

fn asking() -> Builder {
    custom(asks().component())
}

/// A call may take this long, where it is to be cut.
fn soon() -> Ceiling {
    Ceiling { timeout_ms: 100, ..Ceiling::default() }
}

/// A call may take as long as the slowest machine needs.
fn patient() -> LimitsSpec {
    LimitsSpec { timeout_ms: Some(u64::MAX), ..LimitsSpec::default() }
}

#[track_caller]
fn own_account(error: Error) -> Failure {
    match error {
        Error::Policy(failure) => failure,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_function_is_called_with_what_the_policy_gives_it_each_time() {
    let n = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&n);
    let evaluator = asking()
        .host_function("get_metrics", move |args| {
            let n = counted.fetch_add(1, Ordering::Relaxed);
            async move { Ok(json!({"args": args, "n": n})) }
        })
        .build()
        .await
        .unwrap();
    for n in 0..3 {
        let answer = evaluator.execute_policy_rule(&json!({"a": [n]})).await.unwrap();
        assert_eq!(answer, json!({"args": {"a": [n]}, "n": n}));
    }
    assert_eq!(n.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_function_needs_the_record_to_ask_for_it_and_the_application_to_have_it() {
    let server = TestServer::start();
    let code = server.put_file("asks.wasm", &asks().component());
    for (n, (asked, handed, code_seen)) in [
        (json!([]), true, "denied_capability"),
        (json!(["other"]), true, "denied_capability"),
        (json!(["get_metrics"]), false, "not_available"),
        (json!(["get_metrics"]), true, ""),
    ]
    .into_iter()
    .enumerate()
    {
        let mut record = lictor_tests::record(&format!("asks{n}"), &code);
        record["capabilities"] = json!({ "host": asked });
        let uri = server.create_policy(&record);
        let heard = Arc::new(Heard::default());
        let mut builder = evaluator(&server, &uri).recorder(Arc::clone(&heard) as Arc<dyn Recorder>);
        if handed {
            builder = builder.host_function("get_metrics", async |_| Ok(json!(7)));
        }
        let answer = builder.build().await.unwrap().execute_policy_rule(&json!({})).await;
        match code_seen {
            "" => assert_eq!(answer.unwrap(), 7),
            code => assert_eq!(own_account(failed(answer, "policy_error")).code, code, "{n}"),
        }
        let missing =
            heard.0.lock().unwrap().iter().any(|line| line.contains("`capabilities.host` with `get_metrics`"));
        assert_eq!(missing, code_seen == "denied_capability", "{n}");
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Recorder for Heard {
    fn log(&self, line: LogLine<'_>) {
        self.0.lock().unwrap().push(line.message.to_owned());
    }
}

#[tokio::test]
async fn what_goes_wrong_in_a_function_is_a_failure_that_the_policy_sees() {
    let own = || Failure { code: "no_metrics".into(), message: "nobody looked".into(), details: Some("5".into()) };
    let evaluator = asking().host_function("get_metrics", move |_| async move { Err(own()) }).build().await.unwrap();
    assert_eq!(own_account(failed(evaluator.execute_policy_rule(&json!({})).await, "policy_error")), own());

    let at_once = asking().host_function("get_metrics", |args| {
        assert!(args.is_null(), "not what the function expects");
        async { Ok(json!(1)) }
    });
    let later = asking().host_function("get_metrics", async |args| {
        tokio::task::yield_now().await;
        assert!(args.is_null(), "not what the function expects");
        Ok(json!(1))
    });
    for builder in [at_once, later] {
        let evaluator = builder.build().await.unwrap();
        let failure = own_account(failed(evaluator.execute_policy_rule(&json!(5)).await, "policy_error"));
        assert_eq!((failure.code.as_str(), failure.message.contains("panicked")), ("internal", true));
        assert_eq!(evaluator.execute_policy_rule(&json!(null)).await.unwrap(), 1, "the instance lives on");
    }
}

/// Says when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Lets other tasks have their turns until it is so.
async fn until(so: &AtomicBool) {
    while !so.load(Ordering::Acquire) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_function_that_waits_is_dropped_at_the_deadline() {
    let dropped = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&dropped);
    let evaluator = asking()
        .ceiling(soon())
        .host_function("get_metrics", move |_| {
            let guard = Dropped(Arc::clone(&seen));
            async move {
                let _held = guard;
                std::future::pending().await
            }
        })
        .build()
        .await
        .unwrap();
    let error = failed(evaluator.execute_policy_rule(&json!({})).await, "timeout");
    assert!(matches!(error, Error::Stopped { state_lost: true, .. }), "{error}");
    until(&dropped).await;
}

#[tokio::test]
async fn a_call_that_is_given_up_takes_its_function_along_and_the_next_one_is_answered() {
    let (dropped, entered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (seen, inside) = (Arc::clone(&dropped), Arc::clone(&entered));
    let function = move |args: serde_json::Value| {
        let (guard, inside) = (Dropped(Arc::clone(&seen)), Arc::clone(&inside));
        async move {
            let _held = guard;
            inside.store(true, Ordering::Release);
            if args.is_null() {
                std::future::pending::<()>().await;
            }
            Ok(args)
        }
    };
    let evaluator = asking().limits(patient()).host_function("get_metrics", function).build().await.unwrap();
    let (nothing, called) = (json!(null), until(&entered));
    tokio::select! {
        answer = evaluator.execute_policy_rule(&nothing) => panic!("{answer:?}"),
        () = called => {}
    }
    until(&dropped).await;
    assert_eq!(evaluator.execute_policy_rule(&json!(5)).await.unwrap(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_blocks_does_not_hold_up_the_call_where_there_is_another_thread() {
    let (release, held) = mpsc::channel::<()>();
    let (held, entered) = (Arc::new(Mutex::new(held)), Arc::new(AtomicBool::new(false)));
    let inside = Arc::clone(&entered);
    let evaluator = asking()
        .ceiling(soon())
        .host_function("get_metrics", move |_| {
            let (held, inside) = (Arc::clone(&held), Arc::clone(&inside));
            async move {
                inside.store(true, Ordering::Release);
                let _released = held.lock().unwrap().recv_timeout(Duration::from_secs(60));
                Ok(json!(1))
            }
        })
        .build()
        .await
        .unwrap();
    failed(evaluator.execute_policy_rule(&json!({})).await, "timeout");
    eventually("the function to be called", || if entered.load(Ordering::Acquire) { Ok(()) } else { Err(()) });
    drop(release);
}

#[tokio::test]
async fn answers_are_documents_of_a_bounded_size() {
    let answering = |text: String| {
        HostFunctions::default().with("get_metrics", move |_| {
            let text = text.clone();
            async move { Ok(text) }
        })
    };
    let cell = Cell::of(&asks()).grant(&json!({"host": ["get_metrics"]}));
    for (text, code) in [
        ("[1]".to_owned(), "ok"),
        ("".to_owned(), "bad_output"),
        ("{\"a\":".to_owned(), "bad_output"),
        ("[".repeat(129) + &"]".repeat(129), "bad_output"),
        (format!("\"{}\"", "x".repeat(2 << 20)), "output_too_large"),
    ] {
        // Both a resident instance and one for a single call, which begins in the twin.
        for instance in [cell.instance(), Instance::once(cell.policy.clone())] {
            let mut instance = instance.with_functions(answering(text.clone()));
            let run = cell.eval_in(&mut instance, "{}").await;
            match run.outcome {
                lictor_model::Outcome::Finished(answer) => assert_eq!((answer, "ok"), (text.clone(), code)),
                lictor_model::Outcome::Failed(failure) => assert_eq!(failure.code, code),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_stateless_call_calls_a_function_once_and_is_counted() {
    let n = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&n);
    let functions = HostFunctions::default().with("get_metrics", move |args| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move { Ok(args) }
    });
    assert_eq!(functions.names().collect::<Vec<_>>(), ["get_metrics"]);
    let cell = Cell::of(&asks()).grant(&json!({"host": ["get_metrics"]}));
    for calls in 1..=3 {
        let mut instance = Instance::once(cell.policy.clone()).with_functions(functions.clone());
        let run = cell.eval_in(&mut instance, "5").await;
        assert_eq!((finished(&run), run.usage.host_calls), ("5", 1));
        assert_eq!(n.load(Ordering::Relaxed), calls);
    }
}

/// What is not a document does not reach the function.
#[tokio::test]
async fn a_recorder_may_answer_instead_and_arguments_are_documents() {
    struct Canned;
    impl Recorder for Canned {
        fn log(&self, _line: LogLine<'_>) {}
        fn answer_host(&self, name: &str, args: &str) -> Option<Result<String, Failure>> {
            Some(Ok(format!("\"{name} {args}\"")))
        }
    }
    let evaluator = asking().recorder(Arc::new(Canned)).host_function("get_metrics", async |_| panic!()).build().await;
    let answer = evaluator.unwrap().execute_policy_rule(&json!(5)).await.unwrap();
    assert_eq!(answer, "get_metrics 5");
    let garbles = Guest::new(
        "(import \"lictor:policy/host@1.0.0\" \"call\" (func $call (param i32 i32 i32 i32 i32)))
        (data (i32.const 4096) \"get_metrics{\")
        (func $on_eval (param $in i32) (param $n i32) (result i32)
            (call $call (i32.const 4096) (i32.const 11) (i32.const 4107) (i32.const 1) (i32.const 16))
            (i32.const 16))",
    );
    let builder = custom(garbles.component()).host_function("get_metrics", async |_| panic!());
    let answer = builder.build().await.unwrap().execute_policy_rule(&json!({})).await;
    assert_eq!(own_account(failed(answer, "policy_error")).code, "invalid_input");
}
