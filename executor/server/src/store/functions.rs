//! What replicas of functions need to be there again: what they last saved, and the commands that they were given.
//!
//! Each replica of a policy with `state` has one saved state, which says the last command that is in it. A command is
//! kept until every saved state has it; without states, for as long as the function is there.

use std::time::SystemTime;

use serde_json::{Map, Value};

use super::{
    Kind, Record, Store,
    db::{Row, Tx},
    documents::document_of,
    terms::{decode, encode},
};
use crate::error::Error;

/// What a replica saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedState {
    /// Of which function.
    pub function: String,
    /// Its number.
    pub replica: u32,
    /// The policy that saved it.
    pub policy_rule_uri: String,
    /// The bytes.
    pub state: Vec<u8>,
    /// The last command that is in it.
    pub command: i64,
}

/// A management command that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptCommand {
    /// Its place among those of its function, from 1 on.
    pub number: i64,
    /// The replica that it is for, if not for all.
    pub replica: Option<u32>,
    /// Which command.
    pub action: String,
    /// JSON text.
    pub data: String,
}

/// The name of a function's context among those of policies, none of which has a slash in its uri.
pub fn context_of(function: &str) -> String {
    format!("function/{function}")
}

impl Store {
    /// The records of all functions of an executor.
    pub async fn functions_of(&self, executor_id: &str) -> Result<Vec<Record>, Error> {
        let sql = "SELECT f.id, f.document, f.revision FROM functions f JOIN terms t ON t.id = f.id
             WHERE t.kind = 'function' AND t.field = 'function_executor_id' AND t.value = $1 ORDER BY f.id";
        let rows = self.db.fetch(sql, &[(&*encode(executor_id)).into()]).await?;
        let record = |row: &Row| {
            let id = decode(row.text(0)?).into_owned();
            Ok(Record { id, document: document_of(row.text(1)?)?, revision: row.int(2)? })
        };
        rows.iter().map(record).collect()
    }

