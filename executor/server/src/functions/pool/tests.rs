use std::{future::Future, pin::pin, task::Poll};

use super::*;

#[derive(Debug, PartialEq)]
struct Fake {
    alive: bool,
}

impl Resident for Fake {
    fn is_alive(&self) -> bool {
        self.alive
    }
}

const GOOD: Fake = Fake { alive: true };

fn pool(n: u32) -> Arc<Pool<Fake>> {
    let pool = Pool::new();
    (1..=n).for_each(|number| pool.put(number, GOOD));
    pool
}

#[track_caller]
fn now(pool: &Arc<Pool<Fake>>) -> Lease<Fake> {
    match pool.take_any() {
        Ok(Taken::Now(lease)) => lease,
        Ok(Taken::InLine(_)) => panic!("no replica is free"),
        Err(why) => panic!("{why:?}"),
    }
}

#[track_caller]
fn in_line(pool: &Arc<Pool<Fake>>) -> InLine<Fake> {
    match pool.take_any() {
        Ok(Taken::InLine(waiting)) => waiting,
        Ok(Taken::Now(lease)) => panic!("{} is free", lease.number()),
        Err(why) => panic!("{why:?}"),
    }
}

fn refused(pool: &Arc<Pool<Fake>>) -> Option<NoReplica> {
    pool.take_any().err()
}

async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx)))
        .await
        .is_ready()
        .then_some(())
        .map(|()| unreachable!("these futures are seen to be pending"))
}

fn states(pool: &Pool<Fake>) -> Vec<&'static str> {
    pool.standing().iter().map(|one| one.state).collect()
}

#[tokio::test]
async fn calls_stand_in_line_in_their_order() {
    let pool = pool(1);
    let lease = now(&pool);
    let (mut first, second, mut third) = (in_line(&pool), in_line(&pool), in_line(&pool));
    assert!(poll_once(first.wait()).await.is_none());
    drop(second);
    drop(lease);
    let lease = first.wait().await.unwrap();
    assert!(poll_once(third.wait()).await.is_none());
    drop(lease);
    assert_eq!(third.wait().await.unwrap().number(), 1);
    drop((first, third));
    assert_eq!(states(&pool), ["ready"]);
    assert_eq!(pool.standing()[0].calls, 3);
}

#[tokio::test]
async fn one_that_wants_this_replica_comes_first() {
    let pool = pool(2);
    let (one, _two) = (now(&pool), now(&pool));
    let mut call = in_line(&pool);
    let taking = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.take(1).await }
    });
    tokio::task::yield_now().await;
    drop(one);
    let lease = taking.await.unwrap().unwrap();
    assert!(poll_once(call.wait()).await.is_none());
    drop(lease);
    assert_eq!(call.wait().await.unwrap().number(), 1);
    assert!(pool.take(3).await.is_none());
}

#[tokio::test]
async fn a_lease_that_nobody_waits_for_any_more_goes_back() {
    let pool = pool(1);
    let lease = now(&pool);
    let waiting = in_line(&pool);
    // It is sent, and never looked at.
    drop(lease);
    assert_eq!(states(&pool), ["busy"]);
    drop(waiting);
    assert_eq!(states(&pool), ["ready"]);
    let taking = pool.take(1).await.unwrap();
    assert_eq!(states(&pool), ["busy"]);
    drop(taking);
    assert_eq!(states(&pool), ["ready"]);
}

#[tokio::test]
async fn one_that_did_not_survive_is_down_until_another_takes_its_place() {
    let pool = pool(1);
    let mut lease = now(&pool);
    lease.replica().unwrap().alive = false;
    let mut waiting = in_line(&pool);
    drop(lease);
    pool.goes_down().await;
    assert_eq!((pool.down(), states(&pool)), (vec![1], vec!["starting"]));
    assert!(pool.take(1).await.is_none());
    // Calls go on waiting for it, until it is seen that they wait in vain.
    assert!(poll_once(waiting.wait()).await.is_none());
    pool.set_failure(Some("no".into()));
    assert_eq!(waiting.wait().await.err(), Some(NoReplica::Failed("no".into())));
    assert_eq!(refused(&pool), Some(NoReplica::Failed("no".into())));
    pool.put(1, GOOD);
    pool.set_failure(None);
    drop(now(&pool));
    assert_eq!(pool.standing()[0].restarts, 1);
    now(&pool).condemn();
    assert_eq!(pool.down(), [1]);
}

#[tokio::test]
async fn a_replica_that_goes_finishes_its_call() {
    let pool = pool(2);
    let (one, two) = (now(&pool), now(&pool));
    pool.retire(2);
    assert_eq!((states(&pool), pool.numbers()), (vec!["busy"], vec![1]));
    assert!(pool.take(2).await.is_none());
    // Another one of its number is not taken for it.
    pool.put(2, GOOD);
    two.condemn();
    assert_eq!(states(&pool), ["busy", "ready"]);
    pool.retire(2);
    drop(one);
    pool.retire(1);
    assert!(pool.standing().is_empty());
}

#[tokio::test]
async fn a_pool_that_is_closed_gives_none_and_sends_away_who_waits() {
    let pool = pool(1);
    let lease = now(&pool);
    let mut waiting = in_line(&pool);
    pool.close();
    assert_eq!(waiting.wait().await.err(), Some(NoReplica::Closed));
    assert_eq!(refused(&pool), Some(NoReplica::Closed));
    drop(lease);
    pool.put(1, GOOD);
    assert!(pool.standing().is_empty());
}

#[tokio::test]
async fn the_line_has_a_bound_and_who_gave_up_is_not_in_it() {
    let pool = pool(1);
    let _lease = now(&pool);
    let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| in_line(&pool)).collect();
    assert_eq!(refused(&pool), Some(NoReplica::Full));
    waiting.pop();
    drop(in_line(&pool));
}

#[tokio::test]
async fn those_that_were_called_have_something_to_save() {
    let pool = pool(2);
    drop(pool.take(2).await.unwrap());
    assert!(pool.called().is_empty());
    drop(now(&pool));
    assert_eq!(pool.called(), [1]);
    pool.set_called(1, false);
    assert!(pool.called().is_empty());
    assert_eq!(pool.alive(), 2);
}

#[tokio::test]
async fn the_load_is_of_calls_only_and_of_those_in_line_too() {
    let pool = pool(1);
    let taken = pool.take(1).await.unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2));
    assert_eq!(pool.busy_us(), 0);
    drop(taken);
    let (_lease, _waiting) = (now(&pool), in_line(&pool));
    std::thread::sleep(std::time::Duration::from_millis(2));
    assert!(4000 <= pool.busy_us());
}
