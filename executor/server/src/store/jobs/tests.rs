//! The schedule of jobs, on both databases.

use super::{
    super::tests::{Place, ids_by},
    *,
};
use lictor_model::{Time, job::Submit};

fn job(id: &str) -> Job {
    let submit = json!({"name": "n\u{0}", "policy_rule_uri": "a:1-b", "inputs": "\u{0} \u{1} ü"});
    Job::new(id.into(), Submit::parse(submit).unwrap(), "e".into(), 60, Time::from_millis(0))
}

fn new(id: &str, owner: &str, stage: Stage) -> JobWrite {
    JobWrite::New(NewJob::new(&job(id), owner.into(), stage))
}

async fn write(store: &Store, write: JobWrite) -> bool {
    store.write_jobs(&[&write]).await.unwrap()[0]
}

async fn due(store: &Store, owner: &str, stage: Stage) -> Vec<String> {
    let due = store.jobs_due(owner, stage, 100).await.unwrap();
    due.into_iter().filter(|due| due.in_ms <= 0).map(|due| due.job_id).collect()
}

#[tokio::test]
async fn a_job_is_there_once_and_is_due_at_its_owner() {
    let place = Place::new().await;
    let store = place.open().await;
    for id in ["a", "b\0", "b\u{1}"] {
        assert!(write(&store, new(id, "e\0", Stage::Due)).await, "{id:?}");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    assert!(!write(&store, new("a", "e\0", Stage::Due)).await);
    assert!(write(&store, new("c", "e\0", Stage::Send)).await);
    assert_eq!(due(&store, "e\0", Stage::Due).await, ["a", "b\0", "b\u{1}"]);
    assert_eq!(due(&store, "e\0", Stage::Send).await, ["c"]);
    assert_eq!((due(&store, "e", Stage::Due).await.len(), store.jobs_queued("e\0").await.unwrap()), (0, 4));
    assert_eq!(store.jobs_due("e\0", Stage::Due, 2).await.unwrap().len(), 2);
    assert_eq!(ids_by(&store, Kind::Job, "job_status", "pending").await.len(), 4);
}

#[tokio::test]
async fn many_are_written_at_once_and_of_each_it_is_said_whether_it_was() {
    let place = Place::new().await;
    let store = place.open().await;
    let write = |ids: Vec<JobWrite>| {
        let store = store.clone();
        async move { store.write_jobs(&ids.iter().collect::<Vec<_>>()).await.unwrap() }
    };
    let new = |id| new(id, "e", Stage::Due);
    assert_eq!(write(vec![new("a"), new("b\0"), new("a"), new("c")]).await, [true, true, false, true]);
    let mut of = Vec::new();
    for id in ["a", "b\0", "c"] {
        of.push(store.revision(Kind::Job, id).await.unwrap().unwrap());
    }
    let end = |id: &str, of: i64| {
        let mut job = job(id);
        job.cancel(Time::from_millis(1));
        JobWrite::Change(JobChange::new(&job, of, Some((Stage::Done, 60_000))))
    };
    let mixed = vec![
        end("a", of[0]),
        new("d"),
        end("b\0", of[1]),
        end("b\0", of[1]),
        new("c"),
        end("c", 7),
        JobWrite::Later("c".into(), -9),
    ];
    let made = write(mixed).await;
    assert_eq!((&made[..2], made[2] != made[3], &made[4..]), (&[true; 2][..], true, &[false, false, true][..]));
    assert_eq!(ids_by(&store, Kind::Job, "job_status", "cancelled").await, ["a", "b\0"]);
    assert_eq!(ids_by(&store, Kind::Job, "job_status", "pending").await, ["c", "d"]);
    assert_eq!(due(&store, "e", Stage::Due).await, ["c", "d"]);
    assert_eq!(store.read(Kind::Job, "b\0").await.unwrap().unwrap().document["inputs"], "\u{0} \u{1} ü");
}

#[tokio::test]
async fn of_two_changes_of_one_revision_one_is_made() {
    let place = Place::new().await;
    let store = place.open().await;
    write(&store, new("a", "e", Stage::Due)).await;
    let of = store.revision(Kind::Job, "a").await.unwrap().unwrap();
    let (mut run, mut cancelled) = (job("a"), job("a"));
    run.start(Time::from_millis(5));
    cancelled.cancel(Time::from_millis(5));
    let begun = JobChange::new(&run, of, None);
    let revision = begun.revision;
    assert!(write(&store, JobWrite::Change(begun)).await);
    assert!(!write(&store, JobWrite::Change(JobChange::new(&cancelled, of, Some((Stage::Done, 0))))).await);
    assert_eq!(ids_by(&store, Kind::Job, "job_status", "running").await, ["a"]);
    assert_eq!(due(&store, "e", Stage::Due).await, ["a"]);

    run.complete(json!(7), Time::from_millis(6));
    assert!(write(&store, JobWrite::Change(JobChange::new(&run, revision, Some((Stage::Done, 0))))).await);
    let read = store.read(Kind::Job, "a").await.unwrap().unwrap().document;
    assert_eq!(read, run.to_document());
    assert_eq!(ids_by(&store, Kind::Job, "job_status", "running").await, [""; 0]);
    assert_eq!(ids_by(&store, Kind::Job, "job_status", "completed").await, ["a"]);
    assert_eq!((due(&store, "e", Stage::Due).await.len(), store.jobs_queued("e").await.unwrap()), (0, 0));
}

#[tokio::test]
async fn a_job_that_waits_is_not_due() {
    let place = Place::new().await;
    let store = place.open().await;
    write(&store, new("a", "e", Stage::Follow)).await;
    assert!(write(&store, JobWrite::Later("a".into(), 60_000)).await);
    let waits = store.jobs_due("e", Stage::Follow, 9).await.unwrap();
    assert!(30_000 < waits[0].in_ms && waits[0].in_ms <= 60_000, "{waits:?}");
    assert!(write(&store, JobWrite::Later("a".into(), -1)).await);
    assert_eq!(due(&store, "e", Stage::Follow).await, ["a"]);
}

#[tokio::test]
async fn what_is_over_is_removed_when_its_time_has_come() {
    let place = Place::new().await;
    let store = place.open().await;
    for (id, after) in [("a", 0), ("b\0", 0), ("c", 60_000)] {
        write(&store, new(id, "e", Stage::Due)).await;
        let of = store.revision(Kind::Job, id).await.unwrap().unwrap();
        let mut job = job(id);
        job.cancel(Time::from_millis(1));
        assert!(write(&store, JobWrite::Change(JobChange::new(&job, of, Some((Stage::Done, after))))).await);
    }
    write(&store, new("d", "e", Stage::Due)).await;
    assert_eq!(store.remove_jobs(1).await.unwrap().len(), 1);
    assert_eq!(store.remove_jobs(9).await.unwrap().len(), 1);
    assert_eq!(store.remove_jobs(9).await.unwrap(), [""; 0]);
    assert_eq!(ids_by(&store, Kind::Job, "job_status", "cancelled").await, ["c"]);
    assert_eq!(ids_by(&store, Kind::Job, "job_status", "pending").await, ["d"]);
    assert!(store.read(Kind::Job, "a").await.unwrap().is_none());
    // Its id is free again.
    assert!(write(&store, new("b\0", "e", Stage::Due)).await);
}