    /// Forgets what an earlier function of this name left behind.
    pub async fn forget_leftovers(&self, name: &str) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        self.forget_function(&mut tx, name).await?;
        tx.commit().await
    }

    /// Puts `document` in the place of this revision of a function's record, keeps what its replicas saved, and forgets
    /// replicas above `replicas`. Returns whether there still was such a revision.
    pub async fn replace_function(
        &self,
        (name, revision): (&str, i64),
        document: &Map<String, Value>,
        replicas: u32,
        states: &[SavedState],
    ) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        if self.replace_within(&mut tx, Kind::Function, (name, revision), name, document).await?.is_none() {
            tx.rollback().await?;
            return Ok(false);
        }
        let id = encode(name);
        let args = [(&*id).into(), i64::from(replicas).into()];
        for table in ["function_states", "function_commands"] {
            tx.execute(&format!("DELETE FROM {table} WHERE function_id = $1 AND replica > $2"), &args).await?;
        }
        save(&mut tx, states).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Removes a function with everything of it; false if there is none.
    pub async fn remove_function(&self, name: &str) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let found = self.remove_within(&mut tx, Kind::Function, name).await?;
        self.forget_function(&mut tx, name).await?;
        tx.commit().await?;
        Ok(found)
    }

    async fn forget_function(&self, tx: &mut Tx, name: &str) -> Result<(), Error> {
        for table in ["function_states", "function_commands"] {
            tx.execute(&format!("DELETE FROM {table} WHERE function_id = $1"), &[(&*encode(name)).into()]).await?;
        }
        self.remove_context(tx, &encode(&context_of(name))).await
    }

    /// Keeps what replicas saved, all together, of functions that are there; and forgets the commands that this makes
    /// superfluous.
    pub async fn save_states(&self, states: &[SavedState]) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        save(&mut tx, states).await?;
        tx.commit().await
    }

    /// What this replica saved, or else what any of them saved last.
    pub async fn saved_state(&self, name: &str, replica: Option<u32>) -> Result<Option<SavedState>, Error> {
        let sql = "SELECT replica, policy_rule_uri, state, command FROM function_states WHERE function_id = $1
             ORDER BY CASE WHEN replica = $2 THEN 0 ELSE 1 END, command DESC, saved_at_ms DESC, replica LIMIT 1";
        let id = encode(name);
        let args = [(&*id).into(), i64::from(replica.unwrap_or(0)).into()];
        let Some(row) = self.db.fetch_one(sql, &args).await? else { return Ok(None) };
        Ok(Some(SavedState {
            function: name.to_owned(),
            replica: number(row.int(0)?),
            policy_rule_uri: row.text(1)?.to_owned(),
            state: row.bytes(2)?.to_vec(),
            command: row.int(3)?,
        }))
    }

    /// Keeps a command.
    pub async fn keep_command(&self, name: &str, command: &KeptCommand) -> Result<(), Error> {
        let sql = "INSERT INTO function_commands (function_id, command, replica, action, data)
             VALUES ($1, $2, NULLIF(CAST($3 AS BIGINT), 0), $4, $5)";
        let (id, action, data) = (encode(name), encode(&command.action), encode(&command.data));
        let replica = i64::from(command.replica.unwrap_or(0));
        let args = [(&*id).into(), command.number.into(), replica.into(), (&*action).into(), (&*data).into()];
        self.db.execute(sql, &args).await.map(drop)
    }

    /// The commands after this one that concern a replica, or only those for all, in their order.
    pub async fn commands_after(
        &self,
        name: &str,
        after: i64,
        replica: Option<u32>,
    ) -> Result<Vec<KeptCommand>, Error> {
        let sql = "SELECT command, COALESCE(replica, 0), action, data FROM function_commands
             WHERE function_id = $1 AND command > $2 AND (replica IS NULL OR replica = $3) ORDER BY command";
        let id = encode(name);
        let args = [(&*id).into(), after.into(), i64::from(replica.unwrap_or(0)).into()];
        let command = |row: &Row| {
            Ok(KeptCommand {
                number: row.int(0)?,
                replica: Some(number(row.int(1)?)).filter(|n| 0 < *n),
                action: decode(row.text(2)?).into_owned(),
                data: decode(row.text(3)?).into_owned(),
            })
        };
        self.db.fetch(sql, &args).await?.iter().map(command).collect()
    }

    /// How many commands of a function are kept, and the number of the last that there was.
    pub async fn commands_kept(&self, name: &str) -> Result<(u64, i64), Error> {
        let sql = "SELECT (SELECT COUNT(*) FROM function_commands WHERE function_id = $1),
             (SELECT COALESCE(MAX(command), 0) FROM function_commands WHERE function_id = $1),
             (SELECT COALESCE(MAX(command), 0) FROM function_states WHERE function_id = $1)";
        let Some(row) = self.db.fetch_one(sql, &[(&*encode(name)).into()]).await? else { return Ok((0, 0)) };
        Ok((u64::try_from(row.int(0)?).unwrap_or(0), row.int(1)?.max(row.int(2)?)))
    }
}

async fn save(tx: &mut Tx, states: &[SavedState]) -> Result<(), Error> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    let sql = "INSERT INTO function_states (function_id, replica, policy_rule_uri, state, command, saved_at_ms)
         SELECT $1, $2, $3, $4, $5, $6 WHERE EXISTS (SELECT 1 FROM functions WHERE id = $1)
         ON CONFLICT (function_id, replica) DO UPDATE SET policy_rule_uri = excluded.policy_rule_uri,
             state = excluded.state, command = excluded.command, saved_at_ms = excluded.saved_at_ms";
    for SavedState { function, replica, policy_rule_uri, state, command } in states {
        let id = encode(function);
        let args = [
            (&*id).into(),
            i64::from(*replica).into(),
            policy_rule_uri.into(),
            state.as_slice().into(),
            (*command).into(),
            now.into(),
        ];
        tx.execute(sql, &args).await?;
    }
    let mut functions: Vec<&str> = states.iter().map(|state| state.function.as_str()).collect();
    functions.sort_unstable();
    functions.dedup();
    for function in functions {
        prune(tx, function).await?;
    }
    Ok(())
}

/// Forgets commands that are in every saved state. One for a single replica must be in that replica's own.
async fn prune(tx: &mut Tx, function: &str) -> Result<(), Error> {
    let sql = "DELETE FROM function_commands WHERE function_id = $1
         AND command <= (SELECT MIN(command) FROM function_states WHERE function_id = $1)
         AND (replica IS NULL OR EXISTS (SELECT 1 FROM function_states s WHERE s.function_id = $1
             AND s.replica = function_commands.replica AND s.command >= function_commands.command))";
    tx.execute(sql, &[(&*encode(function)).into()]).await.map(drop)
}

fn number(n: i64) -> u32 {
    u32::try_from(n).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use lictor_model::function;
    use serde_json::json;

    use super::{super::tests::Place, *};

    fn record(name: &str, executor_id: &str) -> Map<String, Value> {
        let body = json!({
            "function_id": name, "function_executor_id": executor_id, "function_executor_uri": "",
            "function_policy_rule_uri": "a:1-b", "function_policy_data": {}
        });
        function::parse(body).unwrap().document
    }

    async fn insert(store: &Store, name: &str) -> i64 {
        store.insert(Kind::Function, name, &record(name, "e\0")).await.unwrap().unwrap()
    }

    fn state(function: &str, replica: u32, command: i64, bytes: &[u8]) -> SavedState {
        let policy_rule_uri = "a:1-b".into();
        SavedState { function: function.into(), replica, policy_rule_uri, state: bytes.into(), command }
    }

    fn command(number: i64, replica: Option<u32>) -> KeptCommand {
        KeptCommand { number, replica, action: "a\0".into(), data: format!("\"\\u0000 ü {number}\"") }
    }

    async fn numbers(store: &Store, name: &str, after: i64, replica: Option<u32>) -> Vec<i64> {
        store.commands_after(name, after, replica).await.unwrap().iter().map(|command| command.number).collect()
    }

    #[tokio::test]
    async fn functions_of_an_executor_are_found() {
        let place = Place::new().await;
        let store = place.open().await;
        for name in ["b", "a\0"] {
            insert(&store, name).await;
        }
        store.insert(Kind::Function, "c", &record("c", "other")).await.unwrap();
        let found = store.functions_of("e\0").await.unwrap();
        assert_eq!(found.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), ["a\0", "b"]);
        assert_eq!(found[1].document, record("b", "e\0"));
    }

    #[tokio::test]
    async fn commands_are_read_back_in_their_order() {
        let place = Place::new().await;
        let store = place.open().await;
        insert(&store, "f\0").await;
        for (number, replica) in [(1, None), (2, Some(2)), (10, None), (9, Some(1))] {
            store.keep_command("f\0", &command(number, replica)).await.unwrap();
        }
        assert_eq!(numbers(&store, "f\0", 0, None).await, [1, 10]);
        assert_eq!(numbers(&store, "f\0", 0, Some(1)).await, [1, 9, 10]);
        assert_eq!(numbers(&store, "f\0", 1, Some(2)).await, [2, 10]);
        assert_eq!(store.commands_after("f\0", 9, None).await.unwrap(), [command(10, None)]);
        assert_eq!(store.commands_kept("f\0").await.unwrap(), (4, 10));
        assert_eq!(store.commands_kept("g").await.unwrap(), (0, 0));
        assert!(store.keep_command("f\0", &command(10, None)).await.is_err());
    }

    #[tokio::test]
    async fn a_command_goes_when_every_state_has_it() {
        let place = Place::new().await;
        let store = place.open().await;
        insert(&store, "f").await;
        for (number, replica) in [(1, None), (2, Some(2)), (3, Some(3)), (4, None)] {
            store.keep_command("f", &command(number, replica)).await.unwrap();
        }
        store.save_states(&[state("f", 1, 4, b"one")]).await.unwrap();
        // One for a replica that has no state of its own stays.
        assert_eq!(
            (numbers(&store, "f", 0, Some(2)).await, numbers(&store, "f", 0, Some(3)).await),
            (vec![2], vec![3])
        );
        store.save_states(&[state("f", 2, 2, b"two"), state("g", 1, 9, b"no such function")]).await.unwrap();
        assert_eq!((numbers(&store, "f", 0, Some(2)).await, numbers(&store, "f", 0, Some(3)).await), (vec![], vec![3]));
        assert_eq!(store.commands_kept("f").await.unwrap(), (1, 4));
        assert_eq!(store.saved_state("g", None).await.unwrap(), None);
        // Its own, or else the newest.
        assert_eq!(store.saved_state("f", Some(2)).await.unwrap(), Some(state("f", 2, 2, b"two")));
        assert_eq!(store.saved_state("f", Some(3)).await.unwrap(), Some(state("f", 1, 4, b"one")));
        store.save_states(&[state("f", 2, 5, b"")]).await.unwrap();
        assert_eq!(store.saved_state("f", None).await.unwrap(), Some(state("f", 2, 5, b"")));
    }

    #[tokio::test]
    async fn a_change_of_a_record_takes_along_what_belongs_to_it() {
        let place = Place::new().await;
        let store = place.open().await;
        let revision = insert(&store, "f").await;
        store.keep_command("f", &command(1, None)).await.unwrap();
        store.keep_command("f", &command(2, Some(3))).await.unwrap();
        store.save_states(&[state("f", 3, 0, b"three")]).await.unwrap();
        let mut document = record("f", "e\0");
        document["replicas"] = json!(2);
        let states = [state("f", 1, 1, b"one"), state("f", 2, 1, b"two")];
        assert!(!store.replace_function(("f", revision + 1), &document, 2, &states).await.unwrap());
        assert_eq!(store.commands_kept("f").await.unwrap().0, 2);
        assert!(store.replace_function(("f", revision), &document, 2, &states).await.unwrap());
        assert_eq!(store.commands_kept("f").await.unwrap(), (0, 1));
        assert_eq!(store.saved_state("f", Some(3)).await.unwrap(), Some(state("f", 1, 1, b"one")));
        assert_eq!(store.read(Kind::Function, "f").await.unwrap().unwrap().document["replicas"], 2);
    }

    #[tokio::test]
    async fn nothing_is_left_of_one_that_is_removed() {
        let place = Place::new().await;
        let store = place.open().await;
        for name in ["f", "g"] {
            insert(&store, name).await;
            store.keep_command(name, &command(5, None)).await.unwrap();
            store.save_states(&[state(name, 1, 4, b"x")]).await.unwrap();
            let (policy_uri, key, value) = (context_of(name), "k".into(), Some(vec![1]));
            store.write_context(&[super::super::ContextWrite { policy_uri, key, value }]).await.unwrap();
        }
        assert!(store.remove_function("f").await.unwrap());
        assert!(!store.remove_function("f").await.unwrap());
        for (name, there) in [("f", 0), ("g", 1)] {
            assert_eq!(store.commands_kept(name).await.unwrap().0, there, "{name}");
            assert_eq!(store.context(&context_of(name)).await.unwrap().len(), usize::try_from(there).unwrap());
            assert_eq!(store.saved_state(name, None).await.unwrap().is_some(), there == 1, "{name}");
        }
        store.forget_leftovers("g").await.unwrap();
        assert_eq!(store.commands_kept("g").await.unwrap(), (0, 0));
        assert_eq!(store.functions_of("e\0").await.unwrap().len(), 1);
    }
}
